"""Abroad: words for a child and for nakedness in languages that the encoders were not taught.

The heads cannot judge what the encoders cannot read, so a list says what a text holds, and no more than that. A
language counts by its own words alone; only a script that no taught language is written in may stand beside a word of
a taught one. All look-ups are in tables, so the time is linear in the text.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from itertools import pairwise

from guardrail.errors import ConfigError

BARE, CHILD, YEAR, COVER, THING = "bare", "child", "year", "cover", "thing"
_KINDS = (BARE, CHILD, YEAR, COVER, THING)
# Written without spaces between words: there a word is found wherever its letters stand.
_UNSPACED = frozenset(("th", "lo", "km", "my"))
_UNSPACED_RUN = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]+")
# Letters with the signs that are written on or behind them, digits where they stand among letters (Arabic as it is
# typed in Latin has 3 and 7), and digits alone.
_MARKS = "".join(
    re.escape(chr(point))
    for point in range(0x300, min(sys.maxunicode, 0x1FFFF))
    if unicodedata.category(chr(point)) in ("Mn", "Mc") and not 0xFE00 <= point <= 0xFE0F
)
_WORD = re.compile(rf"\d+(?![^\W\d_])|[^\W_](?:[^\W_]|[{_MARKS}\u200c\u200d])*")
_JOINERS = str.maketrans("", "", "\u200c\u200d")
_LONGEST_PHRASE = 4
_LONGEST_WORD = 40
_SHORTEST_STEM = 2
# A number is an age beside a word for years, this many words away at most.
_YEAR_WORDS = 2
# A word without its accents may be another language's: short ones are left as they are.
_PLAIN_FROM = 4
_ACCENTED_SCRIPT = re.compile("[a-z\u00c0-\u024f\u0370-\u03ff\u1e00-\u1fff]")
# Scripts of the taught languages: a word in one of them may be a word of another language.
_SHARED_SCRIPT = re.compile("[\u0000-\u024f\u0300-\u036f\u0400-\u052f\u0600-\u06ff\u0750-\u077f\u1e00-\u1eff]")


@dataclass(frozen=True)
class Told:
    """What the lists find in a text.

    `bare` and `child` are the languages with such a word, `aged` those with a number under 18 beside their word for
    years; `own_bare` and `own_child` say whether one of these words is in a script that no taught language is written
    in.
    """

    bare: frozenset[str]
    child: frozenset[str]
    aged: frozenset[str]
    own_bare: bool
    own_child: bool

    @property
    def both(self) -> bool:
        """True where one language has nakedness beside a child, or beside an age."""
        return not self.bare.isdisjoint(self.child | self.aged)


class Abroad:
    """The lists, as `heads/prompt_abroad.txt` has them. Raises ConfigError for a line that it cannot read."""

    def __init__(self, text: str) -> None:
        self.digest = sha256(text.encode()).hexdigest()[:8]
        self._words: dict[str, set[tuple[str, str]]] = {}
        self._stems: dict[str, set[tuple[str, str]]] = {}
        self._openers: set[str] = set()
        self._parts: dict[str, list[tuple[str, str]]] = {}
        self.languages: set[str] = set()
        self._read(text)
        self._longest_stem = max((len(stem) for stem in self._stems), default=0)
        # The longest first, so that what covers a word is found in place of it.
        longest = sorted(self._parts, key=len, reverse=True)
        self._unspaced = re.compile("|".join(map(re.escape, longest)) or r"(?!)")

    def _read(self, text: str) -> None:
        section: tuple[str, str] | None = None
        for number, raw in enumerate(text.splitlines(), 1):
            line = raw.strip()
            if not line or line.startswith("#"):
                continue
            if line.startswith("[") and line.endswith("]"):
                kind, dot, language = line[1:-1].partition(".")
                if kind not in _KINDS or not dot:
                    raise ConfigError(
                        f"prompt_abroad.txt, line {number}: expected [bare.xx], child, year, cover or thing"
                    )
                section = kind, language
                self.languages.add(language)
                continue
            _, colon, words = line.partition(":")
            if section is None or not colon:
                raise ConfigError(f"prompt_abroad.txt, line {number}: expected a section or 'language: words'")
            for word in words.split():
                for form in dict.fromkeys((_normal(word), _plain(_normal(word)))):
                    self._add(form, section)

    def _add(self, word: str, section: tuple[str, str]) -> None:
        if section[1] in _UNSPACED:
            self._parts.setdefault(word.replace("_", ""), []).append(section)
            return
        parts = word.split("_")
        for end in range(1, len(parts)):
            self._openers.add("_".join(parts[:end]))
        table, key = (self._stems, word[:-1]) if word.endswith("*") else (self._words, word)
        table.setdefault(key, set()).add(section)

    def words(self, language: str) -> dict[str, list[str]]:
        """The words of a language by section, stems without their star."""
        found: dict[str, list[str]] = {kind: [] for kind in _KINDS}
        tables = (*self._words.items(), *self._stems.items(), *self._parts.items())
        for word, sections in tables:
            for kind, of in sections:
                if of == language:
                    found[kind].append(word)
        return found

    def told(self, text: str) -> Told:
        """What the text says in these languages, also where it is turned round. Linear in the text.

        The fold takes a word of a language that it does not know for one of another, turned round, now and then.
        """
        told = self._told(text)
        if told.both:
            return told
        turned = self._told(text[::-1])
        return turned if turned.both else told

    def _told(self, text: str) -> Told:
        found: dict[str, set[str]] = {BARE: set(), CHILD: set()}
        own = {BARE: False, CHILD: False}
        years: dict[int, set[str]] = {}
        matches = [*_WORD.finditer(text)]
        words = [_normal(match[0]) for match in matches]
        # What is bare stands beside it, with no sign between.
        beside = [text[one.end() : other.start()].isspace() for one, other in pairwise(matches)]
        for at, (kind, language), word in [*self._spaced(words, beside), *self._within(text)]:
            if kind == YEAR:
                years.setdefault(at, set()).add(language)
            elif kind not in (COVER, THING):
                found[kind].add(language)
                own[kind] = own[kind] or _SHARED_SCRIPT.match(word) is None
        aged = self._aged(words, years) | self._aged_unspaced(text) if found[BARE] else set()
        return Told(frozenset(found[BARE]), frozenset(found[CHILD]), frozenset(aged), own[BARE], own[CHILD])

    def _spaced(self, words: list[str], beside: list[bool]) -> Iterator[tuple[int, tuple[str, str], str]]:
        """Where words and phrases of the lists stand, but for nakedness that a cover holds, or that of a thing."""
        hits = [(i, size, told) for i in range(len(words)) for size, told in self._at(words, i)]
        covered = {i + step for i, size, told in hits if told[0] == COVER for step in range(size)}
        things = {(i, told[1]) for i, _, told in hits if told[0] == THING}
        children = {(i, told[1]) for i, _, told in hits if told[0] == CHILD}
        for i, size, told in hits:
            if told[0] == BARE:
                if all(i + step in covered for step in range(size)):
                    continue
                before, behind = (i - 1, told[1]), (i + size, told[1])
                thing = (before in things and beside[i - 1]) or (behind in things and beside[i + size - 1])
                # "The child naked tree": it is the child that is.
                if thing and before not in children and behind not in children:
                    continue
            yield i, told, words[i]

    def _at(self, words: list[str], i: int) -> Iterator[tuple[int, tuple[str, str]]]:
        phrase = words[i]
        for size in range(1, _LONGEST_PHRASE + 1):
            if len(phrase) <= _LONGEST_WORD * size:
                for told in self._named(phrase):
                    yield size, told
            if phrase not in self._openers or i + size >= len(words):
                return
            phrase += "_" + words[i + size]

    def _named(self, phrase: str) -> Iterable[tuple[str, str]]:
        yield from self._words.get(phrase, ())
        for end in range(_SHORTEST_STEM, min(len(phrase), self._longest_stem) + 1):
            yield from self._stems.get(phrase[:end], ())

    def _within(self, text: str) -> Iterator[tuple[int, tuple[str, str], str]]:
        """The same in scripts without spaces, where `at` says nothing."""
        for run in _UNSPACED_RUN.finditer(text):
            for match in self._unspaced.finditer(run[0]):
                for told in self._parts[match[0]]:
                    if told[0] != YEAR:
                        yield -1, told, match[0]

    @staticmethod
    def _aged(words: list[str], years: dict[int, set[str]]) -> set[str]:
        found: set[str] = set()
        for i, languages in years.items():
            around = words[max(0, i - _YEAR_WORDS) : i + _YEAR_WORDS + 1]
            if any(_is_young(word) for word in around):
                found |= languages
        return found

    def _aged_unspaced(self, text: str) -> set[str]:
        found: set[str] = set()
        parts = re.split(r"(\d+)", text)
        for before, number in pairwise(parts):
            if number.isdecimal() and _is_young(number):
                found |= self._years_in(before[-_LONGEST_WORD:])
        for number, behind in pairwise(parts):
            if number.isdecimal() and _is_young(number):
                found |= self._years_in(behind[:_LONGEST_WORD])
        return found

    def _years_in(self, text: str) -> set[str]:
        return {
            language
            for run in _UNSPACED_RUN.finditer(text)
            for match in self._unspaced.finditer(run[0])
            for kind, language in self._parts[match[0]]
            if kind == YEAR
        }


@cache
def abroad() -> Abroad:
    """The lists that are shipped."""
    return Abroad(files("guardrail.inference").joinpath("heads/prompt_abroad.txt").read_text("utf-8"))


def _normal(word: str) -> str:
    return unicodedata.normalize("NFC", word.translate(_JOINERS)).casefold()


def _plain(word: str) -> str:
    """A word of Latin or Greek without its accents, as the fold leaves it in a text full of strange ones."""
    if len(word) < _PLAIN_FROM or not _ACCENTED_SCRIPT.match(word):
        return word
    return "".join(c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c))


def _is_young(word: str) -> bool:
    return word.isdecimal() and len(word) < 3 and 0 < int(word) < 18
