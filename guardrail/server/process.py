"""The process: a listening socket, uvicorn with uvloop and httptools, and an orderly end."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

import uvicorn

if sys.platform != "win32":
    import resource

from guardrail.errors import ConfigError
from guardrail.server.app import App
from guardrail.server.protocol import BoundedProtocol, websockets_of

MAX_MESSAGE_BYTES = 16 << 20  # of a caller's websocket
BACKLOG = 1024
SWITCH_S = 0.0005
# Files that are open besides connections: the log, its side files and readers, weights, policies, pipes.
OTHER_FILES = 256

log = logging.getLogger("guardrail.server")


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
        self._interrupts = 0
        settings, places = app.settings, app.connections
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # Connections inherit it: a caller who does not answer at all is found by the kernel.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(settings.stalled_s * 1000))
        super().__init__(
            uvicorn.Config(
                app,
                loop="uvloop" if sys.platform != "win32" else "asyncio",
                http=partial(BoundedProtocol, settings, places),  # type: ignore[arg-type]  # any callable will do
                ws=websockets_of(places),
                ws_max_size=MAX_MESSAGE_BYTES,
                ws_per_message_deflate=False,
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                proxy_headers=False,
                timeout_keep_alive=settings.keep_alive_s,
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
        self._interrupts += sig == signal.SIGINT
        if self._interrupts > 1:
            self.force_exit = True
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        if self.force_exit:
            # Cut off, but on record: uvicorn would leave without a word to the application.
            for task in self.server_state.tasks:
                task.cancel()
            await self.lifespan.shutdown()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if hasattr(signal, "SIGHUP"):
            loop = asyncio.get_running_loop()
            try:
                loop.add_signal_handler(signal.SIGHUP, self._hang_up)
                # Whoever starts a server may have let it wait until here.
                signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
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
    make_room(app)
    Server(app, sock, drain_s=drain_s, on_listening=on_listening).run()


def make_room(app: App) -> None:
    """Let this process open the files that its connections need, or lower how many there may be, and say so.

    A process that has no file left cannot reach a generator, and its record may not be written.
    """
    if sys.platform == "win32":
        return
    settings = app.settings
    # A call to a generator for each request and each websocket, and what is never a connection.
    besides = settings.max_in_flight + settings.max_sockets + OTHER_FILES
    wanted = settings.max_connections + besides
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    may = hard if hard != resource.RLIM_INFINITY else wanted
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = min(wanted, may)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft != resource.RLIM_INFINITY and soft < wanted:
        app.connections.most = max(1, soft - besides)
        log.warning(
            "fewer files may be open than server.max_connections takes; raise the limit (LimitNOFILE, ulimit -n)",
            extra={"fields": {"open_files": soft, "wanted": wanted, "max_connections": app.connections.most}},
        )


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
    """Keep freed memory of large bodies, in one place for all threads; False where that cannot be set.

    A body of 2 MB that is given back each time costs 1,569 page faults (3.7 cpu-ms), with these thresholds 4 (0.2
    cpu-ms). Kept by each thread for itself, memory that none of the others can use came to 50 to 60 MB; threads that
    run already keep theirs, so this comes first.
    """
    if not sys.platform.startswith("linux"):
        return False
    libc: Any = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return False
    trim, mmap, arenas = -1, -3, -8  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD and M_ARENA_MAX of malloc.h
    wanted = {mmap: 32 << 20, trim: 64 << 20, arenas: 1}
    return all(libc.mallopt(what, most) for what, most in wanted.items())
