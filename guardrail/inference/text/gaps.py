"""Gaps: what stands in the midst of a word, "rem?ove", "clo<b></b>thes", the end of a line, taken out of it.

A sign, a tag or a new line between letters is honest nearly everywhere: "and/or", a poem, a path, a list. So a gap is
closed only where the whole is a word, and a likelier one than its parts are by what people write; how much likelier
depends on what stands in the gap, and on whether the text does the same to other words. What says something by itself,
a tag with attributes or an address, comes out on a line of its own: nothing that is said is lost.
"""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from guardrail.inference.text.disguise import (
    GAP_IN_WORD,
    HIDDEN_SENSITIVE,
    LINE_IN_WORD,
    Evidence,
    Vocabulary,
    is_said,
)
from guardrail.inference.text.pictographs import spelled_out

_LETTER = "A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u0370-\u0373\u0376\u0377\u037b-\u037d\u0386\u0388-\u03ff"
_LETTER += "\u0400-\u0481\u048a-\u052f\u0621-\u063a\u0641-\u064a\u1e00-\u1eff"
# Signs that somebody may put into a word; the marks and vowel signs of scripts are none.
_SIGN = r"!-/:-@\[-`{-~\u00a1-\u00a9\u00ab\u00ac\u00ae-\u00b4\u00b6-\u00b9\u00bb\u00bf\u00d7\u00f7"
_SIGN += "\u2010-\u2027\u2030-\u205e"
_SIGN += "\u20a0-\u20bf\u2190-\u2bff\ufe0f\ufffd\U0001f000-\U0001faff"
_TAG = r"</?[A-Za-z][^<>\n]{0,80}>|<!--[^<>\n]{0,80}-->|!?\[[^\[\]()]{0,8}\]\([^()\s]{0,80}\)|\]\([^()\s]{0,80}\)"
_CODE = r"\\[nrtfv](?=[a-z])|\\x[01][0-9A-Fa-f]|\\u00[01][0-9A-Fa-f]"
_TIGHT = rf"(?:{_TAG}|{_CODE}|[{_SIGN}]){{1,4}}|[\"'] ?[+&.,] ?[\"']"
_LINE = r"[-\u00ac\\_/]?[ \t]?(?:\r?\n){1,2}[ \t]{0,2}|\t"
_SPACED = r" {1,2}(?:[-\u2013\u2014/\\|~*_=+^#<>\u00a7\u00b0\u2022\u00b7\u2026]{1,3}|\.{2,4}) {1,2}"
_GAP = rf"{_TIGHT}|{_LINE}|{_SPACED}"
# Begins with a word's first letter, and letters and gaps have nothing in common: no letter is read twice.
_CHAIN = re.compile(rf"(?<![^\W_])[{_LETTER}]++(?:(?:{_GAP})[{_LETTER}]++)+")
_LINK = re.compile(rf"({_GAP})([{_LETTER}]++)")
_FIRST = re.compile(rf"[{_LETTER}]++")
_ANY = re.compile(rf"(?<=[{_LETTER}])(?:[{_SIGN}\n\r\t]| {{1,2}}[^\w\s,;:!?()\"'])")
_ADDED = re.compile(rf"(?<!\S)[{_LETTER}'\u2019-]++[,.;:]?(?:\+[{_LETTER}'\u2019-]++[,.;:]?){{2,}}(?!\S)")
_TWO_LETTERS = re.compile(r"[^\W\d_]{2}")
# A text of fields or a list of texts, which is read field by field.
_FIELDS = re.compile(r"\s*(?:\{|\[\s*[\"{])")
# Tags and codes that say how, not what.
_FORM = re.compile(
    r"</?(?:[a-z]|h[1-6]|br|hr|em|tt|td|tr|th|li|ul|ol|dd|dl|dt|bdi|bdo|big|del|div|dfn|font|ins|kbd|mark|nobr|pre|samp"
    r"|small|span|strong|sub|sup|var|wbr) ?/?>|\\[nrtfv]|\\[xu][0-9A-Fa-f]+",
    re.IGNORECASE,
)
# What words are joined with, or broken with: told with the rest of the words.
_JOINTS = frozenset((".", "-", "~", "|", "\u00b7", "\u2022"))
_APOSTROPHES = frozenset("'\u2018\u2019\u00b4")
_ESCAPED = _APOSTROPHES | {"\\"}
# An address or the path of a file, to its end.
_ADDRESS = re.compile(
    r"(?:(?<![^\W_])[A-Za-z][A-Za-z0-9+.-]{1,9}://|(?<![^\s\"'(])(?:www\.|~?\.{0,2}/|[A-Za-z]:\\))[^\s\"'<>]{1,2000}"
)
_DAILY = frozenset('/,:;&+=_@#%*"()[]{}<>-.|~!\u2010\u2011\u2012\u2013\u2014\u2026\u00b7\u2022')
# What people put behind a sign for all genders and numbers: "Lehrer:innen", "invité(e)s", "model(s)".
_ENDINGS = frozenset(
    ("a", "as", "e", "en", "er", "es", "in", "innen", "ne", "o", "os", "r", "ren", "rin", "s", "te", "trice")
)
# What stands behind an apostrophe in English.
_SHORTENED = frozenset(("ll", "re", "ve", "em", "til", "tis", "twas"))
_GENDERS, _GENDERED = frozenset("*:_/·"), frozenset(("in", "innen", "rin", "euse", "trice"))
_ENDED = "*:_/·.-("
_LONGEST, _MOST_WORDS, _SHORTEST = 24, 6, 4
# Nats by which a word must be likelier than its parts for each gap in it: signs that stand between no two letters,
# signs that part words every day, new lines and spaced signs, apostrophes. Once in a text, and done to several words.
# Set by hand; of 255,231 plain rows one reads otherwise ("p[ersoon").
_ODD, _PARTING, _LOOSE, _APOSTROPHE = range(4)
_ONCE = (4.0, 6.0, 9.0, 9.0)
_HABIT = (0.0, 1.0, 3.0, 5.0)
# Nats that a word costs besides, which no list of frequent words has; which nobody knows at all.
_RARE, _UNKNOWN = 2.0, 6.0
# A word that costs less is one that somebody writes.
_KNOWN = 16.0
# Characters within which two make a habit.
_NEAR = 120


