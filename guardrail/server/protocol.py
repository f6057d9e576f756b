"""The protocol: uvicorn's, with limits. Its own takes headers of any size at any speed, from any number of callers."""

from __future__ import annotations

import asyncio
import contextlib
import math
import struct
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Literal

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

if sys.platform == "linux":
    import fcntl
    import termios

from guardrail.server.connections import Connections, Full
from guardrail.server.settings import ServerSettings
from guardrail.server.wire import CALLER, RawHeaders, Receive, Send

LOOKS = 4  # how often in `stalled_s` it is looked whether a caller takes what was sent
# An answer up to this size is copied behind its head and leaves in one write; what is larger is not copied.
JOINED_BYTES = 64 << 10


class Call:
    """One call of a connection. Fulfils `Caller`: what ASGI would take a task and two writes for."""

    __slots__ = ("_cycle", "_left", "_protocol")

    def __init__(self, protocol: BoundedProtocol, cycle: RequestResponseCycle) -> None:
        self._protocol = protocol
        self._cycle = cycle
        self._left: Callable[[], None] | None = None

    def direct(self, receive: Receive, send: Send) -> bool:
        return receive == self._cycle.receive and send == self._cycle.send

    @property
    def sent_whole(self) -> bool:
        return not self._cycle.more_body

    @property
    def gone(self) -> bool:
        return self._cycle.disconnected or self._cycle.transport.is_closing()

    def watch(self, left: Callable[[], None] | None) -> None:
        if left is not None or self._protocol.left == self._left:  # not that of the call behind this one
            self._protocol.left = left
        self._left = left
        if left is not None:
            # A connection that is not read from does not show that it was closed.
            self._cycle.flow.resume_reading()

    def reply(self, status: int, headers: RawHeaders, body: bytes) -> bool:
        cycle = self._cycle
        if cycle.disconnected or cycle.response_started or cycle.flow.write_paused or status not in STATUS_LINE:
            return False
        lines = [b"%b: %b\r\n" % pair for pair in (*cycle.default_headers, *headers)]
        if not cycle.keep_alive:
            lines.append(b"connection: close\r\n")
        head = b"".join((STATUS_LINE[status], *lines, b"\r\n"))
        ends = len(lines) + 2
        if head.count(b"\n") != ends or head.count(b"\r") != ends or b"\0" in head:
            return False  # uvicorn says what is wrong with it
        if cycle.scope["method"] == "HEAD":
            body = b""
        if len(body) <= JOINED_BYTES:
            cycle.transport.write(head + body)
        else:
            cycle.transport.writelines((head, body))
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()
        return True

    async def taken(self) -> None:
        if self._cycle.flow.write_paused:
            await self._cycle.flow.drain()


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with a limit on the size of a request's headers, on the time they may take, on that for which
    a caller takes nothing of what was sent to him, and on how many connections there are."""

    def __init__(
        self,
        settings: ServerSettings,
        places: Connections,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._settings = settings
        self._places = places
        self._turned_away = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # Who is told when the caller leaves: calls of one connection are answered one after the other.
        self.left: Callable[[], None] | None = None
        self._reader_timer: asyncio.TimerHandle | None = None
        self._untaken = self._still = 0
        self._head_bytes = 0
        self._in_head = True
        self._head_timer: asyncio.TimerHandle | None = None
        full = self._places.enter(transport)
        if full is None:
            self._head_timer = self.loop.call_later(self._settings.head_timeout_s, self._slow_head)
        else:
            self._turn_away(full)

    def _turn_away(self, full: Full) -> None:
        """Say that there is no place, and close; what comes meanwhile is thrown away, or he would not read why."""
        self._turned_away = True
        if not self._places.tell(self.transport):
            self.transport.abort()
            return
        self.transport.write(_refusal(full, self._settings.retry_after_s))
        self.transport.write_eof()
        self._head_timer = self.loop.call_later(self._settings.linger_s, self.transport.abort)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._untaken, self._still = _untaken(self.transport), 0
        if self._reader_timer is None:
            self._reader_timer = self.loop.call_later(self._settings.stalled_s / LOOKS, self._look_at_reader)

    def _look_at_reader(self) -> None:
        """Cut a caller off who takes nothing of what was sent: the kernel alone waits where probes are answered."""
        self._reader_timer = None
        if not self.flow.write_paused or self.transport.is_closing():
            return
        left = _untaken(self.transport)
        self._still = self._still + 1 if left >= self._untaken else 0
        self._untaken = left
        if self._still >= LOOKS:
            self.transport.abort()
        else:
            self._reader_timer = self.loop.call_later(self._settings.stalled_s / LOOKS, self._look_at_reader)

    def connection_lost(self, exc: Exception | None) -> None:
        self._places.leave(self.transport)
        self._disarm()
        if self._reader_timer is not None:
            self._reader_timer.cancel()
            self._reader_timer = None
        super().connection_lost(exc)
        left, self.left = self.left, None
        if left is not None:
            left()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        self._in_head = False
        before = self.cycle
        super().on_headers_complete()
        if self.cycle is not before:  # else it becomes a websocket
            self.scope["extensions"] = {CALLER: Call(self, self.cycle)}  # type: ignore[dict-item]

    def data_received(self, data: bytes) -> None:
        if self._turned_away:
            return
        self._head_bytes += len(data)
        super().data_received(data)
        if not self._in_head:
            self._disarm()
            return
        if self._head_bytes > self._settings.max_head_bytes and not self.transport.is_closing():
            body = b"the request headers are too large"
            self.transport.write(
                b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain\r\nconnection: close\r\n"
                b"content-length: %d\r\n\r\n%s" % (len(body), body)
            )
            self.transport.close()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(self._settings.head_timeout_s, self._slow_head)

    def _disarm(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _slow_head(self) -> None:
        self._head_timer = None
        # A pipelined head behind an answer that is still being made is not slow, it is waiting.
        if not self.transport.is_closing() and (self.cycle is None or self.cycle.response_complete):
            self.transport.close()


def _untaken(transport: asyncio.Transport) -> int:
    """Bytes that were sent and not taken: in the transport, and on Linux those that the kernel still holds."""
    waiting = transport.get_write_buffer_size()
    sock = transport.get_extra_info("socket")
    if sys.platform == "linux" and sock is not None:
        with contextlib.suppress(OSError):
            (held,) = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)))
            waiting += held
    return waiting


def _refusal(full: Full, retry_after_s: float) -> bytes:
    """What a connection is told that has no place. What it would have asked, and of which generator, is not known."""
    status, said = {
        Full.ALL: (b"503 Service Unavailable", b"as many connections are open as may be"),
        Full.ADDRESS: (b"429 Too Many Requests", b"as many connections are open from this address as may be"),
    }[full]
    body = b'{"error":{"message":"%b; try again later","code":"too_many_connections"}}' % said
    return (
        b"HTTP/1.1 %b\r\ncontent-type: application/json\r\nx-guardrail-decision: none\r\nretry-after: %d\r\n"
        b"connection: close\r\ncontent-length: %d\r\n\r\n%b"
        % (status, max(1, math.ceil(retry_after_s)), len(body), body)
    )


def websockets_of(places: Connections) -> type[asyncio.Protocol] | Literal["none"]:
    """uvicorn's protocol of websockets, which gives back the place of the connection that it took over; "none" where
    the library is not installed."""
    if find_spec("websockets") is None:
        return "none"
    from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol  # needs the library

    class Counted(WebSocketsSansIOProtocol):
        def connection_lost(self, exc: Exception | None) -> None:
            places.leave(self.transport)
            super().connection_lost(exc)

    return Counted
