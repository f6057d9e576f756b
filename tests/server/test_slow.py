"""Callers and generators that take their time: bounded time, bounded memory, and places that come free."""

from __future__ import annotations

import socket
import time

import pytest

from guardrail.server import ServerSettings
from guardrail.server.admission import Admission
from guardrail.server.wire import Pace
from tests.server import upstream as script
from tests.server.conftest import ROUTE, eventually

BIG = b"\xff" * 12_000_000
HEAD = f"POST {ROUTE} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"


def dial(running) -> socket.socket:
    return socket.create_connection(("127.0.0.1", running.port), 20)


def ask(connection: socket.socket, body: bytes = b'{"prompt": "a cat"}') -> None:
    connection.sendall(f"{HEAD}content-length: {len(body)}\r\n\r\n".encode() + body)


def test_a_body_of_one_byte_at_a_time_holds_its_place_no_longer_than_one_that_does_not_come(start):
    running = start(ServerSettings(body_timeout_s=30, body_grace_s=0.4, body_rate=1000, linger_s=0.1))
    began = time.monotonic()
    with dial(running) as connection:
        connection.sendall(f"{HEAD}content-length: 1000\r\n\r\n".encode())
        got = b""
        while not got and time.monotonic() - began < 10:
            connection.sendall(b" ")
            connection.settimeout(0.05)
            try:
                got = connection.recv(4096)
            except TimeoutError:
                continue
    assert got.startswith(b"HTTP/1.1 408 ")
    assert 0.3 < time.monotonic() - began < 2
    assert eventually(lambda: running.app.admission.requests == 0)


def test_a_body_that_comes_slowly_but_steadily_is_taken(start):
    running = start(ServerSettings(body_timeout_s=30, body_grace_s=0.3, body_rate=1000))
    body = b'{"prompt": "a cat"' + b" " * 3000 + b"}"
    with dial(running) as connection:
        connection.sendall(f"{HEAD}content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode())
        for at in range(0, len(body), 600):
            time.sleep(0.15)  # 0.9 s in all, three times the grace
            connection.sendall(body[at : at + 600])
        assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(("size", "allowed"), [(0, 20.0), (1000, 21.0), (10**9, 300.0)])
def test_the_more_has_come_the_longer_it_may_take_up_to_a_limit(size, allowed):
    assert Pace(300.0, 20.0, 1000).allowed_s(size) == allowed


def test_a_body_that_is_only_announced_keeps_nobody_else_out(start):
    running = start(
        ServerSettings(max_body_bytes=10_000, max_answer_bytes=10_000, max_bytes_in_flight=20_000, linger_s=0.1)
    )
    waiting = [dial(running) for _ in range(4)]
    try:
        for connection in waiting:
            connection.sendall(f"{HEAD}content-length: 9000\r\n\r\n".encode())
        assert eventually(lambda: running.app.admission.requests == 4)
        assert running.app.admission.bytes == 0
        assert running.ask().status == 200
    finally:
        for connection in waiting:
            connection.close()


def test_what_does_not_fit_is_said_before_it_is_read():
    admission = Admission(9, 100, 1.0)
    ticket = admission.enter()
    ticket.fits(100)
    assert admission.bytes == 0
    ticket.hold(1)
    with pytest.raises(Exception, match="fill the memory"):
        ticket.fits(100)


def dripping(first: bytes, drop: bytes):
    """A generator that says `first` and then, 20 times a second, one byte."""
    steps: list[script.Step] = [first, *(step for _ in range(100) for step in (0.05, drop))]
    return lambda heard: script.Script(steps)


def test_a_generator_that_answers_one_byte_at_a_time_is_given_up(start, upstream):
    running = start(ServerSettings(upstream_timeout_s=0.6, idle_timeout_s=5))
    upstream.script = dripping(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n", b" "
    )
    began = time.monotonic()
    got = running.ask()
    assert got.status == 504
    assert time.monotonic() - began < 3
    assert running.guard.statuses == ["upstream_timeout"]
    assert running.app.admission.bytes == 0
    assert upstream.hung_up.wait(5)


def test_a_head_that_drips_is_given_up_too(start, upstream):
    running = start(ServerSettings(upstream_timeout_s=0.6, idle_timeout_s=5))
    upstream.script = dripping(b"HTTP/1.1 200 OK\r\nx: ", b"x")
    assert running.ask().status == 504


def test_a_caller_who_never_reads_is_cut_off_and_holds_its_place_and_memory_until_then(start, upstream):
    running = start(ServerSettings(stalled_s=1))
    upstream.script = lambda heard: script.images(BIG)
    with dial(running) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        ask(connection)
        assert eventually(lambda: running.guard.statuses == ["answered"])
        assert running.app.admission.requests == 1
        assert running.app.admission.bytes > len(BIG)
        assert eventually(lambda: running.app.admission.requests == 0)
    assert running.app.admission.bytes == 0


def test_a_caller_who_reads_slowly_gets_all_of_it(start, upstream):
    running = start(ServerSettings(stalled_s=1))
    upstream.script = lambda heard: script.images(BIG)
    whole = len(script.body_of(script.images(BIG)))
    with dial(running) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        ask(connection)
        got = b""
        while b"\r\n\r\n" not in got:
            got += connection.recv(65_536)
        size = len(got) - got.index(b"\r\n\r\n") - 4
        for _ in range(8):  # longer in all than a caller may stand still
            time.sleep(0.2)
            size += len(connection.recv(400_000))
        while size < whole and (piece := connection.recv(1_000_000)):
            size += len(piece)
    assert size == whole
    assert eventually(lambda: running.app.admission.requests == 0)


def test_a_stream_that_is_never_read_is_cut_off(start, upstream):
    running = start(ServerSettings(stalled_s=1))
    pictures = [
        script.event("image_generation.partial_image", bytes(400_000), partial_image_index=n) for n in range(40)
    ]
    upstream.script = lambda heard: script.events([*pictures, script.event("image_generation.completed", b"end")])
    with dial(running) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        ask(connection, b'{"prompt": "a cat", "stream": true}')
        assert eventually(lambda: running.app.admission.requests == 1)
        assert eventually(lambda: running.app.admission.requests == 0, 20)
    assert upstream.hung_up.wait(5) or running.guard.statuses[-1] != "answered"