def _apart(run: str, vocabulary: Vocabulary) -> str:
    """Words as they stand in an address, "take+off+her+coat", with spaces where nearly all of them are words."""
    words = run.split("+")
    said = sum(len(word) > 1 and is_said(word.rstrip(",.;:").lower(), vocabulary) for word in words)
    return " ".join(words) if said * 4 >= len(words) * 3 else run


@dataclass(frozen=True)
class _Chain:
    """Letters with gaps between them: one word more than gaps."""

    start: int
    end: int
    words: tuple[str, ...]
    gaps: tuple[str, ...]
    kinds: tuple[int, ...]
    in_address: bool


def closed(text: str, vocabulary: Vocabulary, evidence: Evidence) -> str:
    """The text with words that something stands in the midst of, whole. Linear in the text."""
    if not _ANY.search(text):
        return text
    if "+" in text:
        text = _ADDED.sub(lambda m: _apart(m[0], vocabulary), text)
    addresses = [match.span() for match in _ADDRESS.finditer(text)]
    chains = [chain for match in _CHAIN.finditer(text) if (chain := _chain(match, addresses, vocabulary)) is not None]
    if not chains:
        return text
    words = _Words(vocabulary)
    once = [words.wholes(chain, _ONCE) for chain in chains]
    sure = [chain.start for chain, wholes in zip(chains, once, strict=True) for whole in wholes if whole]
    parts: list[str] = []
    asides: dict[int, list[str]] = {}
    in_fields = _FIELDS.match(text) is not None
    at = line = 0
    for chain, alone in zip(chains, once, strict=True):
        habit = bisect(sure, chain.end + _NEAR) - bisect(sure, chain.start - _NEAR - 1) > 1
        wholes = words.wholes(chain, _HABIT) if habit else alone
        if not any(wholes):
            continue
        before, said = text[at : chain.start], [one for one in map(_said, _closed_gaps(chain, wholes)) if one]
        if "\n" in before:
            parts.append(before[: before.rindex("\n") + 1])
            before, line = before[before.rindex("\n") + 1 :], len(parts)
        parts += [before, _written(chain, wholes, vocabulary, evidence)]
        if in_fields:
            parts += [f" {one} " for one in said]
        elif said:
            # On a line of its own: within the sentence it would water down what that asks for, behind it it might stand
            # among what is not wanted.
            asides.setdefault(line, []).extend(said)
        at = chain.end
    for place in sorted(asides, reverse=True):
        parts[place:place] = [f"{one}\n" for one in dict.fromkeys(asides[place])]
    return "".join([*parts, text[at:]])


