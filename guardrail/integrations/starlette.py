"""starlette: middleware for an application that serves pictures itself, in a protocol that a dialect knows.

The walk is the server's own, limits, records, refusals and streams included; the application stands where the generator
does. So nothing about it is written twice, and what holds for the proxy holds here.
"""

from __future__ import annotations

import asyncio
import logging
import posixpath
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from urllib.parse import unquote

from guardrail.errors import BadRequest, ConfigError
from guardrail.server.admission import Admission, Ticket
from guardrail.server.client import LEADS_ON, LONGEST_HEADER, Answering, Client, headers_of
from guardrail.server.exchange import Broken, Exchange, Services
from guardrail.server.gate import UpstreamFault
from guardrail.server.guarding import Guard
from guardrail.server.judged import judge_call
from guardrail.server.logs import where
from guardrail.server.metrics import Metrics
from guardrail.server.settings import ServerSettings, Upstream
from guardrail.server.wire import Message, Receive, Scope, Send, end_to_end
from guardrail.upstream.dialect import Dialect, Door, Forward, Setup
from guardrail.upstream.registry import open_dialect

__all__ = ["GuardrailMiddleware"]

log = logging.getLogger("guardrail.integrations")

App = Callable[[Scope, Receive, Send], Awaitable[None]]
_MOST_UNQUOTED = 4


