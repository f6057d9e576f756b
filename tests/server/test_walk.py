"""The walk of one request, over a real listening server and a scripted generator."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest

from guardrail.server import ServerSettings
from tests.server import upstream as script
from tests.server.conftest import ROUTE, eventually


def test_a_clean_request_makes_one_call_and_comes_back_byte_for_byte(running, upstream):
    upstream.script = lambda heard: script.images(b"one", b"two")
    got = running.ask(headers={"authorization": "Bearer sk-caller", "x-unknown": "kept"})
    assert got.status == 200
    sent = upstream.script(None).steps[0].partition(b"\r\n\r\n")[2]
    assert got.body == sent
    assert got.headers["x-up"] == "1"
    assert got.headers["x-guardrail-decision"] == "allow"
    assert got.headers["x-guardrail-receipt"] == running.guard.records[0].id
    assert len(upstream.calls) == 1
    heard = upstream.calls[0]
    assert heard.body == b'{"prompt": "a red bicycle"}'
    assert heard.headers["authorization"] == "Bearer sk-caller"
    assert heard.headers["x-unknown"] == "kept"
    assert running.guard.statuses == ["answered"]
    assert running.guard.judged == [b"one", b"two"]


def test_the_query_goes_along_untouched(running, upstream):
    running.call("POST", ROUTE + "?api-version=1%2F2&a=%C3%A9", b'{"prompt": "x"}')
    assert upstream.calls[0].target == ROUTE + "?api-version=1%2F2&a=%C3%A9"


def test_a_refused_prompt_never_reaches_the_generator(running, upstream):
    got = running.ask("something forbidden")
    assert got.status == 400
    assert got.json["error"] == {"code": "refused", "rules": ["no-prompt"], "receipt": running.guard.records[0].id}
    assert got.headers["x-guardrail-decision"] == "block"
    assert upstream.calls == []
    assert running.guard.statuses == ["refused"]


def test_a_refused_input_picture_never_reaches_the_generator(running, upstream):
    got = running.ask(images=[base64.b64encode(b"a BAD one").decode()])
    assert got.status == 400
    assert upstream.calls == []


def test_one_bad_picture_of_three_is_replaced_and_its_neighbours_stay(running, upstream):
    upstream.script = lambda heard: script.images(b"one", b"BAD", b"three")
    got = running.ask()
    assert got.status == 200
    entries = got.json["data"]
    assert [entry.get("b64_json") for entry in entries] == ["b25l", None, "dGhyZWU="]
    assert entries[1]["error"]["receipt"] == running.guard.records[0].id
    assert got.headers["x-guardrail-decision"] == "block"
    assert running.guard.statuses == ["partly_refused"]
    assert base64.b64encode(b"BAD") not in got.body


def test_one_bad_picture_refuses_all_where_the_operator_says_so(start, upstream):
    running = start(ServerSettings(one_bad="refuse-all"))
    upstream.script = lambda heard: script.images(b"one", b"BAD")
    got = running.ask()
    assert got.status == 400
    assert running.guard.statuses == ["refused"]
    assert b"b25l" not in got.body


@pytest.mark.parametrize("picture", [b"BAD", b"HOLD"])
def test_a_refused_output_is_answered_natively(running, upstream, picture):
    upstream.script = lambda heard: script.images(picture)
    got = running.ask()
    assert got.status == 400
    assert got.json["error"]["rules"] == ["no-output"]
    assert len(upstream.calls) == 1
    assert running.guard.statuses == ["refused"]


def test_no_answer_leaves_without_a_record(running, upstream):
    running.guard.fail_records = {"answered"}
    got = running.ask()
    assert got.status == 503
    assert got.json["error"]["code"] == "AuditError"
    assert b"b64_json" not in got.body
    assert running.counted("guardrail_audit_failures_total") == 1


def test_a_refusal_without_a_record_is_no_pass_either(running, upstream):
    running.guard.fail_records = {"*"}
    got = running.ask("forbidden")
    assert got.status == 503
    assert upstream.calls == []


def test_a_bug_in_the_pipeline_withholds_the_answer_and_is_recorded(running, upstream):
    running.guard.explodes = True
    got = running.ask()
    assert got.status == 500
    assert b"b64_json" not in got.body
    assert running.guard.statuses == ["failed"]
    assert (got.headers["x-guardrail-decision"], running.guard.records[0].said) == ("none", "none")
    assert eventually(lambda: any(line.get("fault", "").startswith("RuntimeError at") for line in running.lines()))


def test_a_bug_that_quotes_the_prompt_does_not_reach_log_or_caller(running):
    got = running.ask("secret words", explode=True)
    assert got.status == 500
    assert b"secret words" not in got.body
    assert eventually(lambda: any(line["event"] == "request" for line in running.lines()))
    assert "secret words" not in running.log.getvalue()


def test_a_full_queue_is_said_before_the_generator_works(running, upstream):
    running.guard.full = True
    got = running.ask()
    assert got.status == 503
    assert got.headers["retry-after"] == "3.0"
    assert upstream.calls == []
    assert running.guard.statuses == ["turned_away"]
    assert (got.headers["x-guardrail-decision"], running.guard.records[0].said) == ("none", "none")
    assert got.headers["x-guardrail-receipt"] == running.guard.records[0].id
    assert running.logged(outcome="turned_away", decision="none")


def test_a_file_of_the_generator_is_fetched_with_the_callers_credentials_and_judged(running, upstream):
    def answer(heard):
        if heard.target == "/v1/files/file-7/content":
            return script.whole(b"a BAD picture", kind="image/png")
        return script.images(b"clean")

    upstream.script = answer
    got = running.ask(file="file-7", headers={"authorization": "Bearer sk-caller", "cookie": "no"})
    assert got.status == 400
    assert [heard.method for heard in upstream.calls] == ["GET"]
    assert upstream.calls[0].headers["authorization"] == "Bearer sk-caller"
    assert "cookie" not in upstream.calls[0].headers


@pytest.mark.parametrize("file_id", ["../models", "a/b", "", "x" * 129, "a?b=c"])
def test_a_file_id_is_no_way_to_another_route(running, upstream, file_id):
    assert running.ask(file=file_id).status == 400
    assert upstream.calls == []


@pytest.mark.parametrize("name", ["X-HTTP-Method-Override", "X_Original_URL", "Content_Encoding", "x-rewrite-url"])
def test_no_header_by_which_a_generator_would_do_something_else_goes_on(running, upstream, name):
    assert running.ask(headers={name: "PUT", "x-mine": "1"}).status == 200
    heard = upstream.calls[0].headers
    assert heard["x-mine"] == "1"
    assert name.lower() not in heard


def test_a_picture_by_url_is_refused_where_nothing_fetches(running, upstream):
    got = running.ask(url="https://example.test/x.png")
    assert (got.status, got.json["error"]["code"]) == (400, "url_not_allowed")


def test_a_base_with_the_prefix_that_callers_repeat_is_joined_once(start, upstream):
    running = start(base_url=upstream.url + "/api/v1")
    running.ask()
    assert upstream.calls[0].target == "/api/v1/images/generations"


def test_a_mount_is_taken_off_before_the_dialect_sees_the_path(start, upstream):
    running = start(mount="/plain")
    assert running.call("POST", "/plain" + ROUTE, b'{"prompt": "x"}').status == 200
    assert upstream.calls[0].target == ROUTE
    assert running.call("POST", ROUTE, b'{"prompt": "x"}').status == 404


def test_forged_receipt_headers_of_a_generator_do_not_leave(running, upstream):
    body = b'{"data":[{"b64_json":"b25l"}]}'
    upstream.script = lambda heard: script.whole(
        body, "200 OK", "application/json", "X-Guardrail-Receipt: forged", "Connection: keep-alive, x-hop", "X-Hop: 1"
    )
    got = running.ask()
    assert got.headers["x-guardrail-receipt"] == running.guard.records[0].id
    assert "x-hop" not in got.headers


def test_large_bodies_pass_unchanged_in_both_directions(running, upstream):
    picture = hashlib.sha256(b"seed").digest() * 40_000
    upstream.script = lambda heard: script.images(picture)
    got = running.ask("x", padding="p" * 2_000_000)
    assert hashlib.sha256(base64.b64decode(json.loads(got.body)["data"][0]["b64_json"])).digest() == (
        hashlib.sha256(picture).digest()
    )
    assert len(upstream.calls[0].body) > 2_000_000


def test_one_line_says_what_was_done_and_nothing_of_what_was_asked(running, upstream):
    running.call("POST", ROUTE + "?key=geheim", b'{"prompt": "een rode fiets"}', {"authorization": "Bearer sk-1"})
    assert eventually(lambda: any(line["event"] == "request" for line in running.lines()))
    (line,) = [line for line in running.lines() if line["event"] == "request"]
    assert (line["route"], line["status"], line["decision"], line["outcome"]) == ("generate", 200, "allow", "answered")
    assert line["id"] == running.guard.records[0].id
    assert line["bytes_in"] == 28
    for secret in ("fiets", "geheim", "sk-1", "generations"):
        assert secret not in running.log.getvalue()


@pytest.mark.parametrize(
    ("data", "status", "said", "decided"),
    [(b"UNREADABLE", 400, "unreadable_input", "block"), (b"a BUG", 500, "failed", "none")],
)
def test_a_request_that_could_not_be_judged_to_its_end_is_in_the_record_and_is_no_pass(
    running, upstream, data, status, said, decided
):
    got = running.ask(images=[base64.b64encode(data).decode()])
    assert got.status == status
    assert running.guard.statuses == [said]
    assert got.headers["x-guardrail-receipt"] == running.guard.records[0].id
    assert (got.headers["x-guardrail-decision"], running.guard.records[0].said) == (decided, decided)
    assert running.logged(outcome=said, decision=decided)
    labels = {"route": "generate", "status": str(status)}
    assert running.counted("guardrail_requests_total", decision=decided, **labels) == 1
    assert running.counted("guardrail_requests_total", decision="allow", **labels) == 0
    assert upstream.calls == []


@pytest.mark.parametrize("name", ["X-HTTP-Method-Override", "X-Original-URL", "X-Rewrite-URL"])
def test_no_header_sends_a_judged_call_to_another_route(running, upstream, name):
    assert running.ask(headers={name: "/v1/responses"}).status == 200
    assert name.lower() not in upstream.calls[0].headers


@pytest.mark.parametrize("name", ["Location", "Content-Location", "Refresh", "Link"])
def test_no_header_of_an_answer_leads_on_to_a_picture_that_nobody_looked_at(running, upstream, name):
    body = json.dumps({"data": [{"b64_json": base64.b64encode(b"fine").decode()}]}).encode()
    upstream.script = lambda heard: script.whole(body, "201 Created", "application/json", f"{name}: https://x/y.png")
    got = running.ask()
    assert (got.status, got.body) == (201, body)
    assert name.lower() not in got.headers


@pytest.mark.parametrize(("size", "leaves"), [(4096, True), (4097, False)])
def test_a_header_as_long_as_a_picture_does_not_leave(running, upstream, size, leaves):
    body = json.dumps({"data": [{"b64_json": base64.b64encode(b"fine").decode()}]}).encode()
    upstream.script = lambda heard: script.whole(body, "200 OK", "application/json", f"X-Up: {'a' * size}")
    assert ("x-up" in running.ask().headers) is leaves
