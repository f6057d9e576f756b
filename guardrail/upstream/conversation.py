"""Conversations: every turn is judged by itself, and all of them as one text, for an edit may be told in turns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from guardrail.errors import BadRequest
from guardrail.upstream import pictures
from guardrail.upstream.embedded import embedded
from guardrail.upstream.gather import Gathered, too_large, windows
from guardrail.upstream.limits import Limits
from guardrail.upstream.slots import leaf_of
from guardrail.upstream.spans import JsonLimits, Path

NAME = re.compile(r"[A-Za-z0-9_./+:@-]{0,128}")
ROLES = frozenset({"user", "assistant", "system", "developer", "tool", "function", "model", "ipython", "critic"})
"""Who speaks. Servers of open models write a role into the prompt as it is, so any other is a text."""
_TYPES = frozenset({"type", "format", "$ref", "$schema"})
_PARTED = re.compile(r"[_./+:@-]+")
_TEXTS = 1024  # turns and settings of one conversation
_PICTURES = 64  # pictures in its history
_VALUES = 50_000
_DEPTH = 64  # schemas of tools are deep


def talking(limits: Limits) -> Limits:
    """The limits of a call that carries a whole conversation: more texts and pictures, the same sizes."""
    return replace(
        limits,
        texts=max(_TEXTS, limits.texts),
        images=max(_PICTURES, limits.images),
        pictures=max(_PICTURES, limits.pictures),
        json=JsonLimits(max(_DEPTH, limits.json.depth), max(_VALUES, limits.json.values)),
    )


def spoken(text: str, path: Path) -> str:
    """What a string of a declaration says to a model: a name is read as its words, the name of a type says nothing."""
    if NAME.fullmatch(text) is None:
        return text
    return "" if leaf_of(path) in _TYPES else _PARTED.sub(" ", text)


@dataclass(repr=False)
class Conversation:
    """The turns of one call, gathered in their order."""

    got: Gathered
    lines: list[str] = field(default_factory=list)

    def turn(self, slot: str, parts: Sequence[str]) -> None:
        """The texts of one turn, whoever said it. Raises BadRequest for what nobody could judge, and at limits."""
        said = [part for part in (self.cleared(slot, part) for part in parts) if part.strip()]
        if not said:
            return
        self.text(slot, "\n".join(said))
        self.lines.append(" ".join(" ".join(said).split()))

    def text(self, slot: str, text: str) -> None:
        """A text that is judged by itself; a long one in windows."""
        for number, part in enumerate(windows(text, self.got.limits.prompt_chars)):
            self.got.text(slot if not number else f"{slot}#{number}", part, slot, whole=True)

    def settle(self) -> None:
        """Once everything is gathered: all turns as one text, a line each, where there are several."""
        if len(self.lines) > 1:
            self.text("conversation", "\n".join(self.lines))
        self.got.settle()

    def cleared(self, slot: str, text: str) -> str:
        """A text without the pictures in it, which are judged as such. Raises BadRequest."""
        found = embedded(text)
        self.got.looked_at(found.text)
        if found.opaque:
            raise BadRequest(
                f"{slot} holds what may be a picture and cannot be read, or a very long word; send pictures as parts",
                param=slot,
                code="unjudged_field",
            )
        for url in found.data:
            try:
                decoded = pictures.decode_data_url(url.encode(), self.got.limits.image_bytes)
            except pictures.TooLarge:
                raise too_large(slot, self.got.limits) from None
            except pictures.PictureFault as fault:
                raise BadRequest(f"a data URL in {slot} {fault}", param=slot, code="invalid_image") from None
            self.got.picture(self.got.image_slot(), decoded.data, slot)
        return found.text
