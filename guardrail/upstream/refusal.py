"""Refusals and errors: what a caller is told, whatever the protocol; each protocol puts it in a form of its own."""

from __future__ import annotations

import math
from typing import NamedTuple

from guardrail.errors import AuditError, BadRequest, GuardrailError, Overloaded, UpstreamError
from guardrail.types import Action, Decision
from guardrail.upstream.dialect import Headers

_AUDIT_RETRY_S = 5


class Fault(NamedTuple):
    """An error as callers are told of it: status, a word for programs, a sentence, and when to try again if at all."""

    status: int
    code: str
    text: str
    retry: Headers = ()


def fault(error: GuardrailError) -> Fault:
    """What is told of an error. Messages of faults of our own stay inside."""
    if isinstance(error, BadRequest):
        return Fault(error.status, error.code, str(error))
    if isinstance(error, UpstreamError):
        code = "upstream_timeout" if error.status == 504 else "upstream_error"
        return Fault(error.status, code, f"The image generator's answer could not be used: {error}")
    if isinstance(error, Overloaded):
        wait = str(max(1, math.ceil(error.retry_after_s)))
        return Fault(503, "overloaded", "The guard is at its limit; try again later.", (("retry-after", wait),))
    if isinstance(error, AuditError):
        text = "The record of this request could not be written, so its answer is withheld."
        return Fault(503, "audit_unavailable", text, (("retry-after", str(_AUDIT_RETRY_S)),))
    return Fault(500, "guard_fault", "The guard could not judge this request, so it is refused.")


def sentence(decision: Decision, refused: str, held: str) -> str:
    """`refused`, or `held` where a person is to look at it; then the rules and the receipt."""
    rules = f" Rules: {', '.join(decision.rules)}." if decision.rules else ""
    receipt = f" Receipt: {decision.receipt.id}." if decision.receipt is not None else ""
    return (held if decision.action is Action.HOLD else refused) + rules + receipt


def request(decision: Decision) -> str:
    """`sentence` about a request, for protocols that have no words of their own."""
    what = "The request was refused"
    return sentence(decision, f"{what}.", f"{what} and is held for review by a person.")
