"""Routes of the OpenAI API: which are judged, which pass, and that all else is closed.

A route is compared as the bytes that came. Nothing is decoded, folded or tidied up first, so no spelling of a closed
route can become another one here and be turned back by the upstream.
"""

from __future__ import annotations

import re
from enum import Enum

from guardrail.upstream.dialect import Door


class Route(Enum):
    """A judged route."""

    GENERATIONS = "generations"
    EDITS = "edits"
    VARIATIONS = "variations"


_JUDGED = {f"{base}/images/{route.value}": route for base in ("", "/v1") for route in Route}
_PASSED = re.compile(r"(?:/v1)?/models(?:/(?!\.\.?\Z)[A-Za-z0-9._:-]{1,128})?")


def judged(method: str, path: str) -> Route | None:
    """The judged route that this is, or None."""
    return _JUDGED.get(path) if method == "POST" else None


def door(method: str, path: str) -> Door:
    """What to do with a route: `path` as the client sent it, without the query, with or without `/v1`."""
    if judged(method, path) is not None:
        return Door.JUDGED
    if method == "GET" and _PASSED.fullmatch(path):
        return Door.PASSED
    return Door.CLOSED
