"""Refusals in the words of the Responses API: a call of the image tool that failed, and a message that says why."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from guardrail.errors import GuardrailError
from guardrail.types import Decision, Stage
from guardrail.upstream import envelope
from guardrail.upstream.dialect import Reply


def failed_call(decision: Decision, item_id: str = "") -> dict[str, Any]:
    """An `image_generation_call` whose picture was refused."""
    return {
        "id": item_id or f"ig_{_receipt(decision)}",
        "type": "image_generation_call",
        "status": "failed",
        "result": None,
        "error": envelope.refusal(decision, Stage.OUTPUT),
    }


def message(decision: Decision) -> dict[str, Any]:
    """An assistant's message that refuses."""
    return {
        "id": f"msg_{_receipt(decision)}",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "refusal", "refusal": envelope.message(decision)}],
    }


def response(
    decision: Decision, seen: Mapping[str, Any] | None = None, output: Sequence[Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """A response whose pictures are refused; `seen` is what the generator said of it before."""
    bare = {
        "id": f"resp_{_receipt(decision)}",
        "object": "response",
        "created_at": 0,
        "model": "",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "temperature": None,
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
    }
    said = list(output) if output is not None else [failed_call(decision), message(decision)]
    return {**bare, **(seen or {}), "status": "completed", "output": said}


def refuse(decision: Decision) -> Reply:
    """The refusal of an answer as a whole: a response with nothing but the refusal in it."""
    headers = [("content-type", "application/json"), ("x-should-retry", "false")]
    if decision.receipt is not None:
        headers.append(("x-request-id", decision.receipt.id))
    return Reply(200, headers, json.dumps(response(decision)).encode())


def event(kind: str, number: int, **more: Any) -> bytes:
    """One server-sent event."""
    said = {"type": kind, "sequence_number": number, **more}
    return f"event: {kind}\ndata: {json.dumps(said)}\n\n".encode()


def fault_event(error: GuardrailError, number: int) -> bytes:
    """The error as the last event: flat as this API has it, and nested so that clients raise it."""
    nested = json.loads(envelope.fault(error).body)["error"]
    return event("error", number, code=nested["code"], message=nested["message"], param=nested["param"], error=nested)


def _receipt(decision: Decision) -> str:
    return decision.receipt.id if decision.receipt is not None else "refused"
