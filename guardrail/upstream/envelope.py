"""Refusals and errors in the envelope of the OpenAI API, which several protocols share: unmodified clients raise what
they would raise anyway."""

from __future__ import annotations

import json

from guardrail.errors import BadRequest, GuardrailError
from guardrail.types import Decision, Stage
from guardrail.upstream.dialect import Reply
from guardrail.upstream.refusal import fault as told_of
from guardrail.upstream.refusal import sentence

TYPE = "image_generation_user_error"
CODE = "moderation_blocked"
# LiteLLM knows a refusal by these words and by nothing else.
PHRASE = "request was rejected as a result of the safety system"


def refuse(decision: Decision, stage: Stage) -> Reply:
    """The refusal of a whole request: 400, not to be retried, with rule ids and the receipt's id and nothing more."""
    headers = [("content-type", "application/json"), ("x-should-retry", "false")]
    if decision.receipt is not None:
        # The official client shows this as `request_id`.
        headers.append(("x-request-id", decision.receipt.id))
    return Reply(400, headers, json.dumps({"error": refusal(decision, stage)}).encode())


def refusal(decision: Decision, stage: Stage) -> dict[str, object]:
    """The error object of a refusal."""
    return {
        "message": message(decision),
        "type": TYPE,
        "param": None,
        "code": CODE,
        "moderation_details": {
            "moderation_stage": "output" if stage is Stage.OUTPUT else "input",
            "categories": list(decision.rules),
        },
    }


def refused_entry(decision: Decision) -> bytes:
    """What stands in the answer instead of an entry that was refused."""
    error = {
        "type": TYPE,
        "code": CODE,
        "message": message(decision),
        "receipt": decision.receipt.id if decision.receipt is not None else None,
    }
    return json.dumps({"b64_json": None, "url": None, "error": error}).encode()


def message(decision: Decision) -> str:
    """One sentence for a person: refused, or held for review; the rules; the receipt."""
    return sentence(decision, f"Your {PHRASE}.", f"Your {PHRASE} and is held for review by a person.")


def fault(error: GuardrailError) -> Reply:
    """The answer to an error."""
    told = told_of(error)
    never = [("x-should-retry", "false")] if isinstance(error, BadRequest) else []
    headers = [("content-type", "application/json"), *never, *told.retry]
    return Reply(told.status, headers, json.dumps({"error": _fault(error)}).encode())


def _fault(error: GuardrailError) -> dict[str, object]:
    told = told_of(error)
    if isinstance(error, BadRequest):
        return _error(told.text, "invalid_request_error", error.param, told.code)
    return _error(told.text, "server_error", None, told.code)


def _error(text: str, kind: str, param: str | None, code: str) -> dict[str, object]:
    return {"message": text, "type": kind, "param": param, "code": code}


def refuse_event(decision: Decision) -> bytes:
    """The refusal as the last event of a stream. Nested: the flat form is not raised by the Images client."""
    return _event(refusal(decision, Stage.OUTPUT))


def fault_event(error: GuardrailError) -> bytes:
    """The error as the last event of a stream."""
    return _event(_fault(error))


def _event(error: dict[str, object]) -> bytes:
    return b"data: " + json.dumps({"error": error}).encode() + b"\n\n"
