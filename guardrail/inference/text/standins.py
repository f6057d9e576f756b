"""Stand-ins: digits and signs for letters ("cl0th3s")."""

from __future__ import annotations

import re

from guardrail.inference.text.disguise import (
    DIGIT_LETTERS,
    HIDDEN_SENSITIVE,
    Evidence,
    Vocabulary,
    is_said,
    piecewise,
)

_LONGEST_WORD = 40
STANDS_FOR = {"0": "o", "1": "i",
             "3": "e", "4": "a", "5": "s", "7": "t", "8": "b", "9": "g", "@": "a", "$": "s", "!": "i",
         "|": "l", "€": "e", "+": "t", "¢": "c", "£": "l"}  # fmt: skip
_LEET_WORD = re.compile(r"[A-Za-z\u00c0-\u024f0-9@$!|€+¢£]+")
_LEET_SIGN = re.compile(r"[0-9@$!|€+¢£]")
_DIGITS = re.compile("(?<![0-9])[0-9]{1,2}(?![0-9])")
# Letters of a word that digits stand in the midst of, and letters from which a digit may stand behind each.
_SHORTEST_BARE, _SEVERAL = 4, 3
_SHORT_LEET = frozenset(("her", "him", "off", "bra", "het", "hem", "uit", "ass", "sex", "nue", "das"))


def without_digits(text: str, vocabulary: Vocabulary, evidence: Evidence) -> str:
    """The text with letters where digits and signs stand for them."""
    if not _LEET_SIGN.search(text):
        return text
    text = piecewise(text, lambda piece: _without_digits(piece, vocabulary, evidence))
    return _LEET_WORD.sub(lambda m: _unleet(m[0], vocabulary, evidence), text)


def _without_digits(piece: str, vocabulary: Vocabulary, evidence: Evidence) -> str:
    """A piece that has digits for letters in most of its words, without them."""
    mixed = sum(_is_leet(word) for word in _LEET_WORD.findall(piece))
    if mixed < 3 or mixed * 3 < len(piece.split()):
        return piece
    guesses = [_forced(word).casefold() for word in _LEET_WORD.findall(piece) if _is_leet(word)]
    # "50mm, ISO100, 4k" gives no words.
    known = sum((vocabulary.knows(guess) or vocabulary.telling(guess)) for guess in guesses)
    if known < 3 or known * 2 < mixed:
        return piece
    turned = _LEET_WORD.sub(lambda m: _forced(m[0]), piece)
    evidence.add(DIGIT_LETTERS, mixed)
    return turned


def _is_leet(word: str) -> bool:
    return any(map(str.isalpha, word)) and _LEET_SIGN.search(word.strip("!+|")) is not None


def _forced(word: str) -> str:
    return "".join(STANDS_FOR.get(c, c) for c in word) if len(word) <= _LONGEST_WORD and not word.isdecimal() else word


def _unleet(word: str, vocabulary: Vocabulary, evidence: Evidence) -> str:
    """A word with digits or signs in place of letters, where that makes a word; anything else as it was."""
    signs = _LEET_SIGN.findall(word)
    letters = len(word) - len(signs)
    if not signs or len(word) > _LONGEST_WORD:
        return word
    core = word.rstrip("!+|")
    tail = word[len(core) :]
    if not any(c in STANDS_FOR for c in core) or "1girl" in core or "1boy" in core or core.isdecimal():
        return _without_numbers(word, vocabulary, evidence)
    turned = "".join(STANDS_FOR.get(c, c) for c in core)
    inside = core[0] not in STANDS_FOR and core[-1] not in STANDS_FOR
    guesses = (turned, turned.replace("i", "l") if "1" in core else turned, turned + "i" * tail.count("!"))
    for guess in dict.fromkeys(guesses):
        low = guess.casefold()
        if len(low) > 2 and vocabulary.sensitive(low) and (letters or len(low) > 3):
            evidence.add(HIDDEN_SENSITIVE)
            return guess + tail
        likely = (len(low) > 3 or low in _SHORT_LEET) if inside else (len(low) > 4 and letters >= 2)
        if likely and letters and not (_counts(core) and not inside) and vocabulary.knows(low):
            evidence.add(DIGIT_LETTERS)
            return guess + tail
    return _without_numbers(word, vocabulary, evidence)


def _without_numbers(word: str, vocabulary: Vocabulary, evidence: Evidence) -> str:
    """A word with digits in its midst that stand for nothing, "un2dress", "c1l2o3t4h5e6s", without them."""
    parts = _DIGITS.split(word.lower())
    low = "".join(parts)
    counted = len(parts) > _SEVERAL and max(map(len, parts)) == 1
    if len(parts) < 2 or not parts[0] or not (parts[-1] or counted) or not (low.isalpha() and is_said(low, vocabulary)):
        return word
    if len(low) < _SHORTEST_BARE and not counted:
        return word
    # Nothing is hidden where a part says it: "sex3e". Two words with a number between them are two.
    if any(len(part) > 2 and vocabulary.sensitive(part) for part in parts):
        return word
    if not vocabulary.telling(low) and all(map(vocabulary.frequent.costs, parts)):
        return word
    evidence.add(HIDDEN_SENSITIVE if vocabulary.sensitive(low) else DIGIT_LETTERS)
    return "".join(_DIGITS.split(word))


def _counts(word: str) -> bool:
    """True for several digits side by side at an end of a word: "35mm", "1080p", "covid19"."""
    digits = sum(c.isdigit() for c in word)
    return digits > 1 and (word[:digits].isdigit() or word[-digits:].isdigit())
