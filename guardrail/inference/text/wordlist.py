"""Words by concept: which words and phrases of a text stand for something, in any of the scripts, also mistyped.

All look-ups are in tables, so the time is linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256

from guardrail.errors import ConfigError

# Words whose meaning is remembered, and the letters of one that is: nobody's prompt fills the memory.
REMEMBERED = 16384
LONGEST_WORD = 64
# Letters in a row, or digits in a row; and letters of scripts that are written without spaces.
WORD = re.compile(r"[^\W\d_]+|\d+")
UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
UNSPACED_RUN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af0-9][\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af0-9 ]*")
_LONGEST_PHRASE = 4
_LONGEST_UNSPACED = 8

SENSITIVE = ("nude", "explicit", "body", "reveal")
# Words that are recognised mistyped, from this many letters on; names of the body are too often somebody's name.
MENDED = ("nude", "explicit", "clothes", "remove", "reveal")
_MENDED_FROM = 5
_LONGEST_ENDING = 3
_LONGEST_MENDED = 24
_LONG_STEM = 7
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm", "йцукенгшщзхъ", "фывапролджэ", "ячсмитьбю")
_KEYS_BESIDE = {c: row[max(0, i - 1) : i] + row[i + 1 : i + 2] for row in _ROWS for i, c in enumerate(row)}


_NONE: frozenset[int] = frozenset()
_NUMERALS = frozenset("〇零一二三四五六七八九十百千两兩")
# Arabic writes "the", "and", "in", "for" onto the word; the first that fits is taken off for a second look-up.
_ARABIC = re.compile("[\u0621-\u064a]")
_ARABIC_PREFIXES = ("وال", "بال", "فال", "كال", "لل", "ال", "و", "ب", "ف", "ل")


@dataclass(frozen=True)
class Hit:
    """A word of a concept at place `start`, or a phrase of so many words that begins there."""

    concept: int
    start: int
    words: int = 1


@dataclass(frozen=True)
class Span:
    """Where a word of a concept stands in a text: first character, and the one after the last."""

    start: int
    end: int
    concept: str


class WordList:
    """The words of each concept, as `heads/prompt_lexicon.txt` has them: sections of concepts, a line per language.

    Raises ConfigError for a line that is neither a section, a language's words nor a comment.
    """

    def __init__(self, text: str) -> None:
        self.digest = sha256(text.encode()).hexdigest()[:8]
        self._words: dict[str, set[int]] = {}
        self._stems: dict[str, set[int]] = {}
        self._unspaced: dict[str, set[int]] = {}
        self._covers: set[str] = set()
        # How phrases begin, word by word ("my", "my_ex"), and those of which the next word may be a stem.
        self._openers: set[str] = set()
        self._stem_openers: set[str] = set()
        self.concepts = self._read(text)
        self.index = {name: i for i, name in enumerate(self.concepts)}
        self._sensitive = {self.index[name] for name in SENSITIVE if name in self.index}
        self._telling = {self.index[name] for name in MENDED if name in self.index}
        self._unspaced_sizes, self._cover_sizes = _sizes(self._unspaced), _sizes(self._covers)
        self._sensitive_words = self._listed_for(self._words, self._sensitive) | self._listed_for(
            self._unspaced, self._sensitive
        )
        self._sensitive_stems = self._listed_for(self._stems, self._sensitive)
        self._telling_words = self._listed_for(self._words, self._telling)
        self._telling_stems = self._listed_for(self._stems, self._telling)
        self._longest_stem = max((len(stem) for stem in self._stems), default=0)
        self._exact = {word for word in (*self._words, *self._stems) if self.telling(word)}
        self._mistyped = self._misspellings()
        self._told = lru_cache(REMEMBERED)(self._concepts_of)

    @staticmethod
    def _listed_for(listed: dict[str, set[int]], wanted: set[int]) -> frozenset[str]:
        return frozenset(word for word, concepts in listed.items() if not wanted.isdisjoint(concepts))

    def _read(self, text: str) -> tuple[str, ...]:
        names: list[str] = []
        for number, raw in enumerate(text.splitlines(), 1):
            line = raw.strip()
            if not line or line.startswith("#"):
                continue
            if line.startswith("[") and line.endswith("]"):
                names.append(line[1:-1])
                continue
            _, colon, words = line.partition(":")
            if not colon or not names:
                raise ConfigError(f"lexicon, line {number}: expected [concept] or 'language: words'")
            for word in words.split():
                self._add(word, len(names) - 1)
        return tuple(names)

    def _add(self, word: str, concept: int) -> None:
        word = word.casefold()
        if word.startswith("!"):
            self._covers.add(word[1:])
            return
        if UNSPACED.search(word):
            self._unspaced.setdefault(word.replace("_", ""), set()).add(concept)
            return
        parts = word.split("_")
        for end in range(1, len(parts)):
            self._openers.add("_".join(parts[:end]))
        if len(parts) > 1 and word.endswith("*"):
            self._stem_openers.add("_".join(parts[:-1]))
        if word.endswith("*"):
            self._stems.setdefault(word[:-1], set()).add(concept)
        else:
            self._words.setdefault(word, set()).add(concept)

    def _misspellings(self) -> dict[str, str]:
        """Words with one letter left out or two swapped, first letter kept, and the word that was meant."""
        meant: dict[str, str] = {}
        for word in sorted(self._exact):
            if len(word) < _MENDED_FROM or not word.isalpha():
                continue
            for at in range(1, len(word)):
                meant.setdefault(word[:at] + word[at + 1 :], word)
                meant.setdefault(word[:at] + word[at : at + 2][::-1] + word[at + 2 :], word)
        return {typed: word for typed, word in meant.items() if not self.contains(typed)}

    def mended(self, word: str) -> str | None:
        """The word of the list that a word, in lower case, is a slip of the finger from; None when it is none.

        A slip is one letter left out, doubled or typed twice over, two swapped, or the key beside the right one.
        """
        if not _MENDED_FROM - 1 <= len(word) <= _LONGEST_MENDED or self.contains(word):
            return None
        for ending in range(_LONGEST_ENDING + 1):
            base = word[: len(word) - ending]
            if len(base) < _MENDED_FROM - (not ending):
                break
            meant = self._mistyped.get(base) or self._struck(base)
            if meant is not None and (not ending or (meant in self._stems and len(meant) >= _LONG_STEM)):
                return meant + word[len(base) :]
        return None

    def _struck(self, word: str) -> str | None:
        """The word meant by one with a letter too many, or with a key beside the right one; first letter kept."""
        for at in range(1, len(word)):
            shorter = word[:at] + word[at + 1 :]
            beside = word[at - 1] + word[at + 1 : at + 2]
            if (
                len(shorter) >= _MENDED_FROM
                and shorter in self._exact
                and set(beside) & {word[at], *_KEYS_BESIDE.get(word[at], "")}
            ):
                return shorter
            meant = self._mistyped.get(shorter)
            if meant is None or len(meant) != len(word) or meant[:at] != word[:at] or meant[at + 1 :] != word[at + 1 :]:
                continue
            if meant[at] in _KEYS_BESIDE.get(word[at], ""):
                return meant
        return None

    def knows(self, word: str, concepts: Iterable[str]) -> bool:
        """True when a word, in lower case, stands for one of these concepts."""
        wanted = {self.index[name] for name in concepts}
        return self._stands_for(word, wanted)

    def _stands_for(self, word: str, wanted: set[int]) -> bool:
        if not wanted.isdisjoint(self._words.get(word, _NONE)) or not wanted.isdisjoint(
            self._unspaced.get(word, _NONE)
        ):
            return True
        stems = self._stems
        for end in range(2, min(len(word), self._longest_stem) + 1):
            told = stems.get(word[:end])
            if told is not None and not wanted.isdisjoint(told):
                return True
        return False

    def contains(self, word: str) -> bool:
        """True when a word, in lower case, is on the list as it is or begins with a stem of it."""
        return word in self._words or word in self._unspaced or self._stem(word)

    def sensitive(self, word: str) -> bool:
        """True for a word, in lower case, that one may want to hide: nudity, sex, the body, revealing dress."""
        return word in self._sensitive_words or _begins(word, self._sensitive_stems, 2, self._longest_stem)

    def telling(self, word: str) -> bool:
        """True for a word, in lower case, that a request to undress or expose is made of.

        That is one of MENDED as it is listed, or a listed stem with an ending of at most _LONGEST_ENDING letters:
        what is cut out of a run of letters must be the word and not merely begin with it.
        """
        shortest = max(3, len(word) - _LONGEST_ENDING)
        return word in self._telling_words or _begins(word, self._telling_stems, shortest, self._longest_stem)

    def listed(self, word: str) -> bool:
        """True for a telling word exactly as it is listed, or a stem without any ending."""
        return word in self._exact

    def _stem(self, word: str) -> bool:
        return _begins(word, self._stems, 2, self._longest_stem)

    def spans(self, text: str, concepts: Iterable[str], *, whole: bool = False) -> list[Span]:
        """Where words of these concepts stand in a text, in order.

        A phrase is told by its first word, or as a whole on demand.
        """
        wanted = {self.index[name] for name in concepts}
        matches = list(WORD.finditer(text))
        words = [match.group().casefold() for match in matches]
        found = [
            Span(
                matches[hit.start].start(),
                matches[hit.start + (hit.words - 1 if whole else 0)].end(),
                self.concepts[hit.concept],
            )
            for hit in self.hits(words)
            if hit.concept in wanted
        ]
        for run in UNSPACED_RUN.finditer(text):
            at, letters = run.start(), run.group()
            for i, end, told in self._within(letters):
                found += [Span(at + i, at + end, self.concepts[concept]) for concept in told & wanted]
        return sorted(found, key=lambda span: (span.start, span.end))

    def hits(self, words: Sequence[str]) -> list[Hit]:
        """Every word and phrase of `words`, in lower case, that stands for something; `start` counts words."""
        hits = []
        for i, word in enumerate(words):
            told = self._told(word) if len(word) <= LONGEST_WORD else self._concepts_of(word)
            hits += [Hit(concept, i) for concept in told]
            if word in self._openers:
                hits += self._phrases(words, i)
        return hits

    def _concepts_of(self, word: str) -> tuple[int, ...]:
        """The concepts of a word by itself, in lower case; one as often as the list has it."""
        found = [*self._words.get(word, ())]
        for end in range(2, min(len(word), self._longest_stem) + 1):
            found += self._stems.get(word[:end], ())
        if _ARABIC.match(word):
            found += self._bare_arabic(word)
        return tuple(found)

    def _bare_arabic(self, word: str) -> set[int]:
        for prefix in _ARABIC_PREFIXES:
            if word.startswith(prefix) and len(word) - len(prefix) > 2:
                bare = word[len(prefix) :]
                found = set(self._words.get(bare, _NONE))
                for end in range(2, min(len(bare), self._longest_stem) + 1):
                    found |= self._stems.get(bare[:end], _NONE)
                return found
        return set()

    def _phrases(self, words: Sequence[str], i: int) -> list[Hit]:
        """Phrases of two to four words that begin at `i`; the last word may be a stem: "my_neighbo*"."""
        hits = []
        phrase = words[i]
        for size, word in enumerate(words[i + 1 : i + _LONGEST_PHRASE], 2):
            stems = phrase in self._stem_openers
            before = len(phrase) + 1
            phrase += "_" + word
            hits += [Hit(concept, i, size) for concept in self._words.get(phrase, ())]
            if stems:
                for end in range(before + 1, min(len(phrase), self._longest_stem) + 1):
                    hits += [Hit(concept, i, size) for concept in self._stems.get(phrase[:end], ())]
            if phrase not in self._openers:
                break
        return hits

    def unspaced_hits(self, text: str, offset: int) -> tuple[list[Hit], int]:
        """Hits in scripts without spaces, placed after the others; and about how many words these runs hold."""
        hits = []
        letters = 0
        for run in UNSPACED_RUN.finditer(text):
            joined = run.group().replace(" ", "")
            for i, _, concepts in self._within(joined):
                hits += [Hit(concept, offset + (letters + i) // 2) for concept in concepts]
            letters += len(joined)
        return hits, letters // 2

    def _within(self, run: str) -> Iterator[tuple[int, int, set[int]]]:
        """Words within a run of a script without spaces: first character, the one after the last, and concepts.

        A word inside one of the list's covers ("!アイス") is part of another word, and left out; so is the tail of a
        larger number ("五岁" in "三十五岁").
        """
        # Nearly every character begins no word of the list.
        covered: dict[int, tuple[int, int]] = {}
        for i, sizes in self._beginnings(run, self._cover_sizes):
            for size in sizes:
                end = i + size
                if run[i:end] in self._covers and end <= len(run):
                    covered.update(dict.fromkeys(range(i, end), (i, end)))
        for i, sizes in self._beginnings(run, self._unspaced_sizes):
            if i and run[i] in _NUMERALS and run[i - 1] in _NUMERALS:
                continue
            for size in sizes:
                end = i + size
                concepts = self._unspaced.get(run[i:end])
                if concepts is None or end > len(run):
                    continue
                first, last = covered.get(i, (i, i))
                if not (end <= last and (first, last) != (i, end)):
                    yield i, end, concepts

    @staticmethod
    def _beginnings(run: str, sizes: Mapping[str, Sequence[int]]) -> list[tuple[int, Sequence[int]]]:
        """Where a word may begin in a run, and how long it may be."""
        return [(i, sizes[letter]) for i, letter in enumerate(run) if letter in sizes]


def _sizes(words: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """How long the words are that begin with each letter, the shortest first."""
    found: dict[str, set[int]] = {}
    for word in words:
        if len(word) <= _LONGEST_UNSPACED:
            found.setdefault(word[0], set()).add(len(word))
    return {letter: tuple(sorted(sizes)) for letter, sizes in found.items()}


def _begins(word: str, stems: Collection[str], shortest: int, longest: int) -> bool:
    """True where a word begins with one of the stems, of so many letters at least and at most."""
    for end in range(shortest, min(len(word), longest) + 1):  # noqa: SIM110 (a generator takes twice as long)
        if word[:end] in stems:
            return True
    return False
