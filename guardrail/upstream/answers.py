"""Whole answers of any JSON protocol: what in them is a picture, what is no answer, and single entries taken out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from guardrail.errors import UpstreamError
from guardrail.types import Decision
from guardrail.upstream import pictures
from guardrail.upstream.dialect import HOP_BY_HOP, Answer, Headers
from guardrail.upstream.embedded import Embedded, embedded
from guardrail.upstream.headers import end_to_end
from guardrail.upstream.limits import Limits
from guardrail.upstream.spans import Edit, Json, JsonFault, Node, keys, listed_numbers, scan, strings

WHOLE = -1
"""The entry index of a picture that stands outside the entries of an answer: refusing it refuses the whole answer."""

LENGTH = HOP_BY_HOP | {"content-length"}
CHANGED = frozenset({"etag", "content-md5", "digest", "content-digest", "repr-digest", "last-modified"})
"""Headers that are no longer true once a byte of the answer is another."""
_OPAQUE = 4096  # characters without a space: no text that anyone reads
_LONGEST_KEY = 256  # characters
_SHORT_TEXT = 4096  # bytes of an error that is plain text


@dataclass(frozen=True)
class Spans:
    """Where the entries of an answer stand in the bytes."""

    entries: tuple[tuple[int, int], ...]


def check_encoding(headers: Headers) -> None:
    """Raises UpstreamError for an answer in a content encoding: none was asked for."""
    if any(n.lower() == "content-encoding" and v.strip().lower() not in ("", "identity") for n, v in headers):
        raise UpstreamError("it came in a content encoding that was not asked for")


def failed(status: int, headers: Headers, body: bytes, limits: Limits) -> Answer:
    """An error of a generator, as it came. Raises UpstreamError for one that nobody may see."""
    check_error(headers, body, limits)
    return Answer(status, end_to_end(headers, LENGTH), body, (), ())


def error_of(
    status: int,
    headers: Headers,
    body: bytes,
    limits: Limits,
    as_error: Callable[[int, Headers, bytes, Limits], Answer] = failed,
) -> Answer | None:
    """An answer that is an error of the generator, as `as_error` lets it go on; None for one that is to be read.

    Raises UpstreamError for an error that nobody may see, a content encoding, and a status that is no answer.
    """
    check_encoding(headers)
    if status >= 400:
        return as_error(status, headers, body, limits)
    if not 200 <= status < 300:
        raise UpstreamError(f"it answered with status {status}")
    return None


def parse(body: bytes, limits: Limits) -> Node:
    """The JSON object that an answer is. Raises UpstreamError for anything else."""
    try:
        root = scan(body, limits.json, decoded=limits.image_bytes)
    except JsonFault as fault:
        raise UpstreamError(f"it is not the JSON expected: {fault}") from None
    if root.kind is not Json.OBJECT:
        raise UpstreamError("it is not a JSON object")
    check_keys(root)
    if listed_numbers(root) > limits.numbers:
        raise UpstreamError(f"its lists hold more than {limits.numbers} numbers, which nobody judges")
    return root


def check_error(headers: Headers, body: bytes, limits: Limits) -> None:
    """An error of the generator passes when it is JSON or a short plain text without pictures; else UpstreamError."""
    if not body:
        return
    kinds = [value.lower() for name, value in headers if name.lower() == "content-type"]
    if any(kind.lstrip().startswith(("image/", "video/", "text/html")) for kind in kinds):
        raise UpstreamError("it is an error that is not JSON")
    try:
        root = scan(body, limits.json)
    except JsonFault:
        text = body.decode("latin-1") if len(body) <= _SHORT_TEXT else "<"
        opaque = "<" in text or "data:" in text.lower() or pictures.sniff(body) is not None or shows(text)
        if not text.isascii() or opaque:
            raise UpstreamError("it is an error that is neither JSON nor a short text") from None
        return
    check_keys(root)
    if listed_numbers(root) > limits.numbers:
        raise UpstreamError(f"it is an error whose lists hold more than {limits.numbers} numbers")
    for path, node in strings(root):
        if holds_picture(node, body) or (path and path[-1] == "b64_json") or shows(node.text(body)):
            raise UpstreamError("it is an error that carries a picture")


def pictures_within(found: Embedded, limits: Limits, slot: str) -> list[bytes]:
    """The pictures that a text of an answer carries itself, its SVG last; its addresses are left to the caller.

    Raises UpstreamError for what may be one and cannot be read.
    """
    if found.opaque:
        raise UpstreamError(f"{slot} holds what may be a picture and cannot be read")
    try:
        carried = [pictures.decode_data_url(url.encode(), limits.image_bytes).data for url in found.data]
    except pictures.PictureFault as fault:
        raise UpstreamError(f"a data URL in {slot} {fault}") from None
    return [*carried, found.svg.encode()] if found.svg else carried


def shows(text: str) -> bool:
    """True for a text that holds a picture, or shows one where it is read as Markdown or HTML.

    An address by itself shows none: errors quote those that the caller sent.
    """
    found = embedded(text, whole=False)
    return bool(found.opaque or found.data or found.svg or (found.addresses and ("![" in text or "<" in text)))


def check_keys(root: Node) -> None:
    """Raises UpstreamError for a field name so long that it may be a picture: names are not looked at."""
    if any(len(key) > _LONGEST_KEY for key in keys(root)):
        raise UpstreamError(f"a field name in it is over {_LONGEST_KEY} characters")


def holds_picture(node: Node, body: bytes) -> bool:
    """True for a string that is a picture: a data URL, base64 of a known signature, SVG, or too opaque to be a text."""
    head = bytes(node.raw(body)[:1024]).decode("utf-8", "replace") if not node.escaped else node.text(body)
    if pictures.is_data_url(head) or pictures.looks_like_base64_picture(head):
        return True
    text = node.text(body)
    low = text[:100_000].lower()
    if "<svg" in low or "data:image/" in low:  # also in the middle: Markdown and HTML show it
        return True
    return node.size > _OPAQUE and any(len(word) > _OPAQUE for word in text.split())


def decode(node: Node, body: bytes, limits: Limits, slot: str) -> bytes:
    """The bytes of a picture in a JSON string: base64, a data URL, or SVG as it is. Raises UpstreamError."""
    if node.data is not None and 0 < len(node.data) <= limits.image_bytes:
        return node.data
    encoded: pictures.Bytes = node.text(body).encode() if node.escaped else node.raw(body)
    head = bytes(encoded[:200])
    try:
        if pictures.is_data_url(head.decode("utf-8", "replace")):
            return pictures.decode_data_url(encoded, limits.image_bytes).data
        if b"<" in head:
            return bytes(encoded)
        return pictures.decode_base64(encoded, limits.image_bytes).data
    except pictures.PictureFault as fault:
        raise UpstreamError(f"the picture in {slot} {fault}") from None


def without_entries(spans: Spans, refused: set[int]) -> list[Edit]:
    """Cut entries out together with one comma each: the one after it, or before it at the end of the list."""
    edits: list[Edit] = []
    last_kept = max(i for i in range(len(spans.entries)) if i not in refused)
    for i in sorted(refused):
        start, end = spans.entries[i]
        if i < last_kept:
            edits.append((start, spans.entries[i + 1][0], b""))
        else:
            edits.append((spans.entries[i - 1][1], end, b""))
    return edits


def strictest(decisions: Iterable[Decision]) -> Decision:
    """The strictest of several decisions, the first where they are equal."""
    return max(decisions, key=lambda decision: decision.action)
