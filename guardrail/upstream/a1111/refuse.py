"""Refusals and errors in the form of the AUTOMATIC1111 API: `{error, detail, body, errors}`. It has none of its own
for moderation; clients raise for any status but 200 and show the text."""

from __future__ import annotations

import json
import math

from guardrail.errors import AuditError, BadRequest, GuardrailError, Overloaded, UpstreamError
from guardrail.types import Action, Decision
from guardrail.upstream.dialect import Reply

ERROR = "ContentPolicyViolation"
_AUDIT_RETRY_S = 5


def refuse(decision: Decision) -> Reply:
    """The refusal of a whole request: 400, with rule ids and the receipt's id and nothing more."""
    held = decision.action is Action.HOLD
    text = "The request was refused" + (" and is held for review by a person." if held else ".")
    text += f" Rules: {', '.join(decision.rules)}." if decision.rules else ""
    text += f" Receipt: {decision.receipt.id}." if decision.receipt is not None else ""
    return _reply(400, ERROR, text, list(decision.rules))


def fault(error: GuardrailError) -> Reply:
    """The answer to an error. Messages of faults of our own stay inside."""
    if isinstance(error, BadRequest):
        return _reply(error.status, "BadRequest", str(error), [error.code])
    if isinstance(error, UpstreamError):
        return _reply(error.status, "UpstreamError", f"The image generator's answer could not be used: {error}", [])
    if isinstance(error, Overloaded):
        wait = str(max(1, math.ceil(error.retry_after_s)))
        return _reply(503, "Overloaded", "The guard is at its limit; try again later.", [], ("retry-after", wait))
    if isinstance(error, AuditError):
        text = "The record of this request could not be written, so its answer is withheld."
        return _reply(503, "AuditUnavailable", text, [], ("retry-after", str(_AUDIT_RETRY_S)))
    return _reply(500, "GuardFault", "The guard could not judge this request, so it is refused.", [])


def _reply(status: int, error: str, detail: str, codes: list[str], *more: tuple[str, str]) -> Reply:
    body = {"error": error, "detail": detail, "body": "", "errors": ", ".join(codes)}
    return Reply(status, [("content-type", "application/json"), *more], json.dumps(body).encode())
