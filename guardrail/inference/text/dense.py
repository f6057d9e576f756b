"""Dense texts: long ones that make so many tokens, or so many parts, that to read them as a short prompt is read would
take many times what their length allows.

All of such a text is read, in windows that are cut where sentences end and overlap less. The windows that the first
heads suspect most, each factor in turn, are then read as closely as a short prompt, for so many tokens as are left.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from guardrail.inference.text.encoder import WINDOW, TextEncoder
from guardrail.inference.text.pieces import parted

Floats = npt.NDArray[np.float32]

# Characters of a prompt that is read as closely as can be, whatever that takes.
SHORT = 2000
# Tokens that the first encoder reads of a longer one: so many for each character, and some for any. Ordinary prose in
# an alphabet takes 0.5 to 0.8 a character, Chinese and Japanese about 2.
_EACH, _ANY = 1.0, 6000
# What of these is kept for reading closely, however many the windows take.
_CLOSELY = 6000
# Tokens that a prompt may have of its own, beside the same allowance: 1.04 a character of 32,000. In no language does
# one make more than 1.0; signs that stand for several letters (\u33d8 for "p.m.") make four.
_MOST = 0.85
# Marks of begin and end.
_MARKS = 2
_SIZE = WINDOW - _MARKS
# A window ends with a sentence that ends in its second half. The next begins with its last tokens, and no earlier than
# that sentence does.
_AT_LEAST, _OVERLAP = _SIZE // 2, 8

Window = tuple[list[int], str]


def budget(characters: int) -> int:
    """Tokens that may be read of a prompt of so many characters."""
    return int(_EACH * characters) + _ANY


def unreadable(characters: int, tokens: int) -> str:
    """Why a prompt of so many characters that makes so many tokens is not read; "" for one that is."""
    most = int(_MOST * characters) + _ANY
    if characters <= SHORT or tokens <= most:
        return ""
    return f"the text makes {tokens} tokens; of {characters} characters no more than {most} are read"


def left(characters: int, read: int) -> int:
    """Tokens that may be read closely where the windows took so many."""
    return max(budget(characters) - read, _CLOSELY)


def tokens(sequences: int, ids: int) -> int:
    """Tokens that so many sequences of so many ids in all are, with their marks."""
    return ids + _MARKS * sequences


def windows(text: str, encoder: TextEncoder) -> Iterator[Window]:
    """The token ids and the words of each window. At most 1.4 times the tokens of the text, marks included."""
    told = parted(text)
    ids = [_bare(own, one, encoder) for own, one in zip(encoder.all_tokens(told), told, strict=True)]
    ends = [*accumulate(map(len, ids))]
    starts = [0, *ends[:-1]]
    flat = [token for own in ids for token in own]
    letters: dict[int, list[str]] = {}

    def words(at: int, start: int, end: int) -> str:
        """What a window from one token to another has of a sentence."""
        if start <= starts[at] and ends[at] <= end:
            return told[at]
        if at not in letters:
            letters.clear()  # windows go from left to right
            letters[at] = encoder.letters(told[at])[-len(ids[at]) :]
        cut = letters[at][max(start - starts[at], 0) : end - starts[at]]
        return "".join(cut).replace("\u2581", " ")

    start = first = 0  # the token that a window begins with, and the sentence of that token
    while start < len(flat):
        end = min(start + _SIZE, len(flat))
        last = first
        while ends[last] < end:
            last += 1
        # A sentence that ends late enough in the window ends it.
        whole = last if ends[last] == end else last - 1
        if whole >= first and ends[whole] - start >= _AT_LEAST:
            last, end = whole, ends[whole]
        yield flat[start:end], "".join(words(at, start, end) for at in range(first, last + 1)).strip()
        if end == len(flat):
            return
        start = max(end - _OVERLAP, starts[last])
        first = bisect_right(ends, start)


def most_suspect(logits: Floats) -> list[int]:
    """Windows from their logits (windows, factors): the most suspect one of each factor, then the next of each."""
    ranked = np.argsort(-logits, axis=0, kind="stable").ravel()
    return list(dict.fromkeys(ranked.tolist()))


def _bare(ids: list[int], text: str, encoder: TextEncoder) -> list[int]:
    """Tokens without the one for a space that the tokeniser puts before a text, where there is none."""
    return ids[1:] if ids and ids[0] == encoder.space and not text[:1].isspace() else ids
