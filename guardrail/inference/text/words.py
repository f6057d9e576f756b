"""Words: letters spelled out, digits and stars for letters, words broken, stretched, run together or in odd case.

Each trick is undone only where that gives a word. Where a text plays one on several words, it is undone on all of them,
known words or not.
"""

from __future__ import annotations

import itertools
import re

from guardrail.inference.text.disguise import (
    BETTER,
    BROKEN_WORD,
    HIDDEN_SENSITIVE,
    ODD_CASE,
    STRETCHED,
    Evidence,
    Vocabulary,
    piecewise,
)
from guardrail.inference.text.joined import parted
from guardrail.inference.text.masked import unmasked
from guardrail.inference.text.spelling import run_together, spelled
from guardrail.inference.text.standins import without_digits

_LONGEST_WORD = 40

_LETTERS = re.compile(r"[^\W\d_]+")
_LATIN_LETTER = re.compile("[A-Za-z]")
_BROKEN = re.compile(r"(?<![^\W_])[^\W\d_]{1,12}(?:[.\-_*~|·•][^\W\d_]{1,12}){1,3}(?![^\W_])")
_BREAK = re.compile(r"[.\-_*~|·•]")
_STRETCH = re.compile(r"([^\W\d_])\1{2,}")
_LONG_STRETCH = re.compile(r"([^\W\d_])\1{3,}")
# A capital after a small letter, or a small letter after two capitals.
_UNEVEN = re.compile(r"[a-z\u00df-\u024f][A-Z\u00c0-\u00de]|[A-Z\u00c0-\u00de]{2}[a-z\u00df-\u024f]")
_LATIN_WORD = re.compile(r"[A-Za-z\u00c0-\u024f]+")


def mended(text: str, vocabulary: Vocabulary, evidence: Evidence) -> str:
    """The text with its words as they are read. Linear in the text."""
    text = spelled(text, vocabulary, evidence)
    text = parted(text, vocabulary, evidence)
    text = unmasked(text, vocabulary, evidence)
    if _BROKEN.search(text):
        text = piecewise(text, lambda piece: _without_breaks(piece, vocabulary, evidence))
        text = _BROKEN.sub(lambda m: _unbroken(m[0], vocabulary, evidence), text)
    text = without_digits(text, vocabulary, evidence)
    if _STRETCH.search(text):
        everywhere = len(_LONG_STRETCH.findall(text)) > 2
        text = _LETTERS.sub(lambda m: _shrink(m[0], everywhere, vocabulary, evidence), text)
    if _UNEVEN.search(text):
        text = piecewise(text, lambda piece: _one_case(piece, vocabulary, evidence))
    if text.isupper() and " " not in text:
        # A sentence in capitals, written as one word.
        apart = _LETTERS.sub(lambda m: run_together(m[0].lower(), vocabulary, evidence), text)
        text = apart if " " in apart else text
    text = _LETTERS.sub(lambda m: run_together(m[0], vocabulary, evidence), text)
    return _closed(text, vocabulary, evidence)


def _without_breaks(piece: str, vocabulary: Vocabulary, evidence: Evidence) -> str:
    """A piece with signs in the midst of its words, without them."""
    broken = _BROKEN.findall(piece)
    if len(broken) < 2:
        return piece
    closed = _BROKEN.sub(lambda m: _BREAK.sub("", m[0]), piece)
    apart = _BROKEN.sub(lambda m: _BREAK.sub(" ", m[0]), piece)
    # Words that a sign joins are words by themselves too.
    strange = min(vocabulary.strangeness(piece), vocabulary.strangeness(apart))
    if vocabulary.strangeness(closed) > BETTER * strange:
        return piece
    evidence.add(BROKEN_WORD, len(broken))
    return closed


