"""Encodings: words written in base64 or rot13, which a generator's language model reads and a fold does not.

Only what decodes to words is taken for text, so that digests, keys and file names stay what they are.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re
from collections.abc import Callable

# From 12 letters of text on; shorter runs are words.
_BASE64 = re.compile(r"[A-Za-z0-9+/]{16,}={0,2}")
_ROT13 = re.compile(r"\brot[ -]?13\b", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]+")
# Share of the words that must be known ones before bytes are taken for text. Chance bytes give almost none.
_KNOWN = 0.6
# Decoded runs that are looked at in one text, and letters of each; bounds the look-ups of words.
_MOST, _LONGEST = 16, 4000


def fragments(text: str, knows: Callable[[str], bool]) -> list[str]:
    """What is written in base64 within a text, and the whole text turned by rot13 where it says that it is.

    `knows` tells a word of any language, in lower case, from a chance string. Linear in the text.
    """
    found: list[str] = []
    for match in _BASE64.finditer(text):
        if len(found) == _MOST:
            break
        if (plain := _decoded(match[0])) is not None and _reads(plain, knows):
            found.append(plain)
    if _ROT13.search(text):
        found.append(codecs.decode(_ROT13.sub(" ", text), "rot13"))
    return found


def _decoded(run: str) -> str | None:
    run = run.rstrip("=")[: _LONGEST // 4 * 4]
    try:
        return base64.b64decode(run + "=" * (-len(run) % 4), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return None


def _reads(plain: str, knows: Callable[[str], bool]) -> bool:
    words = [word.casefold() for word in _WORD.findall(plain[:200]) if len(word) > 1]
    return len(words) > 1 and plain.isprintable() and sum(map(knows, words)) >= _KNOWN * len(words)
