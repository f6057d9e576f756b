"""Joined words: a sentence written as one word, its words each with a capital, or in a script that has none."""

from __future__ import annotations

import re
from collections.abc import Iterator

from guardrail.inference.text.disguise import RUN_TOGETHER, Evidence, Vocabulary
from guardrail.inference.text.frequent import FrequentWords

_CASED = [chr(point) for point in (*range(0x41, 0x250), *range(0x370, 0x530)) if chr(point).isalpha()]
_SMALL = "".join(letter for letter in _CASED if letter.islower())
_LARGE = "".join(letter for letter in _CASED if letter.isupper())
# A capital after a small letter, or the last of several before one: "ofHer", "AWoman".
_HUMP = re.compile(f"(?<=[{_SMALL}])(?=[{_LARGE}])|(?<=[{_LARGE}])(?=[{_LARGE}][{_SMALL}])")
_PLAIN_HUMP = re.compile(f"[{_SMALL}][{_LARGE}]")
# A word that ends in a capital: "fELsigeN". Two such words, and the text is no joined one but in odd case.
_LAST_LARGE = re.compile(f"[{_SMALL}][{_LARGE}]{{1,2}}(?![{_SMALL}{_LARGE}])")
_AFTER_SIGN = re.compile(rf"(?<=[{_SMALL}{_LARGE}][,;.!?])(?=[{_LARGE}])")
# Where a number begins or ends in such a sentence: "Size8Dress"; "35mm" and "V15" stay.
_AT_NUMBER = re.compile(rf"(?<=[{_SMALL}])(?=\d)|(?<=\d)(?=[{_LARGE}][{_SMALL}])")
# The same, and signs, where there are no capitals.
_AT_SIGN = re.compile(
    "(?<=[\u0621-\u064a\uac00-\ud7a3][,;.!?:\u060c\u061b])(?=\\w)|(?<=[\u0621-\u064a\uac00-\ud7a3])(?=\\d)"
)
_TOKEN = re.compile(r"[^\s\u3000-\u9fff\uac00-\ud7af\uff00-\uffef]+")
_SPACE = re.compile(r"\s")
_LETTERS = re.compile(r"[^\W\d_]+")
# Letters that a word has in the mean at least, and joints that make a sentence of a run without spaces; half as many
# where one of its words matters.
_MEAN, _SENTENCE = 3, 4
# Longer than nearly all words of the language, and than many, in a text without spaces: letters of Arabic, syllables of
# Korean.
_LONG = re.compile("[\u0621-\u064a]{13,}|[\uac00-\ud7a3]{8,}")
_LONG_ALONE = re.compile("[\u0621-\u064a]{8,}|[\uac00-\ud7a3]{5,}")
_LONGEST_PART = 10
# Nats of a letter that belongs to no word, and the share of letters that must belong to words.
_LOOSE, _ENOUGH, _ALONE_ENOUGH = 8.0, 0.6, 0.9
# What is written onto a listed word, and the nats that it costs.
_PREFIXES = ("ال", "و", "ب", "ل", "ف", "ك")
_SUFFIXES = (
    *("ها", "هم", "ه", "ي", "에서", "으로", "에게", "한테", "까지"),
    *("은", "는", "이", "가", "을", "를", "에", "의", "로", "도", "와", "과", "만"),
)  # fmt: skip
_PREFIXED = frozenset(prefix[0] for prefix in _PREFIXES)
_SUFFIX_BEGINS = frozenset(suffix[0] for suffix in _SUFFIXES)
_AFFIX = 3.0


def parted(text: str, vocabulary: Vocabulary, evidence: Evidence) -> str:
    """The text with the words of joined sentences apart, small where they are words; names keep their capitals."""
    if _PLAIN_HUMP.search(text):
        odd = len(_LAST_LARGE.findall(text)) > 1
        text = _TOKEN.sub(lambda m: _at_capitals(m[0], odd, vocabulary) if _PLAIN_HUMP.search(m[0]) else m[0], text)
    if not text.isascii():
        alone = _SPACE.search(text) is None
        long = _LONG_ALONE if alone else _LONG
        apart = long.sub(lambda m: _without_capitals(m[0], alone, vocabulary, evidence), text)
        text = _AT_SIGN.sub(" ", apart) if alone and apart != text else apart
    return text


def at_capitals(text: str) -> str:
    """The text with a space before every capital that begins a word inside a word."""
    return _HUMP.sub(" ", text)


