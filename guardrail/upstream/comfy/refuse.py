"""Refusals and errors in the form of ComfyUI: `{error: {type, message, details, extra_info}, node_errors}`, and the
two messages that end a job on the socket."""

from __future__ import annotations

import json
from typing import Any

from guardrail.errors import BadRequest, GuardrailError, UpstreamError
from guardrail.types import Decision
from guardrail.upstream import refusal
from guardrail.upstream.dialect import Reply

TYPE = "content_policy_violation"
EXCEPTION = "ContentPolicyViolation"


def message(decision: Decision) -> str:
    """One sentence for a person."""
    return refusal.request(decision)


def refuse(decision: Decision, *, status: int = 400) -> Reply:
    """The refusal of a whole request. No client tested tries again on 400 or 403."""
    told = {"rules": list(decision.rules), "receipt": decision.receipt.id if decision.receipt is not None else None}
    return _reply(status, TYPE, message(decision), told)


def fault(error: GuardrailError) -> Reply:
    """The answer to an error."""
    told = refusal.fault(error)
    kind = "upstream_error" if isinstance(error, UpstreamError) else told.code
    extra = {"param": error.param} if isinstance(error, BadRequest) else {}
    return _reply(told.status, kind, told.text, extra, *told.retry)


def _reply(status: int, kind: str, text: str, extra: dict[str, Any], *more: tuple[str, str]) -> Reply:
    error = {"type": kind, "message": text, "details": "", "extra_info": extra}
    body = json.dumps({"error": error, "node_errors": {}}).encode()
    return Reply(status, [("content-type", "application/json"), *more], body)


def ended(job_id: str, node: str, kind: str, text: str) -> tuple[str, str]:
    """What the socket says of a job that was refused: some clients wait for the first message, some for the second."""
    failed = {
        "type": "execution_error",
        "data": {
            "prompt_id": job_id,
            "node_id": node,
            "node_type": kind,
            "executed": [],
            "exception_message": text,
            "exception_type": EXCEPTION,
            "traceback": [],
            "current_inputs": {},
            "current_outputs": [],
        },
    }
    over = {"type": "executing", "data": {"node": None, "display_node": None, "prompt_id": job_id}}
    return json.dumps(failed), json.dumps(over)


def history(job_id: str, text: str) -> bytes:
    """The history of a job that was refused."""
    failed = {"prompt_id": job_id, "exception_message": text, "exception_type": EXCEPTION}
    status = {"status_str": "error", "completed": False, "messages": [["execution_error", failed]]}
    return json.dumps({job_id: {"prompt": [], "outputs": {}, "status": status, "meta": {}}}).encode()
