"""Slang: words for somebody's body that the encoders were not taught, and what a text with one amounts to.

"Show her breasts" is found, in the words of the street it was not. A word counts beside somebody only: a list by itself
says nothing. All look-ups are in tables, so the time is linear in the text.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from guardrail.inference.text.latin import NAKED, UNDRESS
from guardrail.inference.text.lexicon import Lexicon
from guardrail.inference.text.wordlist import Span, WordList

# Characters between such a word and one for whose it is: about three words.
_BESIDE = 18
_PART, _WHOSE, _OWN = "part", "whose", "own"
_SOMEBODY = ("relation", "somebody")


def bared(text: str, lexicon: Lexicon) -> list[str]:
    """What a text asks for that speaks of somebody's body in slang, in words that the heads know; else empty."""
    told = _words().spans(text, (_PART, _WHOSE, _OWN), whole=True)
    parts = [span for span in told if span.concept == _PART]
    if any(span.concept == _OWN for span in told):
        return [UNDRESS, NAKED]
    if not parts:
        return []
    whose = [span for span in told if span.concept == _WHOSE] + lexicon.spans(text, _SOMEBODY, whole=True)
    ends, starts = sorted(span.end for span in whose), sorted(span.start for span in whose)
    return [UNDRESS, NAKED] if any(_beside(part, ends, starts) for part in parts) else []


def _beside(part: Span, ends: Sequence[int], starts: Sequence[int]) -> bool:
    """True where somebody's word ends shortly before a part, or begins shortly behind it."""
    before, behind = bisect_left(ends, part.start - _BESIDE), bisect_left(starts, part.end)
    if before < len(ends) and ends[before] <= part.start:
        return True
    return behind < len(starts) and starts[behind] <= part.end + _BESIDE


def digest() -> str:
    """Eight hex digits that tell this list from any other."""
    return _words().digest


@cache
def _words() -> WordList:
    return WordList(files("guardrail.inference").joinpath("heads/prompt_slang.txt").read_text("utf-8"))
