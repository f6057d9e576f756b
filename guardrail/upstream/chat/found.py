"""What a message of an answer holds, whole or as a delta: pictures, addresses of pictures, and texts."""

from __future__ import annotations

from collections.abc import Callable

from guardrail.errors import UpstreamError
from guardrail.upstream import pictures
from guardrail.upstream.conversation import NAME
from guardrail.upstream.messages import PLAIN, SEALED, SIGNATURES, picture_part, stands, what_of
from guardrail.upstream.shown import Shown
from guardrail.upstream.slots import What, name_of
from guardrail.upstream.spans import Json, Node, Path

Tell = Callable[[int, Path, str], None]
"""Takes a text that users read: the entry, its path and the text."""
# Sources that are named; their addresses lead to pages.
SOURCES = frozenset({"annotations", "citations", "search_results", "logprobs"})


class Finder:
    """Goes through an answer. A list item that gives itself an `index` is known by that, from one delta to the next."""

    def __init__(self, body: bytes, shown: Shown, tell: Tell) -> None:
        self.body = body
        self.shown = shown
        self.tell = tell

    def said(self, entry: int, node: Node, path: Path, above: tuple[str, ...] = ()) -> None:
        """A message or a delta: what is no picture and no name is text. Raises UpstreamError."""
        if node.kind is Json.STRING:
            self._string(entry, node, path, above)
        for at, item in enumerate(node.items):
            self.said(entry, item, (*path, number(item, self.body, at)), above)
        within = (*above, *picture_part(node, self.body))
        for key, member in node.members.items():
            if key.casefold() in SOURCES:
                self.rest(entry, member, (*path, key), links=True)
            else:
                self.said(entry, member, (*path, key), (*within, key.casefold()))

    def rest(self, entry: int, node: Node, path: Path, *, links: bool = False) -> None:
        """Anything else of an answer, which nobody reads. Raises UpstreamError."""
        if node.kind is Json.STRING:
            self.shown.other(entry, name_of(path), node, self.body, links=links)
        for at, item in enumerate(node.items):
            self.rest(entry, item, (*path, at), links=links)
        for key, member in node.members.items():
            self.rest(entry, member, (*path, key), links=links or key.casefold() in SOURCES)

    def _string(self, entry: int, node: Node, path: Path, above: tuple[str, ...]) -> None:
        name, slot = above[-1] if above else "", name_of(path)
        if not node.size:
            return
        if name in SIGNATURES or (name == "data" and "reasoning_details" in above):
            text = node.text(self.body)
            if not SEALED.fullmatch(text) or pictures.looks_like_base64_picture(text):
                raise UpstreamError(f"{slot} is no signature")
            return
        text = node.text(self.body)
        what = what_of(text, above) if above and stands(above) else None
        if what is What.URL:
            self.shown.addresses.append((entry, slot, text.strip()))
        elif what is not None:
            self.shown.encoded(entry, slot, node, self.body)
        elif not ((name in PLAIN or name == "role") and NAME.fullmatch(text)):
            self.tell(entry, path, text)


def number(node: Node, body: bytes, position: int) -> int:
    """The index that a choice or a tool call gives itself; its position where it gives none."""
    index = node.get("index") if node.kind is Json.OBJECT else None
    raw = body[index.start : index.end] if index is not None and index.kind is Json.NUMBER else b""
    return int(raw) if raw.isdigit() and len(raw) < 4 else position
