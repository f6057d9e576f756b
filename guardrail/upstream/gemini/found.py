"""What a response of generateContent holds, whole or as one event of a stream: pictures and texts, by candidate."""

from __future__ import annotations

import re
from collections.abc import Callable

from guardrail.errors import UpstreamError
from guardrail.upstream import pictures
from guardrail.upstream.answers import WHOLE, check_keys
from guardrail.upstream.gemini.names import plain
from guardrail.upstream.limits import Limits
from guardrail.upstream.shown import Shown
from guardrail.upstream.slots import name_of
from guardrail.upstream.spans import Json, Node, Path, listed_numbers

_NAME = re.compile(r"[A-Za-z0-9_./+:-]{0,128}")
_SIGNATURE = re.compile(rb"[A-Za-z0-9+/_=-]*+")
# Sources that are named; their addresses lead to pages.
_SOURCES = frozenset({"groundingmetadata", "citationmetadata", "urlcontextmetadata"})
_SOURCE_LEAVES = frozenset({"uri", "retrievedurl", "licenseuri", "renderedcontent"})

Tell = Callable[[int, str, str], None]
"""Takes a text that users read: the candidate's index, the slot and the text."""


def look(root: Node, body: bytes, shown: Shown, tell: Tell, limits: Limits, at: Path = ()) -> None:
    """Collect what one response holds. Raises UpstreamError for what cannot be judged."""
    if root.kind is not Json.OBJECT:
        raise UpstreamError("it is not a JSON object")
    check_keys(root)
    if listed_numbers(root) > limits.numbers:
        raise UpstreamError(f"its lists hold more than {limits.numbers} numbers, which nobody judges")
    finder = _Finder(body, shown, tell)
    for key, member in root.members.items():
        if plain(key) == "candidates":
            for index, one in enumerate(member.items):
                finder.candidate(number(one, body, index), one, (*at, key, index))
            if member.kind is not Json.ARRAY:
                finder.value(WHOLE, member, "", (*at, key))
        else:
            finder.value(WHOLE, member, plain(key), (*at, key))


def number(candidate: Node, body: bytes, position: int) -> int:
    """The index that a candidate gives itself; its position where it gives none."""
    index = candidate.get("index")
    raw = body[index.start : index.end] if index is not None and index.kind is Json.NUMBER else b""
    return int(raw) if raw.isdigit() and len(raw) < 4 else position


def finished(root: Node) -> bool:
    """True when a candidate of this response says that it is done."""
    found = next((member for key, member in root.members.items() if plain(key) == "candidates"), None)
    items = found.items if found is not None else []
    return any(
        plain(key) == "finishreason" and m.kind is not Json.NULL for one in items for key, m in one.members.items()
    )


def refused(root: Node) -> bool:
    """True when this response says that the generator refused the prompt, or is an error."""
    for key, member in root.members.items():
        if plain(key) == "promptfeedback" and any(plain(inner) == "blockreason" for inner in member.members):
            return True
        if key == "error" and member.kind is not Json.NULL:
            return True
    return False


class _Finder:
    def __init__(self, body: bytes, shown: Shown, tell: Tell) -> None:
        self.body = body
        self.shown = shown
        self.tell = tell

    def candidate(self, entry: int, node: Node, path: Path) -> None:
        if node.kind is not Json.OBJECT:
            raise UpstreamError(f"{name_of(path)} is not an object")
        for key, member in node.members.items():
            name = plain(key)
            if name == "content":
                self.value(entry, member, name, (*path, key), content=True)
            else:
                self.value(entry, member, name, (*path, key), links=name in _SOURCES)

    def value(
        self, entry: int, node: Node, name: str, path: Path, *, content: bool = False, links: bool = False
    ) -> None:
        if node.kind is Json.STRING:
            self.string(entry, node, name, path, content=content, links=links)
        for index, item in enumerate(node.items):
            self.value(entry, item, name, (*path, index), content=content, links=links)
        for key, member in node.members.items():
            here = plain(key)
            if here == "inlinedata" and member.kind is not Json.NULL:
                self.inline(entry, member, (*path, key))
            else:
                self.value(entry, member, here, (*path, key), content=content, links=links)

    def inline(self, entry: int, node: Node, path: Path) -> None:
        slot = name_of(path[:-1])
        for key, member in node.members.items():
            if plain(key) == "data" and member.kind is Json.STRING and member.size:
                self.shown.encoded(entry, slot, member, self.body)
            elif member.kind is not Json.STRING or plain(key) == "data":
                raise UpstreamError(f"{name_of((*path, key))} is no base64")
            else:
                self.shown.other(entry, name_of((*path, key)), member, self.body)
        if node.kind is not Json.OBJECT or not any(plain(key) == "data" for key in node.members):
            raise UpstreamError(f"{slot} has no data")

    def string(self, entry: int, node: Node, name: str, path: Path, *, content: bool, links: bool) -> None:
        slot = name_of(path)
        if name == "thoughtsignature":
            head = bytes(node.raw(self.body)[:512]).decode("ascii", "replace")
            if not _SIGNATURE.fullmatch(node.raw(self.body)) or pictures.looks_like_base64_picture(head):
                raise UpstreamError(f"{slot} is no signature")
        elif content and not (name != "text" and node.size <= 128 and _NAME.fullmatch(node.text(self.body))):
            self.tell(entry, slot, node.text(self.body))
        elif not (links and name == "renderedcontent" and b"data:image" not in bytes(node.raw(self.body)).lower()):
            self.shown.other(entry, slot, node, self.body, links=links and name in _SOURCE_LEAVES)
