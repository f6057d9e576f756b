"""JSON with spans: where each value stands in the bytes, so that what passes can be forwarded untouched.

One linear pass, stricter than most parsers on purpose: two parsers that read the same bytes differently are how a
prompt or a picture gets past a guard. A key that occurs twice, two keys that differ only by case, a number that is
none, bytes that are not UTF-8 or a nesting that never ends are refused. Long strings cost a memchr each and no
Python per character: 2 MB of base64 take 0.13 ms.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt
import pybase64

_SPACE = re.compile(rb"[ \t\n\r]*+")
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]{0,99})(?:\.[0-9]{1,99})?(?:[eE][+-]?[0-9]{1,9})?(?![0-9.eE+-])")
# A key as nearly all are, its colon, and the space around that.
_PLAIN_KEY = re.compile(rb'"([^"\\\x00-\x1f\x7f-\xff]{0,256})"[ \t\n\r]*+:[ \t\n\r]*+')
_ESCAPED_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_CONTROL = re.compile(rb"[\x00-\x1f]")
_LONG = 4096  # bytes; from here on a string is checked with numpy instead of being copied
_least = np.minimum.reduce


class Json(Enum):
    """The type of a JSON value."""

    OBJECT = "object"
    ARRAY = "array"
    STRING = "string"
    NUMBER = "number"
    TRUE = "true"
    FALSE = "false"
    NULL = "null"


_WORDS = {kind.value.encode()[0]: (kind, kind.value.encode()) for kind in (Json.TRUE, Json.FALSE, Json.NULL)}


class JsonFault(ValueError):
    """The bytes are not the strict JSON that is expected. The message tells what and at which byte, never content."""


@dataclass(frozen=True)
class JsonLimits:
    """How much JSON is read: nesting, and values plus keys in all."""

    depth: int = 32
    values: int = 10_000


class Node:
    """One JSON value: its type and its span `body[start:end]`; members or items where it has any.

    `key_start` and `key_end` are the span of the key (with quotes) where the value is a member of an object. `data` is
    what a long string decodes to where that was asked for and it is strict base64 as a whole.
    """

    __slots__ = ("_text", "data", "end", "escaped", "items", "key_end", "key_start", "kind", "members", "start")

    def __init__(self, kind: Json, start: int, end: int) -> None:
        self.kind = kind
        self.start = start
        self.end = end
        self.key_start = self.key_end = -1
        self.escaped = False
        self._text: str | None = None
        self.data: bytes | None = None
        self.members: dict[str, Node] = {}
        self.items: list[Node] = []

    def text(self, body: bytes) -> str:
        """The string that a STRING node stands for, escapes resolved."""
        if self._text is None:
            self._text = body[self.start + 1 : self.end - 1].decode()
        return self._text

    def raw(self, body: bytes) -> memoryview:
        """The bytes between the quotes of a STRING node, with escapes as they came; nothing is copied."""
        return memoryview(body)[self.start + 1 : self.end - 1]

    @property
    def size(self) -> int:
        """Bytes between the quotes of a STRING node."""
        return self.end - self.start - 2

    def get(self, key: str) -> Node | None:
        """The member `key` of an OBJECT node; None where it is missing or null."""
        found = self.members.get(key)
        return None if found is None or found.kind is Json.NULL else found


def scan(body: bytes, limits: JsonLimits | None = None, *, decoded: int = 0) -> Node:
    """Read `body` as one strict JSON value. Long strings that are base64 of at most `decoded` bytes are decoded on the
    way: that shows as well that nothing stands in them that may not, and spares two looks at every byte.

    Raises JsonFault for whatever RFC 8259 does not allow, and for what parsers disagree about: a byte order mark,
    keys that occur twice or differ only by case, keys with control characters, lone surrogates, NaN.
    """
    return _Scanner(body, limits or JsonLimits(), decoded).document()


class _Scanner:
    def __init__(self, body: bytes, limits: JsonLimits, decoded: int) -> None:
        self.body = body
        self.decoded = decoded
        self.size = len(body)
        self.limits = limits
        self.left = limits.values
        self.bytes: npt.NDArray[np.int8] | None = None

    def document(self) -> Node:
        node = self.value(self.space(0), 0)
        end = self.space(node.end)
        if end != self.size:
            raise JsonFault(f"something follows the JSON value at byte {end}")
        return node

    def space(self, at: int) -> int:
        body = self.body
        if at < self.size and body[at] > 0x20:
            return at
        found = _SPACE.match(body, at)
        return found.end() if found else at

    def value(self, at: int, depth: int) -> Node:
        self.left -= 1
        if self.left < 0:
            raise JsonFault(f"more than {self.limits.values} values")
        if at >= self.size:
            raise JsonFault(f"the JSON ends early, at byte {at}")
        first = self.body[at]
        if first == 0x22:
            return self.string(at)
        if first in (0x7B, 0x5B):
            if depth >= self.limits.depth:
                raise JsonFault(f"nested deeper than {self.limits.depth}")
            return self.object(at, depth) if first == 0x7B else self.array(at, depth)
        if first in _WORDS:
            kind, word = _WORDS[first]
            if self.body.startswith(word, at):
                return Node(kind, at, at + len(word))
        number = _NUMBER.match(self.body, at)
        if number is None:
            raise JsonFault(f"no JSON value at byte {at}")
        return Node(Json.NUMBER, at, number.end())

    def object(self, at: int, depth: int) -> Node:
        node = Node(Json.OBJECT, at, at)
        spelled: set[str] = set()
        at = self.space(at + 1)
        if at < self.size and self.body[at] == 0x7D:
            node.end = at + 1
            return node
        while True:
            start = at
            plain = _PLAIN_KEY.match(self.body, at)
            if plain is not None:
                name = plain[1].decode()
                end, at = plain.end(1) + 1, plain.end()
            else:
                name, end, at = self.key(at)
            folded = name.casefold()
            if folded in spelled:
                # Go's decoder takes either spelling and the last one wins; JavaScript keeps both.
                raise JsonFault(
                    f"a key that occurs twice in one object (upper and lower case are one), at byte {start}"
                )
            spelled.add(folded)
            member = self.value(at, depth + 1)
            member.key_start, member.key_end = start, end
            node.members[name] = member
            at = self.space(member.end)
            if at < self.size and self.body[at] == 0x2C:
                at = self.space(at + 1)
                continue
            if at < self.size and self.body[at] == 0x7D:
                node.end = at + 1
                return node
            raise JsonFault(f"a comma or a closing brace is expected at byte {at}")

    def key(self, at: int) -> tuple[str, int, int]:
        """A key, where it ends, and where its value begins."""
        if at >= self.size or self.body[at] != 0x22:
            raise JsonFault(f"a key in quotes is expected at byte {at}")
        key = self.string(at)
        name = key.text(self.body)
        if not name.isprintable():
            raise JsonFault(f"a key that cannot be printed at byte {at}")
        at = self.space(key.end)
        if at >= self.size or self.body[at] != 0x3A:
            raise JsonFault(f"a colon is expected at byte {at}")
        return name, key.end, self.space(at + 1)

    def array(self, at: int, depth: int) -> Node:
        node = Node(Json.ARRAY, at, at)
        at = self.space(at + 1)
        if at < self.size and self.body[at] == 0x5D:
            node.end = at + 1
            return node
        while True:
            item = self.value(at, depth + 1)
            node.items.append(item)
            at = self.space(item.end)
            if at < self.size and self.body[at] == 0x2C:
                at = self.space(at + 1)
                continue
            if at < self.size and self.body[at] == 0x5D:
                node.end = at + 1
                return node
            raise JsonFault(f"a comma or a closing bracket is expected at byte {at}")

    def string(self, at: int) -> Node:
        body = self.body
        end = body.find(b'"', at + 1)
        if end < 0:
            raise JsonFault(f"a string that is never closed, at byte {at}")
        node = Node(Json.STRING, at, end + 1)
        if _LONG <= end - at - 1 <= self.decoded // 3 * 4 + 4:
            with contextlib.suppress(ValueError):
                node.data = pybase64.b64decode(memoryview(body)[at + 1 : end], validate=True)
                return node
        if body.find(b"\\", at + 1, end) >= 0:
            return self.escaped(node)
        if end - at < _LONG:
            inner = body[at + 1 : end]
            if _CONTROL.search(inner):
                raise JsonFault(f"a control character in the string at byte {at}")
            node._text = self.decode(inner, at)
            return node
        if self.bytes is None:
            self.bytes = np.frombuffer(body, np.int8)
        # As signed bytes, what is not ASCII is below 0: one look finds it and control characters.
        view = self.bytes[at + 1 : end]
        if _least(view) < 0x20:
            if _least(view.view(np.uint8)) < 0x20:
                raise JsonFault(f"a control character in the string at byte {at}")
            node._text = self.decode(body[at + 1 : end], at)
        return node

    def escaped(self, node: Node) -> Node:
        found = _ESCAPED_STRING.match(self.body, node.start)
        if found is None:
            raise JsonFault(f"a string that is never closed, at byte {node.start}")
        node.end = found.end()
        node.escaped = True
        try:
            text = json.loads(self.decode(found.group(), node.start))
            text.encode()
        except (ValueError, UnicodeEncodeError):
            raise JsonFault(f"a wrong escape or half a character in the string at byte {node.start}") from None
        node._text = str(text)
        return node

    def decode(self, inner: bytes, at: int) -> str:
        try:
            return inner.decode()
        except UnicodeDecodeError:
            raise JsonFault(f"the string at byte {at} is not UTF-8") from None


def text_of(node: Node, key: str, body: bytes) -> str:
    """The string that the member `key` of an object is; empty where there is none, or something else."""
    found = node.get(key)
    return found.text(body) if found is not None and found.kind is Json.STRING else ""


Path = tuple[str | int, ...]


def strings(node: Node, path: Path = ()) -> list[tuple[Path, Node]]:
    """Every STRING value under `node` with the keys and indexes that lead to it, in the order of the bytes."""
    found: list[tuple[Path, Node]] = []
    _collect(node, path, found)
    return found


def _collect(node: Node, path: Path, found: list[tuple[Path, Node]]) -> None:
    if node.kind is Json.STRING:
        found.append((path, node))
    for key, member in node.members.items():
        if member.kind is Json.STRING:
            found.append(((*path, key), member))
        elif member.members or member.items:
            _collect(member, (*path, key), found)
    for index, item in enumerate(node.items):
        _collect(item, (*path, index), found)


def scalars(node: Node) -> Iterator[tuple[str, Node]]:
    """Every member of every object under `node` that holds nothing itself, with its key; null is left out."""
    for key, member in node.members.items():
        if member.kind in (Json.OBJECT, Json.ARRAY):
            yield from scalars(member)
        elif member.kind is not Json.NULL:
            yield key, member
    for item in node.items:
        yield from scalars(item)


def keys(node: Node) -> Iterator[str]:
    """Every key of every object under `node`."""
    for key, member in node.members.items():
        yield key
        if member.members or member.items:
            yield from keys(member)
    for item in node.items:
        yield from keys(item)


def listed_numbers(node: Node, *, inside: bool = False) -> int:
    """How many numbers stand in lists under `node`: a picture can be spelled as numbers, a setting has few."""
    if node.kind is Json.NUMBER:
        return int(inside)
    found = 0
    for member in node.members.values():
        if inside or member.members or member.items:
            found += listed_numbers(member, inside=inside)
    for item in node.items:
        found += listed_numbers(item, inside=True)
    return found


Edit = tuple[int, int, bytes]


def splice(body: bytes, edits: Sequence[Edit]) -> bytes:
    """Replace each span `(start, end, new)` of `body`; every other byte stays as it is.

    Without edits the very same object comes back. Raises ValueError when spans overlap or lie outside.
    """
    if not edits:
        return body
    pieces: list[bytes | memoryview] = []
    view = memoryview(body)
    at = 0
    for start, end, new in sorted(edits):
        if not at <= start <= end <= len(body):
            raise ValueError(f"edit {start}:{end} overlaps another or lies outside {len(body)} bytes")
        pieces += (view[at:start], new)
        at = end
    pieces.append(view[at:])
    return b"".join(pieces)
