"""The wire to the caller: bodies in, with a limit before anything else, and whole answers out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from types import TracebackType
from typing import Any

from guardrail.errors import BadRequest
from guardrail.server.admission import Ticket
from guardrail.upstream.dialect import HOP_BY_HOP, Headers

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
RawHeaders = list[tuple[bytes, bytes]]

OURS = "x-guardrail-"


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


async def read_body(receive: Receive, headers: Headers, limit: int, ticket: Ticket, timeout_s: float) -> bytes:
    """The whole request body; at most `limit` bytes are ever read, and none when it is announced as more.

    Raises BadRequest (413 over the limit, 408 when it did not come in time), Overloaded when it does not fit
    beside the bodies that are held already, Gone when the caller left.
    """
    announced = one_header(headers, "content-length")
    if announced is not None and announced.isascii() and announced.isdigit():
        if int(announced) > limit:
            raise _too_large(limit)
        ticket.hold(int(announced))
    counted = announced is None
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Gone
                part = message.get("body", b"")
                size += len(part)
                if size > limit:
                    raise _too_large(limit)
                if counted:
                    ticket.hold(len(part))
                if part:
                    parts.append(part)
                if not message.get("more_body", False):
                    return parts[0] if len(parts) == 1 else b"".join(parts)
    except TimeoutError:
        raise BadRequest(
            f"the request body did not arrive within {timeout_s:g} s", status=408, code="body_timeout"
        ) from None


def _too_large(limit: int) -> BadRequest:
    return BadRequest(
        f"the request body is larger than {limit} bytes, which is the limit here", status=413, code="body_too_large"
    )


async def send_reply(
    send: Send, status: int, headers: Iterable[tuple[str, str]], body: bytes, *, linger: Linger | None = None
) -> None:
    """Send a whole answer. With `linger` the connection is closed, after a bounded wait for what is still coming in."""
    has_body = status not in {204, 304}
    raw = outgoing(headers, len(body) if has_body else None)
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

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._held = False
        self._struck = False
        self.gone = False

    async def __aenter__(self) -> Watch:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("Watch must be entered inside a task")
        self._task = task
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
        self._watcher.cancel()
        ours = kind is not None and issubclass(kind, asyncio.CancelledError) and self._struck
        # Unless someone else (a shutdown) cancelled as well.
        if ours and self._task.uncancel() == 0:
            raise Gone from None
