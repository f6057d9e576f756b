"""Refusals in the words of Replicate: a prediction that failed, which clients raise once; errors as problem details."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from guardrail.errors import AuditError, BadRequest, GuardrailError, Overloaded, UpstreamError
from guardrail.types import Action, Decision
from guardrail.upstream.dialect import Headers, Reply

JSON: Headers = (("content-type", "application/json"),)
# The words and the code that Replicate's own models refuse with.
PHRASE = "The input or output was flagged as sensitive. Please try again with different inputs. (E005)"
_AUDIT_RETRY_S = 5


def message(decision: Decision) -> str:
    """One sentence for a person: flagged, or held for review; the rules; the receipt."""
    held = " It is held for review by a person." if decision.action is Action.HOLD else ""
    rules = f" Rules: {', '.join(decision.rules)}." if decision.rules else ""
    receipt = f" Receipt: {decision.receipt.id}." if decision.receipt is not None else ""
    return PHRASE + held + rules + receipt


def refused_id(decision: Decision) -> str:
    """The id of a prediction that was refused before the generator heard of it."""
    return f"refused-{decision.receipt.id if decision.receipt is not None else 'unrecorded'}"


def prediction(public: str, job_id: str, error: str, known: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A prediction that failed. `known` is what the generator said of it: of that, only names and times are told."""
    said = known or {}
    kept = {
        key: said[key]
        for key in ("model", "version", "source", "created_at", "started_at", "completed_at", "deployment")
        if isinstance(said.get(key), str) and len(said[key]) <= 256
    }
    address = f"{public}/v1/predictions/{job_id}"
    return {
        "id": job_id,
        "model": "",
        "version": "",
        **kept,
        "input": {},
        "output": None,
        "logs": "",
        "error": error,
        "status": "failed",
        "metrics": {},
        "urls": {"get": address, "cancel": f"{address}/cancel"},
    }


def failed(public: str, job_id: str, error: str, known: Mapping[str, Any] | None = None, *, status: int = 200) -> Reply:
    """A prediction that failed, as an answer."""
    return Reply(status, JSON, json.dumps(prediction(public, job_id, error, known)).encode())


def problem(status: int, detail: str, *more: tuple[str, str]) -> Reply:
    """An error as RFC 7807 has it, which clients raise as ReplicateError or ApiError."""
    try:
        title = HTTPStatus(status).phrase
    except ValueError:
        title = "Error"
    body = {"title": title, "detail": detail, "status": status}
    return Reply(status, [("content-type", "application/problem+json"), *more], json.dumps(body).encode())


def fault(error: GuardrailError) -> Reply:
    """The answer to an error. Messages of faults of our own stay inside."""
    if isinstance(error, BadRequest):
        return problem(error.status, str(error))
    if isinstance(error, UpstreamError):
        return problem(error.status, f"The generator's answer could not be used: {error}")
    if isinstance(error, Overloaded):
        wait = str(max(1, math.ceil(error.retry_after_s)))
        return problem(503, "The guard is at its limit; try again later.", ("retry-after", wait))
    if isinstance(error, AuditError):
        text = "The record of this request could not be written, so its answer is withheld."
        return problem(503, text, ("retry-after", str(_AUDIT_RETRY_S)))
    return problem(500, "The guard could not judge this request, so it is refused.")


def event(name: str, text: str) -> bytes:
    """One event of a stream. Clients want an id."""
    lines = "".join(f"data: {line}\n" for line in text.splitlines() or [""])
    return f"event: {name}\nid: guardrail\n{lines}\n".encode()