class GuardrailMiddleware:
    """ASGI middleware: `app.add_middleware(GuardrailMiddleware, guard=guard)`.

    Calls on the image routes of `dialect` below `mount` are judged, and so is what the application answers. Every other
    route is the application's own and passes. A path that is only another spelling of a judged one is refused.

    `dialect` is a name or an opened dialect; `tenant` a name, or a function of the ASGI scope, for an application that
    knows who asks. `upstream` replaces what the dialect is reached by, to fetch pictures by address for instance.
    `metrics` counts as the server's do. `guard.start()` warms models up and `guard.close()` closes the record; both are
    the application's to call.

    Raises ConfigError for a dialect that is not known or a mount that is no plain path.
    """

    def __init__(
        self,
        app: App,
        guard: Guard,
        *,
        dialect: str | Dialect = "openai",
        mount: str = "/",
        tenant: str | Callable[[Scope], str] = "default",
        upstream: Upstream | None = None,
        settings: ServerSettings | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._mount = mount.rstrip("/")
        opened = open_dialect(dialect, Setup(self._mount)) if isinstance(dialect, str) else dialect
        self._upstream = upstream or Upstream(opened, None, mount, name="application")
        if upstream is not None and upstream.mount.rstrip("/") != self._mount:
            raise ConfigError(f"the upstream is mounted at {upstream.mount}, the middleware at {mount}")
        self._app = app
        self._guard = guard
        self._tenant = tenant
        self._settings = settings or ServerSettings()
        self._metrics = metrics or Metrics()
        self._admission = Admission(self._settings.max_in_flight, self._settings.room, self._settings.retry_after_s)
        self._running: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        below = self._below(scope) if scope["type"] in ("http", "websocket") else None
        if below is None:
            await self._app(scope, receive, send)
            return
        door = self._upstream.dialect.door
        if scope["type"] == "websocket":
            if door("GET", below) is Door.SOCKET:
                await send({"type": "websocket.close", "code": 1008})
            else:
                await self._app(scope, receive, send)
            return
        judged = door(scope["method"], below) is Door.JUDGED
        if judged or self._disguised(scope["method"], below):
            await self._judge(scope, receive, send, below if judged else None)
        else:
            await self._app(scope, receive, send)

    def _below(self, scope: Scope) -> str | None:
        """The path below the mount, decoded, as the application's router reads it; None for one beside the mount."""
        path: str = scope["path"]
        root: str = scope.get("root_path", "")
        if root and path.startswith(f"{root}/"):
            path = path[len(root) :]
        return path[len(self._mount) :] if path.startswith(f"{self._mount}/") else None

    def _disguised(self, method: str, below: str) -> bool:
        """True for a path or method that something behind could take for a judged one, though the dialect does not."""
        path = below
        for _ in range(_MOST_UNQUOTED):
            path = unquote(path)
        path = "/" + posixpath.normpath(path.replace("\\", "/").casefold()).strip("/. ")
        return method != "OPTIONS" and any(
            self._upstream.dialect.door(one, path) is Door.JUDGED
            for one in {"POST", method}
            if path != below or one != method
        )

    async def _judge(self, scope: Scope, receive: Receive, send: Send, below: str | None) -> None:
        client = _Application(self._app, scope, self._mount, self._settings, self._running)
        shared = Services(self._guard, client, self._settings, self._metrics, self._admission)
        exchange = Exchange(shared, self._upstream, scope, receive, send)

        async def walk() -> None:
            if below is None:
                exchange.route = "closed"
                raise BadRequest(
                    "this is another spelling of a route that is judged; use the plain one",
                    status=404,
                    code="route_not_guarded",
                )
            exchange.tenant = self._tenant if isinstance(self._tenant, str) else self._tenant(scope)
            await judge_call(exchange, scope["method"], below)

        try:
            await exchange.run(walk)
        except Broken:
            # Servers cut the connection of an application that returns without finishing its answer.
            log.error("an answer could not be finished", extra={"fields": {"route": exchange.route}})


class _Application(Client):
    """The application in the place of a generator, for one call."""

    def __init__(
        self, app: App, scope: Scope, mount: str, settings: ServerSettings, running: set[asyncio.Task[None]]
    ) -> None:
        super().__init__(settings)
        self.app = app
        self.scope = scope
        self.mount = mount
        self.idle_s = settings.idle_timeout_s
        self.running = running

    def call(self, upstream: Upstream, forward: Forward) -> Answering:
        return _Inside(self, upstream, forward)

    def scope_of(self, forward: Forward) -> Scope:
        """The caller's scope with the path, headers and query that go on. No extensions: files go out unread by one."""
        raw, _, query = forward.path.partition("?")
        root: str = self.scope.get("root_path", "")
        whole = (root if self.scope["path"].startswith(f"{root}/") else "") + self.mount
        hosts = [(name, value) for name, value in self.scope["headers"] if name == b"host"]
        named = [(k.lower().encode("latin-1"), v.encode("utf-8")) for k, v in headers_of(forward.headers).items()]
        return {
            **self.scope,
            "method": forward.method,
            "path": whole + unquote(raw),
            "raw_path": (whole + raw).encode("latin-1", "replace"),
            "query_string": query.encode("latin-1", "replace"),
            "headers": [*hosts, *named, (b"content-length", b"%d" % len(forward.body))],
            "extensions": {},
        }


class _Inside(Answering):
    """One call of the application and its answer, piece by piece."""

    def __init__(self, client: _Application, upstream: Upstream, forward: Forward) -> None:
        super().__init__(client, upstream, forward)
        self._inside = client
        # One piece waits at most: an application that makes them faster than they are judged is held back.
        self._pieces: asyncio.Queue[Message | UpstreamFault] = asyncio.Queue(1)
        self._asked = False
        self._over = asyncio.Event()

    async def __aenter__(self) -> Answering:
        scope = self._inside.scope_of(self._forward)
        self._task = asyncio.create_task(self._run(scope))
        self._inside.running.add(self._task)
        self._task.add_done_callback(self._inside.running.discard)
        try:
            start = await self._next()
            if start["type"] != "http.response.start":
                raise UpstreamFault("bad_answer", "the application's answer does not begin like one")
            self.status = start["status"]
            if 300 <= self.status < 400 and self.status != 304:
                raise UpstreamFault("redirect", "the application answered with a redirect, which leads past the guard")
        except BaseException:
            await self._end()
            raise
        self.headers = end_to_end(
            (low, value.decode("latin-1"))
            for name, value in start.get("headers", ())
            if (low := name.decode("latin-1").lower()) not in LEADS_ON and len(value) <= LONGEST_HEADER
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    async def chunk(self) -> bytes:
        while not self._whole:
            message = await self._next()
            if message["type"] != "http.response.body":
                raise UpstreamFault("bad_answer", "the application sent something else in the middle of its answer")
            self._whole = not message.get("more_body", False)
            piece: bytes = message.get("body", b"")
            if piece:
                return piece
        return b""

    async def read(self, limit: int, ticket: Ticket) -> bytes:
        parts: list[bytes] = []
        size = 0
        while piece := await self.chunk():
            size += len(piece)
            if size > limit:
                raise UpstreamFault("too_large", f"the application's answer is larger than {limit} bytes, the limit")
            ticket.hold(len(piece))
            parts.append(piece)
        return b"".join(parts)

    async def _next(self) -> Message:
        try:
            async with asyncio.timeout(self._inside.idle_s):
                message = await self._pieces.get()
        except TimeoutError:
            raise UpstreamFault("timeout", "the application did not answer in time", status=504) from None
        if isinstance(message, UpstreamFault):
            raise message
        return message

    async def _run(self, scope: Scope) -> None:
        try:
            await self._inside.app(scope, self._receive, self._pieces.put)
        except Exception as error:
            log.error("the application failed on a judged route", extra={"fields": {"fault": where(error)}})
        if not self._whole:
            await self._pieces.put(UpstreamFault("cut", "the application did not finish its answer"))

    async def _receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": self._forward.body, "more_body": False}
        await self._over.wait()
        return {"type": "http.disconnect"}

    async def _end(self) -> None:
        """The answer was taken, or is not wanted: what the application still does after a whole one goes on."""
        self._over.set()
        if not self._whole:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
