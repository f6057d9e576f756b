"""Routes of the Responses API: which are judged, which pass, and that all else is closed.

Closed on purpose: conversations, compaction and lists of input items hold pictures and texts under names that nobody
here can look behind; files and containers too.
"""

from __future__ import annotations

import re
from enum import Enum

from guardrail.upstream.dialect import Door


class Route(Enum):
    """A judged route."""

    CREATE = "responses"
    POLL = "responses.poll"


_BASE = r"(?:/openai)?(?:/v1)?"
_CREATE = re.compile(rf"{_BASE}/responses")
_POLL = re.compile(rf"{_BASE}/responses/([A-Za-z0-9_-]{{1,256}})")
_CANCEL = re.compile(rf"{_BASE}/responses/([A-Za-z0-9_-]{{1,256}})/cancel")
_MODELS = re.compile(rf"{_BASE}/models(?:/(?!\.\.?\Z)[A-Za-z0-9._:-]{{1,128}})?")
_RESERVED = frozenset({"compact", "input_tokens"})


def judged(method: str, path: str) -> tuple[Route, str] | None:
    """The judged route that this is, with the id of the response that is polled; or None."""
    if method == "POST" and _CREATE.fullmatch(path):
        return Route.CREATE, ""
    found = _POLL.fullmatch(path) if method == "GET" else _CANCEL.fullmatch(path) if method == "POST" else None
    return None if found is None or found.group(1) in _RESERVED else (Route.POLL, found.group(1))


def door(method: str, path: str) -> Door:
    """What to do with a route: `path` as the client sent it, without the query."""
    if judged(method, path) is not None:
        return Door.JUDGED
    if method == "GET" and _MODELS.fullmatch(path):
        return Door.PASSED
    return Door.CLOSED
