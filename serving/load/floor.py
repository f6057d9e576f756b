"""The least that a Python proxy costs: floor.py PORT UPSTREAM.

Reads a call, asks the generator, answers: no limits, no reading of what passes, no receipt, no record. It runs on what
the guard runs on (uvicorn with uvloop and httptools, an aiohttp client), so that the difference is the guard's own.
"""

from __future__ import annotations

import sys
from typing import Any

import aiohttp
import uvicorn

from guardrail.server.process import tune_malloc


class Floor:
    def __init__(self, upstream: str) -> None:
        self.upstream = upstream

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            self.session = aiohttp.ClientSession(auto_decompress=False)
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await self.session.close()
            await send({"type": "lifespan.shutdown.complete"})
            return
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        kind = {"content-type": "application/json"}
        async with self.session.post(self.upstream + scope["path"], data=body, headers=kind) as answer:
            whole = await answer.read()
        headers = [(b"content-length", b"%d" % len(whole)), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": whole})


if __name__ == "__main__":
    tune_malloc()
    uvicorn.run(
        Floor(sys.argv[2]),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        log_level="warning",
    )
