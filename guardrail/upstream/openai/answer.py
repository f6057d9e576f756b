"""Whole answers of the OpenAI Images API: every picture in them, and answers with single entries taken out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from guardrail.errors import BadRequest, UpstreamError
from guardrail.types import Artifact, Decision, Kind, Stage
from guardrail.upstream import pictures
from guardrail.upstream.dialect import HOP_BY_HOP, Answer, Fetch, Headers, OneBad, Reply
from guardrail.upstream.openai.limits import Limits
from guardrail.upstream.openai.refuse import end_to_end, refuse, refused_entry, strictest
from guardrail.upstream.openai.slots import name_of
from guardrail.upstream.spans import Edit, Json, JsonFault, Node, Path, keys, listed_numbers, scan, splice, strings

WHOLE = -1
"""The entry index of a picture that stands outside `data[]`: refusing it refuses the whole answer."""

_LENGTH = HOP_BY_HOP | {"content-length"}
_CHANGED = frozenset({"etag", "content-md5", "digest", "content-digest", "repr-digest", "last-modified"})
_SPANS = "spans"
_LEAST = 8  # bytes; neither a picture nor an address is shorter
_OPAQUE = 4096  # characters without a space: no text that anyone reads
_LONGEST_KEY = 256  # characters


@dataclass(frozen=True)
class Spans:
    """Where the entries of `data` stand in the bytes."""

    entries: tuple[tuple[int, int], ...]


async def read_answer(status: int, headers: Headers, body: bytes, fetch: Fetch, limits: Limits) -> Answer:
    """Find every picture of an answer.

    An error of the upstream (4xx, 5xx) has none and passes as it is. Raises UpstreamError for what is no answer: a
    redirect, HTML, a content encoding, broken JSON, no picture, a picture that cannot be got.
    """
    kept = end_to_end(headers, _LENGTH)
    if any(n.lower() == "content-encoding" and v.strip().lower() not in ("", "identity") for n, v in headers):
        raise UpstreamError("it came in a content encoding that was not asked for")
    if status >= 400:
        _check_error(headers, body, limits)
        return Answer(status, kept, body, (), ())
    if not 200 <= status < 300:
        raise UpstreamError(f"it answered with status {status}")
    root = _parse(body, limits)
    found = _Found(body, limits)
    spans = found.entries(root)
    for path, node in strings(root):
        found.string(path, node)
    await found.fetch(fetch)
    found.check(spans)
    return Answer(status, kept, body, tuple(found.images), tuple(found.indexes), tuple(found.texts), {_SPANS: spans})


def without(answer: Answer, refused: Mapping[int, Decision], one_bad: OneBad) -> Reply:
    """The answer with the refused entries replaced or dropped, every other byte as it came."""
    if not refused:
        return Reply(answer.status, answer.headers, answer.body)
    spans = answer.state.get(_SPANS)
    kept = [] if not isinstance(spans, Spans) else [i for i in range(len(spans.entries)) if i not in refused]
    with_picture = set(answer.entries)
    unknown = not isinstance(spans, Spans) or any(not 0 <= i < len(spans.entries) for i in refused)
    if unknown or one_bad == "refuse-all" or not any(i in with_picture for i in kept):
        return refuse(strictest(refused.values()), Stage.OUTPUT)
    assert isinstance(spans, Spans)
    if one_bad == "drop":
        edits = _drop(spans, set(refused))
    else:
        edits = [(*spans.entries[i], refused_entry(decision)) for i, decision in refused.items()]
    return Reply(answer.status, end_to_end(answer.headers, _CHANGED), splice(answer.body, edits))


def _drop(spans: Spans, refused: set[int]) -> list[Edit]:
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


def _parse(body: bytes, limits: Limits) -> Node:
    try:
        root = scan(body, limits.json)
    except JsonFault as fault:
        raise UpstreamError(f"it is not the JSON expected: {fault}") from None
    if root.kind is not Json.OBJECT:
        raise UpstreamError("it is not a JSON object")
    check_keys(root)
    if listed_numbers(root) > limits.numbers:
        raise UpstreamError(f"its lists hold more than {limits.numbers} numbers, which nobody judges")
    return root


def _check_error(headers: Headers, body: bytes, limits: Limits) -> None:
    """An error passes when it is JSON or a short plain text without pictures."""
    if not body:
        return
    kinds = [value.lower() for name, value in headers if name.lower() == "content-type"]
    if any(kind.lstrip().startswith(("image/", "video/", "text/html")) for kind in kinds):
        raise UpstreamError("it is an error that is not JSON")
    try:
        root = scan(body, limits.json)
    except JsonFault:
        low = body.lower() if len(body) <= 4096 else b"<"
        if not body.isascii() or b"<" in low or b"data:" in low or pictures.sniff(body) is not None:
            raise UpstreamError("it is an error that is neither JSON nor a short text") from None
        return
    check_keys(root)
    for path, node in strings(root):
        if holds_picture(node, body) or (path and path[-1] == "b64_json"):
            raise UpstreamError("it is an error that carries a picture")


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


class _Found:
    """Collects what one answer holds."""

    def __init__(self, body: bytes, limits: Limits) -> None:
        self.body = body
        self.limits = limits
        self.images: list[Artifact] = []
        self.indexes: list[int] = []
        self.texts: list[Artifact] = []
        self.urls: list[tuple[int, str, str]] = []
        self.excused: set[int] = set()

    def entries(self, root: Node) -> Spans:
        data = root.get("data")
        if data is None or data.kind is not Json.ARRAY or not data.items:
            raise UpstreamError("it has no pictures")
        if len(data.items) > self.limits.entries:
            raise UpstreamError(f"it has more than {self.limits.entries} entries")
        for index, entry in enumerate(data.items):
            if entry.kind is not Json.OBJECT:
                raise UpstreamError(f"entry {index} is not an object")
            for name in ("b64_json", "url"):
                value = entry.get(name)
                if value is not None and value.kind is not Json.STRING:
                    raise UpstreamError(f"{name} of entry {index} is not a string")
            if entry.get("error") is not None:
                self.excused.add(index)  # the upstream refused this one itself and says so
        return Spans(tuple((entry.start, entry.end) for entry in data.items))

    def string(self, path: Path, node: Node) -> None:
        index = int(path[1]) if len(path) > 2 and path[0] == "data" else WHOLE
        slot = f"data[{index}]" if index >= 0 else name_of(path)
        direct = index >= 0 and len(path) == 3
        if not node.size:
            return
        if direct and path[2] == "b64_json":
            self.picture(index, slot, node)
        elif direct and path[2] == "revised_prompt":
            text = node.text(self.body)
            if text and len(text) > self.limits.prompt_chars:
                raise UpstreamError(
                    f"the revised prompt of entry {index} is over {self.limits.prompt_chars} characters"
                )
            self.texts.append(Artifact(Kind.PROMPT, name_of(path), text=text))
        elif node.size < _LEAST and not direct:
            return
        elif path[-1] == "b64_json" or holds_picture(node, self.body):
            self.picture(index, name_of(path), node)
        elif node.size < 8192 and pictures.url_scheme(node.text(self.body)) is not None:
            self.urls.append((index, slot if direct and path[2] == "url" else name_of(path), node.text(self.body)))
        elif direct and path[2] == "url":
            raise UpstreamError(f"the url of entry {index} is no address")

    def picture(self, index: int, slot: str, node: Node) -> None:
        self.add(index, slot, decode(node, self.body, self.limits, slot))

    def add(self, index: int, slot: str, data: bytes) -> None:
        if any(image.slot == slot for image in self.images):
            slot = f"{slot}.url"
        self.images.append(Artifact(Kind.OUTPUT, slot, data=data))
        self.indexes.append(index)

    async def fetch(self, fetch: Fetch) -> None:
        if len(self.urls) > self.limits.urls:
            raise UpstreamError(f"it has more than {self.limits.urls} addresses")
        tasks = [asyncio.ensure_future(fetch(url, param=slot)) for _, slot, url in self.urls]
        try:
            got = await asyncio.gather(*tasks)
        except BadRequest as error:
            raise UpstreamError(f"a picture that it points to could not be got: {error}") from None
        finally:
            for task in tasks:
                task.cancel()
        for (index, slot, _), fetched in zip(self.urls, got, strict=True):
            self.add(index, slot, fetched.data)

    def check(self, spans: Spans) -> None:
        there = set(self.indexes)
        for index in range(len(spans.entries)):
            if index not in there and index not in self.excused:
                raise UpstreamError(f"entry {index} has no picture")
        if not self.images:
            raise UpstreamError("it has no pictures")


def decode(node: Node, body: bytes, limits: Limits, slot: str) -> bytes:
    """The bytes of a picture in a JSON string: base64, a data URL, or SVG as it is. Raises UpstreamError."""
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
