"""Routes of the Gemini API and of Vertex AI: which are judged, which pass, and that all else is closed.

Compared as the bytes that came, as the other dialects do. What is closed on purpose: uploads and files (a picture would
go in under a name that nobody can look behind), caches, batches, operations, live sessions, interactions, Imagen.
"""

from __future__ import annotations

import re

from guardrail.upstream.dialect import Door

_VERSION = r"(?:/v1(?:alpha|beta1?)?)?"
_ID = r"(?!\.\.?[/:])[A-Za-z0-9._-]{1,128}"
_MODEL = rf"(?:/projects/{_ID}/locations/{_ID})?(?:/publishers/google)?/(?:models|tunedModels)/{_ID}"
_JUDGED = re.compile(rf"{_VERSION}{_MODEL}:(generateContent|streamGenerateContent)")
_COUNTED = re.compile(rf"{_VERSION}{_MODEL}:(?:countTokens|computeTokens)")
_LISTED = re.compile(rf"{_VERSION}(?:/publishers/google)?/models(?:/(?!\.\.?\Z)[A-Za-z0-9._-]{{1,128}})?")


def streams(path: str) -> bool | None:
    """Whether the judged route that this is streams its answer; None for any other route."""
    found = _JUDGED.fullmatch(path)
    return None if found is None else found.group(1) == "streamGenerateContent"


def door(method: str, path: str) -> Door:
    """What to do with a route: `path` as the client sent it, without the query; the version may be left out."""
    if method == "POST" and streams(path) is not None:
        return Door.JUDGED
    if (method == "POST" and _COUNTED.fullmatch(path)) or (method == "GET" and _LISTED.fullmatch(path)):
        return Door.PASSED
    return Door.CLOSED
