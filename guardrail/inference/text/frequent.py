"""Frequent words: which languages write a word, how often, and so which language a text is in.

What a masked or mistyped word stands for depends on the language: "m*in" is "mein" in a German text and "main" in a
French one.
"""

from __future__ import annotations

import math
import re
from bisect import bisect, bisect_left
from collections import Counter
from collections.abc import Iterable
from functools import cached_property, lru_cache
from importlib.resources import files

from guardrail.errors import ConfigError

# Nats of a word that a language does not write: a little more than its rarest listed word.
RARE = 14.0
# Nats of the word at place r of a list are log(r + _FIRST) + _ALL: Zipf's law, shares of 6,000 words adding up to one.
_FIRST, _ALL = 3.0, 2.0
# The share of a language's letters below which one is of borrowed words.
_STRAY = 0.0003
# Words in Latin letters may be written without these.
_VOWEL = re.compile("[aeiou\u00e0-\u00e6\u00e8-\u00ef\u00f2-\u00f6\u00f8-\u00fc\u0153]")
_LATIN = re.compile("[a-z\u00df-\u00f6\u00f8-\u024f]{3,}")
# More than there are languages.
_MOST = 64
# Where scripts begin, in the order of their letters.
_SCRIPTS = ("\u0370", "\u0400", "\u0530", "\u0600", "\u0780", "\uac00", "\ud7b0")


class FrequentWords:
    """The frequent words of each language, as `heads/prompt_words.txt` has them: most frequent first, all small.

    Raises ConfigError for a line that is neither a language's words nor a comment.
    """

    def __init__(self, text: str) -> None:
        # A number for a language and a place in its list; several for a word of several languages. Half the size of
        # languages and nats by word.
        self._places: dict[str, int | tuple[int, ...]] = {}
        self._languages: list[str] = []
        self._nats: list[float] = []
        self._letters: dict[int, dict[str, None]] = {}
        self._alphabets: dict[str, str] = {}
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip() or line.startswith("#"):
                continue
            language, colon, said = line.partition(":")
            if not colon:
                raise ConfigError(f"frequent words, line {number}: expected 'language: words'")
            words = said.split()
            self._nats += [math.log(place + _FIRST) + _ALL for place in range(len(self._nats), len(words))]
            own_number = len(self._languages)
            self._languages.append(language)
            for place, word in enumerate(words):
                code = place * _MOST + own_number
                before = self._places.get(word)
                self._places[word] = code if before is None else (*_several(before), code)
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
        found = self._places.get(word)
        if found is None:
            return ()
        return tuple((self._languages[code % _MOST], self._nats[code // _MOST]) for code in _several(found))

    def listed(self, words: Iterable[str]) -> list[str]:
        """Those of the words, in lower case, that some language often writes."""
        return [word for word in words if word in self._places]

    def begins(self, part: str) -> bool:
        """True where a word that some language often writes is this, in lower case, or begins so."""
        at = bisect_left(self._sorted, part)
        return at < len(self._sorted) and self._sorted[at].startswith(part)

    @cached_property
    def _sorted(self) -> list[str]:
        return sorted(self._places)

    def letters(self, like: str) -> Iterable[str]:
        """The letters, or syllables, that words in the script of a letter are written with."""
        return self._letters.get(_script(like), ())

    def alphabet(self, language: str) -> str:
        """The letters that a language's own words are written with; none for a language without a list."""
        return self._alphabets.get(language, "")

    def with_vowels(self, bare: str) -> tuple[str, ...]:
        """The words that a word in lower case is without its vowels, but for one at the beginning."""
        return self._by_bare.get(bare, ())

    @cached_property
    def _by_bare(self) -> dict[str, tuple[str, ...]]:
        # Made when it is first asked for: few texts leave vowels out.
        found: dict[str, list[str]] = {}
        for word in self._places:
            bare = word[0] + _VOWEL.sub("", word[1:])
            if bare != word and _LATIN.fullmatch(word):
                found.setdefault(bare, []).append(word)
        return {bare: tuple(words) for bare, words in found.items()}

    def language(self, words: Iterable[str]) -> str:
        """The language that most likely writes these words, in lower case; "" where no word is listed."""
        saved: dict[str, float] = {}
        for word in words:
            for language, cost in self.costs(word):
                saved[language] = saved.get(language, 0.0) + RARE - cost
        return max(saved, key=lambda language: (saved[language], language)) if saved else ""


def _several(places: int | tuple[int, ...]) -> tuple[int, ...]:
    return places if isinstance(places, tuple) else (places,)


def _script(letter: str) -> int:
    """Which of _SCRIPTS a letter is of: Latin, Greek, Cyrillic, Arabic, others, Korean."""
    return bisect(_SCRIPTS, letter)


@lru_cache(1)
def packaged_frequent() -> FrequentWords:
    """The words that are shipped with this version."""
    return FrequentWords(files("guardrail.inference").joinpath("heads/prompt_words.txt").read_text("utf-8"))
