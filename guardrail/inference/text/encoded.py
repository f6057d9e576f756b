"""Encodings: words in base64, hexadecimal or codes of characters, which a generator's language model reads.

Only what decodes to words is taken for text, so that digests, keys and file names stay what they are. What is decoded
takes the place of what encoded it, and is itself looked through.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
import unicodedata
from collections.abc import Callable
from urllib.parse import unquote_to_bytes

from guardrail.inference.text.disguise import ENCODED, Evidence, Vocabulary

Read = Callable[[str], bytes]

# Neighbouring parts of a pattern have no character in common and what follows a repetition is never required, so
# nothing is gone through twice.
_BASE64 = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{16,}={0,2}")
# What pads it tells a shorter one.
_SHORT_BASE64 = re.compile(
    r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{6}(?:==|[A-Za-z0-9+/_-](?:=|[A-Za-z0-9+/_-]{3}(?:==|[A-Za-z0-9+/_-](?:=|"
    r"[A-Za-z0-9+/_-]{3}(?:==|[A-Za-z0-9+/_-]=)))))(?![\w=])"
)
_BASE32 = re.compile(r"(?<![A-Za-z0-9])[A-Z2-7]{16,}(?![A-Za-z0-9])={0,6}")
_OCTAL = re.compile(r"(?:\\[0-3][0-7]{2}){4,}")
_QUOTED = re.compile(r"(?:=[0-9A-Fa-f]{2}){4,}")
# Tags and selectors of a glyph's form don't show, and each stands for a byte; a flag of tags is one.
_UNSHOWN = re.compile(
    "\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{1,6}\U000e007f|[\U000e0020-\U000e007e]{4,}"
    "|[\ufe00-\ufe0f\U000e0100-\U000e01ef]{4,}"
)
_ANY_UNSHOWN = re.compile("[\U000e0020-\U000e007e\U000e0100-\U000e01ef]{4}")
_HEX = re.compile(r"(?<![0-9A-Za-z])(?:0x)?[0-9A-Fa-f]{12,}")
_HEX_PAIRS = re.compile(r"(?<![0-9A-Za-z])(?:(?:0x)?[0-9A-Fa-f]{2}[ ,:]{1,2}){5,}(?:0x)?[0-9A-Fa-f]{2}")
_BINARY = re.compile(r"(?<![0-9])(?:[01]{8}[ ,]{0,2}){4,}")
_DECIMAL = re.compile(r"(?<![0-9])(?:[0-9]{2,3}[ ,]{1,2}){5,}[0-9]{2,3}")
_TWO = re.compile("[0-9A-Fa-f]{2}")
_PERCENT = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_ENTITY = re.compile(r"&(?:(?:#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});|#[0-9]{1,7};?)")
_ESCAPE = re.compile(
    r"\\x[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|\\u\{[0-9A-Fa-f]{1,6}\}|\\U[0-9A-Fa-f]{8}|(?<![^\W_])[Uu]\+[0-9A-Fa-f]{4,6} ?"
)
_FLAG, _FIRST_TAG = "\U0001f3f4", 0xE0000
# A code of a character within a code ("%2541") is read this often; what is nested deeper is no text to anybody.
_NESTED = 4
# Nats a letter. Bytes of a key or a digest taken for letters have 5 and more, words of the fourteen languages in an
# alphabet below 4 (99 of 100 public prompts).
_READABLE = 4.2
# Letters of a run that are looked at to tell words from chance.
_SAMPLE = 300
# Characters of no width and marks of direction; soft and odd spaces.
_UNSEEN = frozenset(("Cf", "Zs", "Zl", "Zp"))
# Characters from which on a text without spaces is more than a word or two.
_OWN = 24
# Letters from which chance is out: of a dozen chance bytes all are printable ASCII once in 150,000 times.
_SURE = 12


def decoded(text: str, vocabulary: Vocabulary, evidence: Evidence) -> str:
    """The text with what is encoded in it decoded, where that is words. Linear in the text."""
    if _ANY_UNSHOWN.search(text):
        text = _shown(text, vocabulary, evidence)
    for _ in range(_NESTED):
        before, text = text, _characters(text, evidence)
        if text == before:
            break
    patterns: tuple[tuple[re.Pattern[str], Read], ...] = (
        (_HEX, _from_hex),
        (_BASE32, _from_base32),
        (_BASE64, _from_base64),
        (_SHORT_BASE64, _from_base64),
        (_OCTAL, _from_octal),
        (_QUOTED, _from_quoted),
    )
    if _HAS_DIGITS.search(text):
        patterns = ((_BINARY, _from_binary), (_HEX_PAIRS, _from_hex), (_DECIMAL, _from_decimal), *patterns)
    for pattern, read in patterns:
        text = _runs(text, pattern, read, vocabulary, evidence)
    return text


_HAS_DIGITS = re.compile("[0-9]{2}")


def _runs(text: str, pattern: re.Pattern[str], read: Read, vocabulary: Vocabulary, evidence: Evidence) -> str:
    def one(match: re.Match[str]) -> str:
        plain = _words(match[0], read, vocabulary)
        if plain is None:
            return match[0]
        evidence.add(ENCODED)
        # Shorter than what it was, so that reading on within it comes to an end.
        said = decoded(plain, vocabulary, Evidence())
        # More than a word or two is a text of its own, and read as one beside "decode this and draw it".
        return f"\n{said}\n" if said.count(" ") > 1 or len(said) > _OWN else f" {said} "

    return pattern.sub(one, text)


def _words(run: str, read: Read, vocabulary: Vocabulary) -> str | None:
    """What a run encodes, where that is words, else None."""
    try:
        plain = read(run).decode("utf-8").strip()
    except (binascii.Error, ValueError):
        return None
    shown = "".join(c for c in plain if c.isprintable())
    hidden = len(plain) - len(shown)  # what is encoded may be disguised itself, by characters that don't show
    if len(shown) < 4 or sum(map(str.isalnum, shown)) * 3 < len(shown):
        return None
    if hidden and any(unicodedata.category(c) not in _UNSEEN and c not in "\n\t" for c in plain if not c.isprintable()):
        return None
    # Bytes that make sense in UTF-8 beyond ASCII don't come about by chance, nor a dozen that can be printed. A list of
    # numbers below 127 does.
    if read is not _from_decimal and (sum(not c.isascii() for c in plain) > 3 or len(plain) >= _SURE):
        return plain
    return plain if vocabulary.strangeness(plain[:_SAMPLE]) < _READABLE else None


def _from_base64(run: str) -> bytes:
    run = run.rstrip("=")
    return base64.b64decode(run[: len(run) - (len(run) % 4 == 1)] + "=" * (-len(run) % 4), altchars=_altchars(run))


def _from_base32(run: str) -> bytes:
    run = run.rstrip("=")
    return base64.b32decode(run + "=" * (-len(run) % 8))


def _from_octal(run: str) -> bytes:
    return bytes(int(digits, 8) for digits in run.split("\\")[1:])


def _from_quoted(run: str) -> bytes:
    return bytes.fromhex(run.replace("=", ""))


def _shown(text: str, vocabulary: Vocabulary, evidence: Evidence) -> str:
    """What is written in characters that don't show, where that is words, on lines of their own before the text."""
    hidden: list[str] = []

    def one(match: re.Match[str]) -> str:
        said = None if match[0][0] == _FLAG else _words(match[0], _from_unshown, vocabulary)
        if said is None:
            return match[0]
        evidence.add(ENCODED)
        hidden.append(said)
        return ""

    rest = _UNSHOWN.sub(one, text)
    # Behind the text it might stand among what is not wanted.
    return "\n".join((*hidden, rest))


