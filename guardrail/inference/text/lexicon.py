"""Words that stand for something, counted: what a sentence encoder blurs and a word list sees.

The list is evidence beside the embedding. Alone it says nothing ("nude lipstick"); together the two recall more than
either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from guardrail.inference.text.ages import GROWN, ages
from guardrail.inference.text.wordlist import UNSPACED, WORD, WordList

Floats = npt.NDArray[np.float32]

# Words within which two count as beside each other.
_NEAR = 7
_STYLE_OF = frozenset(("by", "door", "von", "par", "por", "di", "de", "van", "and", "art", "style", "stijl"))

_COUNTED: tuple[str, ...] = ("nude", "explicit", "body", "reveal")
_PAIRS: tuple[tuple[str, str], ...] = (
    ("remove", "clothes"),
    ("remove", "outer"),
    ("remove", "nude"),
    ("clothes", "through"),
    ("clothes", "nude"),
    ("clothes", "reveal"),
    ("nude", "body"),
    ("nude", "adult"),
    ("pronoun", "clothes"),
    ("possessive", "somebody"),
    ("pronoun", "somebody"),
)
_WITH_SOMEONE: tuple[str, ...] = ("nude", "clothes", "outer", "reveal", "through", "edit", "explicit")
_WITH_CARE: tuple[str, ...] = ("nude", "explicit", "body", "reveal", "clothes", "minor")


class Lexicon(WordList):
    """Which concepts a text touches, as a vector of numbers in [0, 1]. `text` is as WordList has it."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.names: tuple[str, ...] = (
            *(f"has.{name}" for name in self.concepts),
            *(f"share.{name}" for name in _COUNTED),
            *(f"near.{a}.{b}" for a, b in _PAIRS),
            *(f"someone.{name}" for name in _WITH_SOMEONE),
            *(f"care.{name}" for name in _WITH_CARE),
            "age.minor",
            "age.adult",
            "age.young_word",
            "age.grown_word",
            "name.pair",
            "name.loose",
            "name.style",
            "name.capitals",
        )

    def young_ages(self, text: str) -> list[tuple[int, int]]:
        """Where ages under 18 stand in digits: first character, and the one after the last."""
        matches = list(WORD.finditer(text))
        words = [match.group().casefold() for match in matches]
        return [matches[i].span() for i, age in ages(words, WORD.split(text), self.knows) if age < GROWN]

    def features(self, text: str) -> Floats:
        """The vector for a text, in the order of `names`. Upper case matters for names only."""
        spans = [match.group() for match in WORD.finditer(text)]
        words = [word.casefold() for word in spans]
        hits = self.hits(words)
        length = len(words)
        if UNSPACED.search(text):
            unspaced, more = self.unspaced_hits(text, length)
            hits += unspaced
            length += more
        counts = np.zeros(len(self.concepts), np.float32)
        places: dict[int, list[int]] = {}
        for hit in hits:
            counts[hit.concept] += 1
            places.setdefault(hit.concept, []).append(hit.start)
        has = np.minimum(counts, 1)
        found = {name: float(has[i]) for i, name in enumerate(self.concepts)}
        number = {name: float(counts[i]) for i, name in enumerate(self.concepts)}
        pair, loose, style = self._names(
            spans, words, {hit.start for hit in hits if self.concepts[hit.concept] == "firstname"}
        )
        someone = max(found["pronoun"], found["relation"], pair)
        told = [age for _, age in ages(words, WORD.split(text), self.knows)]
        young, grown = (
            float(self._near(places, number, "yearunit") or self._near(places, number, "birthday"))
            for number in ("youngnumber", "grownnumber")
        )
        return np.array(
            [
                *has,
                *(min(1.0, 4.0 * number[name] / max(length, 4)) for name in _COUNTED),
                *(1.0 if self._near(places, a, b) else 0.0 for a, b in _PAIRS),
                *(found[name] * someone for name in _WITH_SOMEONE),
                *(found[name] * found["care"] for name in _WITH_CARE),
                float(any(age < GROWN for age in told)),
                float(any(age >= GROWN for age in told)),
                young,
                grown,
                pair,
                loose,
                style,
                _capitals(spans, words),
            ],
            np.float32,
        )

    def _near(self, places: Mapping[int, Sequence[int]], a: str, b: str) -> bool:
        first, second = places.get(self.index[a], ()), places.get(self.index[b], ())
        if not first or not second:
            return False
        j = 0
        ordered = sorted(second)
        for place in sorted(first):
            while j < len(ordered) and ordered[j] < place - _NEAR:
                j += 1
            if j < len(ordered) and ordered[j] <= place + _NEAR:
                return True
        return False

    @staticmethod
    def _names(spans: Sequence[str], words: Sequence[str], firsts: set[int]) -> tuple[float, float, float]:
        """A given name with a capitalised word after it; one in any case; one that only names a style."""
        pair = loose = style = 0.0
        for i in sorted(firsts):
            if i + 1 >= len(spans):
                continue
            if i and words[i - 1] in _STYLE_OF:
                style = 1.0
            elif spans[i][0].isupper() and spans[i + 1][0].isupper() and len(spans[i + 1]) > 1:
                pair = 1.0
            elif not spans[i][0].isupper():
                loose = 1.0
        return pair, loose, style


def _capitals(spans: Sequence[str], words: Sequence[str]) -> float:
    """Two capitalised words in a row, in a text that is not all headline, and not only as whose style it is."""
    proud = [len(span) > 1 and span[0].isupper() and span[1:].islower() for span in spans]
    if sum(proud) * 3 > max(2, len(spans)) * 2 and len(spans) > 4:
        return 0.0
    return float(
        any(proud[i] and proud[i + 1] and _STYLE_OF.isdisjoint(words[max(0, i - 2) : i]) for i in range(len(spans) - 1))
    )
