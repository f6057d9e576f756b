"""Mistyped words: what is no word but one slip from a frequent one, put right.

A name or a rare word is one slip from a frequent word by chance now and then. Where half of a text's words are such
slips that is no chance, so a text that has several needs less to be put right.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from guardrail.inference.text.disguise import Vocabulary, piecewise

_WORD = re.compile(r"[^\W\d_]+")
# Letters of a word that is put right; the shortest only where slips are a habit.
_SHORTEST, _LONGEST = 3, 24
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm", "йцукенгшщзхъ", "фывапролджэ", "ячсмитьбю")
_KEYS_BESIDE = {c: row[max(0, i - 1) : i] + row[i + 1 : i + 2] for row in _ROWS for i, c in enumerate(row)}
# In Turkish "my" and "your".
_KEYS_BESIDE |= {"n": "b", "m": ""}
# With so many letters, syllables of Korean, none is sought that was left out.
_MANY = 100
# Words of a piece that are nowhere near any other: then it is no language, and the rest of it is left.
_MISSES = 5
# A sign that changed places with the last letter before it: "pictur,e".
_SIGN_EARLY = re.compile(r"([^\W\d_]{3,24})([,.;:!?])([^\W\d_])(?!\w)")
# Nats by which a word must be likelier than what was typed, as listed and as the encoder builds both of its
# pieces: in a text with one slip, and where slips are a habit. Chosen on 6,000 lines of the grammars in twelve
# languages, with a list made from other lines: of the words changed where slips were put in, 98 of 100 were put right.
ALONE, HABIT = (12.0, 10.0), (6.0, 1.0)
# The same for a lone slip of a word that matters to judgement.
MATTERS = (9.0, 3.0)
# Many words of one root are one letter apart: a lone slip is left, and where slips are a habit, ALONE counts.
_ROOTED = frozenset(("ar",))
# What makes a habit: so many slips at least, and one of so many longer words.
_SLIPS, _ONE_OF = 2, 4


@dataclass(frozen=True)
class Slip:
    """The word that was meant, and by how many nats it is likelier than what was typed: as listed, as built."""

    word: str
    listed: float
    built: float
    matters: bool = False


def retyped(text: str, vocabulary: Vocabulary, slip: Callable[[str, str], Slip | None]) -> str:
    """The text with mistyped words put right.

    `slip` is `slipped` for a word in lower case and a language, or a cache of it.
    """
    return piecewise(text, lambda piece: _retyped(piece, vocabulary, slip))


def _retyped(piece: str, vocabulary: Vocabulary, slip: Callable[[str, str], Slip | None]) -> str:
    piece = _SIGN_EARLY.sub(lambda m: _sign_last(m, vocabulary), piece)
    words = list(_WORD.finditer(piece))
    language = vocabulary.frequent.language(match[0].lower() for match in words)
    if not language:
        return piece
    # A capital makes a name of a word, but not at the beginning, in German, or in a text in capitals.
    proud = language == "de" or sum(map(str.isupper, piece)) > sum(map(str.islower, piece))
    longer = misses = 0
    found: list[tuple[re.Match[str], Slip]] = []
    for match in words:
        word, low = match[0], match[0].lower()
        longer += _SHORTEST < len(word) <= _LONGEST
        if _SHORTEST <= len(word) <= _LONGEST and len(low) == len(word) and (word == low or proud or not match.start()):
            meant = slip(low, language)
            if meant is not None:
                found.append((match, meant))
            elif vocabulary.weight(low) == float("inf") and not vocabulary.frequent.costs(low):
                misses += 1
                if misses == _MISSES and not found:
                    break
    slips = len({meant.word for match, meant in found if len(match[0]) > _SHORTEST})
    habit = slips >= _SLIPS and slips * _ONE_OF >= longer
    if not habit:
        rooted = language in _ROOTED
        found = [one for one in found if not rooted and len(one[0][0]) > _SHORTEST and (proud or one[0][0].islower())]
    parts, at = [], 0
    for match, meant in found:
        listed, built = _least(meant, habit, language)
        if meant.listed >= listed and meant.built >= built:
            parts += [piece[at : match.start()], _in_case(meant.word, match[0])]
            at = match.end()
    return "".join([*parts, piece[at:]])


def _least(meant: Slip, habit: bool, language: str) -> tuple[float, float]:
    if language in _ROOTED:
        return ALONE
    if habit:
        return HABIT
    return MATTERS if meant.matters else ALONE


def _sign_last(match: re.Match[str], vocabulary: Vocabulary) -> str:
    low, whole = match[1].lower(), (match[1] + match[3]).lower()
    if vocabulary.frequent.costs(whole) and not vocabulary.frequent.costs(low) and not vocabulary.knows(low):
        return match[1] + match[3] + match[2]
    return match[0]


def slipped(typed: str, language: str, vocabulary: Vocabulary) -> Slip | None:
    """The frequent word of a language that a word, in lower case, is one slip from.

    None for a word of any list or of the encoder, and for one that is no slip.
    """
    frequent = vocabulary.frequent
    if frequent.costs(typed) or vocabulary.weight(typed) < float("inf"):
        return None
    best, lightest = None, float("inf")
    for guess in frequent.listed(_meant(typed, frequent.alphabet(language))):
        for tongue, cost in frequent.costs(guess):
            if tongue == language and cost < lightest:
                best, lightest = guess, cost
    if best is None:
        return None
    was = vocabulary.strangeness(typed) * len(typed)
    matters = vocabulary.telling(best) or vocabulary.sensitive(best)
    return Slip(best, was - lightest, was - vocabulary.strangeness(best) * len(best), matters)


def _meant(typed: str, letters: str) -> Iterator[str]:
    """What may have been meant by two letters swapped, one typed twice, one left out, or the key beside struck.

    The first letter is kept; the last is swapped at most, since with another it is another form of a word.
    """
    for at in range(1, len(typed)):
        head, tail = typed[:at], typed[at + 1 :]
        if tail:
            yield head + tail[0] + typed[at] + tail[1:]
            for key in _KEYS_BESIDE.get(typed[at], ""):
                yield head + key + tail
        if typed[at] == typed[at - 1] and at > 1:
            yield head + tail
        if len(typed) < _LONGEST and len(letters) <= _MANY:
            rest = typed[at:]
            yield from [head + letter + rest for letter in letters]


def _in_case(word: str, typed: str) -> str:
    if sum(map(str.isupper, typed)) * 2 > len(typed):
        return word.upper()
    return word[:1].upper() + word[1:] if typed[0].isupper() else word
