"""Routes of chat completions, and of OpenRouter's images: which are judged, which pass, and that all else is closed."""

from __future__ import annotations

import re
from enum import Enum

from guardrail.upstream.dialect import Door


class Route(Enum):
    """A judged route."""

    CHAT = "chat.completions"
    IMAGES = "images"


_BASES = ("", "/v1", "/api/v1")
_JUDGED = {f"{base}{path}": route for base in _BASES for path, route in
           (("/chat/completions", Route.CHAT), ("/images", Route.IMAGES))}  # fmt: skip
_ID = r"(?!\.\.?(?:/|\Z))[A-Za-z0-9._:@-]{1,128}"
_PASSED = re.compile(rf"(?:/api)?(?:/v1)?(?:/images)?/models(?:/{_ID}){{0,2}}(?:/endpoints)?")


def judged(method: str, path: str) -> Route | None:
    """The judged route that this is, or None."""
    return _JUDGED.get(path) if method == "POST" else None


def door(method: str, path: str) -> Door:
    """What to do with a route: `path` as the client sent it, without the query."""
    if judged(method, path) is not None:
        return Door.JUDGED
    if method == "GET" and _PASSED.fullmatch(path):
        return Door.PASSED
    return Door.CLOSED
