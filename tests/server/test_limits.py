"""Limits come before work: size, time and number, each with a clear native error and bounded memory."""

from __future__ import annotations

import resource
import socket
import threading
import time
from pathlib import Path

import pytest

from guardrail.errors import ConfigError
from guardrail.server import ServerSettings
from guardrail.server import process as server_process
from guardrail.upstream.dialect import Fetched
from tests.server import upstream as script
from tests.server.conftest import ROUTE, eventually


def raw(running, data: bytes, seconds: float = 10) -> bytes:
    """Send bytes as they are and read until the server closes or falls silent."""
    with socket.create_connection(("127.0.0.1", running.port), timeout=seconds) as sock:
        got = b""
        try:
            sock.sendall(data)
            while part := sock.recv(65536):
                got += part
        except (TimeoutError, ConnectionError):
            pass
        return got


@pytest.mark.parametrize("body", [b"", b"not json", b"[]", b'{"prompt": 7}', b"\xff\xfe", b'{"prompt": "x"'])
def test_what_cannot_be_read_is_a_native_400(running, upstream, body):
    assert running.call("POST", ROUTE, body).status == 400
    assert upstream.calls == []


def test_a_body_of_two_gigabytes_is_refused_at_its_announcement_and_costs_no_memory(running, upstream):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    head = f"POST {ROUTE} HTTP/1.1\r\nhost: x\r\ncontent-length: {2 << 30}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as sock:
        sock.sendall(head)
        block = b"x" * (1 << 20)
        sent = 0
        try:
            for _ in range(2048):
                sent += sock.send(block)
        except OSError:
            pass
    # It reads on a little, so that the caller sees why; then the line is closed.
    assert sent < (200 << 20)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024
    assert upstream.calls == []


def test_the_caller_of_a_body_over_the_limit_sees_why(start):
    running = start(ServerSettings(max_body_bytes=1000))
    got = running.call("POST", ROUTE, b'{"prompt": "' + b"x" * 5_000_000 + b'"}')
    assert (got.status, got.json["error"]["code"]) == (413, "body_too_large")
    assert got.headers["connection"] == "close"


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize(("size", "status"), [(1000, 200), (1001, 413)])
def test_a_body_at_the_limit_passes_and_one_byte_more_does_not(start, chunked, size, status):
    running = start(ServerSettings(max_body_bytes=1000))
    body = b'{"prompt": "' + b"x" * (size - 14) + b'"}'
    if chunked:
        head = f"POST {ROUTE} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n".encode()
        got = raw(running, head + b"%x\r\n%s\r\n0\r\n\r\n" % (size, body))
        assert got.startswith(b"HTTP/1.1 %d " % status)
    else:
        assert running.call("POST", ROUTE, body).status == status


def test_a_body_that_does_not_come_is_given_up(start):
    running = start(ServerSettings(body_timeout_s=0.2, linger_s=0.2))
    got = raw(running, f"POST {ROUTE} HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{{".encode())
    assert got.startswith(b"HTTP/1.1 408 ")
    assert eventually(lambda: running.app.admission.requests == 0)


