"""Connections: as many as may be, those over it are told, and every place comes free again."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from typing import Any

import pytest

from guardrail.server import ServerSettings
from guardrail.server.connections import TOLD, Connections, Full, address_of
from tests.server.conftest import ROUTE, eventually

BODY = b'{"prompt": "a cat"}'
CALL = f"POST {ROUTE} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(BODY)}\r\n\r\n".encode() + BODY


class Peer(asyncio.BaseTransport):
    """A transport of which nothing is known but where it comes from."""

    def __init__(self, peername: Any = None) -> None:
        super().__init__({"peername": peername})


def dial(running, source: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", running.port), 10, (source, 0))


def whole(connection: socket.socket) -> bytes:
    got = b""
    while piece := connection.recv(65_536):
        got += piece
    return got


def is_answered(connection: socket.socket) -> bool:
    connection.sendall(CALL)
    return connection.recv(65_536).startswith(b"HTTP/1.1 200 ")


def test_one_connection_more_than_may_be_is_told_so_and_closed(start, upstream):
    running = start(ServerSettings(max_connections=2, retry_after_s=3))
    with ExitStack() as held:
        ours = [held.enter_context(dial(running)) for _ in range(2)]
        assert all(map(is_answered, ours))
        with dial(running) as over:
            got = whole(over)
        assert got.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nretry-after: 3\r\n" in got
        assert json.loads(got.partition(b"\r\n\r\n")[2])["error"]["code"] == "too_many_connections"
        assert all(map(is_answered, ours))
        assert running.counted("guardrail_connections") == 2
        assert running.counted("guardrail_connections_refused_total", limit="all") == 1
    assert len(upstream.calls) == 4


def test_a_caller_who_is_turned_away_while_it_sends_reads_why(start, upstream):
    running = start(ServerSettings(max_connections=1))
    with dial(running), dial(running) as over:
        assert eventually(lambda: running.counted("guardrail_connections_refused_total", limit="all") == 1)
        over.sendall(CALL)
        assert whole(over).startswith(b"HTTP/1.1 503 ")
    assert upstream.calls == []


def test_a_caller_who_is_turned_away_and_stays_is_cut_off(start):
    running = start(ServerSettings(max_connections=1, linger_s=0.3))
    with dial(running), dial(running) as over:
        whole(over)
        assert eventually(lambda: len(running.server.server_state.connections) == 1, 3)


def test_a_place_comes_free_when_its_connection_ends(start):
    running = start(ServerSettings(max_connections=1))
    for _ in range(3):
        with dial(running) as connection:
            assert is_answered(connection)
        assert eventually(lambda: len(running.app.connections) == 0)


def test_a_connection_that_asks_nothing_gives_its_place_back_in_time(start):
    running = start(ServerSettings(max_connections=1, head_timeout_s=0.2))
    with dial(running) as idle:
        assert whole(idle) == b""
        with dial(running) as next_one:
            assert is_answered(next_one)


def test_one_address_takes_no_more_than_its_share_and_no_other_suffers(start):
    running = start(ServerSettings(max_connections=10, max_connections_per_address=2))
    with ExitStack() as held:
        ours = [held.enter_context(dial(running)) for _ in range(2)]
        assert all(map(is_answered, ours))
        with dial(running) as over:
            assert whole(over).startswith(b"HTTP/1.1 429 ")
        with dial(running, "127.0.0.2") as other:
            assert is_answered(other)
        ours[0].close()
        assert eventually(lambda: len(running.app.connections) == 1)
        with dial(running) as again:
            assert is_answered(again)
    assert running.counted("guardrail_connections_refused_total", limit="address") == 1


def test_a_flood_is_not_talked_to():
    places = Connections(1)
    assert places.enter(Peer()) is None
    over = [Peer() for _ in range(TOLD + 1)]
    assert [places.enter(one) for one in over] == [Full.ALL] * len(over)
    assert [places.tell(one) for one in over] == [True] * TOLD + [False]
    places.leave(over[0])
    assert places.tell(over[-1])


def test_what_was_never_counted_in_is_not_counted_out():
    places = Connections(1, 1)
    first, over = Peer(("192.0.2.1", 1)), Peer(("192.0.2.1", 2))
    assert places.enter(first) is None
    assert places.enter(over) is Full.ALL
    places.leave(over)
    assert len(places) == 1
    places.leave(first)
    places.leave(first)
    assert places.enter(over) is None


@pytest.mark.parametrize(
    ("peername", "address"),
    [
        (("192.0.2.7", 4000), "192.0.2.7"),
        (("::ffff:192.0.2.7", 4000, 0, 0), "192.0.2.7"),
        (("2001:db8:1:2:3:4:5:6", 4000, 0, 0), "2001:db8:1:2::/64"),
        (("fe80::1%eth0", 4000, 0, 2), "fe80::/64"),
        ("", ""),
        (None, ""),
    ],
)
def test_an_address_is_what_one_caller_has_one_of(peername, address):
    assert address_of(Peer(peername)) == address


def test_callers_without_an_address_share_no_limit_of_one():
    places = Connections(3, 1)
    assert [places.enter(Peer("")) for _ in range(3)] == [None] * 3


LIMITED = """
import resource, sys
from types import SimpleNamespace
from guardrail.server import ServerSettings
from guardrail.server.connections import Connections
from guardrail.server.process import OTHER_FILES, make_room
soft, hard = map(int, sys.argv[1:3])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
settings = ServerSettings(max_connections=1000, max_in_flight=100, max_sockets=100)
app = SimpleNamespace(settings=settings, connections=Connections(settings.max_connections))
make_room(app)
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0] - OTHER_FILES, app.connections.most)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of open files there")
@pytest.mark.parametrize(
    ("soft", "hard", "files", "most"), [(512, 4096, 1200, 1000), (4000, 4096, 3744, 1000), (512, 1056, 800, 600)]
)
def test_as_many_files_may_be_open_as_connections_need_or_there_are_fewer(soft, hard, files, most):
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(soft), str(hard)],
        capture_output=True,
        check=True,
        text=True,
        env=os.environ,
    )
    assert done.stdout.split() == [str(files), str(most)]
    assert ("fewer files may be open" in done.stderr) is (most < 1000)
