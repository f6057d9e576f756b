"""Turned text: written backwards, upside down or in rot13, and turned back where that is what makes it language.

Whether it does is asked of the encoder's own vocabulary: how strange a text is, in nats per letter. Of 10,447 public
prompts and captions in nine languages, one in a thousand is stranger forwards than 0.95 of what it is backwards, and
nothing but chance strings and Chinese is stranger than backwards.
"""

from __future__ import annotations

import codecs
import re

from guardrail.inference.text.disguise import BETTER, HIDDEN_SENSITIVE, TURNED, Evidence, Vocabulary, piecewise

# A piece with fewer letters may be anything, one that is less strange than this is language as it stands.
_FEWEST, _ORDINARY = 10, 2.6
# Digits and signs for letters, inside of words that have letters too.
_DIGITS = str.maketrans("013457$@", "oieastsa")
_MIXED = re.compile(r"[A-Za-z0-9$@]+")
_PIECE = re.compile(r"[^.!?;\n\u3002\uff01\uff1f\uff1b]+")
_WORD = re.compile(r"[^\W\d_]+")
_STATED = re.compile(r"\brot[ -]?13\b:?", re.IGNORECASE)

_FLIPPED = {
    "ɐ": "a", "ɔ": "c", "ǝ": "e", "ɟ": "f", "ƃ": "g", "ɓ": "g", "ɥ": "h", "ᴉ": "i", "ı": "i", "ɾ": "j", "ʞ": "k",
    "ʃ": "l",
    "ɯ": "m", "ɹ": "r", "ʇ": "t", "ʌ": "v", "ʍ": "w", "ʎ": "y", "∀": "a", "Ɔ": "c", "Ǝ": "e", "Ⅎ": "f", "⅁": "g",
    "Ʞ": "k", "˥": "l", "Ԁ": "p", "┴": "t", "∩": "u", "Λ": "v", "⅄": "y",
}  # fmt: skip
_MIRRORED = {
    "b": "q",
    "q": "b",
    "d": "p",
    "p": "d",
    "n": "u",
    "u": "n",
    "¿": "?",
    "¡": "!",
    "˙": ".",
    "'": ",",
    "6": "9",
    "9": "6",
}
_UPSIDE_DOWN = str.maketrans({**_FLIPPED, **_MIRRORED})
# The dotless i alone is Turkish.
_TELLS_FLIPPED = re.compile("[" + "".join(c for c in _FLIPPED if c not in "ıΛʃ∩") + "]")


def rotated(text: str, evidence: Evidence) -> str:
    """A text that says it is in rot13, turned back. Before anything is done to its letters."""
    if _STATED.search(text) is None:
        return text
    evidence.add(TURNED)
    return codecs.encode(_STATED.sub(" ", text), "rot13")


def upright(text: str, vocabulary: Vocabulary, evidence: Evidence) -> str:
    """Lines that are written upside down, the right way up. Before letters in costume are undone."""
    if len(_TELLS_FLIPPED.findall(text)) < 2:
        return text
    return "\n".join(_stood_up(line, vocabulary, evidence) for line in text.split("\n"))


def _stood_up(line: str, vocabulary: Vocabulary, evidence: Evidence) -> str:
    if len(_TELLS_FLIPPED.findall(line)) < 2:
        return line
    back = line.casefold().translate(_UPSIDE_DOWN)[::-1]
    if vocabulary.strangeness(back) > BETTER * vocabulary.strangeness(line):
        return line
    evidence.add(TURNED)
    return back


def straight(text: str, vocabulary: Vocabulary, evidence: Evidence) -> str:
    """What is written backwards or in rot13, as it was meant. Linear in the text.

    Where words are backwards it cannot be told whether their order is too, so it reads both ways, on two lines.
    """
    text = _PIECE.sub(lambda m: piecewise(m[0], lambda piece: _straight(piece, vocabulary, evidence)), text)
    return _WORD.sub(lambda m: _word(m[0], vocabulary, evidence), text)


def _straight(piece: str, vocabulary: Vocabulary, evidence: Evidence) -> str:
    letters = "".join(_WORD.findall(piece))
    if len(letters) < _FEWEST or len(set(letters)) < _FEWEST // 2:
        return piece
    strange = vocabulary.strangeness(piece)
    if strange < _ORDINARY:
        return piece
    # Digits for letters are undone first where there are any: backwards they make no words to tell them by.
    spelled = without_digits(piece)
    if spelled != piece:
        strange = min(strange, vocabulary.strangeness(spelled))
    backwards = spelled[::-1]
    word_by_word = " ".join(word[::-1] for word in spelled.split(" "))
    by = {
        reading: vocabulary.strangeness(reading)
        for reading in (codecs.encode(spelled, "rot13"), backwards, word_by_word)
    }
    best = min(by, key=by.__getitem__)
    if by[best] > BETTER * strange:
        return piece
    evidence.add(TURNED)
    if best not in (backwards, word_by_word):
        return best
    return f"{word_by_word.strip()}\n{backwards.strip()}" if " " in piece.strip() else backwards


def _word(word: str, vocabulary: Vocabulary, evidence: Evidence) -> str:
    """A single word that one may want to hide, written backwards among others."""
    low = word.casefold()
    back = low[::-1]
    if (
        len(low) < 4
        or not vocabulary.sensitive(back)
        or vocabulary.sensitive(low)
        or vocabulary.knows(low)
        or vocabulary.knows(low.title())
    ):
        return word
    if len(low) < 6 and not vocabulary.telling(back):
        return word
    evidence.add(HIDDEN_SENSITIVE)
    return back


def without_digits(text: str) -> str:
    """A text whose words are half of digits, with letters for them; "4k" and "35mm" by themselves don't make one."""
    words = _MIXED.findall(text)
    mixed = sum(any(map(str.isalpha, word)) and not word.isalpha() for word in words)
    if mixed < 3 or mixed * 2 < len(words):
        return text
    return _MIXED.sub(lambda m: m[0] if m[0].isdecimal() else m[0].translate(_DIGITS), text)
