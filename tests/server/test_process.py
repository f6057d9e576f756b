"""The server's own protocol: whole answers in one write, and callers who leave, as ASGI would have it."""

from __future__ import annotations

import socket
import time

from tests.server import upstream as script
from tests.server.conftest import ROUTE, eventually

BODY = b'{"prompt": "a cat"}'


def call(method: str = "POST", path: str = ROUTE, version: str = "1.1", body: bytes = BODY) -> bytes:
    return f"{method} {path} HTTP/{version}\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


def dial(running) -> socket.socket:
    return socket.create_connection(("127.0.0.1", running.port), 10)


def answers(connection: socket.socket, count: int) -> list[bytes]:
    """So many whole answers, each with its head."""
    got, found = b"", []
    while len(found) < count:
        head, _, rest = got.partition(b"\r\n\r\n")
        length = (
            int(head.lower().partition(b"content-length: ")[2].split(b"\r")[0]) if rest or b"\r\n\r\n" in got else 0
        )
        if b"\r\n\r\n" in got and len(rest) >= length:
            found.append(head + b"\r\n\r\n" + rest[:length])
            got = rest[length:]
        elif piece := connection.recv(65_536):
            got += piece
        else:
            break
    return found


def test_calls_sent_at_once_on_one_connection_are_answered_in_order(running, upstream):
    upstream.script = lambda heard: script.images(heard.body)
    with dial(running) as connection:
        connection.sendall(b"".join(call(body=b'{"prompt": "cat %d"}' % n) for n in range(5)))
        got = answers(connection, 5)
    assert len(got) == 5
    wanted = [script.body_of(script.images(b'{"prompt": "cat %d"}' % n)) for n in range(5)]
    assert [one.partition(b"\r\n\r\n")[2] for one in got] == wanted


def test_a_caller_who_leaves_with_calls_waiting_stops_the_one_that_runs(running, upstream):
    upstream.script = lambda heard: script.late(script.images(b"clean"), 30)
    with dial(running) as connection:
        connection.sendall(call() + call())
        assert eventually(lambda: len(upstream.calls) == 1)
    assert upstream.hung_up.wait(5)
    assert eventually(lambda: running.app.admission.requests == 0)


def test_a_connection_of_http_1_0_is_closed_after_its_answer(running):
    with dial(running) as connection:
        connection.sendall(call(version="1.0"))
        got = b""
        while piece := connection.recv(65_536):
            got += piece
    assert got.startswith(b"HTTP/1.1 200 ")
    assert got.partition(b"\r\n\r\n")[0].endswith(b"\r\nconnection: close")


def test_an_answer_to_head_has_no_body(running):
    with dial(running) as connection:
        connection.sendall(call("HEAD", "/v1/nothing", body=b""))
        time.sleep(0.3)
        connection.sendall(call())
        got = connection.recv(65_536)
        head, _, rest = got.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 404 ")
        while b"\r\n\r\n" not in rest:
            rest += connection.recv(65_536)
    assert rest.startswith(b"HTTP/1.1 200 ")


def test_head_and_body_of_an_answer_leave_together(running):
    with dial(running) as connection:
        connection.sendall(call())
        got = connection.recv(65_536)
    assert got.endswith(script.body_of(script.images(b"clean")))


def test_what_stands_between_the_application_and_the_server_sees_what_leaves(running, upstream):
    seen: list[str] = []
    inner = running.server.config.loaded_app

    async def between(scope, receive, send):
        async def noted(message):
            seen.append(message["type"])
            await send(message)

        await inner(scope, receive, noted if scope["type"] == "http" else send)

    running.server.config.loaded_app = between
    got = running.ask()
    assert got.status == 200
    assert got.body == script.body_of(script.images(b"clean"))
    assert seen == ["http.response.start", "http.response.body"]
