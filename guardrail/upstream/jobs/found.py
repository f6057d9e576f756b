"""Free-form outputs of jobs: every picture in an answer, and the answer as it leaves.

What a job made stands under names of the model's own: each string that is a picture, or the address of one, is one. All
else of an answer (logs, an echo of what was asked) shows nothing, so a picture there is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass

from guardrail.errors import UpstreamError
from guardrail.types import Artifact, Kind
from guardrail.upstream import pictures
from guardrail.upstream.answers import (
    CHANGED,
    LENGTH,
    WHOLE,
    Spans,
    check_error,
    decode,
    holds_picture,
    without_entries,
)
from guardrail.upstream.dialect import Answer, Fetch, Fetched, Headers, OneBad
from guardrail.upstream.headers import end_to_end
from guardrail.upstream.jobs.shelf import Shelf
from guardrail.upstream.limits import Limits
from guardrail.upstream.placeholder import placeholder
from guardrail.upstream.shown import Shown
from guardrail.upstream.slots import name_of
from guardrail.upstream.spans import Edit, Json, JsonFault, Node, Path, scan, splice, strings

_LONGEST_URL = 8192  # characters
_HEAD = 1024  # characters that show what a string is


@dataclass(frozen=True, repr=False)
class _Item:
    """What is taken out when a picture in it is refused: one of a list, or one string."""

    path: Path
    holder: Node | None = None


@dataclass(frozen=True, repr=False)
class _Said:
    """A string that shows pictures: its entry, where it stands, and the addresses in it. `links` are those of them
    that may lead to a page."""

    entry: int
    node: Node
    addresses: tuple[str, ...]
    links: frozenset[str]


class Found:
    """What one answer holds. `sent` are the pictures that the caller sent himself, which may come back."""

    def __init__(self, body: bytes, limits: Limits, sent: Iterable[Artifact] = ()) -> None:
        self.body = body
        self.limits = limits
        self.shown = Shown(limits)
        self.edits: list[Edit] = []
        self._mine = {one.digest for one in sent}
        self._items: list[_Item] = []
        self._said: list[_Said] = []

    # ---------------------------------------------------------------------------------------------------- reading

    def look(self, node: Node, path: Path, item: _Item | None = None, *, skip: Set[str] = frozenset()) -> None:
        """Everything that a job made, but for fields named in `skip`, which show nothing. Raises UpstreamError for what
        may be a picture and cannot be read."""
        if node.kind is Json.STRING:
            self._string(node, path, item or _Item(path))
        if self._pieces(node):
            # A text that comes in pieces is shown as one.
            self.shown.text(WHOLE, name_of(path), "".join(one.text(self.body) for one in node.items))
            return
        for index, one in enumerate(node.items):
            at = (*path, index)
            self.look(one, at, item or _Item(at, node), skip=skip)
        for key, member in node.members.items():
            if key in skip:
                self.quiet(member, (*path, key), links=False)
            else:
                self.look(member, (*path, key), item, skip=skip)

    def quiet(self, node: Node, path: Path = (), *, links: bool = True) -> None:
        """What shows nothing: a picture in it is left out, unless the caller sent it himself. Without `links` so is an
        address."""
        for _, one in strings(node, path):
            if holds_picture(one, self.body):
                if not self._sent_by_caller(one):
                    self.becomes(one, "")
            elif not links and one.size < _LONGEST_URL and pictures.url_scheme(one.text(self.body)) is not None:
                self.becomes(one, "")

    def becomes(self, node: Node, text: str) -> None:
        """Say something else in place of a string."""
        self.edits.append((node.start, node.end, json.dumps(text).encode()))

    async def settle(self, fetch: Fetch, shelf: Shelf, public: str) -> None:
        """Get what addresses lead to; what leaves are the pictures that were got. Raises UpstreamError."""
        got: dict[str, bytes] = {}
        get = shelf.making(fetch)

        async def remembering(url: str, *, param: str) -> Fetched:
            found = await get(url, param=param)
            got[url] = found.data
            return found

        await self.shown.fetch(remembering)
        for one in self._said:
            text = one.node.text(self.body)
            shown = [address for address in one.addresses if address not in one.links or pictures.sniff(got[address])]
            for address in sorted(shown, key=len, reverse=True):  # one may begin like another
                # An address may have been read without its scheme: "//host/path" in HTML.
                there = address if address in text else address.removeprefix("https:")
                text = text.replace(there, shelf.told(public, address, got[address]))
            if shown:
                self.becomes(one.node, text)

    @property
    def leaves(self) -> bytes:
        """The answer as it leaves when nothing in it is refused."""
        return splice(self.body, self.edits)

    def _string(self, node: Node, path: Path, item: _Item) -> None:
        if not node.size:
            return
        text, slot = node.text(self.body), name_of(path)
        images, addresses, links = len(self.shown.images), len(self.shown.addresses), len(self.shown.links)
        entry = len(self._items) - 1 if self._items and self._items[-1] is item else len(self._items)
        if pictures.is_data_url(text):
            self.shown.encoded(entry, slot, node, self.body)
        elif node.size < _LONGEST_URL and pictures.url_scheme(text) in ("https", "http"):
            self.shown.addresses.append((entry, slot, text.strip()))
        else:
            self.shown.text(entry, slot, text)
        linked = [url for _, _, url in self.shown.links[links:]]
        pointed = [url for _, _, url in self.shown.addresses[addresses:]] + linked
        if pointed or len(self.shown.images) > images:
            if entry == len(self._items):
                self._items.append(item)
            self._said.append(_Said(entry, node, tuple(pointed), frozenset(linked)))

    def _pieces(self, node: Node) -> bool:
        """True for a list of strings none of which is a picture, or the address of one, by itself."""
        if len(node.items) < 2 or any(one.kind is not Json.STRING for one in node.items):
            return False
        heads = [one.text(self.body)[:_HEAD].lstrip() for one in node.items]
        return not any(
            pictures.is_data_url(head) or pictures.url_scheme(head) or pictures.looks_like_base64_picture(head)
            for head in heads
        )

    def _sent_by_caller(self, node: Node) -> bool:
        try:
            data = decode(node, self.body, self.limits, "an echo")
        except UpstreamError:
            return False
        return Artifact(Kind.OUTPUT, "echo", data=data).digest in self._mine

    # ---------------------------------------------------------------------------------------------------- leaving

    def without(self, refused: Iterable[int], one_bad: OneBad, flags: Node | None = None) -> bytes | None:
        """The answer without its refused entries; None where too little would be left of it.

        Each is replaced by a grey picture of its size, or dropped from its list. `flags` is a list of booleans beside
        the pictures that says which of them were withheld.
        """
        gone = set(refused)
        if WHOLE in gone or one_bad == "refuse-all" or gone >= set(self.shown.entries):
            return None
        edits = dict.fromkeys(self.edits)
        of: Mapping[int, Artifact] = {
            entry: image for entry, image in zip(self.shown.entries, self.shown.images, strict=True) if entry in gone
        }
        dropped: dict[int, tuple[Node, set[int]]] = {}
        for entry in gone:
            item = self._items[entry]
            index = item.path[-1]
            if one_bad == "drop" and item.holder is not None and isinstance(index, int):
                dropped.setdefault(id(item.holder), (item.holder, set()))[1].add(index)
                if flags is not None and _beside(flags, item):
                    dropped.setdefault(id(flags), (flags, set()))[1].add(index)
                continue
            grey = json.dumps("data:image/png;base64," + placeholder(of[entry].data or b"").decode()).encode()
            for one in self._said:
                if one.entry == entry:
                    _replace(edits, one.node.start, one.node.end, grey)
            if isinstance(index, int) and flags is not None and _beside(flags, item):
                flag = flags.items[index]
                _replace(edits, flag.start, flag.end, b"true")
        for holder, indexes in dropped.values():
            if len(indexes) == len(holder.items):
                _replace(edits, holder.start, holder.end, b"[]")
                continue
            spans = Spans(tuple((one.start, one.end) for one in holder.items))
            for start, end, new in without_entries(spans, indexes):
                _replace(edits, start, end, new)
        return splice(self.body, list(edits))


def failed(status: int, headers: Headers, body: bytes, limits: Limits) -> Answer:
    """An error of a generator, which may echo what was asked. Raises UpstreamError for one that may be a picture."""
    kept = end_to_end(headers, LENGTH)
    try:
        root = scan(body, limits.json)
    except JsonFault:
        check_error(headers, body, limits)
        return Answer(status, kept, body, (), ())
    found = Found(body, limits)
    found.quiet(root)
    check_error(headers, found.leaves, limits)
    return Answer(status, end_to_end(kept, CHANGED) if found.edits else kept, found.leaves, (), ())


def _beside(flags: Node, item: _Item) -> bool:
    """True where there is one flag for each picture of the list that an item stands in."""
    return item.holder is not None and len(flags.items) == len(item.holder.items)


def _replace(edits: dict[Edit, None], start: int, end: int, new: bytes) -> None:
    """Add an edit in place of those inside its span."""
    for there in [one for one in edits if start <= one[0] and one[1] <= end]:
        del edits[there]
    edits[start, end, new] = None
