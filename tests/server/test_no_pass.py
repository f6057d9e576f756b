"""Whatever is turned away before it is judged says `none`: in the header, in the log and in the counts."""

from __future__ import annotations

import hashlib
import json
import threading

import pytest

from guardrail.server import ServerSettings
from tests.server import upstream as script
from tests.server.conftest import ROUTE, eventually

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 40
JSON = {"content-type": "application/json"}
SETTINGS = ServerSettings(max_body_bytes=1000, tenant_header="x-tenant", tenants=frozenset({"school"}))
CLEAN = json.dumps({"prompt": "a red bicycle"}).encode()
UNREAD = {
    "too large a body": ("POST", ROUTE, b'{"prompt": "' + b"x" * 2000 + b'"}', JSON, 413, "unread"),
    "no JSON": ("POST", ROUTE, b"{", JSON, 400, "unread"),
    "no prompt": ("POST", ROUTE, b"{}", JSON, 400, "unread"),
    "an unknown tenant": ("POST", ROUTE, CLEAN, {**JSON, "x-tenant": "nobody"}, 400, "unread"),
    "a closed route": ("POST", "/v1/other", CLEAN, JSON, 404, "closed"),
    "a picture on a route that is passed on": ("POST", "/v1/say", PNG, JSON, 415, "passed"),
    "another type on a route that is passed on": (
        "POST",
        "/v1/say",
        b"x",
        {"content-type": "image/png"},
        415,
        "passed",
    ),
}


@pytest.mark.parametrize("name", UNREAD)
def test_what_is_turned_away_unread_was_never_decided(start, upstream, name):
    method, path, body, headers, status, route = UNREAD[name]
    running = start(SETTINGS)
    got = running.call(method, path, body, headers)
    assert (got.status, got.headers["x-guardrail-decision"]) == (status, "none")
    assert "x-guardrail-receipt" not in got.headers
    assert running.logged(outcome="refused_unread", decision="none", route=route, status=status)
    assert running.counted("guardrail_requests_total", route=route, decision="none", status=str(status)) == 1
    assert (running.guard.records, upstream.calls) == ([], [])


def test_a_caller_who_is_not_let_in_was_never_decided(start):
    running = start(ServerSettings(access_keys=frozenset({hashlib.sha256(b"right").hexdigest()})))
    got = running.ask()
    assert (got.status, got.headers["x-guardrail-decision"]) == (401, "none")
    assert running.logged(outcome="refused_unread", decision="none")


def test_one_request_more_than_may_be_in_flight_was_never_decided(start, upstream):
    running = start(ServerSettings(max_in_flight=1))
    upstream.script = lambda heard: script.late(script.images(b"clean"), 1.0)
    first = threading.Thread(target=running.ask)
    first.start()
    assert eventually(lambda: len(upstream.calls) == 1)
    got = running.ask()
    assert (got.status, got.headers["x-guardrail-decision"]) == (503, "none")
    assert running.logged(outcome="turned_away", decision="none")
    first.join()


def test_a_picture_that_a_generator_sends_on_a_route_that_is_passed_on_is_no_pass(running, upstream):
    upstream.script = lambda heard: script.whole(PNG, kind="image/png")
    got = running.call("GET", "/v1/models")
    assert (got.status, got.headers["x-guardrail-decision"]) == (502, "none")
    assert running.logged(outcome="upstream_pictures", decision="none", route="passed")


@pytest.mark.parametrize("status", ["answered", "refused", "unreadable_input", "turned_away", "upstream_bad_answer"])
def test_where_no_record_can_be_written_nothing_is_said_to_be_decided(running, upstream, status):
    """Each way to end: what was decided is nobody's to rely on when there is no record of it."""
    running.guard.fail_records = {status}
    running.guard.full = status == "turned_away"
    if status == "upstream_bad_answer":
        upstream.script = lambda heard: script.html()
    images = ["VU5SRUFEQUJMRQ=="] if status == "unreadable_input" else []
    got = running.ask("forbidden" if status == "refused" else "a red bicycle", images=images)
    assert (got.status, got.headers["x-guardrail-decision"]) == (503, "none")
    assert running.logged(outcome="record_failed", decision="none", status=503)
    assert running.counted("guardrail_requests_total", route="generate", decision="none", status="503") == 1
