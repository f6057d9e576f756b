"""Gazetteer: names of public figures, and whether a text has one.

Names are looked up as runs of words, whole, in any case and with or without accents, with the endings that German,
Polish, Russian or Turkish put on them; in scripts without spaces as runs of characters. The list holds hashes only, so
that a million names take 8 MB.

The file format and what each section means are described in docs/reference/prompt-check.md.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b, sha256
from importlib.resources import files
from pathlib import Path

import numpy as np

from guardrail.errors import ConfigError

SECTIONS = ("names", "alone", "capital", "not persons")
MAX_FILE_BYTES = 256 << 20
"""Largest file of names that is read: some ten million names."""

# What a find is worth, set by hand: of 229 finds in public prompts all were names of the list, but
# a name may stand for a style, or for somebody else of that name.
STRENGTH = 0.95

_MOST_WORDS = 6
# Letters that may follow a name as an ending, after its first word and its last; what must be left of a word; and of
# one that stands alone.
_FIRST_ENDING, _ENDING, _STEM, _LONG = 1, 3, 4, 6
_APART = re.compile(r"[,;:!?|()\[\]{}\n\u3001\uff0c]")
_WORD = re.compile(r"[^\W_]+")
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_UNSPACED_RUN = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af][\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u30fb\u00b7\u2022 =]*"
)
_JOINTS = str.maketrans("", "", "\u30fb\u00b7\u2022 =")
_KATAKANA = re.compile(r"[\u30a0-\u30ff]")
_HANGUL = re.compile(r"[\uac00-\ud7af]")
_BASE = str.maketrans(
    {"ł": "l", "ø": "o", "đ": "d", "ı": "i", "ё": "е", "أ": "ا", "إ": "ا", "آ": "ا", "ى": "ي", "ة": "ه"}
)
# A name of parts as short as these is somebody's ordinary words without its capitals: "li na", "ali b".
_SHORT_PART = 3


class Gazetteer:
    """Names of public figures, from one or several lists in the file format.

    Raises ConfigError for a section that nobody knows or a line that is no name.
    """

    def __init__(self, *lists: str) -> None:
        digest = sha256()
        names, proud, others = array("Q"), array("Q"), array("Q")
        # How many words or characters the names have that begin so: only these are looked up.
        self._firsts: dict[str, int] = {}
        heads: dict[str, set[int]] = {}
        for text in lists:
            digest.update(text.encode("utf-8", "replace"))
            for section, name in _entries(text):
                key = _key(name)
                if not key:
                    raise ConfigError(f"names: {name[:40]!r} has no letter; a name a line is expected")
                if _UNSPACED.search(name):
                    # Two characters are too often an ordinary word.
                    if len(key) > 2 or section in ("alone", "not persons"):
                        (others if section == "not persons" else names).append(_hash(key))
                        heads.setdefault(key[:2], set()).add(len(key))
                    continue
                words = key.split()
                self._firsts[words[0]] = max(self._firsts.get(words[0], 0), len(words))
                short = len(words) == 1 or all(len(word) <= _SHORT_PART for word in words)
                if section == "capital" or (section == "names" and short):
                    proud.append(_hash(key))
                else:
                    (others if section == "not persons" else names).append(_hash(key))
        self.digest = digest.hexdigest()[:8]
        self._heads = {head: sorted(lengths, reverse=True) for head, lengths in heads.items()}
        self._names, self._proud, self._others = _Keys(names), _Keys(proud), _Keys(others)
        self.size = len(self._names) + len(self._proud)

    def strength(self, text: str) -> float:
        """How surely a text names a public figure: STRENGTH with a find, 0.0 without. Linear in the text."""
        return STRENGTH if self.finds(text) else 0.0

    def finds(self, text: str) -> bool:
        """True when a name of the list stands in a text, outside of what is no person's name."""
        text = unicodedata.normalize("NFKC", text)
        return self._spaced(text) or (_UNSPACED.search(text) is not None and self._unspaced(text))

    def _spaced(self, text: str) -> bool:
        matches = list(_WORD.finditer(text))
        raw = [match[0] for match in matches]
        words = [_base(word) for word in raw]
        # No name goes on behind a comma or a bracket: `last[i]` is the first word that is not of the same part.
        last = [len(raw)] * len(raw)
        for i in range(len(raw) - 2, -1, -1):
            apart = _APART.search(text, matches[i].end(), matches[i + 1].start())
            last[i] = i + 1 if apart else last[i + 1]
        at = 0
        while at < len(words):
            starts = {stem for stem in _stems(words[at], _FIRST_ENDING) if stem in self._firsts}
            if not starts:
                at += 1
                continue
            end = min(last[at], at + _MOST_WORDS)  # not the whole rest of the text, which would be copied for each word
            skip, found = self._here(raw[at:end], words[at:end], starts)
            if found:
                return True
            at += skip
        return False

    def _here(self, raw: Sequence[str], words: Sequence[str], starts: set[str]) -> tuple[int, bool]:
        """How many words to go on by, and whether these begin with a name."""
        longest = max(self._firsts[start] for start in starts)
        for count in range(min(longest, len(words)), 0, -1):
            run = words[:count]
            if count > 1:
                ends = list(_stems(run[-1], _ENDING))
                keys = [" ".join((start, *run[1:-1], last)) for start in (run[0], *starts) for last in ends]
            else:
                # A stem alone ("Rutten" for "Rutte") is too little, but for what nothing else begins like.
                keys = [run[0], *(start for start in starts if len(start) >= _LONG)]
            hashes = [_hash(key) for key in keys]
            if self._others.has(hashes):
                return count, False
            if self._names.has(hashes):
                return count, True
            proudly = all(word[0].isupper() or not word[0].isalpha() for word in raw[:count])
            if proudly and self._proud.has(hashes if count > 1 else hashes[:1]):
                return count, True
        return 1, False

    def _unspaced(self, text: str) -> bool:
        for match in _UNSPACED_RUN.finditer(text):
            run = _base(match[0].translate(_JOINTS))
            hangul_starts = {0}
            kept = 0
            for char in match[0]:
                if char in " \u30fb\u00b7\u2022=":
                    hangul_starts.add(kept)
                else:
                    kept += 1
            at = 0
            while at < len(run):
                at += self._character(run, at, hangul_starts)
                if at < 0:
                    return True
        return False

    def _character(self, run: str, at: int, starts: set[int]) -> int:
        """How many characters to go on by; far below zero where a name begins here."""
        lengths = self._heads.get(run[at : at + 2])
        if lengths is None:
            return 1
        # A name in Hangul begins a word; one in katakana is no part of a longer katakana word.
        if _HANGUL.match(run[at]) and at not in starts:
            return 1
        if _KATAKANA.match(run[at]) and at and _KATAKANA.match(run[at - 1]):
            return 1
        for end in (at + length for length in lengths if at + length <= len(run)):
            if _KATAKANA.match(run[end - 1]) and end < len(run) and _KATAKANA.match(run[end]):
                continue
            key = [_hash(run[at:end])]
            if self._others.has(key):
                return end - at
            if self._names.has(key):
                return -len(run) - 1
        return 1


