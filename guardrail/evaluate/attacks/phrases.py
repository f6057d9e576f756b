"""Other words for the same: a phrase table over fourteen languages, and lists of synonyms and figures of speech.

The table is small, clinical and public: it is there to measure, and what it does not know stays as it was.
"""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import yaml

LONGEST = 32_000
"""Characters that are looked at; the guard refuses longer texts."""


@cache
def _table() -> Mapping[str, Mapping[str, Mapping[str, list[str]]]]:
    read: Mapping[str, Mapping[str, Mapping[str, list[str]]]] = yaml.safe_load(
        files("guardrail.evaluate.attacks").joinpath("phrases.yaml").read_text("utf-8")
    )
    return read


@cache
def _concepts() -> Mapping[str, tuple[str, str]]:
    """Every word of the phrase table, and the concept and language it belongs to."""
    found: dict[str, tuple[str, str]] = {}
    for concept, languages in _table()["concepts"].items():
        for language, words in languages.items():
            for word in words:
                found.setdefault(_plain(word), (concept, language))
    return found


@cache
def _pattern(kind: str) -> re.Pattern[str]:
    """All words of a table in one alternation, longest first; one pass over the text, whatever it holds."""
    words = _concepts() if kind == "concepts" else _others(kind)
    spaced = sorted((w for w in words if not _ideographic(w)), key=len, reverse=True)
    dense = sorted((w for w in words if _ideographic(w)), key=len, reverse=True)
    parts = [rf"(?<!\w)(?:{'|'.join(map(re.escape, spaced))})(?!\w)"] if spaced else []
    parts += ["|".join(map(re.escape, dense))] if dense else []
    return re.compile("|".join(parts), re.IGNORECASE)


@cache
def _others(kind: str) -> Mapping[str, list[str]]:
    return {_plain(word): other for of_one in _table()[kind].values() for word, other in of_one.items()}


def _ideographic(word: str) -> bool:
    return any(unicodedata.name(c, "").startswith(("CJK", "HIRAGANA", "KATAKANA", "HANGUL")) for c in word)


def _plain(word: str) -> str:
    return unicodedata.normalize("NFC", word).lower()


def other_language(text: str, chance: random.Random) -> str:
    """The words that the table knows in another language, one for the whole text; all else as it was."""
    concepts = _table()["concepts"]
    target = chance.choice(sorted({language for words in concepts.values() for language in words}))

    def put(match: re.Match[str]) -> str:
        concept, language = _concepts()[_plain(match[0])]
        chosen = target if target != language and target in concepts[concept] else "tr" if language != "tr" else "pl"
        return chance.choice(concepts[concept][chosen])

    return _replaced(text, "concepts", put)


def reworded(text: str, chance: random.Random, kind: str) -> str:
    """The words that a list knows ("synonyms", "metaphors") as others of the same language."""
    return _replaced(text, kind, lambda match: chance.choice(_others(kind)[_plain(match[0])]))


def _replaced(text: str, kind: str, put: object) -> str:
    head, rest = unicodedata.normalize("NFC", text[:LONGEST]), text[LONGEST:]
    return _pattern(kind).sub(put, head) + rest  # type: ignore[call-overload,no-any-return]
