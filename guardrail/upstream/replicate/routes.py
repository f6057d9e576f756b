"""Routes of Replicate: which are judged, which pass, and that all else is closed.

Closed on purpose: trainings, which take pictures of people that no prompt says anything about; making and changing
models; searching.
"""

from __future__ import annotations

import re
from enum import Enum

from guardrail.upstream.dialect import Door

STREAMS = "/guardrail/streams/"


class Route(Enum):
    """A judged route."""

    CREATE = "predictions"
    POLL = "predictions.poll"
    CANCEL = "predictions.cancel"
    LIST = "predictions.list"
    STREAM = "predictions.stream"
    FILE = "files"
    SIGNING = "webhooks.signing"
    NEWS = "webhook"


_NAME = r"(?!\.\.?(?:/|\Z))[A-Za-z0-9._-]{1,100}"
_ID = r"[A-Za-z0-9_-]{1,128}"
_CREATE = re.compile(
    rf"/v1/(?:predictions|models/({_NAME}/{_NAME})/predictions|deployments/({_NAME}/{_NAME})/predictions)"
)
_POLL = re.compile(rf"/v1/predictions/({_ID})")
_CANCEL = re.compile(rf"/v1/predictions/({_ID})/cancel")
_STREAM = re.compile(rf"{STREAMS}([A-Za-z0-9_-]{{1,16384}})")
_JUDGED = (
    ("POST", Route.CREATE, _CREATE),
    ("GET", Route.POLL, _POLL),
    ("POST", Route.CANCEL, _CANCEL),
    ("GET", Route.LIST, re.compile("/v1/predictions")),
    ("GET", Route.STREAM, _STREAM),
    ("POST", Route.FILE, re.compile("/v1/files")),
    ("GET", Route.SIGNING, re.compile("/v1/webhooks/default/secret")),
)
_PASSED = re.compile(
    rf"/v1/(?:account|hardware|collections(?:/{_NAME})?|models|models/{_NAME}/{_NAME}(?:/versions(?:/{_ID})?)?"
    rf"|deployments(?:/{_NAME}/{_NAME})?|files(?:/{_ID})?)"
)
_FILE = re.compile(rf"/v1/files/{_ID}")
REFUSED = re.compile(r"refused-[A-Za-z0-9_-]{1,120}")
"""Ids of predictions that the guard refused: the generator never heard of them."""


def judged(method: str, path: str) -> tuple[Route, str] | None:
    """The judged route that this is, with the id or the model that it names; or None."""
    for verb, route, pattern in _JUDGED:
        found = pattern.fullmatch(path) if verb == method else None
        if found is not None:
            return route, next((one for one in found.groups() if one), "")
    return None


def refused(method: str, path: str) -> str | None:
    """The id of a prediction that the guard refused, where this asks for one or cancels it."""
    found = _POLL.fullmatch(path) if method == "GET" else _CANCEL.fullmatch(path) if method == "POST" else None
    return found.group(1) if found is not None and REFUSED.fullmatch(found.group(1)) else None


def door(method: str, path: str) -> Door:
    """What to do with a route that anybody may ask for: `path` as the client sent it, without the query."""
    if refused(method, path) is not None:
        return Door.ANSWERED
    if judged(method, path) is not None:
        return Door.JUDGED
    if (method == "GET" and _PASSED.fullmatch(path)) or (method == "DELETE" and _FILE.fullmatch(path)):
        return Door.PASSED
    return Door.CLOSED