def _chain(match: re.Match[str], addresses: Sequence[tuple[int, int]], vocabulary: Vocabulary) -> _Chain | None:
    """A chain that is looked at: not of joints alone, nor of letters one by one."""
    run = match[0]
    first = _FIRST.match(run)
    words, gaps = [first[0] if first else ""], []
    for link in _LINK.finditer(run, len(words[0])):
        gap, word = link[1], link[2]
        if gap[-2:-1] == "\\" and gap[-1].isalpha() and is_said((words[-1] + gap[-1] + word).lower(), vocabulary):
            gap, word = gap[:-1], gap[-1] + word  # "clo\\thes" has no tab in it
        gaps.append(gap)
        words.append(word)
    if _JOINTS.issuperset(gaps) or sum(len(word) == 1 for word in words) * 3 > len(words) * 2:
        return None
    start, end = match.span()
    at = bisect(addresses, (start, len(match.string))) - 1
    in_address = at >= 0 and addresses[at][1] > start
    return _Chain(start, end, tuple(words), tuple(gaps), tuple(map(_kind, gaps)), in_address)


@lru_cache(1024)
def _kind(gap: str) -> int:
    """Which of the four prices a gap has."""
    if gap[-1] in _APOSTROPHES and _ESCAPED.issuperset(gap):
        return _APOSTROPHE
    if "\n" in gap or "\t" in gap or (gap.startswith(" ") and gap.endswith(" ")):
        return _LOOSE
    return _PARTING if len(gap) == 1 and gap in _DAILY else _ODD


