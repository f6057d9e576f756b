"""Refusals in the words of fal: 422 `content_policy_violation`, which its clients raise once; errors as `detail`."""

from __future__ import annotations

import json
from typing import Any

from guardrail.errors import BadRequest, GuardrailError, UpstreamError
from guardrail.types import Decision, Stage
from guardrail.upstream import refusal
from guardrail.upstream.dialect import Reply

TYPE = "content_policy_violation"
PHRASE = "The content could not be processed because it contained material flagged by a content checker."


def message(decision: Decision) -> str:
    """One sentence for a person: flagged, or held for review; the rules; the receipt."""
    return refusal.sentence(decision, PHRASE, f"{PHRASE} It is held for review by a person.")


def detail(decision: Decision, stage: Stage) -> dict[str, Any]:
    """What fal says of a request that it refused."""
    where = ["body"] if stage is Stage.OUTPUT else ["body", "prompt"]
    said = {
        "loc": where,
        "msg": message(decision),
        "type": TYPE,
        "url": f"https://docs.fal.ai/errors#{TYPE}",
        "ctx": {"extra_info": {"rules": list(decision.rules), "stage": stage.value}},
        "input": None,
    }
    return {"detail": [said]}


def refuse(decision: Decision, stage: Stage) -> Reply:
    """The refusal of a request, or of what it made: on this status and these headers no client tries again."""
    headers = [
        ("content-type", "application/json"),
        ("x-fal-retryable", "false"),
        ("x-fal-error-type", TYPE),
    ]
    if decision.receipt is not None:
        headers.append(("x-fal-request-id", decision.receipt.id))
    return Reply(422, headers, json.dumps(detail(decision, stage)).encode())


def fault(error: GuardrailError) -> Reply:
    """The answer to an error."""
    told = refusal.fault(error)
    kind = "downstream_service_error" if isinstance(error, UpstreamError) else told.code
    never = [("x-fal-retryable", "false")] if isinstance(error, BadRequest) else []
    return _reply(told.status, told.text, kind, *told.retry, *never)


def _reply(status: int, text: str, kind: str, *more: tuple[str, str]) -> Reply:
    headers = [("content-type", "application/json"), ("x-fal-error-type", kind), *more]
    return Reply(status, headers, json.dumps({"detail": text, "error_type": kind}).encode())


def event(body: dict[str, Any]) -> bytes:
    """One event of a stream."""
    return b"event: error\ndata: " + json.dumps(body).encode() + b"\n\n"


def fault_event(error: GuardrailError) -> bytes:
    """The error as the last event of a stream."""
    body: dict[str, Any] = json.loads(fault(error).body)
    return event(body)
