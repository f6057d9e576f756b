"""Reading a call of generateContent: what is judged, and what is sent on."""

from __future__ import annotations

from urllib.parse import parse_qsl

from guardrail.errors import BadRequest
from guardrail.types import Request
from guardrail.upstream.dialect import Call, Fetch, FetchFile, Forward, Headers
from guardrail.upstream.gemini import routes
from guardrail.upstream.gemini.body import gather
from guardrail.upstream.headers import content_type, forward_headers
from guardrail.upstream.limits import Limits
from guardrail.upstream.spans import splice

SSE = "sse"
"""Key of a call's state: "event", "array" or "whole", the form that its answer has."""
_MOST_QUERY = 4096
# Others mask fields of the answer, wrap it in a script or change its form.
_QUERY = frozenset({"alt", "$alt", "key", "access_token", "prettyPrint", "quotaUser", "$prettyPrint"})
_FORMS = {"": "whole", "json": "whole", "sse": "event"}


async def read(
    method: str,
    path: str,
    query: str,
    headers: Headers,
    body: bytes,
    fetch: Fetch,
    fetch_file: FetchFile,
    limits: Limits,
) -> Call:
    """Read a call on a judged route. Raises BadRequest for what cannot be read or judged, or is over a limit."""
    streams = routes.streams(path) if method == "POST" else None
    if streams is None:
        raise BadRequest("no such route", status=404, code="unknown_url")
    if len(body) > limits.body_bytes:
        raise BadRequest(f"the body is over {limits.body_bytes} bytes", status=413, code="body_too_large")
    form = _form(query)
    kind, _ = content_type(headers)
    if kind.startswith("multipart/"):
        raise BadRequest("send JSON", status=415, code="unsupported_media_type")
    got = gather(body, limits)
    await got.resolve(fetch, fetch_file)
    if streams and form == "whole":
        form = "array"
    request = Request(
        texts=tuple(got.texts),
        inputs=tuple(found for found in got.inputs if found is not None),
        count=got.count,
        stream=streams and form == "event",
        clamped=tuple(got.clamped),
    )
    target = f"{path}?{query}" if query else path
    forward = Forward(method, target, forward_headers(headers), splice(body, got.edits))
    return Call(request, forward, "streamGenerateContent" if streams else "generateContent", {SSE: form})


def _form(query: str) -> str:
    if len(query) > _MOST_QUERY:
        raise BadRequest(f"the query is over {_MOST_QUERY} characters", status=414, code="invalid_query")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=16, errors="strict")
    except ValueError:
        raise BadRequest("the query cannot be read", code="invalid_query") from None
    forms = {value for name, value in pairs if name in ("alt", "$alt")}
    if any(name not in _QUERY for name, _ in pairs) or ";" in query or len(forms) > 1 or not forms <= _FORMS.keys():
        raise BadRequest("the query may hold alt (json or sse), key, prettyPrint, quotaUser", code="invalid_query")
    return _FORMS[forms.pop()] if forms else "whole"
