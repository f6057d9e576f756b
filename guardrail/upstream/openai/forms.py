"""The forms in which vendors of this protocol refuse: OpenAI's own, Azure's classic one, and xAI's."""

from __future__ import annotations

import json
from enum import Enum
from typing import Any

from guardrail.errors import GuardrailError
from guardrail.types import Decision, Stage
from guardrail.upstream import envelope
from guardrail.upstream.dialect import Reply


class Form(Enum):
    """Whose words are used."""

    OPENAI = "openai"
    AZURE = "azure"
    XAI = "xai"


def refuse(decision: Decision, stage: Stage, form: Form) -> Reply:
    """The refusal of a whole request: 400, not to be retried."""
    reply = envelope.refuse(decision, stage)
    if form is Form.AZURE:
        return Reply(reply.status, reply.headers, json.dumps({"error": _azure(decision, stage)}).encode())
    return _xai(reply) if form is Form.XAI else reply


def fault(error: GuardrailError, form: Form) -> Reply:
    """The answer to an error."""
    reply = envelope.fault(error)
    return _xai(reply) if form is Form.XAI else reply


def refused_entry(decision: Decision, *, respect_moderation: bool) -> bytes:
    """What stands in an answer in place of a refused entry; xAI's clients go by `respect_moderation`."""
    entry = envelope.refused_entry(decision)
    return entry[:-1] + b', "respect_moderation": false}' if respect_moderation else entry


def _azure(decision: Decision, stage: Stage) -> dict[str, Any]:
    """Rules of the operator's own are what Azure calls custom block lists."""
    rules = [{"id": rule, "filtered": True} for rule in decision.rules]
    return {
        **envelope.refusal(decision, stage),
        "code": "contentFilter",
        "inner_error": {
            "code": "ResponsibleAIPolicyViolation",
            "content_filter_results": {"custom_blocklists": {"filtered": True, "details": rules}},
        },
    }


def _xai(reply: Reply) -> Reply:
    """`{"code": ..., "error": "text"}`: no object inside."""
    error = json.loads(reply.body)["error"]
    return Reply(reply.status, reply.headers, json.dumps({"code": error["code"], "error": error["message"]}).encode())
