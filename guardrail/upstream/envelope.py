"""Refusals and errors in the envelope of the OpenAI API, which several protocols share: unmodified clients raise what
they would raise anyway."""

from __future__ import annotations

import json
import math

from guardrail.errors import AuditError, BadRequest, GuardrailError, Overloaded, UpstreamError
from guardrail.types import Action, Decision, Stage
from guardrail.upstream.dialect import Reply

TYPE = "image_generation_user_error"
CODE = "moderation_blocked"
# LiteLLM knows a refusal by these words and by nothing else.
PHRASE = "request was rejected as a result of the safety system"
_AUDIT_RETRY_S = 5


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
    held = decision.action is Action.HOLD
    what = f"Your {PHRASE}" + (" and is held for review by a person." if held else ".")
    rules = f" Rules: {', '.join(decision.rules)}." if decision.rules else ""
    receipt = f" Receipt: {decision.receipt.id}." if decision.receipt is not None else ""
    return what + rules + receipt


def fault(error: GuardrailError) -> Reply:
    """The answer to an error. Messages of faults of our own stay inside."""
    status, body = _fault(error)
    headers = [("content-type", "application/json")]
    if isinstance(error, BadRequest):
        headers.append(("x-should-retry", "false"))
    elif isinstance(error, Overloaded):
        headers.append(("retry-after", str(max(1, math.ceil(error.retry_after_s)))))
    elif isinstance(error, AuditError):
        headers.append(("retry-after", str(_AUDIT_RETRY_S)))
    return Reply(status, headers, json.dumps({"error": body}).encode())


def _fault(error: GuardrailError) -> tuple[int, dict[str, object]]:
    if isinstance(error, BadRequest):
        return error.status, _error(str(error), "invalid_request_error", error.param, error.code)
    if isinstance(error, UpstreamError):
        code = "upstream_timeout" if error.status == 504 else "upstream_error"
        return error.status, _error(
            f"The image generator's answer could not be used: {error}", "server_error", None, code
        )
    if isinstance(error, Overloaded):
        return 503, _error("The guard is at its limit; try again later.", "server_error", None, "overloaded")
    if isinstance(error, AuditError):
        return 503, _error(
            "The record of this request could not be written, so its answer is withheld.",
            "server_error",
            None,
            "audit_unavailable",
        )
    return 500, _error("The guard could not judge this request, so it is refused.", "server_error", None, "guard_fault")


def _error(text: str, kind: str, param: str | None, code: str) -> dict[str, object]:
    return {"message": text, "type": kind, "param": param, "code": code}


def refuse_event(decision: Decision) -> bytes:
    """The refusal as the last event of a stream. Nested: the flat form is not raised by the Images client."""
    return _event(refusal(decision, Stage.OUTPUT))


def fault_event(error: GuardrailError) -> bytes:
    """The error as the last event of a stream."""
    return _event(_fault(error)[1])


def _event(error: dict[str, object]) -> bytes:
    return b"data: " + json.dumps({"error": error}).encode() + b"\n\n"
