"""The fold: disguised text read as the eye reads it, in linear time, and how much disguise there was.

Only what a reader would not notice, or would read through, is undone: invisible characters, look-alike letters, piles
of marks, digits for letters, letters spelled out, codes, words turned round. Accents, joined emoji, the joiners that
Arabic, Persian and Hindi are written with, and honest text in any script come out as they went in.

What is disguised twice comes out after two rounds, so that folding a folded text changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from guardrail.inference.text import characters, habits, turned, words
from guardrail.inference.text.disguise import Evidence, Vocabulary
from guardrail.inference.text.encoded import decoded
from guardrail.inference.text.gaps import closed
from guardrail.inference.text.pictographs import spelled_out

VERSION = "9"

# One trick under another under another; deeper than this nobody reads either, and the text stays as it then is.
_ROUNDS = 5


@dataclass(frozen=True)
class Folded:
    """A text as it reads, and how strongly it was disguised: 0.0 plain, towards 1.0 heavily."""

    text: str
    disguise: float


def fold(text: str, vocabulary: Vocabulary) -> Folded:
    """Read a text as the eye would. Lone surrogates become U+FFFD, so the result can always be encoded.

    Returns the text, at most 4.5 times as long, and the strength of its disguise.
    """
    evidence = Evidence()
    text = characters.encodable(text)
    for _ in range(_ROUNDS):
        before = text
        text = decoded(turned.rotated(text, evidence), vocabulary, evidence)
        if not text.isascii():
            text = habits.stood_up(text, vocabulary, evidence)
            text = turned.upright(text, vocabulary, evidence)
            text = characters.plain(text, vocabulary, evidence)
        text = closed(text, vocabulary, evidence)
        if not text.isascii():
            text = spelled_out(text)
        text = turned.straight(text, vocabulary, evidence)
        text = habits.undone(text, vocabulary, evidence)
        text = words.mended(text, vocabulary, evidence)
        if text == before:
            break
    return Folded(text, evidence.strength)
