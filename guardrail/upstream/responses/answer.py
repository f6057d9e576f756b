"""Whole answers of the Responses API: every picture of every item."""

from __future__ import annotations

import json
from collections.abc import Mapping

from guardrail.errors import UpstreamError
from guardrail.types import Decision
from guardrail.upstream.answers import CHANGED, LENGTH, WHOLE, error_of, parse, strictest
from guardrail.upstream.chat.found import Finder
from guardrail.upstream.dialect import Answer, Fetch, Headers, OneBad, Reply
from guardrail.upstream.headers import end_to_end
from guardrail.upstream.limits import Limits
from guardrail.upstream.responses import refuse
from guardrail.upstream.responses.past import Past, Remembered
from guardrail.upstream.shown import Shown
from guardrail.upstream.slots import name_of
from guardrail.upstream.spans import Edit, Json, Node, Path, splice

_SPANS = "items"
# Items that name pages and files; nothing of theirs is shown.
_SOURCES = frozenset({"web_search_call", "file_search_call"})


async def read_answer(
    status: int, headers: Headers, body: bytes, fetch: Fetch, limits: Limits, asked: Past, known: Remembered
) -> Answer:
    """Find every picture of an answer; one in words, or a job that is not done, has none.

    What it holds is remembered under its id. Raises UpstreamError for what is no answer.
    """
    error = error_of(status, headers, body, limits)
    if error is not None:
        return error
    kept = end_to_end(headers, LENGTH)
    root = parse(body, limits)
    shown = Shown(limits)
    finder = Finder(body, shown, lambda entry, path, text: shown.text(entry, name_of(path), text))
    items = look(root, body, finder)
    await shown.fetch(fetch)
    remember(root, body, shown, items, asked, known)
    spans = {index: (item.start, item.end, *kind_of(item, body)) for index, item in items.items()}
    return Answer(status, kept, body, tuple(shown.images), tuple(shown.entries), shown.texts, {_SPANS: spans})


def look(root: Node, body: bytes, finder: Finder, at: Path = ()) -> dict[int, Node]:
    """Collect what a response object holds; its output items by index. Raises UpstreamError for what is none."""
    output, identity = root.get("output"), root.get("id")
    if output is None or output.kind is not Json.ARRAY or identity is None or identity.kind is not Json.STRING:
        raise UpstreamError("it is no response with an id and an output")
    for index, item in enumerate(output.items):
        look_at_item(index, item, body, finder, (*at, "output", index))
    for key, member in root.members.items():
        if key != "output":
            finder.rest(WHOLE, member, (*at, key), links=True)
    return dict(enumerate(output.items))


def look_at_item(entry: int, item: Node, body: bytes, finder: Finder, path: Path) -> None:
    """Collect what one item of an output holds."""
    if item.kind is not Json.OBJECT:
        raise UpstreamError(f"{name_of(path)} is not an object")
    if kind_of(item, body)[0] in _SOURCES:
        finder.rest(entry, item, path, links=True)
    else:
        finder.said(entry, item, path)


def kind_of(item: Node, body: bytes) -> tuple[str, str]:
    """The type and the id of an item."""
    return word(item, "type", body), word(item, "id", body)


def word(node: Node, name: str, body: bytes) -> str:
    """The string `name` of an object; empty where there is none."""
    found = node.get(name)
    return found.text(body) if found is not None and found.kind is Json.STRING else ""


def remember(root: Node, body: bytes, shown: Shown, items: Mapping[int, Node], asked: Past, known: Remembered) -> None:
    """Remember a response under its id, with its pictures under those of their items."""
    made = [
        (kind_of(items[entry], body)[1] if entry in items else "", image.data or b"")
        for image, entry in zip(shown.images, shown.entries, strict=True)
    ]
    known.keep(word(root, "id", body), asked, [text for _, text in shown.said], made)


def without(answer: Answer, refused: Mapping[int, Decision], one_bad: OneBad) -> Reply:
    """The answer with refused items replaced by failed calls and a message that refuses.

    An item that is gone would leave nothing to say why, so `drop` is read as `replace`.
    """
    if not refused:
        return Reply(answer.status, answer.headers, answer.body)
    spans: Mapping[int, tuple[int, int, str, str]] = answer.state.get(_SPANS, {})
    worst = strictest(refused.values())
    if not set(refused) <= set(spans):
        return refuse.refuse(worst)
    if one_bad == "refuse-all":
        refused = {entry: refused.get(entry, worst) for entry in answer.entries if entry in spans}
    edits: list[Edit] = []
    last = max(refused)
    for index, decision in refused.items():
        start, end, kind, item = spans[index]
        said = []
        if kind == "image_generation_call":
            said.append(refuse.failed_call(decision, item))
        if index == last:
            said.append(refuse.message(worst))
        elif not said:
            said.append(refuse.message(decision))
        edits.append((start, end, b", ".join(json.dumps(one).encode() for one in said)))
    return Reply(answer.status, end_to_end(answer.headers, CHANGED), splice(answer.body, edits))
