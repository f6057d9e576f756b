"""Refusals in the words of Replicate: a prediction that failed, which clients raise once; errors as problem details."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from guardrail.errors import GuardrailError
from guardrail.types import Decision
from guardrail.upstream import refusal
from guardrail.upstream.dialect import Headers, Reply

JSON: Headers = (("content-type", "application/json"),)
# The words and the code that Replicate's own models refuse with.
PHRASE = "The input or output was flagged as sensitive. Please try again with different inputs. (E005)"


def message(decision: Decision) -> str:
    """One sentence for a person: flagged, or held for review; the rules; the receipt."""
    return refusal.sentence(decision, PHRASE, f"{PHRASE} It is held for review by a person.")


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
    """The answer to an error."""
    told = refusal.fault(error)
    return problem(told.status, told.text, *told.retry)


def event(name: str, text: str) -> bytes:
    """One event of a stream. Clients want an id."""
    lines = "".join(f"data: {line}\n" for line in text.splitlines() or [""])
    return f"event: {name}\nid: guardrail\n{lines}\n".encode()
