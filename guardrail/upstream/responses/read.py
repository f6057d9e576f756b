"""Reading a call: a response that is asked for, or one that is fetched."""

from __future__ import annotations

from urllib.parse import parse_qsl

from guardrail.errors import BadRequest
from guardrail.types import Request
from guardrail.upstream.bodies import check_json, no_such_route, onward
from guardrail.upstream.dialect import Call, Fetch, FetchFile, Forward, Headers
from guardrail.upstream.headers import check_query
from guardrail.upstream.limits import Limits
from guardrail.upstream.memory import afresh
from guardrail.upstream.responses import routes
from guardrail.upstream.responses.body import KNOWN, asked, gather
from guardrail.upstream.responses.past import Past, Remembered
from guardrail.upstream.responses.routes import Route

ASKED = "asked"
"""Key of a call's state: the `Past` that a response goes on from."""
_POLL_QUERY = frozenset({"stream", "starting_after", "include", "include[]", "include_obfuscation", "api-version"})


async def read(
    method: str,
    path: str,
    query: str,
    headers: Headers,
    body: bytes,
    fetch: Fetch,
    fetch_file: FetchFile,
    limits: Limits,
    known: Remembered,
) -> Call:
    """Read a call on a judged route. Raises BadRequest for what cannot be read or judged, or is over a limit."""
    found = routes.judged(method, path)
    if found is None:
        raise no_such_route()
    route, response = found
    if route is Route.POLL:
        return _poll(onward(method, path, query, headers, body), query, known.responses.get(response))
    check_query(query, KNOWN)
    check_json(headers, body, limits)
    got, past = gather(body, limits, known)
    await got.resolve(fetch, fetch_file)
    forward = onward(method, path, query, headers, body, got.edits)
    return Call(got.request(), forward, route.value, {ASKED: asked(past, got)})


def _poll(forward: Forward, query: str, past: Past | None) -> Call:
    """A response that is fetched is judged beside what was asked for when it was begun."""
    if past is None:
        raise BadRequest(
            "no response of this id was begun here, or it is forgotten", status=404, code="response_not_found"
        )
    if forward.body.strip() not in (b"", b"{}"):
        raise BadRequest("this route takes no body", code="unjudged_field")
    pairs = parse_qsl(query, keep_blank_values=True)
    if any(name not in _POLL_QUERY for name, _ in pairs) or ";" in query or len(query) > 2048:
        raise BadRequest("the query may hold stream, starting_after and include", code="invalid_query")
    stream = any(name == "stream" and value.lower() not in ("false", "0", "") for name, value in pairs)
    request = afresh(Request(past.texts, past.pictures, stream=stream))
    return Call(request, forward, Route.POLL.value, {ASKED: past}, poll=True)


def asked_in(call: Call) -> Past:
    """What a call asked for."""
    found = call.state.get(ASKED)
    return found if isinstance(found, Past) else Past()
