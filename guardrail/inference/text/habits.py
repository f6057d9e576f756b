"""Habits: what a text does to its words one by one: every letter twice, backwards, upside down, vowels left out.

One such word is a name or an abbreviation as like as not. Where several words side by side are none, and each becomes
one by the same trick, they are read so.
"""

from __future__ import annotations

import re

from guardrail.inference.text.disguise import (
    HIDDEN_SENSITIVE,
    LETTERS_TWICE,
    TURNED,
    VOWELS_OUT,
    Evidence,
    Vocabulary,
    is_said,
    piecewise,
)
from guardrail.inference.text.turned import upright

_WORD = re.compile(r"[^\W\d_]+")
_LATIN = re.compile("[a-z\u00df-\u00f6\u00f8-\u024f]+")
_TWICE = re.compile(r"(?<![^\W_#])(?:([^\W\d_])\1){3,}(?![^\W_])")
_IN_PAIRS = re.compile(r"(?<![^\W_#])(?:([^\W\d_])\1)+(?![^\W_])")
# Letters of the other way up: two in a word tell that it is.
_OTHER_WAY_UP = re.compile(
    "[\u0250\u0254\u01dd\u025f\u0183\u0265\u1d09\u027e\u029e\u026f\u0279\u0287\u028c\u028d\u028e]"
)
_FLIPPED_WORD = re.compile(r"[^\s]+")
_VOWEL = re.compile("[aeiou\u00e0-\u00e6\u00e8-\u00ef\u00f2-\u00f6\u00f8-\u00fc\u0153]")
# Words that make a habit, and one of how many of a piece's words it must change; so many where none of them matters,
# since lists of abbreviations leave vowels out too.
_SEVERAL, _ONE_OF, _MANY = 2, 3, 5
_SHORTEST, _LONGEST = 3, 24


def undone(text: str, vocabulary: Vocabulary, evidence: Evidence) -> str:
    """The text with the words that have such a habit as they were meant. Linear in the text."""
    if _TWICE.search(text):
        text = piecewise(text, lambda piece: _once(piece, vocabulary, evidence))
    return piecewise(text, lambda piece: _with_vowels(_forwards(piece, vocabulary, evidence), vocabulary, evidence))


def stood_up(text: str, vocabulary: Vocabulary, evidence: Evidence) -> str:
    """The text with words that are upside down among others the right way up; a line of such words stays.

    Before whole lines are turned, which would turn those others over. Linear in the text.
    """
    if len(_OTHER_WAY_UP.findall(text)) < _SEVERAL:
        return text
    return "\n".join(_stood_up(line, vocabulary, evidence) for line in text.split("\n"))


def _stood_up(line: str, vocabulary: Vocabulary, evidence: Evidence) -> str:
    turned = sum(_OTHER_WAY_UP.search(word) is not None for word in line.split())
    plain = sum(is_said(word.lower(), vocabulary) for word in _WORD.findall(line) if len(word) >= _SHORTEST)
    if not turned or plain * _ONE_OF < turned:
        return line
    return _FLIPPED_WORD.sub(lambda m: upright(m[0], vocabulary, evidence), line)


def _once(piece: str, vocabulary: Vocabulary, evidence: Evidence) -> str:
    """A piece whose words have every letter twice, with each once."""
    halves = [match[0][::2].lower() for match in _TWICE.finditer(piece)]
    known = sum(is_said(half, vocabulary) for half in halves)
    if known * 2 < len(halves) or (known < _SEVERAL and max(map(len, halves), default=0) < _SHORTEST + 2):
        return piece
    evidence.add(LETTERS_TWICE, known)
    return (_IN_PAIRS if known >= _SEVERAL else _TWICE).sub(lambda m: m[0][::2], piece)


def _forwards(piece: str, vocabulary: Vocabulary, evidence: Evidence) -> str:
    """A piece with words that are backwards among others, the right way round."""
    words = {match[0] for match in _WORD.finditer(piece)}
    back = {word: meant for word in words if (meant := _backwards(word, vocabulary)) is not None}
    if len(back) < _SEVERAL or max(map(len, back)) <= _SHORTEST:
        return piece
    # Names of other languages are words backwards by chance: "luis omar".
    language = vocabulary.frequent.language([*(word.lower() for word in words if word not in back), *back.values()])
    back = {word: meant for word, meant in back.items() if _is_of(meant, language, vocabulary)}
    longer = sum(len(word) >= _SHORTEST for word in words)
    if len(back) < _SEVERAL or max(map(len, back)) <= _SHORTEST or len(back) * _ONE_OF < longer:
        return piece
    for meant in back.values():
        evidence.add(HIDDEN_SENSITIVE if vocabulary.sensitive(meant) else TURNED / 2)
    return _WORD.sub(lambda m: back.get(m[0], m[0]), piece)


def _backwards(word: str, vocabulary: Vocabulary) -> str | None:
    """The word that one in small letters is backwards, where it is none as it stands."""
    if not _SHORTEST <= len(word) <= _LONGEST or not _LATIN.fullmatch(word):
        return None
    if vocabulary.frequent.costs(word) or vocabulary.telling(word) or vocabulary.sensitive(word):
        return None
    if len(word) > _SHORTEST and vocabulary.weight(word) < float("inf"):
        return None
    return word[::-1] if is_said(word[::-1], vocabulary) else None


def _is_of(word: str, language: str, vocabulary: Vocabulary) -> bool:
    costs = vocabulary.frequent.costs(word)
    return not costs or any(tongue == language for tongue, _ in costs)


def _with_vowels(piece: str, vocabulary: Vocabulary, evidence: Evidence) -> str:
    """A piece whose words have no vowels but at their beginning, with those that make them words."""
    words = [match[0] for match in _WORD.finditer(piece)]
    bare = [word for word in words if _is_bare(word)]
    if len(bare) < _SEVERAL or len(bare) * _ONE_OF < len(words):
        return piece
    frequent = vocabulary.frequent
    candidates = {
        word: frequent.with_vowels(word) for word in bare if len(word) < _SHORTEST or not frequent.costs(word)
    }
    intact = [word.lower() for word in words if word not in candidates]
    language = frequent.language([*intact, *(one for found in candidates.values() for one in found)])
    meant: dict[str, str] = {}
    for word, found in candidates.items():
        costs = {one: nats for one in found for tongue, nats in frequent.costs(one) if tongue == language}
        if costs and not any(tongue == language for tongue, _ in frequent.costs(word)):
            meant[word] = min(costs, key=lambda one: (costs[one] - 2.0 * vocabulary.telling(one), one))
    longer = [word for word in meant if len(word) > 2 and vocabulary.weight(word) == float("inf")]
    matters = any(vocabulary.telling(one) or vocabulary.sensitive(one) for one in meant.values())
    if len(longer) < (_SEVERAL if matters else _MANY):
        return piece
    evidence.add(VOWELS_OUT, len(longer))
    return _WORD.sub(lambda m: meant.get(m[0], m[0]), piece)


def _is_bare(word: str) -> bool:
    return (
        1 < len(word) <= _LONGEST
        and word.islower()
        and not _VOWEL.search(word, 1)
        and _LATIN.fullmatch(word) is not None
    )
