"""Reading a call of the OpenAI Images API: what is judged, and what is sent on."""

from __future__ import annotations

from guardrail.errors import BadRequest
from guardrail.types import Request
from guardrail.upstream.dialect import Call, Fetch, FetchFile, Forward, Headers
from guardrail.upstream.gather import Gathered
from guardrail.upstream.headers import check_query, content_type, forward_headers
from guardrail.upstream.limits import Limits
from guardrail.upstream.openai import routes
from guardrail.upstream.openai.body_form import gather_form
from guardrail.upstream.openai.body_json import gather_json
from guardrail.upstream.openai.slots import KNOWN
from guardrail.upstream.spans import splice


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
    kind, parameters = content_type(headers)
    if kind.startswith("multipart/"):
        got = gather_form(body, parameters, route, limits)
    else:
        got = gather_json(body, route, limits)
    await got.resolve(fetch, fetch_file)
    target = f"{path}?{query}" if query else path
    forward = Forward(method, target, forward_headers(headers), splice(body, got.edits))
    return Call(_request(got), forward, route.value)


def _request(got: Gathered) -> Request:
    inputs = tuple(found for found in got.inputs if found is not None)
    return Request(
        texts=tuple(got.texts),
        inputs=inputs,
        count=got.count,
        subject=got.subject,
        stream=got.stream,
        clamped=tuple(got.clamped),
    )
