"""Disguises, to measure what is left of a score: each takes a plain text and a source of chance."""

from __future__ import annotations

import random
from collections.abc import Callable

_HOMOGLYPHS = str.maketrans("aeopcxyAEOPCX", "аеорсхуАЕОРСХ")
_LEET = str.maketrans("aeiost", "4310$7")


def zero_width(text: str, chance: random.Random) -> str:
    return "".join(c + (chance.choice("\u200b\u200c\u2060") if c.isalpha() else "") for c in text)


def homoglyphs(text: str, chance: random.Random) -> str:
    return "".join(c.translate(_HOMOGLYPHS) if chance.random() < 0.6 else c for c in text)


def leet(text: str, chance: random.Random) -> str:
    return "".join(c.translate(_LEET) if chance.random() < 0.5 else c for c in text)


def full_width(text: str, chance: random.Random) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


def mathematical(text: str, chance: random.Random) -> str:
    return "".join(chr(0x1D4EA + ord(c) - 97) if "a" <= c <= "z" else c for c in text.lower())


def spaced(text: str, chance: random.Random) -> str:
    return "  ".join(" ".join(word) for word in text.split())


def dotted(text: str, chance: random.Random) -> str:
    return " ".join(".".join(word) if len(word) > 2 else word for word in text.split())


def zalgo(text: str, chance: random.Random) -> str:
    return "".join(c + "".join(chr(0x300 + chance.randrange(0x50)) for _ in range(4)) * c.isalpha() for c in text)


def stretched(text: str, chance: random.Random) -> str:
    return "".join(c * (4 if c in "aeiou" and chance.random() < 0.4 else 1) for c in text)


ATTACKS: dict[str, Callable[[str, random.Random], str]] = {
    attack.__name__: attack
    for attack in (zero_width, homoglyphs, leet, full_width, mathematical, spaced, dotted, zalgo, stretched)
}
