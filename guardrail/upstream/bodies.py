"""Bodies of requests: what every dialect asks of one before it looks at the fields, and the call that goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from guardrail.errors import BadRequest
from guardrail.upstream.dialect import Forward, Headers
from guardrail.upstream.headers import content_type, forward_headers
from guardrail.upstream.limits import Limits
from guardrail.upstream.multipart import MultipartFault, Part, TooManyParts, boundary_of, parts
from guardrail.upstream.slots import guides, weak
from guardrail.upstream.spans import Edit, Json, JsonFault, Node, listed_numbers, scalars, scan, splice


def check_size(body: bytes, limits: Limits) -> None:
    """Raises BadRequest for a body over the limit."""
    if len(body) > limits.body_bytes:
        raise BadRequest(f"the body is over {limits.body_bytes} bytes", status=413, code="body_too_large")


def check_json(headers: Headers, body: bytes, limits: Limits) -> None:
    """Raises BadRequest for a body over the limit, and for headers by which somebody may take it for anything but JSON.

    Without a content type it is JSON: many clients send none.
    """
    check_size(body, limits)
    kind, _ = content_type(headers)
    if kind.startswith("multipart/"):
        raise BadRequest("send JSON", status=415, code="unsupported_media_type")


def form_parts(body: bytes, parameters: Mapping[str, str], limits: Limits) -> Sequence[Part]:
    """The parts of a multipart body; `parameters` are those of its content type. Raises BadRequest."""
    try:
        return parts(body, boundary_of(parameters), limits.parts)
    except TooManyParts as fault:
        raise BadRequest(str(fault), status=413, code="too_many_fields") from None
    except MultipartFault as fault:
        raise BadRequest(f"the body is not the multipart/form-data expected: {fault}", code="invalid_form") from None


def json_object(body: bytes, limits: Limits) -> Node:
    """The JSON object that a body is. Raises BadRequest for what is not strict JSON, no object, or cannot be judged."""
    try:
        root = scan(body, limits.json)
    except JsonFault as fault:
        raise BadRequest(f"the body is not the JSON expected: {fault}", code="invalid_json") from None
    if root.kind is not Json.OBJECT:
        raise BadRequest("the body must be a JSON object", code="invalid_json")
    if listed_numbers(root) > limits.numbers:
        raise BadRequest(f"lists hold more than {limits.numbers} numbers, which nobody judges", code="unjudged_field")
    return root


def guided(root: Node, body: bytes) -> bool:
    """False where a field says how strongly the picture is drawn away from the negative prompt, and not at all."""
    found = ((key, body[node.start : min(node.end, node.start + 64)]) for key, node in scalars(root) if guides(key))
    return not any(weak(key, value.decode("latin-1")) for key, value in found)


def no_such_route() -> BadRequest:
    """A route that is not judged was to be read: the door did not say so."""
    return BadRequest("no such route", status=404, code="unknown_url")


def onward(method: str, path: str, query: str, headers: Headers, body: bytes, edits: Sequence[Edit] = ()) -> Forward:
    """The call as it goes on: the caller's own, with the edits that judging it asked for."""
    target = f"{path}?{query}" if query else path
    return Forward(method, target, forward_headers(headers), splice(body, edits))
