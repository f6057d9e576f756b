import json

import pytest

from guardrail.errors import AuditError, BadRequest, CheckError, ConfigError, Overloaded, UpstreamError
from guardrail.types import Action, Stage
from guardrail.upstream.dialect import Dialect
from guardrail.upstream.openai import OpenAIImages
from guardrail.upstream.openai.stream import EventReader
from tests.upstream.asking import decision

openai: Dialect = OpenAIImages()
PHRASE = "request was rejected as a result of the safety system"


@pytest.mark.parametrize(("stage", "said"), [(Stage.PROMPT, "input"), (Stage.INPUT, "input"), (Stage.OUTPUT, "output")])
@pytest.mark.parametrize("action", [Action.BLOCK, Action.HOLD])
def test_a_refusal_has_the_form_that_every_client_knows(action, stage, said):
    reply = openai.refuse(decision(action, "undress-request", "minor", receipt="rcp-9"), stage)
    headers = dict(reply.headers)
    assert (reply.status, headers["x-should-retry"], headers["x-request-id"]) == (400, "false", "rcp-9")
    assert headers["content-type"] == "application/json"
    error = json.loads(reply.body)["error"]
    assert (error["type"], error["code"], error["param"]) == ("image_generation_user_error", "moderation_blocked", None)
    assert error["moderation_details"] == {"moderation_stage": said, "categories": ["undress-request", "minor"]}
    assert PHRASE in error["message"]
    assert "undress-request, minor" in error["message"]
    assert "rcp-9" in error["message"]
    assert ("held for review" in error["message"]) is (action is Action.HOLD)


def test_a_refusal_without_a_receipt_says_none():
    reply = openai.refuse(decision(receipt=None), Stage.PROMPT)
    assert "x-request-id" not in dict(reply.headers)
    assert "Receipt" not in json.loads(reply.body)["error"]["message"]


@pytest.mark.parametrize(
    ("error", "status", "code", "kind"),
    [
        (BadRequest("n is 3", param="n", code="invalid_value"), 400, "invalid_value", "invalid_request_error"),
        (BadRequest("big", status=413, code="body_too_large"), 413, "body_too_large", "invalid_request_error"),
        (BadRequest("no such route", status=404, code="unknown_url"), 404, "unknown_url", "invalid_request_error"),
        (BadRequest("type", status=415), 415, "invalid_request", "invalid_request_error"),
        (UpstreamError("it was cut"), 502, "upstream_error", "server_error"),
        (UpstreamError("it was slow", status=504), 504, "upstream_timeout", "server_error"),
        (Overloaded("full", retry_after_s=1.2), 503, "overloaded", "server_error"),
        (AuditError("disk full at /secret"), 503, "audit_unavailable", "server_error"),
        (CheckError("secret"), 500, "guard_fault", "server_error"),
        (ConfigError("secret"), 500, "guard_fault", "server_error"),
    ],
)
def test_every_error_has_its_native_form(error, status, code, kind):
    reply = openai.fault(error)
    body = json.loads(reply.body)["error"]
    assert (reply.status, body["code"], body["type"]) == (status, code, kind)
    assert body["param"] == getattr(error, "param", None)
    assert b"secret" not in reply.body


def test_who_should_come_back_is_told_when_and_who_should_not_is_told_so():
    assert dict(openai.fault(Overloaded("full", retry_after_s=1.2)).headers)["retry-after"] == "2"
    assert dict(openai.fault(Overloaded("full", retry_after_s=0.0)).headers)["retry-after"] == "1"
    assert "retry-after" in dict(openai.fault(AuditError("x")).headers)
    assert dict(openai.fault(BadRequest("x")).headers)["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("event", "code"),
    [
        (EventReader(OpenAIImages().limits).refuse(decision()), "moderation_blocked"),
        (EventReader(OpenAIImages().limits).fault(UpstreamError("it was cut")), "upstream_error"),
    ],
)
def test_events_that_end_a_stream_are_nested_and_read_back_as_errors(event, code):
    assert event.startswith(b'data: {"error": {')
    assert event.endswith(b"\n\n")
    assert json.loads(event.removeprefix(b"data: "))["error"]["code"] == code
    reader = EventReader(OpenAIImages().limits)
    assert [found.error for found in reader.feed(event)] == [True]
    assert reader.close() == []
