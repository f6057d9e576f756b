"""Control routes: alive, ready, and what was counted. None of them says anything about a caller."""

from __future__ import annotations

import asyncio

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse

from guardrail.server.guarding import Guard
from guardrail.server.metrics import CONTENT_TYPE, Metrics

PATHS = frozenset({"/healthz", "/readyz", "/metrics"})


def control(guard: Guard, metrics: Metrics) -> FastAPI:
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

    @app.get("/metrics")
    async def page() -> Response:
        """Counts, as Prometheus reads them."""
        return Response(metrics.page(), headers={"content-type": CONTENT_TYPE})

    return app