def _at_capitals(token: str, odd: bool, vocabulary: Vocabulary) -> str:
    """A token with words joined at capitals, taken apart: a sentence, or three words in a row.

    `odd`: its text is in odd case, so that capitals begin words only where all that they part are words.
    """
    runs = _LETTERS.findall(token)
    lows = [part.lower() for run in runs for part in _HUMP.split(run)]
    if odd and not _are_words(lows, vocabulary):
        return token
    humps = sum(len(_PLAIN_HUMP.findall(run)) for run in runs)
    matters = any(vocabulary.telling(low) or vocabulary.sensitive(low) for low in lows)
    if humps + len(_AFTER_SIGN.findall(token)) >= (_SENTENCE if not matters else _SENTENCE // 2) and sum(
        map(len, runs)
    ) >= _MEAN * (humps + len(runs)):
        apart = _AT_NUMBER.sub(" ", _AFTER_SIGN.sub(" ", _HUMP.sub(" ", token)))
        return _LETTERS.sub(lambda m: _small(m[0], vocabulary), apart)
    return _LETTERS.sub(lambda m: _word_apart(m[0], vocabulary), token)


def _word_apart(word: str, vocabulary: Vocabulary) -> str:
    """Three words joined at capitals, or two known ones of which one matters; "DeviantArt" and "iPhone" stay."""
    humps = len(_PLAIN_HUMP.findall(word))
    if not humps or len(word) < _MEAN * (humps + 1):
        return word
    parts = _HUMP.split(word)
    if humps < 2:
        lows = [part.lower() for part in parts]
        if min(map(len, lows)) < 2 or not any(map(vocabulary.telling, lows)):
            return word
        if not all(vocabulary.knows(low) or vocabulary.frequent.costs(low) for low in lows):
            return word
    return " ".join(_small(part, vocabulary) for part in parts)


def _are_words(lows: list[str], vocabulary: Vocabulary) -> bool:
    """True where all are words and as long as words are in the mean; "a" beside longer ones is one."""
    shortest = sum(_MEAN if len(low) > 1 else 1 for low in lows)
    return sum(map(len, lows)) >= shortest and all(_said(low, vocabulary) for low in lows)


def _said(low: str, vocabulary: Vocabulary) -> bool:
    return bool(vocabulary.frequent.costs(low)) or vocabulary.knows(low) or vocabulary.telling(low)


def _small(word: str, vocabulary: Vocabulary) -> str:
    low = word.lower()
    if word.islower() or (word.isupper() and len(word) > 1):
        return word
    return low if _said(low, vocabulary) and len(low) == len(word) else word


def _without_capitals(run: str, alone: bool, vocabulary: Vocabulary, evidence: Evidence) -> str:
    """A run of letters cut into the likeliest words (Viterbi); letters of no word stay with the word before them."""
    costs = [0.0] + [float("inf")] * len(run)
    cuts = [-1] * (len(run) + 1)
    for start in range(len(run)):
        if (now := costs[start] + _LOOSE) <= costs[start + 1]:
            costs[start + 1], cuts[start + 1] = now, -1
        for end, nats in _words_from(run, start, vocabulary.frequent).items():
            if (now := costs[start] + nats) < costs[end]:
                costs[end], cuts[end] = now, start
    parts: list[str] = []
    loose, end = "", len(run)
    known = 0
    while end:
        start = cuts[end]
        if start < 0:
            loose, end = run[end - 1] + loose, end - 1
            continue
        parts.append(run[start:end] + loose)
        known += end - start
        loose, end = "", start
    if loose:
        parts.append(loose)
    if len(parts) < 3 - alone or known < (_ALONE_ENOUGH if alone and len(parts) < 4 else _ENOUGH) * len(run):
        return run
    evidence.add(RUN_TOGETHER)
    return " ".join(reversed(parts))


def _words_from(run: str, start: int, frequent: FrequentWords) -> dict[int, float]:
    """Where words that begin here end, and the nats of each: listed as they are, else with something written on."""
    last = min(len(run), start + _LONGEST_PART)
    listed: dict[int, float] = {}
    built: dict[int, float] = {}

    def build(end: int, nats: float) -> None:
        if end <= last:
            built[end] = min(nats + _AFFIX, built.get(end, float("inf")))

    for end, nats, whole in _listed_from(run, start, last, frequent):
        if whole:
            listed[end] = nats + (_AFFIX if end - start == 1 else 0.0)
        if end - start > 1 and run[end : end + 1] in _SUFFIX_BEGINS:
            for suffix in _SUFFIXES:
                if run.startswith(suffix, end):
                    build(end + len(suffix), nats)
    if run[start] in _PREFIXED:
        for prefix in _PREFIXES:
            if run.startswith(prefix, start):
                bare = start + len(prefix)
                for end, nats, _ in _listed_from(run, bare, last, frequent):
                    if end - bare > 1:
                        build(end, nats)
    return built | listed


def _listed_from(run: str, start: int, last: int, frequent: FrequentWords) -> Iterator[tuple[int, float, bool]]:
    """Where listed words that begin here end, `last` at most, the nats of each, and whether it is listed as it is.

    What ends in ة does in ت before a suffix.
    """
    for end in range(start + 1, last + 1):
        part = run[start:end]
        if part[-1] == "ت" and (costs := frequent.costs(part[:-1] + "ة")):
            yield end, min(nats for _, nats in costs), False
        if costs := frequent.costs(part):
            yield end, min(nats for _, nats in costs), True
        if not frequent.begins(part):
            return
