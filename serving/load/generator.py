"""The bench's generator: answers an Images API call with a picture that it made before. One process, no work.

generator.py PORT [NAME=FILE ...]: serves `tiny`, `300k`, `1500k` and the files under their names; the model of the
request names the picture, "NAME-d500" waits 500 ms before answering, "NAME-new" is a JPEG with bytes of its own, which
no cache of verdicts knows.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import re
import sys
from pathlib import Path

import pictures

MODEL = re.compile(rb'"model": ?"([^"]+)"')


class Generator(asyncio.Protocol):
    answers: dict[str, bytes] = {}  # noqa: RUF012 - one for the process
    pictures: dict[str, bytes] = {}  # noqa: RUF012
    number = itertools.count()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.held = b""

    def data_received(self, data: bytes) -> None:
        self.held += data
        while (end := self.held.find(b"\r\n\r\n")) >= 0:
            head = self.held[:end].lower()
            length = re.search(rb"content-length: *(\d+)", head)
            size = end + 4 + (int(length[1]) if length else 0)
            if len(self.held) < size:
                return
            body, self.held = self.held[end + 4 : size], self.held[size:]
            self.answer(body)

    def answer(self, body: bytes) -> None:
        model = MODEL.search(body)
        name, _, wait = (model[1].decode() if model else "").partition("-d")
        if name.endswith("-new"):
            answer = whole(commented(self.pictures[name.removesuffix("-new")], next(self.number)))
        else:
            answer = self.answers.get(name, b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}")
        if wait:
            asyncio.get_running_loop().call_later(int(wait) / 1000, self.transport.write, answer)
        else:
            self.transport.write(answer)


def commented(jpeg: bytes, number: int) -> bytes:
    """The same JPEG with a comment behind its first marker."""
    note = b"%d" % number
    return jpeg[:2] + b"\xff\xfe" + (len(note) + 2).to_bytes(2, "big") + note + jpeg[2:]


def whole(picture: bytes) -> bytes:
    body = b'{"created":1,"data":[{"b64_json":"%s"}]}' % base64.b64encode(picture)
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Generator, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    own = {name: Path(file).read_bytes() for name, _, file in (given.partition("=") for given in sys.argv[2:])}
    Generator.pictures = pictures.bodies() | own
    Generator.answers = {name: whole(picture) for name, picture in Generator.pictures.items()}
    asyncio.run(main(int(sys.argv[1])))
