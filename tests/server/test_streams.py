"""Streamed answers: no byte of a picture leaves before its event is judged, and nothing without a record."""

from __future__ import annotations

import base64
import gzip
import http.client
import time

import pytest

from tests.server import upstream as script
from tests.server.conftest import ROUTE, eventually

ASK = b'{"prompt": "a red bicycle", "stream": true}'
PARTIAL = script.event("x.partial_image", b"preview", partial_image_index=0)
DONE = script.event("x.completed", b"the picture")
BAD = script.event("x.partial_image", b"a BAD preview")


def stream(running, body: bytes = ASK):
    got = running.call("POST", ROUTE, body)
    return got


def test_a_clean_stream_comes_back_byte_for_byte(running, upstream):
    upstream.script = lambda heard: script.events([PARTIAL[:7], PARTIAL[7:] + b": ping\ndata: {}\n\n", DONE])
    got = stream(running)
    assert got.status == 200
    assert got.body == PARTIAL + b": ping\ndata: {}\n\n" + DONE
    assert got.headers["content-type"] == "text/event-stream"
    assert got.headers["x-guardrail-decision"] == "stream"
    assert got.headers["x-guardrail-receipt"] == running.guard.records[0].id
    assert running.guard.statuses == ["streaming", "answered"]
    assert len({record.id for record in running.guard.records}) == 1


def test_events_leave_as_they_are_judged_not_at_the_end(running, upstream):
    upstream.script = lambda heard: script.events([PARTIAL, 1.0, DONE])
    connection = running.connect()
    began = time.monotonic()
    connection.request("POST", ROUTE, ASK)
    response = connection.getresponse()
    assert response.read1() == PARTIAL
    assert time.monotonic() - began < 0.9
    assert response.read() == DONE
    connection.close()


@pytest.mark.parametrize("whole", [True, False])
def test_a_refused_preview_ends_the_stream_and_not_a_byte_of_it_leaves(running, upstream, whole):
    parts = [PARTIAL + BAD + DONE] if whole else [PARTIAL, BAD[:40], BAD[40:], 5.0, DONE]
    upstream.script = lambda heard: script.events(parts)
    got = stream(running)
    assert got.body.startswith(PARTIAL)
    rest = got.body[len(PARTIAL) :]
    assert b'"code": "refused"' in rest
    assert base64.b64encode(b"a BAD preview")[:8] not in got.body
    assert b"completed" not in got.body
    assert running.guard.statuses == ["streaming", "refused"]
    assert running.guard.records[1].action.word == "block"
    assert running.guard.records[0].id.encode() in rest


def test_a_refused_preview_hangs_up_on_the_generator(running, upstream):
    upstream.script = lambda heard: script.events([BAD, 20.0, DONE])
    stream(running)
    assert upstream.hung_up.wait(5)


def test_a_refused_prompt_is_refused_before_the_stream_begins(running, upstream):
    got = stream(running, b'{"prompt": "forbidden", "stream": true}')
    assert got.status == 400
    assert upstream.calls == []


@pytest.mark.parametrize(
    ("parts", "finish", "status"),
    [
        ([PARTIAL], True, "upstream_cut"),
        ([PARTIAL], False, "upstream_cut"),
        ([PARTIAL, DONE[:30]], True, "upstream_bad_answer"),
        ([], True, "upstream_cut"),
    ],
)
def test_a_stream_that_just_ends_is_an_error_event(running, upstream, parts, finish, status):
    upstream.script = lambda heard: script.events(parts, finish=finish)
    got = stream(running)
    assert b'"error"' in got.body
    assert running.guard.statuses == ["streaming", status]


def test_an_error_event_of_the_generator_passes_and_is_recorded(running, upstream):
    said = b'data: {"error": {"code": "busy"}}\n\n'
    upstream.script = lambda heard: script.events([said])
    assert stream(running).body == said
    assert running.guard.statuses == ["streaming", "upstream_said_no"]


def test_nothing_leaves_when_the_first_record_fails(running, upstream):
    running.guard.fail_records = {"streaming"}
    upstream.script = lambda heard: script.events([PARTIAL, DONE])
    got = stream(running)
    assert got.status == 503
    assert b"b64_json" not in got.body


def test_the_final_event_does_not_leave_when_the_last_record_fails(running, upstream):
    running.guard.fail_records = {"answered"}
    upstream.script = lambda heard: script.events([PARTIAL, DONE])
    got = stream(running)
    assert got.body.startswith(PARTIAL)
    assert b"completed" not in got.body
    assert b"AuditError" in got.body
    assert running.logged(outcome="record_failed", decision="none")


