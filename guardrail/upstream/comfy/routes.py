"""Routes of ComfyUI: which are judged, which pass, and that all else is closed. Each is there under `/api` too.

A route is compared as the bytes that came. The web interface, `/userdata`, `/api/jobs` and the list of all that was
ever made (`/history` without an id) are closed. So is what stops or forgets the jobs of everybody, unless the operator
opens it.
"""

from __future__ import annotations

import re
from collections.abc import Set
from enum import Enum

from guardrail.upstream.dialect import Door


class Route(Enum):
    """A judged route."""

    PROMPT = "prompt"
    UPLOAD = "upload"
    UPLOAD_MASK = "upload-mask"
    HISTORY = "history"
    VIEW = "view"
    QUEUE = "queue"


JUDGED = {
    ("POST", "/prompt"): Route.PROMPT,
    ("POST", "/upload/image"): Route.UPLOAD,
    ("POST", "/upload/mask"): Route.UPLOAD_MASK,
    ("GET", "/view"): Route.VIEW,
    ("GET", "/queue"): Route.QUEUE,
}
HISTORY = re.compile(r"/history/([A-Za-z0-9_-]{1,64})")
PASSED = frozenset(
    {("GET", path) for path in ("/prompt", "/object_info", "/system_stats", "/features", "/embeddings")}
    | {("GET", path) for path in ("/extensions", "/models")}
)
CONTROLS = frozenset({"queue", "history", "interrupt", "free"})
"""Posted to a route of this name, it reaches the jobs of everybody: the server knows no users."""
_LISTED = re.compile(r"/(?:object_info|models)/(?!\.\.?\Z)[A-Za-z0-9_. +()-]{1,128}")


def bare(path: str) -> str:
    """The route without `/api` before it."""
    return path[4:] if path.startswith("/api/") else path


def judged(method: str, path: str) -> Route | None:
    """The judged route that this is, or None."""
    path = bare(path)
    if method == "GET" and HISTORY.fullmatch(path):
        return Route.HISTORY
    return JUDGED.get((method, path))


def door(method: str, path: str, controls: Set[str]) -> Door:
    """What to do with a route: `path` as the client sent it, without the query. `controls` are those that are open."""
    if judged(method, path) is not None:
        return Door.JUDGED
    path = bare(path)
    if (method, path) == ("GET", "/ws"):
        return Door.SOCKET
    if (method, path) in PASSED or (method == "GET" and _LISTED.fullmatch(path)):
        return Door.PASSED
    return Door.PASSED if method == "POST" and path[1:] in controls else Door.CLOSED
