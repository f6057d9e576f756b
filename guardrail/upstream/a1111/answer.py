"""Answers of the AUTOMATIC1111 API: pictures in `images` or `image`, echoes of what was sent, prompts as used."""

from __future__ import annotations

from collections.abc import Mapping

from guardrail.errors import UpstreamError
from guardrail.types import Artifact, Decision, Kind
from guardrail.upstream.a1111.refuse import refuse
from guardrail.upstream.a1111.routes import GENERATING, PICTURED, POLLS, Route
from guardrail.upstream.answers import (
    CHANGED,
    LENGTH,
    WHOLE,
    Spans,
    decode,
    error_of,
    holds_picture,
    parse,
    shows,
    strictest,
    without_entries,
)
from guardrail.upstream.dialect import Answer, Call, Headers, OneBad, Reply
from guardrail.upstream.headers import end_to_end
from guardrail.upstream.limits import Limits
from guardrail.upstream.placeholder import placeholder
from guardrail.upstream.slots import name_of
from guardrail.upstream.spans import Edit, Json, JsonFault, Node, scan, splice, strings

_SPANS = "spans"
_PREVIEWS = frozenset({"current_image", "live_preview", "preview"})
_SHORT = 65_536  # bytes of an answer that says no more than "done"


def read_answer(call: Call, status: int, headers: Headers, body: bytes, limits: Limits) -> Answer:
    """Find every picture of an answer, and every prompt that is not the one that was sent.

    Raises UpstreamError for what is no answer of this API.
    """
    error = error_of(status, headers, body, limits)
    if error is not None:
        return error
    kept = end_to_end(headers, LENGTH)
    route = Route(call.route)
    if route in POLLS:
        return _progress(status, kept, body, limits)
    if route is Route.OPTIONS:
        _nothing(body, limits)
        return Answer(status, kept, body, (), ())
    root = parse(body, limits)
    found = _Found(body, limits, call)
    spans = found.entries(root)
    if route in PICTURED and root.get("images") is None and root.get("image") is None:
        raise UpstreamError("it has no pictures")
    for path, node in strings(root):
        if path[0] not in ("images", "image"):
            found.string(name_of(path), node)
    if route in GENERATING:
        found.info(root)
    elif route is Route.INTERROGATE:
        caption = root.get("caption")
        if caption is not None and caption.kind is Json.STRING:
            found.text("caption", caption.text(body))
    return Answer(status, kept, body, tuple(found.images), tuple(found.indexes), tuple(found.texts), {_SPANS: spans})


def without(answer: Answer, refused: Mapping[int, Decision], one_bad: OneBad) -> Reply:
    """The answer with refused pictures replaced by a grey one of the same size, or dropped."""
    if not refused:
        return Reply(answer.status, answer.headers, answer.body)
    spans = answer.state.get(_SPANS)
    there = isinstance(spans, Spans) and all(0 <= i < len(spans.entries) for i in refused)
    if not isinstance(spans, Spans) or not there or one_bad == "refuse-all" or len(refused) >= len(spans.entries):
        return refuse(strictest(refused.values()))
    if one_bad == "drop":
        edits = without_entries(spans, set(refused))
    else:
        of = dict(zip(answer.entries, answer.images, strict=True))
        edits = [(*spans.entries[i], b'"' + placeholder(of[i].data or b"") + b'"') for i in refused]
    return Reply(answer.status, end_to_end(answer.headers, CHANGED), splice(answer.body, edits))


def _progress(status: int, headers: Headers, body: bytes, limits: Limits) -> Answer:
    """How far a picture is, without the picture."""
    root = parse(body, limits)
    edits: list[Edit] = [
        (node.start, node.end, b"null")
        for path, node in strings(root)
        if node.size and (path[-1] in _PREVIEWS or holds_picture(node, body))
    ]
    kept = end_to_end(headers, CHANGED) if edits else headers
    return Answer(status, kept, splice(body, edits), (), ())


def _nothing(body: bytes, limits: Limits) -> None:
    if not body:
        return
    try:
        root = scan(body, limits.json) if len(body) <= _SHORT else None
    except JsonFault:
        root = None
    if root is None or any(holds_picture(node, body) for _, node in strings(root)):
        raise UpstreamError("it is not the short JSON expected")


class _Found:
    """Collects what one answer holds."""

    def __init__(self, body: bytes, limits: Limits, call: Call) -> None:
        self.body = body
        self.limits = limits
        self.images: list[Artifact] = []
        self.indexes: list[int] = []
        self.texts: list[Artifact] = []
        self._sent = {artifact.digest for artifact in call.request.inputs}
        self._said = {text.text for text in call.request.texts}

    def entries(self, root: Node) -> Spans:
        """The pictures themselves: a list, or the one of a call that gives one. An interrupted job gives none."""
        images, one = root.get("images"), root.get("image")
        if images is not None and images.kind is not Json.ARRAY:
            raise UpstreamError("images is not a list")
        if one is not None and one.kind is not Json.STRING:
            raise UpstreamError("image is not a string")
        nodes = [*(images.items if images is not None else ()), *([one] if one is not None else ())]
        if len(nodes) > self.limits.entries:
            raise UpstreamError(f"it has more than {self.limits.entries} pictures")
        if images is not None and one is not None:
            raise UpstreamError("it has both image and images")
        for index, node in enumerate(nodes):
            if node.kind is not Json.STRING:
                raise UpstreamError(f"picture {index} is not a string")
            if node.size:
                slot = f"images[{index}]"
                data = decode(node, self.body, self.limits, slot)
                self.images.append(Artifact(Kind.OUTPUT, slot, data=data))
                self.indexes.append(index)
        return Spans(tuple((node.start, node.end) for node in nodes))

    def string(self, slot: str, node: Node) -> None:
        """Any other string. What the caller sent himself was judged before, and may come back as it is."""
        if not node.size:
            return
        if not holds_picture(node, self.body):
            if shows(node.text(self.body)):
                raise UpstreamError(f"{slot} shows a picture that cannot be judged")
            return
        picture = Artifact(Kind.OUTPUT, slot, data=decode(node, self.body, self.limits, slot))
        if picture.digest not in self._sent:
            self.images.append(picture)
            self.indexes.append(WHOLE)

    def info(self, root: Node) -> None:
        """The prompts that were used: styles, wildcards and scripts of the server may have changed them."""
        info = root.get("info")
        if info is None or info.kind is not Json.STRING or not info.size:
            return
        inner = info.text(self.body).encode()
        try:
            told = scan(inner, self.limits.json)
        except JsonFault as fault:
            raise UpstreamError(f"its info is not the JSON expected: {fault}") from None
        for path, node in strings(told):
            if path and path[0] in ("prompt", "all_prompts", "all_hr_prompts"):
                self.text(f"info.{name_of(path)}", node.text(inner))
            elif holds_picture(node, inner) or shows(node.text(inner)):
                raise UpstreamError("its info carries a picture")

    def text(self, slot: str, text: str) -> None:
        if not text.strip() or text in self._said:
            return
        if len(text) > self.limits.prompt_chars or len(self.texts) >= self.limits.texts:
            raise UpstreamError("it has more or longer texts than are judged")
        self._said.add(text)
        self.texts.append(Artifact(Kind.PROMPT, slot, text=text))
