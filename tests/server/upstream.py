"""A scripted generator on a loopback port: it answers what a test says, down to when it cuts the line."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Self

Step = bytes | float
"""Bytes to write, or seconds to wait."""


@dataclass
class Heard:
    """One call as it came in."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Script:
    """What is written back, and whether the line is cut afterwards."""

    steps: list[Step] = field(default_factory=list)
    close: bool = False


def whole(body: bytes, status: str = "200 OK", kind: str = "application/json", *more: str) -> Script:
    head = [f"HTTP/1.1 {status}", f"content-type: {kind}", f"content-length: {len(body)}", *more, "", ""]
    return Script(["\r\n".join(head).encode() + body])


def images(*pictures: bytes) -> Script:
    """An answer of the Images API with these pictures; odd spacing, so that a re-encoding would show."""
    entries = ", ".join(f'{{ "b64_json":"{base64.b64encode(one).decode()}" }}' for one in pictures)
    return whole(
        f'{{"created": 1,\n "data": [{entries}], "zz": 1.0}}'.encode(), "200 OK", "application/json", "X-Up: 1"
    )


def html() -> Script:
    return whole(b"<html><body>It works</body></html>", kind="text/html")


def too_many() -> Script:
    body = b'{"error": {"message":"slow down","type":"requests","code":"rate_limit_exceeded","param":null}}'
    return whole(body, "429 Too Many Requests", "application/json", "retry-after: 7")


def cut(script: Script, after: int) -> Script:
    """The same answer, cut after so many bytes."""
    return Script([b"".join(step for step in script.steps if isinstance(step, bytes))[:after]], close=True)


def late(script: Script, seconds: float) -> Script:
    return Script([seconds, *script.steps], script.close)


def events(parts: Sequence[Step], *, finish: bool = True, status: str = "200 OK") -> Script:
    """A chunked event stream; each part of bytes is one chunk."""
    steps: list[Step] = [
        f"HTTP/1.1 {status}\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    ]
    for part in parts:
        steps.append(b"%x\r\n%s\r\n" % (len(part), part) if isinstance(part, bytes) else part)
    return Script([*steps, b"0\r\n\r\n"]) if finish else Script(steps, close=True)


def event(kind: str, picture: bytes | None = None, **more: object) -> bytes:
    said = {"type": kind, **more}
    if picture is not None:
        said["b64_json"] = base64.b64encode(picture).decode()
    return f"event: {kind}\ndata: {json.dumps(said)}\n\n".encode()


def body_of(script: Script) -> bytes:
    """What a caller reads of an answer: its body, without what HTTP puts around it."""
    head, _, rest = b"".join(step for step in script.steps if isinstance(step, bytes)).partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" not in head:
        return rest
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return body


class OnAThread(ABC):
    """A server on a loopback port, with an event loop and a thread of its own."""

    def __init__(self) -> None:
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @abstractmethod
    async def _open(self) -> int:
        """Listen, and say on which port."""

    @abstractmethod
    async def _close(self) -> None: ...

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._up.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self.port = self._loop.run_until_complete(self._open())
        self._up.set()
        self._loop.run_forever()
        self._loop.run_until_complete(self._close())
        self._loop.close()


class ScriptedUpstream(OnAThread):
    """Runs on a thread of its own. `script` is asked for each call; `calls` and `hung_up` say what was seen."""

    def __init__(self) -> None:
        super().__init__()
        self.script: Callable[[Heard], Script] = lambda heard: images(b"clean")
        self.calls: list[Heard] = []
        self.hung_up = threading.Event()

    async def _open(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 26)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _close(self) -> None:
        self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        heard = Heard(method, target, headers, body)
        self.calls.append(heard)
        script = self.script(heard)
        for step in script.steps:
            if isinstance(step, bytes):
                writer.write(step)
                await writer.drain()
            elif await self._left(reader, step):
                return False
        return not script.close

    async def _left(self, reader: asyncio.StreamReader, seconds: float) -> bool:
        """Wait; True when the caller hung up meanwhile."""
        try:
            async with asyncio.timeout(seconds):
                if not await reader.read(1):
                    self.hung_up.set()
                    return True
        except TimeoutError:
            pass
        return False
