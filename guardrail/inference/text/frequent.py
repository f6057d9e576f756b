"""Frequent words: which languages write a word, how often, and so which language a text is in.

What a masked or mistyped word stands for depends on the language: "m*in" is "mein" in a German text and "main" in a
French one.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from importlib.resources import files

from guardrail.errors import ConfigError

# Nats of a word that a language does not write: a little more than its rarest listed word.
RARE = 14.0
# Nats of the word at place r of a list are log(r + _FIRST) + _ALL: Zipf's law, shares of 6,000 words adding up to one.
_FIRST, _ALL = 3.0, 2.0
# The share of a language's letters below which one is of borrowed words.
_STRAY = 0.0003
# Where scripts begin, in the order of their letters.
_SCRIPTS = ("\u0370", "\u0400", "\u0530", "\u0600", "\u0780", "\uac00", "\ud7b0")


class FrequentWords:
    """The frequent words of each language, as `heads/prompt_words.txt` has them: most frequent first, all small.

    Raises ConfigError for a line that is neither a language's words nor a comment.
    """

    def __init__(self, text: str) -> None:
        self._costs: dict[str, tuple[tuple[str, float], ...]] = {}
        self._letters: dict[int, dict[str, None]] = {}
        self._alphabets: dict[str, str] = {}
        nats: list[float] = []
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip() or line.startswith("#"):
                continue
            language, colon, said = line.partition(":")
            if not colon:
                raise ConfigError(f"frequent words, line {number}: expected 'language: words'")
            words = said.split()
            nats += [math.log(place + _FIRST) + _ALL for place in range(len(nats), len(words))]
            for word, cost in zip(words, nats, strict=False):
                self._costs[word] = (*self._costs.get(word, ()), (language, cost))
            counted = Counter("".join(words))
            least = counted.total() * _STRAY
            own = _script(max(counted, key=lambda letter: counted[letter], default=""))
            self._alphabets[language] = "".join(
                letter for letter, times in counted.most_common() if times >= least and _script(letter) == own
            )
            for letter, _ in counted.most_common():
                self._letters.setdefault(_script(letter), {})[letter] = None

    def costs(self, word: str) -> tuple[tuple[str, float], ...]:
        """The languages that often write a word, in lower case, and its nats in each; empty for any other word."""
        return self._costs.get(word, ())

    def listed(self, words: Iterable[str]) -> list[str]:
        """Those of the words, in lower case, that some language often writes."""
        return [word for word in words if word in self._costs]

    def letters(self, like: str) -> Iterable[str]:
        """The letters, or syllables, that words in the script of a letter are written with."""
        return self._letters.get(_script(like), ())

    def alphabet(self, language: str) -> str:
        """The letters that a language's own words are written with; none for a language without a list."""
        return self._alphabets.get(language, "")

    def language(self, words: Iterable[str]) -> str:
        """The language that most likely writes these words, in lower case; "" where no word is listed."""
        saved: dict[str, float] = {}
        for word in words:
            for language, cost in self._costs.get(word, ()):
                saved[language] = saved.get(language, 0.0) + RARE - cost
        return max(saved, key=lambda language: (saved[language], language)) if saved else ""


def _script(letter: str) -> int:
    """Which of _SCRIPTS a letter is of: Latin, Greek, Cyrillic, Arabic, others, Korean."""
    return bisect(_SCRIPTS, letter)


@lru_cache(1)
def packaged_frequent() -> FrequentWords:
    """The words that are shipped with this version."""
    return FrequentWords(files("guardrail.inference").joinpath("heads/prompt_words.txt").read_text("utf-8"))
