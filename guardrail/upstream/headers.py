"""Headers and queries: what goes on to the generator, and what is refused because two readers could differ about it."""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import parse_qsl

from guardrail.errors import BadRequest
from guardrail.upstream import pictures
from guardrail.upstream.dialect import HOP_BY_HOP, Headers
from guardrail.upstream.multipart import MultipartFault, media_type
from guardrail.upstream.slots import names_content, wordy

_OURS = HOP_BY_HOP | {"host", "content-length", "accept-encoding", "expect"}
_FORMS = frozenset({"application/x-www-form-urlencoded"})
# Servers that read one of these as what it says would not read the JSON that is judged here.
_OTHER = re.compile(r"proto|grpc|msgpack|cbor|bson|avro|thrift|yaml|xml|ndjson|jsonl|json-seq")
_MOST_QUERY = 2048  # characters


def forward_headers(headers: Headers) -> Headers:
    """The caller's headers as they go to the upstream: all but those of the connection and Guardrail's own.

    An answer is asked for without content encoding, so that its bytes can be judged and passed on as they are.
    """
    # A caller may name more headers of the connection, but not those that say who asks and how the body is read.
    named = {
        word.strip().lower() for name, value in headers if name.lower() == "connection" for word in value.split(",")
    } - {"content-type", "authorization", "api-key"}
    out = [
        (name, value)
        for name, value in headers
        if name.lower() not in _OURS and name.lower() not in named and not name.lower().startswith("x-guardrail-")
    ]
    out.append(("accept-encoding", "identity"))
    return out


def content_type(headers: Headers) -> tuple[str, dict[str, str]]:
    """The content type, refused where the upstream could read the body as something else than is judged here."""
    found = [value for name, value in headers if name.lower() == "content-type"]
    encodings = [value for name, value in headers if name.lower() == "content-encoding"]
    if any(value.strip().lower() not in ("", "identity") for value in encodings):
        raise BadRequest("send the body without content encoding", status=415, code="unsupported_media_type")
    if not found:
        return "", {}
    if len(found) > 1:
        raise BadRequest("the content type is given twice", code="invalid_header")
    try:
        kind, parameters = media_type(found[0])
    except MultipartFault as fault:
        raise BadRequest(str(fault), status=415, code="unsupported_media_type") from None
    if kind in _FORMS or _OTHER.search(kind) or (kind.startswith("multipart/") and kind != "multipart/form-data"):
        raise BadRequest(
            "send JSON, or multipart/form-data where this API takes forms", status=415, code="unsupported_media_type"
        )
    if parameters.get("charset", "utf-8").lower() not in ("utf-8", "utf8"):
        raise BadRequest("send the body in UTF-8", status=415, code="unsupported_media_type")
    return kind, parameters


def check_query(query: str, fields: Collection[str]) -> None:
    """A query may carry an API version and the like, never what belongs in the body and is judged there.

    `fields` are the names of the body's fields. Raises BadRequest.
    """
    if not query:
        return
    if len(query) > _MOST_QUERY:
        raise BadRequest(f"the query is over {_MOST_QUERY} characters", status=414, code="invalid_query")
    # Some servers part fields at ";" too.
    try:
        pairs = parse_qsl(query.replace(";", "&"), keep_blank_values=True, max_num_fields=32, errors="strict")
    except ValueError:
        raise BadRequest("the query cannot be read", code="invalid_query") from None
    for name, value in pairs:
        known = name.casefold().split("[", 1)[0] in fields
        meant = names_content(name)
        holds = (
            meant
            or wordy(value)
            or wordy(name)
            or pictures.is_data_url(value)
            or pictures.url_scheme(value) is not None
        )
        if known or holds:
            raise BadRequest("the query holds what belongs in the body", code="invalid_query")


def end_to_end(headers: Headers, drop: frozenset[str]) -> Headers:
    """`headers` without those named in `drop` (lower case)."""
    return [(name, value) for name, value in headers if name.lower() not in drop]