def _unbroken(word: str, vocabulary: Vocabulary, evidence: Evidence) -> str:
    """A word broken by a sign, joined only where that gives a word and the parts are none."""
    parts = _BREAK.split(word)
    whole = "".join(parts)
    joined = whole.casefold()
    lows = [part.casefold() for part in parts]
    if len(joined) > _LONGEST_WORD or any(vocabulary.sensitive(part) for part in lows if len(part) > 2):
        return word
    strange_part = any(len(part) > 1 and not vocabulary.knows(part) for part in lows)
    if vocabulary.sensitive(joined) and (len(parts) > 2 or min(map(len, parts)) <= 3 or strange_part):
        # "pin-up" and "doggy-style" are how some people spell.
        evidence.add(BROKEN_WORD if len(parts) == 2 and "-" in word else HIDDEN_SENSITIVE)
        return whole
    if "-" in word and min(map(len, parts)) > 3:
        return word
    if strange_part and len(joined) > 4 and (vocabulary.knows(joined) or vocabulary.telling(joined)):
        evidence.add(BROKEN_WORD)
        return whole
    return word


def _shrink(word: str, everywhere: bool, vocabulary: Vocabulary, evidence: Evidence) -> str:
    """A stretched word with its letters once or twice, where that gives a word; "hmmm" stays.

    `everywhere`: the text stretches many words, so that unknown ones are shrunk too.
    """
    if not _STRETCH.search(word):
        return word
    # A stretch of six or more stands for a double letter as a rule, a shorter one for a single.
    guesses = [_STRETCH.sub(r"\1", word), _STRETCH.sub(r"\1\1", word), _STRETCH.sub(_single_or_double, word)]
    for guess in guesses:
        low = guess.casefold()
        if len(low) > 2 and vocabulary.sensitive(low):
            evidence.add(HIDDEN_SENSITIVE)
            return guess
        if len(low) > (1 if everywhere else 3) and (vocabulary.knows(low) or vocabulary.telling(low)):
            evidence.add(STRETCHED)
            return guess
    if everywhere and _LONG_STRETCH.search(word):
        evidence.add(STRETCHED)
        return guesses[2]
    return word


def _single_or_double(match: re.Match[str]) -> str:
    return match[1] * (2 if len(match[0]) > 5 else 1)


def _one_case(piece: str, vocabulary: Vocabulary, evidence: Evidence) -> str:
    """Words with capitals in their midst, "rEmOvE", without them. "iPhone" and "McDonald" stay."""
    words = _LATIN_WORD.findall(piece)
    uneven = sum(_UNEVEN.search(word) is not None for word in words)
    # In no language do capitals and small letters take turns in every third word.
    throughout = uneven > 2 and uneven * 3 > len(words)

    def one(match: re.Match[str]) -> str:
        word = match[0]
        if len(word) > _LONGEST_WORD * 4 or _UNEVEN.search(word) is None:
            return word.casefold() if throughout and len(word) > 1 and word.isupper() else word
        low = word.casefold()
        if len(low) == len(word) and (throughout or (_odd(word) and _is_word(low, vocabulary))):
            evidence.add(ODD_CASE)
            return low
        return word

    return _LATIN_WORD.sub(one, piece)


def _is_word(word: str, vocabulary: Vocabulary) -> bool:
    return vocabulary.knows(word) or vocabulary.telling(word)


def _odd(word: str) -> bool:
    """True where small letters and capitals take turns as in no name."""
    turns = sum(a.isupper() != b.isupper() for a, b in itertools.pairwise(word))
    return turns > 3 or (turns > 2 and word[0].islower())


def _closed(text: str, vocabulary: Vocabulary, evidence: Evidence) -> str:
    """Words with a space in their midst: "rem ove her clo thes"."""
    words = text.split(" ")
    if len(words) < 2:
        return text
    out = [words[0]]
    for word in words[1:]:
        before = out[-1]
        if 1 < len(before) <= 12 and 1 < len(word) <= 12 and before.isalpha() and word.islower() and word.isalpha():
            low, joined = before.casefold(), before.casefold() + word
            if len(joined) > 4 and _belong_together(low, word, joined, vocabulary):
                evidence.add(BROKEN_WORD)
                out[-1] = before + word
                continue
        out.append(word)
    return " ".join(out)


def _belong_together(first: str, second: str, joined: str, vocabulary: Vocabulary) -> bool:
    strange = (not _is_word(first, vocabulary)) + (not _is_word(second, vocabulary))
    # Not "knows": a listed stem with anything behind it is known too.
    if not strange or vocabulary.weight(joined) == float("inf") or joined in (first, second):
        return False
    if strange == 2 or vocabulary.telling(joined):
        return True
    apart = vocabulary.strangeness(f"{first} {second}")
    return vocabulary.strangeness(joined) < 0.6 * apart