class _Keys:
    """A set of texts, kept as their 64-bit hashes in order: no two alike by chance."""

    def __init__(self, hashes: array[int]) -> None:
        self._hashes = array("Q", np.unique(np.frombuffer(hashes, np.uint64)).tobytes())

    def __len__(self) -> int:
        return len(self._hashes)

    def has(self, hashes: Iterable[int]) -> bool:
        return any(map(self._holds, hashes))

    def _holds(self, wanted: int) -> bool:
        place = bisect_left(self._hashes, wanted)
        return place < len(self._hashes) and self._hashes[place] == wanted


def _hash(key: str) -> int:
    return int.from_bytes(blake2b(key.encode("utf-8", "replace"), digest_size=8).digest(), "little")


def _base(text: str) -> str:
    """A text as names are compared: in lower case, without accents, vowel signs and the dots of Arabic alef."""
    low = text.casefold()
    if not low.isascii():
        low = unicodedata.normalize("NFD", low.translate(_BASE))
        low = unicodedata.normalize("NFC", "".join(c for c in low if unicodedata.category(c) != "Mn")).translate(_BASE)
    return low


def _key(name: str) -> str:
    name = unicodedata.normalize("NFKC", name)
    if _UNSPACED.search(name):
        return _base(name.translate(_JOINTS))
    return " ".join(map(_base, _WORD.findall(name)))


def _stems(word: str, most: int) -> Iterator[str]:
    """A word, and what is left of it without an ending of up to `most` letters; vowel changes are beyond this."""
    yield word
    for ending in range(1, most + 1):
        if len(word) - ending >= _STEM:
            yield word[: len(word) - ending]


def _entries(text: str) -> Iterator[tuple[str, str]]:
    """Section and name of every entry; a list without sections holds names."""
    section = "names"
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1].strip().lower()
            if section not in SECTIONS:
                known = ", ".join(f"[{name}]" for name in SECTIONS)
                raise ConfigError(f"names, line {number}: no section [{section[:40]}]; there are {known}")
            continue
        for name in line.split(";"):
            if name.strip():
                yield section, name.strip()


def read_names(file: Path) -> str:
    """A list of names from a file.

    Raises ConfigError when it cannot be read, is no UTF-8 text or is larger than MAX_FILE_BYTES.
    """
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(
                f"{file}: larger than {MAX_FILE_BYTES >> 20} MB; a list of names, one a line, is expected"
            )
        return file.read_text("utf-8")
    except OSError as error:
        raise ConfigError(f"{file}: the list of names cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: the list of names is not UTF-8 text") from None


def packaged_names() -> str:
    """The lists of names that are shipped with this version, one behind the other; each begins with its section."""
    folder = files("guardrail.inference").joinpath("heads/names")
    lists = sorted((one for one in folder.iterdir() if one.name.endswith(".txt")), key=lambda one: one.name)
    return "\n".join(one.read_text("utf-8") for one in lists)
