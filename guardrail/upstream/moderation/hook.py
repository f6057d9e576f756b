"""LiteLLM's generic guardrail hook: a gateway asks before a call and after it, and stops where it is told BLOCKED.

Whatever goes wrong is an HTTP error, which the gateway takes for a refusal unless its operator chose otherwise.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

from guardrail.errors import BadRequest
from guardrail.types import Artifact, Kind, Request
from guardrail.upstream import pictures
from guardrail.upstream.conversation import Conversation
from guardrail.upstream.dialect import Fetch, Headers, Judge, Reply
from guardrail.upstream.embedded import Embedded, embedded
from guardrail.upstream.envelope import message
from guardrail.upstream.gather import Gathered, Place, windows
from guardrail.upstream.headers import content_type
from guardrail.upstream.limits import Limits
from guardrail.upstream.moderation.moderations import add_picture
from guardrail.upstream.slots import What, leaf_of, name_of, names_content, wordy
from guardrail.upstream.spans import Json, JsonFault, Node, scan, strings

ROUTE = "litellm_hook"
MOST_TEXTS = 256
# Besides texts and images: what a model is shown or has said, with the same texts in them for the most part.
ELSEWHERE = ("structured_messages", "tools", "tool_calls")


async def answer_hook(headers: Headers, body: bytes, judge: Judge, fetch: Fetch, limits: Limits) -> Reply:
    """Judge what the gateway holds. Raises BadRequest for what cannot be read, and where there is nothing to judge."""
    said, got = read(headers, body, limits)
    await got.resolve(fetch, _no_file)
    found = tuple(one for one in got.inputs if one is not None)
    texts = tuple(got.texts)
    if said == "request":
        judged = await judge(Request(texts, found), route=ROUTE)
    else:
        shown = tuple(Artifact(Kind.OUTPUT, one.slot, data=one.data) for one in found)
        judged = await judge(Request((), ()), shown, texts, route=ROUTE)
    decision = judged.decision
    answer: dict[str, Any] = {"action": "NONE"}
    if decision.action.refuses:
        answer = {"action": "BLOCKED", "blocked_reason": message(decision)}
    return Reply(200, [("content-type", "application/json"), *judged.headers], json.dumps(answer).encode())


async def _no_file(file_id: str) -> Any:
    raise BadRequest("files of a generator cannot be judged here", param="images", code="invalid_value")


def read(headers: Headers, body: bytes, limits: Limits) -> tuple[str, Gathered]:
    """Whether it is about a request or a response, and all there is to judge."""
    kind, _ = content_type(headers)
    if kind.startswith("multipart/"):
        raise BadRequest("send JSON", status=415, code="unsupported_media_type")
    try:
        root = scan(body, limits.json)
    except JsonFault as fault:
        raise BadRequest(f"the body is not the JSON expected: {fault}", code="invalid_json") from None
    asked = root.get("input_type") if root.kind is Json.OBJECT else None
    said = asked.text(body) if asked is not None and asked.kind is Json.STRING else ""
    if said not in ("request", "response"):
        raise BadRequest('input_type must be "request" or "response"', param="input_type", code="invalid_value")
    reading = _Reading(body, Gathered(replace(limits, texts=MOST_TEXTS)), shown=said == "response")
    for number, node in enumerate(_list(root, "texts")):
        reading.text(node, f"texts[{number}]")
    for number, node in enumerate(_list(root, "images")):
        reading.picture(node, f"images[{number}]")
    for name in ELSEWHERE:
        part = root.get(name)
        if part is not None:
            reading.walk(part, name)
    got = reading.got
    got.settle()
    if not got.texts and not got.inputs:
        raise BadRequest("there is nothing to judge: no texts and no images", param="texts", code="invalid_value")
    return said, got


def _list(root: Node, name: str) -> list[Node]:
    found = root.get(name)
    if found is None:
        return []
    if found.kind is not Json.ARRAY or any(item.kind is not Json.STRING for item in found.items):
        raise BadRequest(f"{name} must be a list of strings", param=name, code="invalid_type")
    return found.items


@dataclass(repr=False)
class _Reading:
    """One body that is being read; each text and picture once. `shown`: it is an answer, whose texts people see."""

    body: bytes
    got: Gathered
    shown: bool
    seen: set[str] = field(default_factory=set)

    def text(self, node: Node, param: str) -> None:
        """A text, and the pictures inside it; a long one in windows."""
        text = node.text(self.body)
        if text in self.seen or not text.strip():
            return
        self.seen.add(text)
        left = Conversation(self.got).cleared(param, text)
        if self.shown:
            self._shown(embedded(text), node, param)
        for number, part in enumerate(windows(left, self.got.limits.prompt_chars) if left.strip() else ()):
            self.got.text(f"{param}#{number}" if number else param, part, param)

    def _shown(self, found: Embedded, node: Node, param: str) -> None:
        """What an answer shows besides: a drawing in SVG, and pictures by address."""
        if found.svg:
            self.got.picture(self.got.image_slot(), found.svg.encode(), param)
        place = Place(node.start, node.end, quoted=True)
        for address in found.addresses:
            self.got.reference(self.got.image_slot(), What.URL, address, param, place)

    def picture(self, node: Node, param: str) -> None:
        self.seen.add(node.text(self.body))
        add_picture(self.got, node, self.body, self.got.image_slot(), param)

    def walk(self, part: Node, name: str) -> None:
        """Pictures, and texts that were not among `texts`: a prompt may stand in the arguments of a tool call."""
        for path, node in strings(part, (name,)):
            text = node.text(self.body)
            if text in self.seen:
                continue
            leaf = leaf_of(path)
            address = "image_url" in path and pictures.url_scheme(text) is not None
            if address or pictures.is_data_url(text) or pictures.looks_like_base64_picture(text):
                self.picture(node, name_of(path))
            elif wordy(text) or names_content(leaf) or leaf in ("content", "arguments"):
                self.text(node, name_of(path))
