"""The bench's load: keep-alive connections that ask again as soon as they are answered, at little cost of their own."""

from __future__ import annotations

import asyncio
import gc
import json
import re
import time
from dataclasses import dataclass

PATH = "/v1/images/generations"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)")


class Connection(asyncio.BufferedProtocol):
    """One connection; counts the bytes of an answer instead of keeping them."""

    shared = bytearray(1 << 18)

    def __init__(self) -> None:
        self.view = memoryview(self.shared)
        self.closed = False
        self.answered: asyncio.Future[int] | None = None
        self.head, self.status, self.left = b"", 0, 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        if self.answered is not None and not self.answered.done():
            self.answered.set_exception(ConnectionError("closed before the answer was whole"))

    def get_buffer(self, hint: int) -> bytearray:
        return self.shared

    def buffer_updated(self, size: int) -> None:
        if not self.status:
            self.head += bytes(self.view[:size])
            end = self.head.find(b"\r\n\r\n")
            if end < 0:
                return
            length = LENGTH.search(self.head[:end].lower())
            self.status = int(self.head[9:12])
            self.left = int(length[1]) if length else 0
            size = len(self.head) - end - 4
        self.left -= size
        if self.left <= 0 and self.answered is not None and not self.answered.done():
            self.answered.set_result(self.status)

    def ask(self, request: bytes) -> asyncio.Future[int]:
        self.head, self.status = b"", 0
        self.answered = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self.answered


async def dial(port: int) -> Connection:
    return (await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port))[1]


def request(model: str, prompt: str = "a lighthouse at dusk, oil on canvas") -> bytes:
    body = json.dumps({"model": model, "prompt": prompt, "n": 1}).encode()
    head = f"POST {PATH} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode()


@dataclass
class Block:
    """What one block of requests took: seconds each, seconds in all, and how many went wrong or were not counted."""

    took_s: list[float]
    wall_s: float
    errors: int
    warm: int

    @property
    def asked(self) -> int:
        return len(self.took_s) + self.errors + self.warm


async def block(port: int, asks: bytes, callers: int, most: int, seconds: float, expect: int = 200) -> Block:
    """`callers` connections ask until `most` requests or `seconds` are over; the first round is not counted."""
    connections = [await dial(port) for _ in range(callers)]
    warm = await asyncio.gather(*(one.ask(asks) for one in connections), return_exceptions=True)
    took: list[float] = []
    errors = sum(status != expect for status in warm)
    left = most
    began = time.perf_counter()
    until = began + seconds

    async def work(connection: Connection) -> None:
        nonlocal left, errors
        while left > 0 and time.perf_counter() < until:
            left -= 1
            at = time.perf_counter()
            try:
                if connection.closed:
                    connection = await dial(port)
                status = await connection.ask(asks)
            except OSError:
                errors += 1
                continue
            if status == expect:
                took.append(time.perf_counter() - at)
            else:
                errors += 1

    gc.collect()
    gc.disable()
    try:
        await asyncio.gather(*(work(one) for one in connections))
    finally:
        gc.enable()
        for one in connections:
            one.transport.close()
    return Block(took, time.perf_counter() - began, errors, callers)
