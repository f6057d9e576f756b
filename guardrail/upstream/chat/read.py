"""Reading a call: what is judged, and what is sent on."""

from __future__ import annotations

from guardrail.errors import BadRequest
from guardrail.types import Request
from guardrail.upstream.chat import routes
from guardrail.upstream.chat.body import KNOWN, gather
from guardrail.upstream.chat.routes import Route
from guardrail.upstream.dialect import Call, Fetch, FetchFile, Forward, Headers
from guardrail.upstream.gather import Gathered
from guardrail.upstream.headers import check_query, content_type, forward_headers
from guardrail.upstream.limits import Limits
from guardrail.upstream.spans import splice

ROUTE = "route"
"""Key of a call's state: the `Route`."""


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
    route = routes.judged(method, path)
    if route is None:
        raise BadRequest("no such route", status=404, code="unknown_url")
    if len(body) > limits.body_bytes:
        raise BadRequest(f"the body is over {limits.body_bytes} bytes", status=413, code="body_too_large")
    check_query(query, KNOWN)
    kind, _ = content_type(headers)
    if kind.startswith("multipart/"):
        raise BadRequest("send JSON", status=415, code="unsupported_media_type")
    got = gather(body, route, limits)
    await got.resolve(fetch, fetch_file)
    target = f"{path}?{query}" if query else path
    forward = Forward(method, target, forward_headers(headers), splice(body, got.edits))
    return Call(request_of(got), forward, route.value, {ROUTE: route})


def route_of(call: Call | None) -> Route:
    """The route of a call; chat where there is none."""
    found = call.state.get(ROUTE) if call is not None else None
    return found if isinstance(found, Route) else Route.CHAT


def request_of(got: Gathered) -> Request:
    """What was gathered, in no dialect."""
    return Request(
        texts=tuple(got.texts),
        inputs=tuple(found for found in got.inputs if found is not None),
        count=got.count,
        subject=got.subject,
        stream=got.stream,
        clamped=tuple(got.clamped),
    )
