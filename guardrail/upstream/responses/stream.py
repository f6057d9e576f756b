"""Streamed answers of the Responses API: typed events; a picture comes as previews, in its item, and in the end."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from guardrail.errors import GuardrailError
from guardrail.types import Decision
from guardrail.upstream.answers import WHOLE, parse
from guardrail.upstream.chat.found import Finder
from guardrail.upstream.dialect import Event
from guardrail.upstream.limits import Limits
from guardrail.upstream.responses import refuse
from guardrail.upstream.responses.answer import look, look_at_item, remember, word
from guardrail.upstream.responses.past import Past, Remembered
from guardrail.upstream.shown import Shown
from guardrail.upstream.slots import name_of
from guardrail.upstream.spans import Json, Node, Path
from guardrail.upstream.spoken import SpokenReader
from guardrail.upstream.sse import Sent

_LAST = frozenset({"response.completed", "response.failed", "response.incomplete", "response.cancelled"})
_TEXTS = frozenset(
    {"text", "refusal", "arguments", "code", "output", "input", "part", "partial_image_b64", "annotation"}
)
_MOST_KEPT = 1_000_000  # bytes of the items and of the response that a refusal repeats


class EventReader(SpokenReader):
    """Fulfils `StreamReader`. Remembers the response under its id when it is done."""

    def __init__(self, limits: Limits, asked: Past, known: Remembered) -> None:
        super().__init__(limits)
        self._asked = asked
        self._known = known
        self._number = 0
        self._index = 0
        self._item = ""
        self._response: dict[str, Any] | None = None
        self._items: list[dict[str, Any]] = []
        self._kept = 0

    def refuse(self, decision: Decision) -> bytes:
        """The refusal as the last events: the item failed, a message that refuses, and a response that is complete.

        Clients raise nothing here and some want the last event, so the response ends as it would have.
        """
        failed, said = refuse.failed_call(decision, self._item), refuse.message(decision)
        whole = refuse.response(decision, self._response, [*self._items, failed, said])
        at, number = self._index, self._number
        return b"".join(
            (
                refuse.event("response.output_item.done", number + 1, output_index=at, item=failed),
                refuse.event("response.output_item.added", number + 2, output_index=at + 1, item=said),
                refuse.event("response.output_item.done", number + 3, output_index=at + 1, item=said),
                refuse.event("response.completed", number + 4, response=whole),
            )
        )

    def fault(self, error: GuardrailError) -> bytes:
        """The error as the last event, which clients raise."""
        return refuse.fault_event(error, self._number + 1)

    def _event(self, sent: Sent) -> Sequence[Event]:
        shown = Shown(self._limits)
        if sent.data is None or sent.data.strip() == b"[DONE]":
            return self._telling.event(sent.raw, shown)
        root = parse(sent.data, self._limits)
        kind = word(root, "type", sent.data) or sent.name.decode("utf-8", "replace")
        self._look(root, sent.data, shown, kind)
        self._note(root, sent.data, kind, pictured=bool(shown.images))
        final = kind in _LAST
        error = not final and (kind == "error" or root.get("error") is not None)
        self._ended |= final or error
        # What is said piece by piece is said once more when it is done, and so is known to be whole.
        end = final or error or kind.endswith(".done")
        return self._telling.event(sent.raw, shown, final=final, error=error, end=end)

    def _look(self, root: Node, data: bytes, shown: Shown, kind: str) -> None:
        finder = Finder(data, shown, lambda entry, path, text: shown.text(entry, name_of(path), text))
        entry = self._count(root, "output_index", data)
        at = entry if entry is not None else 0
        for key, member in root.members.items():
            if key == "response" and member.kind is Json.OBJECT:
                items = look(member, data, finder)
                if kind in _LAST:
                    remember(member, data, shown, items, self._asked, self._known)
            elif key == "item" and member.kind is Json.OBJECT:
                look_at_item(at, member, data, finder, (*_output(at), key))
            elif key == "delta" and member.kind is Json.STRING:
                part = self._count(root, "content_index", data), self._count(root, "summary_index", data)
                self._telling.add((kind, at, part), name_of((*_output(at), "text")), member.text(data))
            elif key in _TEXTS or (key == "delta" and member.kind is not Json.STRING):
                finder.said(at, member, (*_output(at), key), (key,))
            else:
                finder.rest(WHOLE, member, ("event", key), links=True)

    def _note(self, root: Node, data: bytes, kind: str, *, pictured: bool) -> None:
        """What a refusal would have to go on from. No item with a picture: it may be the one that is refused."""
        number, index = self._count(root, "sequence_number", data), self._count(root, "output_index", data)
        self._number = number if number is not None else self._number + 1
        if index is not None:
            self._index = index
        item, response = root.get("item"), root.get("response")
        if item is not None and item.kind is Json.OBJECT:
            self._item = word(item, "id", data) if word(item, "type", data) == "image_generation_call" else ""
            if kind == "response.output_item.done" and not pictured and self._small(item):
                self._items.append(json.loads(data[item.start : item.end]))
        if response is not None and kind == "response.created" and not pictured and self._small(response):
            self._response = json.loads(data[response.start : response.end])

    def _small(self, node: Node) -> bool:
        self._kept += node.end - node.start
        return self._kept <= _MOST_KEPT

    def _count(self, root: Node, name: str, data: bytes) -> int | None:
        node = root.get(name)
        raw = data[node.start : node.end] if node is not None and node.kind is Json.NUMBER else b""
        return int(raw) if raw.isdigit() and len(raw) < 7 else None


def _output(index: int) -> Path:
    return "output", index
