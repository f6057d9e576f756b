"""Text that comes in pieces: a picture written in Markdown, HTML or base64 is not let out piece by piece.

Events go on as they come while the text so far cannot be the start of a picture. From where it can, they are held until
it cannot be any more, and then leave as one, with the pictures that were in it.
"""

from __future__ import annotations

import string
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from guardrail.errors import UpstreamError
from guardrail.types import Artifact
from guardrail.upstream import pictures
from guardrail.upstream.dialect import Event, Fetch
from guardrail.upstream.limits import Limits
from guardrail.upstream.shown import Shown

_LONG_WORD = 256  # ASCII characters without a space, from where on a word may be base64
_MARKS = frozenset(":!<[(")
_ENDS = frozenset(" \n\t\r)>")
_MOST_CHANNELS = 512
_BASE64 = string.ascii_letters + string.digits + "+/=_-"
_CONTEXT = 400  # characters that have left and are looked at once more with what follows
_LOOKED_AT = 16_384  # characters; what is held and longer is held to the end, so that each is looked at once


@dataclass(repr=False)
class _Channel:
    """A text of a stream: what it said that has not left, and whether that may be the start of a picture.

    `context` is the end of what has left, without which the start of a picture would not be known for one; `cut` says
    that it is not all of it. `pointed` are the addresses in what was said so far.
    """

    slot: str
    context: str = ""
    pieces: list[str] = field(default_factory=list)
    size: int = 0
    unsettled: bool = False
    named: bool = False
    cut: bool = False
    pointed: set[str] = field(default_factory=set)

    def add(self, piece: str) -> None:
        self.pieces.append(piece)
        self.size += len(piece)
        if self.unsettled and (self.size > _LOOKED_AT or not _ENDS & set(piece)):
            return
        text = self.context + self.text
        # An address and nothing else is shown as a picture; what follows makes a sentence of it.
        self.unsettled = _unsettled(text) or (not self.cut and "://" in text and len(text.split()) < 2)

    @property
    def text(self) -> str:
        if len(self.pieces) > 1:
            self.pieces = ["".join(self.pieces)]
        return self.pieces[0] if self.pieces else ""

    def anew(self, addresses: list[tuple[int, str, str]]) -> list[tuple[int, str, str]]:
        """Those that were not in what has left."""
        new = [one for one in addresses if one[2] not in self.pointed]
        self.pointed.update(address for _, _, address in new)
        return new

    def left(self) -> None:
        """What was said has left."""
        text = self.context + self.text
        self.named = self.named or "![" in text
        _, found, after = text.rpartition(";base64,")
        if found:  # a picture that has left is not found once more
            text, self.cut = after.lstrip(_BASE64), True
        self.context, self.cut = text[-_CONTEXT:], self.cut or len(text) > _CONTEXT
        self.pieces, self.size, self.unsettled = [], 0, False


class Telling:
    """The texts of one stream, by channel: a choice's content, its reasoning, the arguments of a tool call."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._channels: dict[Hashable, _Channel] = {}
        self._held: list[bytes] = []
        self._size = 0
        self._said: dict[str, list[str]] = {}
        self._chars = 0
        self._images: list[Artifact] = []
        self._elsewhere: list[tuple[int, str, str]] = []
        self._links: list[tuple[int, str, str]] = []
        self._pointed = 0
        self._final = self._error = False

    def add(self, channel: Hashable, slot: str, piece: str) -> None:
        """The next piece of a channel, out of the event that `event` is called for next. Raises UpstreamError."""
        if channel not in self._channels:
            if len(self._channels) >= _MOST_CHANNELS:
                raise UpstreamError(f"its stream has more than {_MOST_CHANNELS} texts side by side")
            self._channels[channel] = _Channel(slot)
        if piece:
            self._channels[channel].add(piece)

    def event(
        self, raw: bytes, shown: Shown, *, final: bool = False, error: bool = False, end: bool = False
    ) -> Sequence[Event]:
        """One event of the stream: what leaves now. Nothing while it is held; all that was held once it is let go.

        `shown` is what stands in the event itself. With `end` no text goes on after it. Raises UpstreamError.
        """
        self._held.append(raw)
        self._size += len(raw)
        if self._size > 2 * self._limits.event_bytes:
            raise UpstreamError(f"a picture in the text of its stream is over {self._limits.event_bytes} bytes")
        self._final, self._error = self._final or final, self._error or error
        self._take(shown)
        if not end and any(channel.unsettled for channel in self._channels.values()):
            return ()
        return self._release(end)

    def close(self) -> Sequence[Event]:
        """The stream ended: what was held."""
        return self._release(True) if self._held else ()

    def _release(self, end: bool) -> Sequence[Event]:
        for channel in self._channels.values():
            text = channel.text
            if not text:
                continue
            before = channel.context
            found = Shown(self._limits)
            found.text(0, channel.slot, before + text, named=channel.named, whole=end and not channel.cut)
            found.said = [(slot, said.removeprefix(before)) for slot, said in found.said]
            found.addresses = channel.anew(found.addresses)
            found.links = channel.anew(found.links)
            channel.left()
            self._take(found)
        event = self._event(b"".join(self._held), self._final, self._error)
        self._held, self._size, self._images, self._elsewhere, self._links = [], 0, [], [], []
        self._final = self._error = False
        return (event,)

    def _event(self, raw: bytes, final: bool, error: bool) -> Event:
        """What leaves at once; or, where it points at pictures, once they are there."""
        shown = Shown(self._limits, self._images, [0] * len(self._images), [], self._elsewhere, self._links)
        if shown.images or shown.elsewhere:
            shown.said = [(slot, "".join(pieces)) for slot, pieces in self._said.items()]
        if not shown.elsewhere:
            return Event(raw, tuple(shown.images), shown.texts, final, error)

        async def later(fetch: Fetch) -> Event:
            await shown.fetch(fetch)
            return Event(raw, tuple(shown.images), shown.texts, final, error)

        return Event(b"", final=final, error=error, later=later)

    def _take(self, shown: Shown) -> None:
        self._images += shown.images
        self._elsewhere += shown.addresses
        self._links += shown.links
        self._pointed += len(shown.addresses) + len(shown.links)
        if self._pointed > self._limits.urls:
            raise UpstreamError(f"its stream has more than {self._limits.urls} addresses")
        for slot, text in shown.said:
            self._said.setdefault(slot, []).append(text)
            self._chars += len(text)
        if self._chars > self._limits.all_text_chars:
            raise UpstreamError(f"the texts of its stream have more than {self._limits.all_text_chars} characters")


def _unsettled(text: str) -> bool:
    """True where the end of a text may be the start of a picture."""
    cut = max(text.rfind(space) for space in " \n\t\r")
    tail = text[cut + 1 :]
    long = len(tail) > _LONG_WORD and tail[:_LONG_WORD].isascii()
    if _MARKS & set(tail) or long or pictures.looks_like_base64_picture(tail):
        return True
    if text.rstrip().endswith(("](", "]:")):
        return True
    low = text.lower()
    if "<svg" in low or low.rfind("<img") > low.rfind(">"):
        return True
    picture = text.rfind("![")
    return picture >= 0 and ")" not in text[picture:] and "\n" not in text[picture:]