def test_more_requests_than_are_admitted_get_503_and_when_to_come_back(start, upstream):
    running = start(ServerSettings(max_in_flight=2, retry_after_s=4))
    upstream.script = lambda heard: script.late(script.images(b"clean"), 1.5)
    statuses = []
    threads = [threading.Thread(target=lambda: statuses.append(running.ask().status)) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert eventually(lambda: len(upstream.calls) == 2)
    got = running.ask()
    assert (got.status, got.headers["retry-after"]) == (503, "4")
    assert running.counted("guardrail_turned_away_total") == 1
    for thread in threads:
        thread.join()
    assert statuses == [200, 200]
    assert running.ask().status == 200


def test_bodies_beyond_the_memory_set_aside_get_503(start, upstream):
    settings = ServerSettings(max_body_bytes=10_000, max_answer_bytes=10_000, max_bytes_in_flight=20_000)
    running = start(settings)
    upstream.script = lambda heard: script.late(script.images(b"clean"), 1.5)
    body = b'{"prompt": "' + b"x" * 8_000 + b'"}'
    threads = [threading.Thread(target=running.call, args=("POST", ROUTE, body)) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert eventually(lambda: len(upstream.calls) == 2)
    assert running.call("POST", ROUTE, body).status == 503
    for thread in threads:
        thread.join()
    assert eventually(lambda: running.app.admission.bytes == 0)


def test_headers_of_any_size_are_not_taken(running):
    began = time.monotonic()
    got = raw(running, b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-a: " + b"a" * 3_000_000)
    # The line is closed at once; whoever is still writing may miss the reason.
    assert got == b"" or got.startswith(b"HTTP/1.1 431 ")
    assert time.monotonic() - began < 5
    with socket.create_connection(("127.0.0.1", running.port), timeout=5) as sock:
        sock.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-a: ")
        time.sleep(0.2)
        sock.sendall(b"a" * 66_000)
        assert sock.recv(100).startswith(b"HTTP/1.1 431 ")


def test_headers_within_the_limit_are_taken(running):
    data = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-a: " + b"a" * 30_000 + b"\r\n\r\n"
    assert raw(running, data).startswith(b"HTTP/1.1 200 ")


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux only")
def test_a_caller_who_does_not_take_his_answer_loses_the_connection(start, upstream):
    running = start(ServerSettings(stalled_s=1))
    upstream.script = lambda heard: script.images(b"x" * 20_000_000)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", running.port))
    body = b'{"prompt": "x"}'
    sock.sendall(f"POST {ROUTE} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
    assert eventually(lambda: running.guard.statuses == ["answered"])
    assert eventually(lambda: not running.server.server_state.connections, 15)
    sock.close()


@pytest.mark.parametrize(
    "data",
    [
        b"CONNECT host:443 HTTP/1.1\r\nhost: host\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        b"GET /v1/\xc3\xa9 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        b"GET http://169.254.169.254/latest HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        b"TRACE /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_odd_requests_are_refused_and_the_server_lives_on(running, upstream, data):
    got = raw(running, data, 2)
    assert not got.startswith(b"HTTP/1.1 2")
    assert not got.startswith(b"HTTP/1.1 5")
    assert upstream.calls == []
    assert running.call("GET", "/healthz").status == 200


@pytest.mark.parametrize("sent", [b"", b"GET /heal", b"GET /healthz HTTP/1.1\r\nhost: x\r\n"])
def test_headers_that_do_not_come_are_given_up(start, sent):
    running = start(ServerSettings(head_timeout_s=0.3))
    began = time.monotonic()
    raw(running, sent, 5)
    assert time.monotonic() - began < 3


def test_content_length_beside_chunks_is_refused(running, upstream):
    got = raw(
        running,
        f"POST {ROUTE} HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n".encode()
        + b"0\r\n\r\nGET /v1/models HTTP/1.1\r\n\r\n",
        2,
    )
    assert b" 400 " in got.split(b"\r\n")[0]
    assert upstream.calls == []


def test_a_header_that_is_not_utf8_is_refused_and_not_quoted(running, upstream):
    body = b'{"prompt": "x"}'
    head = f"POST {ROUTE} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {len(body)}\r\n".encode()
    got = raw(running, head + b"authorization: Bearer \xff\xfe\r\n\r\n" + body)
    assert got.startswith(b"HTTP/1.1 400 ")
    assert upstream.calls == []


def test_an_upgrade_to_a_websocket_is_not_made_where_no_dialect_has_one(running):
    data = (
        b"GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade, close\r\nupgrade: websocket\r\n"
        b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n"
    )
    # 404 where the websockets package is not there, and the upgrade is no more than a header.
    assert raw(running, data, 3).split(b" ")[1] in (b"403", b"404")


def test_freed_memory_is_kept_on_glibc_only():
    glibc = Path("/lib/x86_64-linux-gnu/libc.so.6").exists() or Path("/lib64/libc.so.6").exists()
    assert server_process.tune_malloc() is glibc


@pytest.mark.parametrize(
    "bad",
    [
        {"max_in_flight": 0},
        {"upstream_timeout_s": -1.0},
        {"access_keys": frozenset({"secret"})},
        {"tenant_keys": {"sk-1": "x"}},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(bad):
    with pytest.raises(ConfigError):
        ServerSettings(**bad)


@pytest.mark.parametrize(("size", "status"), [(19_000, 200), (21_000, 503)])
def test_what_is_fetched_for_a_request_counts_among_the_bytes_in_flight(start, upstream, size, status):
    async def fetch(url: str, *, param: str) -> Fetched:
        return Fetched(b"x" * size, "image/png")

    room = ServerSettings(max_body_bytes=10_000, max_answer_bytes=10_000, max_bytes_in_flight=20_000)
    running = start(room, fetch=fetch)
    for _ in range(2):
        assert running.ask(url="https://a.example/x.png").status == status
    assert eventually(lambda: running.app.admission.bytes == 0)
    assert len(upstream.calls) == (2 if status == 200 else 0)
