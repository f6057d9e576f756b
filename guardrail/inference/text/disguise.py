"""Disguise: what a fold may ask about words, and how it weighs what it had to undo."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from guardrail.inference.text.frequent import FrequentWords

# How sure each finding makes us that somebody hides something, set by hand so that one clear trick stays below 0.5
# (a typo, a decorated nickname) and two or a long one go above it. Findings join as independent evidence.
ZERO_WIDTH_IN_WORD = 0.35
DIRECTION_OVERRIDE = 0.6
MIXED_SCRIPT_WORD = 0.45
STYLED_LETTERS = 0.2
PILED_MARKS = 0.35
DIGIT_LETTERS = 0.3
SPELLED_OUT = 0.45
STRETCHED = 0.05
BROKEN_WORD = 0.1
GAP_IN_WORD = 0.3
LINE_IN_WORD = 0.1
ODD_CASE = 0.05
RUN_TOGETHER = 0.1
STRAY_ACCENTS = 0.4
HIDDEN_SENSITIVE = 0.5
LETTERS_TWICE = 0.25
VOWELS_OUT = 0.15
ENCODED = 0.6
TURNED = 0.6

# Words judged together: enough to tell a habit, few enough that a disguised sentence among others stands out.
TOGETHER = 12
# A habit is undone where that makes a piece so much less strange.
BETTER = 0.86
# Nats from which a word that matters only begins like one of the list: "testiclespuffy".
_BUILT = 20.0


class Vocabulary(Protocol):
    """What is known of words, all of them in lower case."""

    @property
    def frequent(self) -> FrequentWords:
        """The words that people write most, by language."""
        ...

    def knows(self, word: str) -> bool:
        """True for a word of some language, False for a chance string (and for rare words)."""
        ...

    def sensitive(self, word: str) -> bool:
        """True for a word that somebody may want to hide."""
        ...

    def telling(self, word: str) -> bool:
        """True for a word that matters to judgement, sensitive or not: "remove", "clothes"."""
        ...

    def weight(self, word: str) -> float:
        """Minus the logarithm of a known word's probability, in nats; infinite for a word that is not known."""
        ...

    def strangeness(self, text: str) -> float:
        """Nats per letter of the likeliest way to read a text: low for language, high for chance strings."""
        ...


class Evidence:
    """Findings, joined as independent: 1 minus the product of what each leaves in doubt."""

    def __init__(self) -> None:
        self._doubt = 1.0

    def add(self, weight: float, times: int = 1) -> None:
        self._doubt *= (1.0 - weight) ** min(times, 8)

    @property
    def strength(self) -> float:
        return 1.0 - self._doubt


def is_said(word: str, vocabulary: Vocabulary) -> bool:
    """True for a word, in lower case, that people write often or that matters, as it is listed or built."""
    if vocabulary.frequent.costs(word):
        return True
    return (vocabulary.telling(word) or vocabulary.sensitive(word)) and vocabulary.weight(word) < _BUILT


def piecewise(text: str, change: Callable[[str], str]) -> str:
    """`change` done to a text a dozen words at a time; spaces stay as they are."""
    words = text.split(" ")
    if len(words) <= TOGETHER * 3 // 2:
        return change(text)
    return " ".join(change(" ".join(words[at : at + TOGETHER])) for at in range(0, len(words), TOGETHER))