class _Words:
    """Finds the words of chains, by what words cost."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._costs: dict[str, float] = {}
        self._wholes: dict[str, tuple[float, bool] | None] = {}

    def wholes(self, chain: _Chain, prices: Sequence[float]) -> list[int]:
        """For each word how many gaps behind it lie in the whole that begins with it; 0 within another whole."""
        lows = [word.lower() for word in chain.words]
        n = len(lows)
        may = [self._may_close(chain, at) for at in range(1, n)]
        best = [0.0] * (n + 1)
        reach = [0] * n
        habit, seen, kinds = prices is _HABIT, self._wholes, chain.kinds
        for start in range(n - 1, -1, -1):
            least, joined, price = best[start + 1] + self._cost(lows[start]), lows[start], 0.0
            for end in range(start + 1, min(n, start + _MOST_WORDS)):
                if not may[end - 1]:
                    break
                joined += lows[end]
                price += prices[kinds[end - 1]]
                if joined not in seen:
                    if len(joined) > _LONGEST:
                        break
                    seen[joined] = self._whole(joined)
                found = seen[joined]
                if found is None or not (habit or found[1]):
                    continue
                now = best[end + 1] + price + found[0]
                if now < least and self._are_parts(chain, start, end):
                    least, reach[start] = now, end - start
            best[start] = least
        at = 0
        while at < n:
            within = reach[at]
            reach[at + 1 : at + within + 1] = [0] * within
            at += within + 1
        return reach

    def _whole(self, low: str) -> tuple[float, bool] | None:
        """What a word costs, and whether people write it often or it matters; None for no word."""
        vocabulary = self._vocabulary
        if len(low) < _SHORTEST or not (vocabulary.frequent.costs(low) or vocabulary.weight(low) < float("inf")):
            return None
        return self._cost(low), is_said(low, vocabulary)

    def _may_close(self, chain: _Chain, at: int) -> bool:
        """False for a joint, before a capital in another line, and before an ending of a word that is whole without."""
        before, word, gap, kind = chain.words[at - 1], chain.words[at], chain.gaps[at - 1], chain.kinds[at - 1]
        if gap in _JOINTS:
            return False
        if kind == _LOOSE:
            return word.islower()
        if kind == _APOSTROPHE and (len(word) < 2 or len(before) < 2 or word.lower() in _SHORTENED):
            return False
        # Not the second of a pair of signs around a part of a word: "Kol*leg*in".
        paired = gap in "*_" and gap in chain.gaps[: at - 1]
        if gap in _ENDED and not paired and len(before) > 2 and (low := word.lower()) in _ENDINGS:
            if gap in _GENDERS and low in _GENDERED:
                return False
            if at + 1 == len(chain.words) or chain.words[at + 1] == "s":
                return self._cost(before.lower()) >= _KNOWN
        return True

    def _are_parts(self, chain: _Chain, start: int, end: int) -> bool:
        """False for words of some language each, where words stand so every day: "track\nsuit", "trench_coat".

        "re\nmove" is none: no line ends so.
        """
        kinds = chain.kinds[start:end]
        if not (chain.in_address or max(kinds) >= _LOOSE or "_" in chain.gaps[start:end]):
            return True
        parts = [word.lower() for word in chain.words[start : end + 1]]
        if not all(
            self._vocabulary.frequent.costs(part) or (len(part) > 3 and self._cost(part) < _KNOWN) for part in parts
        ):
            return True
        return not (chain.in_address or _APOSTROPHE in kinds or min(map(len, parts)) > 2)

    def _cost(self, low: str) -> float:
        cost = self._costs.get(low)
        if cost is None:
            cost = self._costs[low] = self._nats(low)
        return cost

    def _nats(self, low: str) -> float:
        vocabulary = self._vocabulary
        listed = vocabulary.frequent.costs(low)
        if listed:
            return min(nats for _, nats in listed)
        weight = vocabulary.weight(low)
        if weight < float("inf"):
            return weight + _RARE
        return vocabulary.strangeness(low) * len(low) + _UNKNOWN


def _closed_gaps(chain: _Chain, wholes: Sequence[int]) -> list[str]:
    return [gap for at, whole in enumerate(wholes) for gap in chain.gaps[at : at + whole]]


def _written(chain: _Chain, wholes: Sequence[int], vocabulary: Vocabulary, evidence: Evidence) -> str:
    out: list[str] = []
    at = 0
    while at < len(wholes):
        end = at + wholes[at]
        whole = "".join(chain.words[at : end + 1])
        if end > at:
            loose = all(kind == _LOOSE for kind in chain.kinds[at:end])
            hidden = vocabulary.sensitive(whole.lower())
            evidence.add(HIDDEN_SENSITIVE if hidden else LINE_IN_WORD if loose else GAP_IN_WORD)
        out += [whole, *chain.gaps[end : end + 1]]
        at = end + 1
    return "".join(out)


@lru_cache(256)
def _said(gap: str) -> str:
    """What a gap says by itself, "" for nothing: an address, attributes, a note, a telling pictograph."""
    bare = _FORM.sub("", gap)
    if _TWO_LETTERS.search(bare) or spelled_out(f"\U0001f457{bare}her {bare}").count(bare) < 2:
        return bare.replace("--", "-")  # no switch "--no", behind which nothing would be asked for
    return ""
