"""Routes of the Gemini API and of Vertex AI: which are judged, which pass, and that all else is closed.

Compared as the bytes that came, as the other dialects do. What is closed on purpose: caches, batches, operations, live
sessions, interactions, Imagen, and downloads of files.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

from guardrail.errors import BadRequest
from guardrail.upstream.dialect import Door

FORM = "form"
"""Key of a call's state: "event", "array", "whole" or "upload", the form that its answer has."""

_VERSION = r"(?:/v1(?:alpha|beta1?)?)?"
_ID = r"(?!\.\.?[/:])[A-Za-z0-9._-]{1,128}"
_MODEL = rf"(?:/projects/{_ID}/locations/{_ID})?(?:/publishers/google)?/(?:models|tunedModels)/{_ID}"
_JUDGED = re.compile(rf"{_VERSION}{_MODEL}:(generateContent|streamGenerateContent)")
_COUNTED = re.compile(rf"{_VERSION}{_MODEL}:(?:countTokens|computeTokens)")
_MOST_QUERY = 4096
# Others mask fields of the answer, wrap it in a script or change its form.
_QUERY = frozenset({"alt", "$alt", "key", "access_token", "prettyPrint", "quotaUser", "$prettyPrint"})
_FORMS = {"": "whole", "json": "whole", "sse": "event"}
_LISTED = re.compile(rf"{_VERSION}(?:/publishers/google)?/models(?:/(?!\.\.?\Z)[A-Za-z0-9._-]{{1,128}})?")
_UPLOAD = re.compile(rf"/upload{_VERSION}/files")
_FILE = re.compile(rf"{_VERSION}/files(?:/(?!\.\.?\Z)[A-Za-z0-9._-]{{1,128}})?")


def uploads(path: str) -> bool:
    """True for the route that files are announced on and sent to."""
    return _UPLOAD.fullmatch(path) is not None


def streams(path: str) -> bool | None:
    """Whether the judged route that this is streams its answer; None for any other route."""
    found = _JUDGED.fullmatch(path)
    return None if found is None else found.group(1) == "streamGenerateContent"


def door(method: str, path: str) -> Door:
    """What to do with a route: `path` as the client sent it, without the query; the version may be left out."""
    if method == "POST" and (streams(path) is not None or uploads(path)):
        return Door.JUDGED
    if method in ("GET", "DELETE") and _FILE.fullmatch(path):
        return Door.PASSED
    if (method == "POST" and _COUNTED.fullmatch(path)) or (method == "GET" and _LISTED.fullmatch(path)):
        return Door.PASSED
    return Door.CLOSED


def form_of(query: str, *, streamed: bool) -> str:
    """The form that an answer is asked for in. Raises BadRequest for a query that is not understood."""
    if len(query) > _MOST_QUERY:
        raise BadRequest(f"the query is over {_MOST_QUERY} characters", status=414, code="invalid_query")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=16, errors="strict")
    except ValueError:
        raise BadRequest("the query cannot be read", code="invalid_query") from None
    forms = {value for name, value in pairs if name in ("alt", "$alt")}
    if any(name not in _QUERY for name, _ in pairs) or ";" in query or len(forms) > 1 or not forms <= _FORMS.keys():
        raise BadRequest("the query may hold alt (json or sse), key, prettyPrint, quotaUser", code="invalid_query")
    asked = _FORMS[forms.pop()] if forms else "whole"
    return "array" if streamed and asked == "whole" else asked
