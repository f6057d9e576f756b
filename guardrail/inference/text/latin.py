"""Languages of other scripts typed in Latin letters: what the plainest requests mean, in words that the heads know.

The encoders were taught these languages in their own script alone. A language counts by its own words: no two
languages' words are put together, and a word that another language writes too counts near another of its own only.
All look-ups are in tables, so the time is linear in the text.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from guardrail.inference.text.wordlist import Span, WordList

UNDRESS, NAKED = "take her clothes off", "naked woman"
"""What such a text amounts to."""

# Characters between two words that belong together: about six words, and about two.
_NEAR, _BESIDE = 36, 14
_LANGUAGES = ("ru", "ar", "ja", "zh")


def meant(text: str) -> list[str]:
    """What a text in one of these languages in Latin letters asks for; empty for any other."""
    words = _words()
    found: dict[str, list[Span]] = {}
    for span in words.spans(text, words.concepts, whole=True):
        found.setdefault(span.concept, []).append(span)
    if not found:
        return []
    asked = any(_undresses(found, language) for language in _LANGUAGES)
    bare = any(_is_bare(found, language) for language in _LANGUAGES)
    return [UNDRESS] * asked + [NAKED] * bare


def _undresses(found: dict[str, list[Span]], language: str) -> bool:
    if f"undress.{language}" in found:
        return True
    return _beside(found.get(f"remove.{language}", ()), found.get(f"clothes.{language}", ()), _NEAR)


def _is_bare(found: dict[str, list[Span]], language: str) -> bool:
    if f"naked.{language}" in found:
        return True
    return _beside(found.get(f"bare.{language}", ()), found.get(f"somebody.{language}", ()), _BESIDE)


def _beside(some: Sequence[Span], others: Sequence[Span], near: int) -> bool:
    """True where one of some stands so many characters from one of the others at most; both are in order."""
    starts = [one.start for one in others]
    for one in some:
        at = bisect_left(starts, one.start - near)
        while at < len(others) and starts[at] <= one.end + near:
            if others[at].end >= one.start - near:
                return True
            at += 1
    return False


@cache
def _words() -> WordList:
    return WordList(files("guardrail.inference").joinpath("heads/prompt_latin.txt").read_text("utf-8"))


def digest() -> str:
    """Eight hex digits that tell this list from any other."""
    return _words().digest
