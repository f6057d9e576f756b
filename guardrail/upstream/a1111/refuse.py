"""Refusals and errors in the form of the AUTOMATIC1111 API: `{error, detail, body, errors}`. It has none of its own
for moderation; clients raise for any status but 200 and show the text."""

from __future__ import annotations

import json

from guardrail.errors import BadRequest, GuardrailError
from guardrail.types import Decision
from guardrail.upstream import refusal
from guardrail.upstream.dialect import Reply

ERROR = "ContentPolicyViolation"
_NAMES = {
    "upstream_error": "UpstreamError",
    "upstream_timeout": "UpstreamError",
    "overloaded": "Overloaded",
    "audit_unavailable": "AuditUnavailable",
    "guard_fault": "GuardFault",
}


def refuse(decision: Decision) -> Reply:
    """The refusal of a whole request: 400, with rule ids and the receipt's id and nothing more."""
    return _reply(400, ERROR, refusal.request(decision), list(decision.rules))


def fault(error: GuardrailError) -> Reply:
    """The answer to an error."""
    told = refusal.fault(error)
    name, codes = ("BadRequest", [told.code]) if isinstance(error, BadRequest) else (_NAMES[told.code], [])
    return _reply(told.status, name, told.text, codes, *told.retry)


def _reply(status: int, error: str, detail: str, codes: list[str], *more: tuple[str, str]) -> Reply:
    body = {"error": error, "detail": detail, "body": "", "errors": ", ".join(codes)}
    return Reply(status, [("content-type", "application/json"), *more], json.dumps(body).encode())
