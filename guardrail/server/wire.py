"""The wire to the caller: bodies in, with a limit before anything else, and whole answers out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

from guardrail.errors import BadRequest
from guardrail.server.admission import Ticket
from guardrail.upstream.dialect import HOP_BY_HOP, Headers

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
RawHeaders = list[tuple[bytes, bytes]]

OURS = "x-guardrail-"
CALLER = "guardrail.caller"
"""Under which extension of the scope the server's own protocol stands, where there is one."""


class Caller(Protocol):
    """What the server's own protocol knows of a call beyond ASGI: shorter ways to what ASGI does as well."""

    def direct(self, receive: Receive, send: Send) -> bool:
        """True where these are its own, so that nobody stands between who would miss what goes past them."""
        ...

    @property
    def sent_whole(self) -> bool:
        """True when the whole body of the request is here."""
        ...

    @property
    def gone(self) -> bool: ...

    def watch(self, left: Callable[[], None] | None) -> None:
        """Call `left` when the caller closes the connection before the answer is whole; None for nobody any more."""
        ...

    def reply(self, status: int, headers: RawHeaders, body: bytes) -> bool:
        """Send a whole answer in one write. False where that cannot be done; then nothing was sent."""
        ...

    async def taken(self) -> None:
        """Return when the caller has taken all but a little of what was sent, or has left."""
        ...


def caller_of(scope: Scope, receive: Receive, send: Send) -> Caller | None:
    """The server's own protocol, None under any other server and where something stands in between."""
    found: Caller | None = scope.get("extensions", {}).get(CALLER)
    return found if found is not None and found.direct(receive, send) else None


class Gone(Exception):
    """The caller closed the connection. Internal to the server."""


