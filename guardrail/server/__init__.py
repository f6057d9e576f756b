"""The server: HTTP in front of a generator. It reads limits first, and lets nothing out that was not judged.

Data routes are plain ASGI, control routes (/healthz, /readyz, /metrics) are FastAPI. Everything that it needs is
handed to `build_app` as built objects; it reads no configuration and no environment.
"""

from guardrail.server.app import App, build_app
from guardrail.server.metrics import Metrics
from guardrail.server.process import serve
from guardrail.server.settings import ServerSettings, Upstream

__all__ = ["App", "Metrics", "ServerSettings", "Upstream", "build_app", "serve"]
