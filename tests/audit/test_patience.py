"""A server that takes what is sent and never answers."""

from __future__ import annotations

import socket
import time

import pytest

from guardrail.audit.patience import Patience


@pytest.fixture
def ends():
    near, far = socket.socketpair()
    near.settimeout(10)
    with near, far:
        yield near, far


def test_a_wait_that_takes_too_long_ends_as_if_the_server_had_hung_up(ends):
    near, _ = ends
    patience = Patience(0.2)
    began = time.monotonic()
    with patience.waiting(near.fileno()):
        assert near.recv(1) == b""
    assert 0.2 <= time.monotonic() - began < 5
    assert patience.ran_out
    patience.close()


def test_a_wait_that_is_over_in_time_cuts_nothing_and_each_begins_anew(ends):
    near, far = ends
    patience = Patience(0.4)
    for _ in range(4):
        with patience.waiting(near.fileno()):
            time.sleep(0.2)
            far.sendall(b"x")
            assert near.recv(1) == b"x"
    time.sleep(0.6)
    assert not patience.ran_out
    far.sendall(b"x")
    assert near.recv(1) == b"x"
    patience.close()


def test_a_connection_that_is_gone_already_is_no_fault(ends):
    near, _ = ends
    patience = Patience(0.1)
    fileno = near.fileno()
    near.close()
    with patience.waiting(fileno):
        time.sleep(0.4)
    with patience.waiting(fileno):
        assert not patience.ran_out
    patience.close()
