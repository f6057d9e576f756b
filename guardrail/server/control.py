"""Control routes: alive, ready, and what was counted. None of them says anything about a caller."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse

from guardrail.server.gate import Gate
from guardrail.server.guarding import Guard
from guardrail.server.metrics import CONTENT_TYPE, Metrics
from guardrail.server.settings import Upstream

PATHS = frozenset({"/healthz", "/readyz", "/metrics", "/upstreams"})


def control(guard: Guard, metrics: Metrics, gates: Sequence[tuple[Upstream, Gate]]) -> FastAPI:
    """The routes of PATHS."""
    app = FastAPI(title="Guardrail", docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/healthz")
    async def healthz() -> Response:
        """Alive: the event loop turns."""
        return Response(b'{"alive":true}', media_type="application/json")

    @app.get("/readyz")
    async def readyz() -> Response:
        """Ready: models loaded and warm, records can be written; else 503 and the reason for each that is not."""
        # In a thread: it probes the audit log, which may be a server far away.
        ready, reasons = await asyncio.to_thread(guard.ready)
        return JSONResponse({"ready": ready, "reasons": dict(reasons)}, status_code=200 if ready else 503)

    @app.get("/upstreams")
    async def upstreams() -> Response:
        """Each generator: whether it answers, and how much it has to do."""
        seen = [
            {"name": one.name, "dialect": one.dialect.name, "mount": one.mount, **gate.view()} for one, gate in gates
        ]
        return JSONResponse({"upstreams": seen})

    @app.get("/metrics")
    async def page() -> Response:
        """Counts, as Prometheus reads them, and whether the guard is ready: asked as /readyz asks."""
        ready, _ = await asyncio.to_thread(guard.ready)
        metrics.ready(ready)
        return Response(metrics.page(), headers={"content-type": CONTENT_TYPE})

    return app
