"""The process: a listening socket, uvicorn with uvloop and httptools, and an orderly end.

uvicorn's HTTP protocol takes headers of any size at any speed; the one here bounds both.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import logging
import signal
import socket
import struct
import sys
from collections.abc import Callable
from importlib.util import find_spec
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

if sys.platform == "linux":
    import fcntl
    import termios

from guardrail.errors import ConfigError
from guardrail.server.app import App
from guardrail.server.wire import CALLER, RawHeaders, Receive, Send

MAX_HEADER_BYTES = 64 * 1024
MAX_MESSAGE_BYTES = 16 << 20  # of a caller's websocket
HEADER_TIMEOUT_S = 20.0
KEEP_ALIVE_S = 75
BACKLOG = 1024
# A caller who does not take what was sent to him loses the connection, and we the memory that it holds.
STALLED_S = 120
LOOKS = 4  # how often that is looked at within this time
SWITCH_S = 0.0005
# An answer up to this size is copied behind its head and leaves in one write; what is larger is not copied.
JOINED_BYTES = 64 << 10

log = logging.getLogger("guardrail.server")


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
    """uvicorn's protocol, with a limit on the size of a request's headers and on the time they may take."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # Who is told when the caller leaves: calls of one connection are answered one after the other.
        self.left: Callable[[], None] | None = None
        self._reader_timer: asyncio.TimerHandle | None = None
        self._untaken = self._still = 0
        self._head_bytes = 0
        self._in_head = True
        self._head_timer: asyncio.TimerHandle | None = self.loop.call_later(HEADER_TIMEOUT_S, self._slow_head)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._untaken, self._still = _untaken(self.transport), 0
        if self._reader_timer is None:
            self._reader_timer = self.loop.call_later(STALLED_S / LOOKS, self._look_at_reader)

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
            self._reader_timer = self.loop.call_later(STALLED_S / LOOKS, self._look_at_reader)

    def connection_lost(self, exc: Exception | None) -> None:
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
        self._head_bytes += len(data)
        super().data_received(data)
        if not self._in_head:
            self._disarm()
            return
        if self._head_bytes > MAX_HEADER_BYTES and not self.transport.is_closing():
            body = b"the request headers are too large"
            self.transport.write(
                b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain\r\nconnection: close\r\n"
                b"content-length: %d\r\n\r\n%s" % (len(body), body)
            )
            self.transport.close()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(HEADER_TIMEOUT_S, self._slow_head)

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


class Server(uvicorn.Server):
    """A server that ends with status 0 when it is asked to end, from any thread."""

    def __init__(
        self,
        app: App,
        sock: socket.socket,
        *,
        drain_s: float = 30.0,
        on_listening: Callable[[str, int], None] | None = None,
    ) -> None:
        self.app = app
        self.sock = sock
        self._on_listening = on_listening
        super().__init__(
            uvicorn.Config(
                app,
                loop="uvloop" if sys.platform != "win32" else "asyncio",
                http=BoundedProtocol,
                ws="websockets-sansio" if find_spec("websockets") is not None else "none",
                ws_max_size=MAX_MESSAGE_BYTES,
                ws_per_message_deflate=False,
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=max(1, round(drain_s)),
                backlog=BACKLOG,
            )
        )

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.sock.getsockname()[:2]
        return host, port

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        super().run(sockets=sockets or [self.sock])

    def stop(self) -> None:
        """Stop accepting, finish what is in flight, write the last records."""
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # uvicorn raises the signal again once it has stopped, which makes an orderly end look like a crash.
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if hasattr(signal, "SIGHUP"):
            loop = asyncio.get_running_loop()
            try:
                loop.add_signal_handler(signal.SIGHUP, self._hang_up)
            except (ValueError, RuntimeError):
                log.debug("not in the main thread: SIGHUP is not listened to")
        if self._on_listening is not None:
            self._on_listening(*self.address)

    def _hang_up(self) -> None:
        self._reloading: asyncio.Task[None] = asyncio.ensure_future(self.app.reload())


def listen(host: str, port: int, *, reuse_port: bool = False) -> socket.socket:
    """A listening address; port 0 picks a free one. `reuse_port` lets several processes share it.

    Raises ConfigError when the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # connections inherit it
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_S * 1000)
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise ConfigError(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another server.port, or 0 for a free one"
        ) from None
    sock.setblocking(False)
    return sock


def serve(
    app: App,
    host: str,
    port: int,
    *,
    drain_s: float = 30.0,
    reuse_port: bool = False,
    on_listening: Callable[[str, int], None] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is in flight (at most `drain_s`) and write the last records.

    `on_listening` is told the address once requests are taken. SIGHUP reloads the policies.
    Raises ConfigError when the address cannot be had.
    """
    tune_malloc()
    sock = listen(host, port, reuse_port=reuse_port)
    tune_interpreter()
    Server(app, sock, drain_s=drain_s, on_listening=on_listening).run()


def tune_interpreter() -> None:
    """Look for garbage in cycles less often, and let the event loop have the interpreter sooner.

    What is loaded by now stays, so the search need not go through it; requests make next to no cycles. A thread that
    looks at a picture may keep the interpreter for SWITCH_S while the loop waits for it; Python's own 5 ms is as long
    as a whole refusal may take.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    sys.setswitchinterval(SWITCH_S)


def tune_malloc() -> bool:
    """Keep freed memory of large bodies instead of giving it back after each one; False where that cannot be set.

    A body of 2 MB otherwise costs 1,569 page faults (3.7 cpu-ms); with these thresholds 4 (0.2 cpu-ms).
    """
    if not sys.platform.startswith("linux"):
        return False
    libc: Any = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return False
    trim, mmap = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h
    return bool(libc.mallopt(mmap, 32 << 20)) and bool(libc.mallopt(trim, 64 << 20))
