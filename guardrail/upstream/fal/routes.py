"""Routes of fal: an app is run at once, or in a queue; which calls are judged, and that all else is closed.

fal has two hosts. Here the one that runs is at the mount itself, the queue below `/queue`; `/proxy` is for the client
that sends every call to one address and names fal's in a header.
"""

from __future__ import annotations

import re
from enum import Enum

from guardrail.upstream.dialect import Door

QUEUE = "/queue"
PROXY = "/proxy"
JWKS = "/.well-known/jwks.json"


class Route(Enum):
    """A judged route."""

    RUN = "run"
    STREAM = "stream"
    SUBMIT = "submit"
    STATUS = "status"
    RESULT = "result"
    CANCEL = "cancel"
    UPLOAD = "upload"
    NEWS = "webhook"


_SEGMENT = r"/[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
_APP = rf"((?:{_SEGMENT}){{2,8}})"
_ID = r"([A-Za-z0-9-]{8,64})"
_RUN = re.compile(_APP)
_JOB = re.compile(rf"{_APP}/requests/{_ID}(/status|/cancel|/response)?")
_RESERVED = re.compile(
    r"/(?:queue|proxy|guardrail|requests|storage|tokens|healthz)(?:/|\Z)|.*/(?:requests|realtime|ws)(?:/|\Z)"
)
_PROXIED = frozenset({"GET", "POST", "PUT"})
_BY_METHOD = {
    ("GET", "/status"): Route.STATUS,
    ("GET", "/response"): Route.RESULT,
    ("GET", None): Route.RESULT,
    ("PUT", "/cancel"): Route.CANCEL,
}


def run(method: str, path: str) -> tuple[Route, str] | None:
    """The route on the host that runs apps, with the app's name."""
    found = _RUN.fullmatch(path) if method == "POST" and not _RESERVED.match(path) else None
    if found is None:
        return None
    return (Route.STREAM if path.endswith("/stream") else Route.RUN), path[1:]


def queue(method: str, path: str) -> tuple[Route, str] | None:
    """The route on the host of the queue, with the app's name or the id of a request."""
    job = _JOB.fullmatch(path)
    if job is not None:
        route = _BY_METHOD.get((method, job.group(3)))
        return None if route is None else (route, job.group(2))
    found = run(method, path)
    return None if found is None else (Route.SUBMIT, found[1])


def door(method: str, path: str) -> Door:
    """What to do with a route that anybody may ask for: `path` as the client sent it, without the query."""
    if path == PROXY:
        return Door.JUDGED if method in _PROXIED else Door.CLOSED
    if path == JWKS:
        return Door.HOOK if method == "GET" else Door.CLOSED
    below = path.removeprefix(QUEUE) if path.startswith(QUEUE + "/") else None
    found = run(method, path) if below is None else queue(method, below)
    return Door.CLOSED if found is None else Door.JUDGED
