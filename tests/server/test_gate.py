"""The gate before a generator: concurrency, the circuit, and tries of reads."""

from __future__ import annotations

import socket
import threading

import pytest

from guardrail.errors import Overloaded
from guardrail.server.gate import Gate, UpstreamFault
from tests.server import upstream as script
from tests.server.conftest import eventually


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def gate(**settings) -> tuple[Gate, Clock]:
    clock = Clock()
    return Gate("painter", clock=clock, **settings), clock


def test_the_circuit_opens_at_the_fifth_failure_in_a_row_and_not_before():
    one, _ = gate(failures=5)
    for _ in range(4):
        one.failure("unreachable")
    assert one.state == "closed"
    one.check()
    one.failure("unreachable")
    assert one.state == "open"
    with pytest.raises(UpstreamFault, match="has not been answering") as caught:
        one.check()
    assert (caught.value.status, caught.value.kind, caught.value.retry_after_s) == (503, "open", 15.0)


def test_an_answer_in_between_starts_the_count_anew():
    one, _ = gate(failures=2)
    one.failure("timeout")
    one.came()
    one.failure("timeout")
    assert one.state == "closed"


def test_after_the_pause_calls_go_through_and_one_failure_opens_it_again():
    one, clock = gate(failures=3, pause_s=10.0)
    for _ in range(3):
        one.failure("tls")
    clock.now += 9.9
    assert one.state == "open"
    clock.now += 0.1
    assert one.state == "half-open"
    one.check()
    one.failure("tls")
    assert one.state == "open"
    clock.now += 10.0
    one.came()
    assert one.state == "closed"


def test_one_call_more_than_may_be_is_turned_away_and_a_place_is_given_back():
    one, _ = gate(concurrency=2)
    with one.enter(), one.enter(), pytest.raises(Overloaded, match="2 calls"):
        one.enter()
    assert one.in_flight == 0
    with one.enter():
        assert one.in_flight == 1


def test_only_a_tenth_of_all_reads_is_tried_again_once_the_reserve_is_gone():
    one, _ = gate()
    assert sum(one.may_retry() for _ in range(50)) == 10
    for _ in range(9):
        one.read()
    assert not one.may_retry()
    one.read()
    one.read()  # ten tenths are a hair below one
    assert one.may_retry()


def test_nothing_is_tried_again_while_the_circuit_is_open():
    one, _ = gate(failures=1)
    one.failure("cut")
    assert not one.may_retry()


# -------------------------------------------------------------------------------------------------- through the server


def nowhere() -> str:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


def test_a_generator_that_is_down_is_not_asked_again_and_callers_are_told_when_to_come_back(start):
    running = start(base_url=nowhere(), breaker_failures=2, breaker_s=30.0)
    assert [running.ask().status for _ in range(2)] == [502, 502]
    judged = len(running.guard.records)
    got = running.ask()
    assert got.status == 503
    assert 1 <= int(got.headers["retry-after"]) <= 30
    assert len(running.guard.records) == judged  # nobody's time was spent on it
    assert running.logged(outcome="upstream_open", status=503)
    (seen,) = running.call("GET", "/upstreams").json["upstreams"]
    assert (seen["name"], seen["state"], seen["failed"], seen["last_fault"]) == ("plain", "open", 2, "unreachable")
    assert running.counted("guardrail_upstream_open", upstream="plain") == 1


def test_errors_that_the_generator_answers_with_do_not_open_the_circuit(start, upstream):
    running = start(breaker_failures=1)
    upstream.script = lambda heard: script.whole(b'{"error": {"message": "no"}}', "500 Internal Server Error")
    assert [running.ask().status for _ in range(3)] == [500, 500, 500]


def test_one_call_more_than_the_generator_may_have_is_turned_away_before_it_is_judged(start, upstream):
    running = start(concurrency=1)
    upstream.script = lambda heard: script.late(script.images(b"clean"), 1.0)
    first = threading.Thread(target=running.ask)
    first.start()
    assert eventually(lambda: len(upstream.calls) == 1)
    got = running.ask()
    assert got.status == 503
    assert "retry-after" in got.headers
    first.join()
    assert len(upstream.calls) == 1
    assert running.ask().status == 200


def test_a_read_is_tried_again_and_a_call_that_makes_pictures_never(start, upstream):
    running = start()
    answers = [script.whole(b"{}", "503 Service Unavailable"), script.whole(b'{"data": []}')]
    upstream.script = lambda heard: answers.pop(0)
    assert running.call("GET", "/v1/models").status == 200
    assert len(upstream.calls) == 2

    answers[:] = [script.whole(b'{"error": {}}', "503 Service Unavailable"), script.images(b"clean")]
    assert running.ask().status == 503
    assert len(upstream.calls) == 3


def test_a_read_is_given_up_after_its_tries_and_at_once_where_the_generator_says_when_to_come_back(start, upstream):
    running = start(retries=1)
    upstream.script = lambda heard: script.whole(b"{}", "503 Service Unavailable")
    assert running.call("GET", "/v1/models").status == 503
    assert len(upstream.calls) == 2
    upstream.script = lambda heard: script.whole(b"{}", "503 Service Unavailable", "application/json", "retry-after: 9")
    assert running.call("GET", "/v1/models").headers["retry-after"] == "9"
    assert len(upstream.calls) == 3


def test_the_wait_for_one_generator_may_be_shorter_than_that_of_the_server(start, upstream):
    running = start(timeout_s=0.2)
    upstream.script = lambda heard: script.late(script.images(b"clean"), 5.0)
    assert running.ask().status == 504