def _from_unshown(run: str) -> bytes:
    return bytes(_byte(ord(character)) for character in run)


def _byte(point: int) -> int:
    if point < _FIRST_TAG:
        return point - 0xFE00
    return point - _FIRST_TAG if point < 0xE0100 else point - 0xE0100 + 16


def _altchars(run: str) -> bytes:
    return b"-_" if "-" in run or "_" in run else b"+/"


def _from_hex(run: str) -> bytes:
    digits = "".join(_TWO.findall(run.replace("0x", "")))
    return bytes.fromhex(digits)


def _from_binary(run: str) -> bytes:
    digits = run.replace(" ", "").replace(",", "")
    return bytes(int(digits[at : at + 8], 2) for at in range(0, len(digits) - 7, 8))


def _from_decimal(run: str) -> bytes:
    return bytes(int(number) for number in run.replace(",", " ").split())  # ValueError above 255


def _characters(text: str, evidence: Evidence) -> str:
    """Codes of single characters, as web pages and programs write them, turned into the characters."""
    if "%" in text:
        text = _PERCENT.sub(lambda m: _plain(m[0], _percent(m[0]), evidence), text)
    if "&" in text:
        text = _ENTITY.sub(lambda m: _plain(m[0], html.unescape(m[0]), evidence), text)
    if "\\" in text or "+" in text:
        text = _ESCAPE.sub(lambda m: _plain(m[0], _escape(m[0]), evidence), text)
    return text


def _plain(code: str, character: str, evidence: Evidence) -> str:
    # An accent or a sign is often written so; a plain letter only by somebody who hides it.
    if character != code:
        evidence.add(ENCODED / 4, sum(c.isascii() and c.isalpha() for c in character))
    return character


def _percent(run: str) -> str:
    try:
        return unquote_to_bytes(run).decode("utf-8")
    except UnicodeDecodeError:
        return run


def _escape(code: str) -> str:
    number = int("".join(c for c in code[2:] if c in "0123456789abcdefABCDEF"), 16)
    return chr(number) if 31 < number < 0xD800 or 0xDFFF < number < 0x110000 else code
