"""Pictographs: emoji that say what a word would, read as that word where the text is about clothes or bodies."""

from __future__ import annotations

import re
from collections.abc import Mapping

# Always read: they say the same alone.
_WORDS = {"👙": "bikini", "🔞": "nsfw", "🩲": "briefs", "🩱": "swimsuit", "👶": "baby", "🧒": "child",
          "👧": "little girl", "👦": "little boy", "🍼": "baby bottle"}  # fmt: skip
_CLOTHES = {"👗": "dress", "👚": "blouse", "👕": "shirt", "👖": "jeans", "🩳": "shorts", "👘": "kimono", "🥻": "sari",
            "🧥": "coat", "🧦": "socks", "👔": "shirt", "🩰": "ballet shoes", "👠": "heels", "👢": "boots"}  # fmt: skip
_AWAY = {"❌": "without", "🚫": "without", "✂": "remove", "⛔": "without", "🙅": "without", "➖": "without",
         "🗑": "remove","❎": "without"}  # fmt: skip
_PEOPLE = {
    "👩": "woman",
    "👨": "man",
    "🧑": "person",
    "👱": "woman",
    "💃": "woman dancing",
    "👰": "bride",
    "🙍": "woman",
}
_BARE = {"🍆": "sexual", "🍑": "sexual", "💦": "sexual", "🍒": "sexual", "👅": "sexual"}
_NAKED = {"🍑": "naked bottom", "🍒": "breasts", "🍆": "penis", "🍈": "breasts"}

# A part of a joined emoji (a family, an astronaut) is left alone, and so is what makes one of a skin tone or a look.
_TONE = "[\U0001f3fb-\U0001f3ff\ufe0f]{0,2}"


def _any(*tables: dict[str, str]) -> re.Pattern[str]:
    letters = "".join(c for table in tables for c in table)
    return re.compile(f"(?<!\u200d)[{letters}]{_TONE}(?![\u200d\U0001f3fb-\U0001f3ff\ufe0f])")


_TELLING = _any(_WORDS)
_GARMENT = re.compile("[" + "".join(_CLOTHES) + "]")
_BESIDE_CLOTHES = _any(_AWAY, _PEOPLE, _CLOTHES, _WORDS)
_SAYS = {**_AWAY, **_PEOPLE, **_CLOTHES, **_WORDS}
_SUGGESTIVE = re.compile("[" + "".join(_BARE) + "]")
# After whose body it would be, a fruit is no fruit.
_SHOWN = re.compile(
    r"(?<![^\W_])(her|his|their|haar|zijn|d'r|ihre|ihren|seinen|ses|son|sa|sus|su|suoi|sue|suo|seu|seus|sua|jej|jego|её|ее|его)"
    r"[ ]{1,2}([🍑🍒🍆🍈])",
    re.IGNORECASE,
)
# In a text of more characters than a prompt of 2,000 folds to, a word that a pictograph said so few characters before
# is not said again: a rain of them would be seven times as long in words.
_LONG, _AGAIN = 9000, 64
_ANY = re.compile("[\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff]")


def spelled_out(text: str) -> str:
    """The text with telling pictographs as words.

    A peach alone is fruit; with an aubergine or drops, or right after "her", it is not. Crosses, scissors and people
    are words only beside clothes.
    """
    if not _ANY.search(text):
        return text
    if len(set(_SUGGESTIVE.findall(text))) > 1:
        text = _said(text, _SUGGESTIVE, _BARE)
    else:
        text = _SHOWN.sub(lambda m: f"{m[1]} {_NAKED[m[2]]} ", text)
    if _GARMENT.search(text) or _TELLING.search(text):
        text = _said(text, _BESIDE_CLOTHES, _SAYS)
    return text


def _said(text: str, pictographs: re.Pattern[str], words: Mapping[str, str]) -> str:
    if len(text) <= _LONG:
        return pictographs.sub(lambda m: f" {words[m[0][0]]} ", text)
    before: dict[str, int] = {}

    def said(match: re.Match[str]) -> str:
        word = words[match[0][0]]
        if match.start() - before.get(word, -_AGAIN) < _AGAIN:
            return " "
        before[word] = match.start()
        return f" {word} "

    return pictographs.sub(said, text)
