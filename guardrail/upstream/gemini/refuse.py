"""Refusals and errors in the words of the Gemini API. A block is an answer there, status 200 with a reason in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from guardrail.errors import BadRequest, GuardrailError
from guardrail.types import Decision, Stage
from guardrail.upstream import refusal
from guardrail.upstream.dialect import Call, Reply
from guardrail.upstream.envelope import message
from guardrail.upstream.gemini.routes import FORM

PROMPT, IMAGE = "SAFETY", "IMAGE_SAFETY"
UPLOADED = ("x-goog-upload-status", "final")
"""Without it clients send a file again that was refused, three times. It says nothing to any other call."""
_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    502: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def refuse(decision: Decision, stage: Stage, call: Call | None) -> Reply:
    """The refusal of a whole request: a blocked prompt, or one candidate without content, in the form asked for."""
    said = output(decision) if stage is Stage.OUTPUT else blocked(decision, stage)
    form = call.state.get(FORM) if call is not None else None
    if form == "upload":
        whole = _error(400, message(decision), PROMPT if stage is Stage.PROMPT else IMAGE)
        return Reply(400, [("content-type", "application/json; charset=UTF-8"), UPLOADED], json.dumps(whole).encode())
    if form == "event":
        return Reply(200, [("content-type", "text/event-stream")], event(said))
    listed: object = [said] if form == "array" else said
    return Reply(200, [("content-type", "application/json; charset=UTF-8")], json.dumps(listed).encode())


def blocked(decision: Decision, stage: Stage) -> dict[str, Any]:
    """What is said of a prompt, or of a picture in it, that is blocked: no candidates, and why."""
    reason = IMAGE if stage is Stage.INPUT else PROMPT
    return _with_id(
        {
            "promptFeedback": {"blockReason": reason, "blockReasonMessage": message(decision)},
            "usageMetadata": {"promptTokenCount": 0, "totalTokenCount": 0},
        },
        decision,
    )


def output(decision: Decision) -> dict[str, Any]:
    """An answer whose pictures are all refused."""
    return _with_id(
        {
            "candidates": [candidate(decision, 0)],
            "usageMetadata": {"promptTokenCount": 0, "totalTokenCount": 0},
        },
        decision,
    )


def candidate(decision: Decision, index: int) -> dict[str, Any]:
    """What stands in the place of a candidate that was refused."""
    return {"finishReason": IMAGE, "finishMessage": message(decision), "index": index}


def _with_id(said: dict[str, Any], decision: Decision) -> dict[str, Any]:
    if decision.receipt is not None:
        said["responseId"] = decision.receipt.id
    return said


def fault(error: GuardrailError) -> Reply:
    """The answer to an error."""
    never = [UPLOADED] if isinstance(error, BadRequest) else []
    headers = [("content-type", "application/json; charset=UTF-8"), *never, *refusal.fault(error).retry]
    said = fault_body(error)
    return Reply(said["error"]["code"], headers, json.dumps(said).encode())


def fault_body(error: GuardrailError) -> dict[str, Any]:
    """The error as JSON, for a whole answer or an event."""
    told = refusal.fault(error)
    return _error(told.status, told.text, told.code)


def _error(status: int, text: str, reason: str) -> dict[str, Any]:
    detail = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "guardrail"}
    name = _STATUS.get(status, "INVALID_ARGUMENT" if status < 500 else "INTERNAL")
    return {"error": {"code": status, "message": text, "status": name, "details": [detail]}}


def event(said: Mapping[str, Any]) -> bytes:
    """One server-sent event, with the line ends of this API."""
    return b"data: " + json.dumps(said).encode() + b"\r\n\r\n"
