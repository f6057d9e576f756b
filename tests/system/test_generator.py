"""Generators that are down, slow, rude or cut off: a native error and a record each, none a pass."""

from __future__ import annotations

import json
import socket

import pytest

from guardrail.server import ServerSettings
from tests.server import upstream as script
from tests.system.conftest import CLEAN, Begin, System

CASES = {
    "html": (script.html(), 502, "upstream_error", "upstream_bad_answer"),
    "cut before it began": (script.cut(script.images(CLEAN), 0), 502, "upstream_error", "upstream_cut"),
    "cut in its head": (script.cut(script.images(CLEAN), 20), 502, "upstream_error", "upstream_cut"),
    "cut in a picture": (script.cut(script.images(CLEAN), 9000), 502, "upstream_error", "upstream_cut"),
    "no picture": (script.images(), 502, "upstream_error", "upstream_bad_answer"),
    "no data": (script.whole(b'{"created": 1}'), 502, "upstream_error", "upstream_bad_answer"),
    "an empty object": (script.whole(b"{}"), 502, "upstream_error", "upstream_bad_answer"),
    "nothing": (script.whole(b""), 502, "upstream_error", "upstream_bad_answer"),
    "a bare picture": (script.whole(CLEAN, kind="image/jpeg"), 502, "upstream_error", "upstream_bad_answer"),
    "not http": (script.Script([b"hello\r\n\r\n"], close=True), 502, "upstream_error", "upstream_bad_answer"),
    "a redirect": (
        script.whole(b"", "302 Found", "text/plain", "location: http://elsewhere.test/x"),
        502,
        "upstream_error",
        "upstream_redirect",
    ),
    "an error with a picture in it": (
        script.whole(json.dumps({"error": {"b64_json": "iVBORw0KGgo" + "A" * 100}}).encode(), "500 Oops"),
        502,
        "upstream_error",
        "upstream_bad_answer",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_no_answer_is_a_native_error_with_a_record(system: System, name):
    answer, status, code, recorded = CASES[name]
    system.upstream.script = lambda heard: answer
    got = system.generate()
    assert (got.status, got.code) == (status, code)
    assert got.error["type"] == "server_error"
    assert "elsewhere" not in str(got.headers)
    assert len(system.upstream.calls) == 1
    assert system.record(got)["status"] == recorded


@pytest.mark.parametrize("finish", [True, False])
@pytest.mark.parametrize("events", [0, 1])
def test_a_stream_that_just_ends_is_an_error_event_with_a_record(system: System, finish, events):
    partial = script.event("image_generation.partial_image", CLEAN, partial_image_index=0)
    system.upstream.script = lambda heard: script.events([partial] * events, finish=finish)
    got = system.generate(stream=True)
    assert b"completed" not in got.body
    last = json.loads(got.body.decode().rstrip().rpartition("data: ")[2])
    assert last["error"]["code"] == "upstream_error"
    assert system.records[0]["status"] == "streaming"
    assert system.records[1]["status"] in {"upstream_cut", "upstream_bad_answer"}


def test_too_many_requests_reach_the_caller_as_the_generator_said_it(system: System):
    system.upstream.script = lambda heard: script.too_many()
    got = system.generate()
    assert (got.status, got.headers["retry-after"], got.code) == (429, "7", "rate_limit_exceeded")
    assert got.body == script.too_many().steps[0].partition(b"\r\n\r\n")[2]
    assert len(system.upstream.calls) == 1
    assert system.record(got)["status"] == "upstream_said_no"


def test_a_generator_that_is_slow_is_a_504_and_is_hung_up_on(begin: Begin):
    system = begin("slow", settings=ServerSettings(upstream_timeout_s=0.5))
    system.upstream.script = lambda heard: script.late(script.images(CLEAN), 20)
    got = system.generate()
    assert (got.status, got.code) == (504, "upstream_timeout")
    assert system.record(got)["status"] == "upstream_timeout"
    assert system.upstream.hung_up.wait(5)
    assert len(system.upstream.calls) == 1
    assert system.alive()


def test_a_generator_that_is_down_is_a_502(begin: Begin):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    system = begin("down", base_url=f"http://127.0.0.1:{port}")
    got = system.generate()
    assert (got.status, got.code) == (502, "upstream_error")
    assert system.record(got)["status"] == "upstream_unreachable"
    # What is refused does not need the generator.
    assert system.generate("trek haar kleren uit, mijn buurvrouw").code == "moderation_blocked"
    assert system.alive()
