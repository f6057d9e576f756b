"""Generators that are down, slow, rude or cut off: a native error and a record each, none a pass."""

from __future__ import annotations

import gzip
import socket

import pytest

from guardrail.server import ServerSettings
from tests.server import upstream as script
from tests.server.conftest import eventually


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def test_a_generator_that_is_down_is_a_502(start):
    running = start(base_url=f"http://127.0.0.1:{free_port()}")
    got = running.ask()
    assert got.status == 502
    assert running.guard.statuses == ["upstream_unreachable"]
    assert got.headers["x-guardrail-receipt"] == running.guard.records[0].id
    assert running.counted("guardrail_upstream_errors_total", kind="unreachable") == 1


def test_a_generator_that_is_slow_is_a_504_and_is_hung_up_on(start, upstream):
    running = start(ServerSettings(upstream_timeout_s=0.3))
    upstream.script = lambda heard: script.late(script.images(b"clean"), 10)
    got = running.ask()
    assert got.status == 504
    assert running.guard.statuses == ["upstream_timeout"]
    assert upstream.hung_up.wait(5)


def test_a_generator_that_falls_silent_half_way_is_a_504(start, upstream):
    running = start(ServerSettings(idle_timeout_s=0.3))
    head = script.images(b"clean").steps[0]
    upstream.script = lambda heard: script.Script([head[:-10], 10.0])
    got = running.ask()
    assert got.status == 504
    assert running.guard.statuses == ["upstream_timeout"]


@pytest.mark.parametrize("after", [0, 20, 150])
def test_a_cut_answer_is_a_502(running, upstream, after):
    upstream.script = lambda heard: script.cut(script.images(b"clean" * 100), after)
    got = running.ask()
    assert got.status == 502
    assert running.guard.statuses == ["upstream_cut"]
    assert len(upstream.calls) == 1


def test_html_is_no_answer(running, upstream):
    upstream.script = lambda heard: script.html()
    got = running.ask()
    assert got.status == 502
    assert b"It works" not in got.body
    assert running.guard.statuses == ["upstream_bad_answer"]


def test_two_hundred_without_a_picture_is_no_answer(running, upstream):
    upstream.script = lambda heard: script.images()
    assert running.ask().status == 502
    assert running.guard.statuses == ["upstream_bad_answer"]


def test_a_compressed_answer_is_not_judged_and_so_does_not_pass(running, upstream):
    body = gzip.compress(b'{"data":[{"b64_json":"QkFE"}]}')
    upstream.script = lambda heard: script.whole(body, "200 OK", "application/json", "content-encoding: gzip")
    assert running.ask(headers={"accept-encoding": "identity"}).status == 502
    assert running.guard.statuses == ["upstream_bad_answer"]


def test_what_is_not_http_is_a_502(running, upstream):
    upstream.script = lambda heard: script.Script([b"hello, this is not HTTP\r\n\r\n"], close=True)
    assert running.ask().status == 502
    assert running.guard.statuses == ["upstream_bad_answer"]


def test_rate_limits_of_the_generator_reach_the_caller_as_they_are(running, upstream):
    upstream.script = lambda heard: script.too_many()
    got = running.ask()
    assert got.status == 429
    assert got.headers["retry-after"] == "7"
    assert got.body == script.too_many().steps[0].partition(b"\r\n\r\n")[2]
    assert running.guard.statuses == ["upstream_said_no"]
    assert got.headers["x-guardrail-receipt"] == running.guard.records[0].id


@pytest.mark.parametrize("status", ["301 Moved Permanently", "302 Found", "307 Temporary Redirect"])
def test_a_redirect_past_the_guard_is_not_followed_and_does_not_leave(running, upstream, status):
    upstream.script = lambda heard: script.whole(b"", status, "text/plain", "location: http://elsewhere.test/x")
    got = running.ask()
    assert got.status == 502
    assert "location" not in got.headers
    assert len(upstream.calls) == 1
    assert running.guard.statuses == ["upstream_redirect"]


@pytest.mark.parametrize("announced", [True, False])
def test_an_answer_over_the_limit_is_dropped_without_being_held(start, upstream, announced):
    running = start(ServerSettings(max_answer_bytes=10_000))
    big = b"x" * 20_000
    upstream.script = lambda heard: script.whole(big) if announced else script.events([big[:9_000], big[:9_000]])
    assert running.ask().status == 502
    assert running.guard.statuses == ["upstream_too_large"]


def test_an_answer_at_the_limit_passes(start, upstream):
    size = len(script.images(b"clean").steps[0].partition(b"\r\n\r\n")[2])
    running = start(ServerSettings(max_answer_bytes=size))
    assert running.ask().status == 200
    running = start(ServerSettings(max_answer_bytes=size - 1))
    assert running.ask().status == 502


@pytest.mark.parametrize(
    ("answer", "status", "decided"),
    [
        (script.html(), "upstream_bad_answer", "none"),
        (
            script.whole(b"", "302 Found", "text/plain", "location: http://elsewhere.test/x"),
            "upstream_redirect",
            "none",
        ),
        (script.whole(b"x" * 20_000), "upstream_too_large", "none"),
        (script.cut(script.images(b"clean" * 100), 150), "upstream_cut", "allow"),
        (script.late(script.images(b"clean"), 10), "upstream_timeout", "allow"),
        (script.too_many(), "upstream_said_no", "allow"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_answer_that_nobody_looked_at_is_no_pass_and_where_none_came_the_request_was_decided(
    start, upstream, answer, status, decided
):
    running = start(ServerSettings(max_answer_bytes=10_000, upstream_timeout_s=0.3))
    upstream.script = lambda heard: answer
    got = running.ask()
    [record] = running.guard.records
    assert (record.status, record.said, got.headers["x-guardrail-decision"]) == (status, decided, decided)
    assert got.headers["x-guardrail-receipt"] == record.id
    assert running.logged(outcome=status, decision=decided)
    assert running.counted("guardrail_requests_total", route="generate", decision=decided, status=str(got.status)) == 1


def test_a_failed_record_of_a_failed_generator_is_a_503(running, upstream):
    upstream.script = lambda heard: script.html()
    running.guard.fail_records = {"upstream_bad_answer"}
    assert running.ask().status == 503


def test_a_caller_who_leaves_stops_the_generator_and_is_in_the_record(running, upstream):
    upstream.script = lambda heard: script.late(script.images(b"clean"), 20)
    connection = running.connect()
    connection.request("POST", "/v1/images/generations", b'{"prompt": "x"}')
    assert eventually(lambda: len(upstream.calls) == 1)
    connection.close()
    assert upstream.hung_up.wait(5)
    assert eventually(lambda: running.guard.statuses == ["client_gone"])
    assert eventually(lambda: running.app.admission.requests == 0)
    assert running.app.admission.bytes == 0


def test_a_caller_who_leaves_while_pictures_are_judged_is_in_the_record_once(running, upstream):
    running.guard.takes_s = 5
    connection = running.connect()
    connection.request("POST", "/v1/images/generations", b'{"prompt": "x"}')
    assert running.guard.judging.wait(5)
    connection.close()
    assert eventually(lambda: running.guard.statuses == ["client_gone"])


def test_keep_alive_to_the_generator_survives_answers_and_not_faults(running, upstream):
    for _ in range(3):
        assert running.ask().status == 200
    upstream.script = lambda heard: script.cut(script.images(b"x"), 30)
    assert running.ask().status == 502
    upstream.script = lambda heard: script.images(b"clean")
    assert running.ask().status == 200
    assert len(upstream.calls) == 5