def test_an_event_that_nobody_can_look_at_ends_a_stream_of_which_not_all_was_decided(running, upstream):
    upstream.script = lambda heard: script.events([PARTIAL, b"data: {}"])
    got = stream(running)
    assert got.body.startswith(PARTIAL)
    assert [(one.status, one.said) for one in running.guard.records] == [
        ("streaming", "allow"),
        ("upstream_bad_answer", "none"),
    ]
    assert running.logged(outcome="upstream_bad_answer", decision="none")


def test_a_bug_while_streaming_cuts_the_line_instead_of_ending_it_well(running, upstream):
    running.guard.explodes = True
    upstream.script = lambda heard: script.events([PARTIAL, DONE])
    with pytest.raises(http.client.IncompleteRead):
        stream(running)
    assert eventually(lambda: running.guard.statuses == ["streaming", "failed"])
    assert running.guard.records[1].said == "none"
    assert running.logged(outcome="failed_broken", decision="none")


def test_a_caller_who_leaves_a_stream_stops_the_generator_and_is_in_the_record(running, upstream):
    upstream.script = lambda heard: script.events([PARTIAL, 20.0, DONE])
    connection = running.connect()
    connection.request("POST", ROUTE, ASK)
    response = connection.getresponse()
    assert response.read1() == PARTIAL
    connection.sock.close() if connection.sock else None
    response.close()
    connection.close()
    assert upstream.hung_up.wait(5)
    assert eventually(lambda: running.guard.statuses == ["streaming", "client_gone"])


def test_what_had_left_of_a_stream_when_its_caller_did_is_in_the_record(running, upstream):
    flagged = script.event("x.partial_image", b"a FLAG preview", partial_image_index=0)
    upstream.script = lambda heard: script.events([flagged, 20.0, DONE])
    connection = running.connect()
    connection.request("POST", ROUTE, ASK)
    response = connection.getresponse()
    assert response.read1() == flagged
    response.close()
    connection.close()
    assert upstream.hung_up.wait(5)
    assert eventually(lambda: running.guard.statuses == ["streaming", "client_gone"])
    assert [one.said for one in running.guard.records] == ["allow", "flag"]


def test_a_whole_answer_to_a_stream_request_is_judged_whole(running, upstream):
    upstream.script = lambda heard: script.images(b"BAD")
    got = stream(running)
    assert got.status == 400
    assert running.guard.statuses == ["refused"]


def test_a_stream_that_nobody_asked_for_is_no_answer(running, upstream):
    upstream.script = lambda heard: script.events([DONE])
    got = stream(running, b'{"prompt": "x"}')
    assert got.status == 502
    assert running.guard.statuses == ["upstream_bad_answer"]


def test_several_final_events_are_each_judged(running, upstream):
    second = script.event("x.completed", b"a BAD picture")
    upstream.script = lambda heard: script.events([DONE, second])
    got = stream(running, b'{"prompt": "x", "stream": true, "n": 2}')
    assert got.body.startswith(DONE)
    assert base64.b64encode(b"a BAD picture")[:8] not in got.body
    assert running.guard.statuses == ["streaming", "refused"]


def test_as_many_final_events_as_were_asked_for_have_one_last_record(running, upstream):
    upstream.script = lambda heard: script.events([DONE, DONE, b"data: {}\n\n"])
    got = stream(running, b'{"prompt": "x", "stream": true, "n": 2}')
    assert got.body == DONE + DONE + b"data: {}\n\n"
    assert running.guard.statuses == ["streaming", "answered"]


def test_fewer_final_events_than_were_asked_for_are_recorded_all_the_same(running, upstream):
    upstream.script = lambda heard: script.events([DONE])
    assert stream(running, b'{"prompt": "x", "stream": true, "n": 2}').body == DONE
    assert running.guard.statuses == ["streaming", "answered"]


def test_a_picture_beyond_those_asked_for_does_not_leave(running, upstream):
    upstream.script = lambda heard: script.events([DONE, script.event("x.completed", b"one more")])
    got = stream(running)
    assert got.body.startswith(DONE)
    assert base64.b64encode(b"one more")[:8] not in got.body
    assert b'"error"' in got.body
    assert running.guard.statuses == ["streaming", "answered"]


def test_a_compressed_stream_is_not_judged_and_so_does_not_pass(running, upstream):
    packed = gzip.compress(PARTIAL + DONE)
    answer = script.events([packed])
    answer.steps[0] = answer.steps[0].replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n")  # type: ignore[union-attr]
    upstream.script = lambda heard: answer
    got = stream(running)
    assert got.status == 502
    assert packed[:20] not in got.body
    assert running.guard.statuses == ["upstream_bad_answer"]
