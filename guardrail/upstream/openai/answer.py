"""Whole answers of the OpenAI Images API: every picture in them, and answers with single entries taken out."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from guardrail.errors import BadRequest, UpstreamError
from guardrail.types import Artifact, Decision, Kind, Stage
from guardrail.upstream import pictures
from guardrail.upstream.answers import (
    CHANGED,
    LENGTH,
    WHOLE,
    Spans,
    decode,
    error_of,
    holds_picture,
    parse,
    pictures_within,
    strictest,
    without_entries,
)
from guardrail.upstream.dialect import Answer, Fetch, Headers, OneBad, Reply
from guardrail.upstream.embedded import embedded
from guardrail.upstream.fetching import fetch_all
from guardrail.upstream.headers import end_to_end
from guardrail.upstream.limits import Limits
from guardrail.upstream.openai.forms import Form, refuse, refused_entry
from guardrail.upstream.slots import name_of
from guardrail.upstream.spans import Json, Node, Path, splice, strings

_SPANS = "spans"
_FORM = "form"
_RESPECT = b'"respect_moderation"'  # xAI says with this whether an entry is there or was refused
_LEAST = 8  # bytes; neither a picture nor an address is shorter


async def read_answer(
    status: int, headers: Headers, body: bytes, fetch: Fetch, limits: Limits, form: Form = Form.OPENAI
) -> Answer:
    """Find every picture of an answer; `form` is that of a refusal of it.

    An error of the upstream (4xx, 5xx) has none and passes as it is. Raises UpstreamError for what is no answer: a
    redirect, HTML, a content encoding, broken JSON, no picture, a picture that cannot be got.
    """
    error = error_of(status, headers, body, limits)
    if error is not None:
        return error
    kept = end_to_end(headers, LENGTH)
    root = parse(body, limits)
    found = _Found(body, limits)
    spans = found.entries(root)
    for path, node in strings(root):
        found.string(path, node)
    await found.fetch(fetch)
    found.check(spans)
    return Answer(
        status, kept, body, tuple(found.images), tuple(found.indexes), tuple(found.texts), {_SPANS: spans, _FORM: form}
    )


def without(answer: Answer, refused: Mapping[int, Decision], one_bad: OneBad) -> Reply:
    """The answer with the refused entries replaced or dropped, every other byte as it came."""
    if not refused:
        return Reply(answer.status, answer.headers, answer.body)
    spans = answer.state.get(_SPANS)
    kept = [] if not isinstance(spans, Spans) else [i for i in range(len(spans.entries)) if i not in refused]
    with_picture = set(answer.entries)
    unknown = not isinstance(spans, Spans) or any(not 0 <= i < len(spans.entries) for i in refused)
    if unknown or one_bad == "refuse-all" or not any(i in with_picture for i in kept):
        form = answer.state.get(_FORM)
        return refuse(strictest(refused.values()), Stage.OUTPUT, form if isinstance(form, Form) else Form.OPENAI)
    assert isinstance(spans, Spans)
    if one_bad == "drop":
        edits = without_entries(spans, set(refused))
    else:
        says_so = _RESPECT in answer.body
        edits = [
            (*spans.entries[i], refused_entry(decision, respect_moderation=says_so)) for i, decision in refused.items()
        ]
    return Reply(answer.status, end_to_end(answer.headers, CHANGED), splice(answer.body, edits))


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
        self.moderated = False

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
            respects = entry.get("respect_moderation")
            if respects is not None and respects.kind is Json.FALSE:
                self.moderated = True
                self.excused.add(index)
            elif entry.get("error") is not None:
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
            self.within(index, name_of(path), text)
        elif node.size < _LEAST and not direct:
            return
        elif path[-1] == "b64_json" or holds_picture(node, self.body):
            self.picture(index, name_of(path), node)
        elif node.size < 8192 and pictures.url_scheme(node.text(self.body)) is not None:
            self.urls.append((index, slot if direct and path[2] == "url" else name_of(path), node.text(self.body)))
        elif direct and path[2] == "url":
            raise UpstreamError(f"the url of entry {index} is no address")
        else:
            self.within(index, name_of(path), node.text(self.body))

    def within(self, index: int, slot: str, text: str) -> None:
        """A text that may be shown as Markdown or HTML: the pictures in it.

        Raises UpstreamError for what may be one and cannot be read.
        """
        found = embedded(text)
        for data in pictures_within(found, self.limits, slot):
            self.add(index, slot, data)
        self.urls += [(index, slot, address) for address in found.addresses]

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
        wanted = {url: partial(fetch, url, param=slot) for _, slot, url in self.urls}
        try:
            got = await fetch_all(wanted, self.limits.body_bytes)
        except BadRequest as error:
            raise UpstreamError(f"a picture that it points to could not be got: {error}") from None
        for index, slot, url in self.urls:
            self.add(index, slot, got[url].data)

    def check(self, spans: Spans) -> None:
        there = set(self.indexes)
        for index in range(len(spans.entries)):
            if index not in there and index not in self.excused:
                raise UpstreamError(f"entry {index} has no picture")
        # xAI's own refusal is an answer in which every entry is empty; a client would pay for another try after a 502.
        if not self.images and not self.moderated:
            raise UpstreamError("it has no pictures")