def text_headers(raw: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """Header names (lower case) and values as text. Raises BadRequest for bytes that are not UTF-8."""
    try:
        return [(name.decode("ascii"), value.decode("utf-8")) for name, value in raw]
    except UnicodeDecodeError:
        # `from None`: the error quotes the bytes, and those may be a key.
        raise BadRequest("a request header is not valid UTF-8", code="invalid_header") from None


def one_header(headers: Headers, name: str) -> str | None:
    """The value of the first header called `name` (lower case), or None."""
    for key, value in headers:
        if key == name:
            return value
    return None


def end_to_end(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Headers of another server or caller as they go on: without those between two hops, and without ours."""
    listed = [(name, name.lower(), value) for name, value in headers]
    named = {token.strip().lower() for _, low, value in listed if low == "connection" for token in value.split(",")}
    return [
        (name, value)
        for name, low, value in listed
        if low not in HOP_BY_HOP and low not in named and not low.startswith(OURS)
    ]


def outgoing(headers: Iterable[tuple[str, str]], length: int | None) -> RawHeaders:
    """Headers as they leave: without hop-by-hop ones, and with the length of what really leaves."""
    named = [
        (low.encode("latin-1"), value.encode("latin-1", "replace"))
        for name, value in headers
        if (low := name.lower()) not in HOP_BY_HOP and low != "content-length"
    ]
    if length is not None:
        named.append((b"content-length", b"%d" % length))
    return named


def not_ours(headers: Headers) -> list[tuple[str, str]]:
    """Headers without the ones that only Guardrail itself may say."""
    return [(name, value) for name, value in headers if not name.lower().startswith(OURS)]


@dataclass(frozen=True)
class Pace:
    """How long a body may take: `grace_s`, a second more for each `rate` bytes that have come, and `most_s` in all."""

    most_s: float
    grace_s: float
    rate: float

    def allowed_s(self, size: int) -> float:
        return min(self.most_s, self.grace_s + size / self.rate)


async def read_body(
    receive: Receive, headers: Headers, limit: int, ticket: Ticket, pace: Pace, caller: Caller | None = None
) -> bytes:
    """The whole request body; at most `limit` bytes are ever read, and none when it is announced as more.

    Room for it is taken as it comes: an announcement alone keeps nobody else out.

    Raises BadRequest (413 over the limit, 408 when it did not come in time), Overloaded when it does not fit
    beside the bodies that are held already, Gone when the caller left.
    """
    announced = one_header(headers, "content-length")
    if announced is not None and announced.isascii() and announced.isdigit():
        if int(announced) > limit:
            raise _too_large(limit)
        ticket.fits(int(announced))
    if caller is not None and caller.sent_whole:
        return await _received(receive, limit, ticket, lambda size: None)
    began = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(pace.allowed_s(0)) as clock:
            return await _received(receive, limit, ticket, lambda size: clock.reschedule(began + pace.allowed_s(size)))
    except TimeoutError:
        raise BadRequest(
            "the request body did not arrive in time, or came too slowly", status=408, code="body_timeout"
        ) from None


async def _received(receive: Receive, limit: int, ticket: Ticket, came: Callable[[int], None]) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        if part:
            ticket.hold(len(part))
            parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)
        came(size)


def _too_large(limit: int) -> BadRequest:
    return BadRequest(
        f"the request body is larger than {limit} bytes, which is the limit here", status=413, code="body_too_large"
    )


async def send_reply(
    send: Send,
    status: int,
    headers: Iterable[tuple[str, str]],
    body: bytes,
    *,
    linger: Linger | None = None,
    caller: Caller | None = None,
) -> None:
    """Send a whole answer. With `linger` the connection is closed, after a bounded wait for what is still coming in."""
    has_body = status not in {204, 304}
    raw = outgoing(headers, len(body) if has_body else None)
    if caller is not None and linger is None and caller.reply(status, raw, body if has_body else b""):
        # What is not taken yet fills memory, and its place with it.
        await caller.taken()
        return
    if linger is not None:
        raw.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": raw})
    if linger is None:
        await send({"type": "http.response.body", "body": body if has_body else b"", "more_body": False})
        return
    # Closing at once while bytes come in resets the connection, and the caller never sees why.
    await send({"type": "http.response.body", "body": body, "more_body": True})
    await linger.drain()
    await send({"type": "http.response.body", "body": b"", "more_body": False})


class Linger:
    """Throws away what a refused caller still sends, up to a size and a time."""

    def __init__(self, receive: Receive, max_bytes: int, timeout_s: float) -> None:
        self._receive = receive
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s

    async def drain(self) -> None:
        left = self._max_bytes
        try:
            async with asyncio.timeout(self._timeout_s):
                while left > 0:
                    message = await self._receive()
                    if message["type"] == "http.disconnect" or not message.get("more_body", False):
                        return
                    left -= len(message.get("body", b""))
        except TimeoutError:
            return


class Watch:
    """Cancels what runs inside when the caller leaves, and raises Gone in its place.

    `hold` and `release` bracket what must not be cut in two, such as writing a record.
    """

    def __init__(self, receive: Receive, caller: Caller | None = None) -> None:
        self._receive = receive
        self._caller = caller
        self._watcher: asyncio.Future[None] | None = None
        self._held = False
        self._struck = False
        self.gone = False

    async def __aenter__(self) -> Watch:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("Watch must be entered inside a task")
        self._task = task
        if self._caller is not None:
            if self._caller.gone:
                raise Gone
            self._caller.watch(self._left)
            return self
        self._watcher = asyncio.ensure_future(self._wait())
        try:
            # One turn of the loop: a caller who has left already is seen before the generator is called.
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self._watcher.cancel()
            if self._struck and task.uncancel() == 0:
                raise Gone from None
            raise
        return self

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._left()

    def _left(self) -> None:
        self.gone = True
        if not self._held:
            self._struck = True
            self._task.cancel()

    def hold(self) -> None:
        self._held = True

    def release(self) -> None:
        """Raises Gone when the caller left meanwhile."""
        self._held = False
        if self.gone:
            raise Gone

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._caller is not None:
            self._caller.watch(None)
        if self._watcher is not None:
            self._watcher.cancel()
        ours = kind is not None and issubclass(kind, asyncio.CancelledError) and self._struck
        # Unless someone else (a shutdown) cancelled as well.
        if ours and self._task.uncancel() == 0:
            raise Gone from None
