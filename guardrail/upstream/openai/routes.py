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


# The third is Azure's newer form; its older one has the name of a deployment in the path.
BASES = ("", "/v1", "/openai/v1")
_JUDGED = {f"{base}/images/{route.value}": route for base in BASES for route in Route}
_DEPLOYED = re.compile(r"/openai/deployments/(?!\.\.?/)[A-Za-z0-9._-]{1,64}/images/(generations|edits)")
_PASSED = re.compile(r"(?:(?:/openai)?/v1|/openai)?/models(?:/(?!\.\.?\Z)[A-Za-z0-9._:-]{1,128})?")
_ANSWERED = frozenset({"/moderations", "/v1/moderations"})


def judged(method: str, path: str) -> Route | None:
    """The judged route that this is, or None."""
    if method != "POST":
        return None
    named = _JUDGED.get(path)
    if named is not None:
        return named
    found = _DEPLOYED.fullmatch(path)
    return Route(found.group(1)) if found is not None else None


def deployed(path: str) -> bool:
    """True for a judged route that names a deployment, as Azure's classic API does."""
    return _DEPLOYED.fullmatch(path) is not None


def door(method: str, path: str) -> Door:
    """What to do with a route: `path` as the client sent it, without the query, with or without `/v1`."""
    if judged(method, path) is not None:
        return Door.JUDGED
    if method == "POST" and path in _ANSWERED:
        return Door.ANSWERED
    if method == "GET" and _PASSED.fullmatch(path):
        return Door.PASSED
    return Door.CLOSED
