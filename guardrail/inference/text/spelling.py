"""Spelling: words written letter by letter, or without spaces between them."""

from __future__ import annotations

import re
from collections import Counter

from guardrail.inference.text.disguise import (
    HIDDEN_SENSITIVE,
    RUN_TOGETHER,
    SPELLED_OUT,
    Evidence,
    Vocabulary,
    is_said,
)
from guardrail.inference.text.lookalikes import LOOKS_LATIN
from guardrail.inference.text.standins import STANDS_FOR

_LONGEST_RUN = 80
# Characters of letters one by one, with what stands between them.
_LONGEST_SPELLED = 4_000
_LATIN_LETTER = re.compile("[A-Za-z]")
# The longest word that a run of letters is cut into.
_LONGEST_PART = 16
# What a letter costs, in nats, that belongs to no word; more than any letter of a word does.
_LOOSE_LETTER = 9.0
_SPELLED = re.compile(r"(?<![^\W_])[^\W_](?:[ .\-_*~|,/·•]{1,2}(?:[^\W_]|[@$]))+(?![^\W_])")
_PAIR = re.compile(r"(?<![^\W_])([^\W\d_])[ .\-_*~|·•]([^\W\d_])(?![^\W_])")
_SIGN = re.compile(r"[.\-_*~|,/·•]")
# Four letters and more, one by one, with anything between them: signs, lines, pictographs, tags, names of JSON fields.
_BETWEEN = (
    r"(?:</?[a-z]{1,6}> ?){1,4}|[\"'] ?, ?[\"'][A-Za-z_]{0,8}[0-9]{0,3}[\"'] ?: ?[\"']"
    "|[!-/:-@\\[-`{-~\u00a0-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb\u00bf\u00d7\u00f7\u2010-\u205e\u20a0-\u20bf\u2190-\u2bff"
    "\ufe0f\ufffd\U0001f000-\U0001faff \t\r\n]{1,5}"
)
_ONE_BY_ONE = re.compile(rf"(?<![^\W_])(?<!<)(?<!</)[^\W\d_](?:(?:{_BETWEEN})(?<!<)(?<!</)[^\W\d_](?![^\W_])){{3,}}")
_STEP = re.compile(rf"({_BETWEEN})([^\W\d_])")
_PICTURE = re.compile("[\u2190-\u2bff\ufe0f\ufffd\U0001f000-\U0001faff]+")
# The same with a number on each letter: "1r 2e 3m", "r1 e2 m3".
_COUNTED = re.compile(
    r"(?<![^\W_])(?:[0-9]{1,2}[^\W\d_](?:[ ,.;]{1,2}[0-9]{1,2}[^\W\d_]){3,}"
    r"|[^\W\d_][0-9]{1,2}(?:[ ,.;]{1,2}[^\W\d_][0-9]{1,2}){3,})(?![^\W_])"
)
_NUMBER = re.compile("[0-9]+")
# The share of such letters that must be of words which people write, and the letters of the longest of these.
_SAID, _FEWEST_SAID = 0.6, 4
# Words that are spelled out in one text where all are.
_HABIT = 2
# Syllables or characters of a script of which one is a word at times.
_SYLLABLES = 5
# What is left of a gap before a sign that was spelled out like a letter: "h.e.r.," and "h e r ,".
_GAP_LEFT = re.compile(r"(?<=[^\W_])[ .\-_*~|·•](?=[,;:!?\u060c\u061b\u061f])")
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
# Letters that are words by themselves.
_SINGLE = frozenset("aiyeouàèéóùяивкосу")
# Words of two letters that are met often enough to be cut out of a run; the vocabulary has far more, of no language.
_SHORT = frozenset(
    (
        "ad", "ai", "al", "am", "an", "ao", "as", "at", "au", "be", "bu", "by", "ce", "co", "da", "de", "di", "do",
        "du", "ed", "el", "em", "en", "er", "es", "et", "eu", "ga", "go", "ha", "he", "ho", "if", "ik", "il", "im",
        "in", "io", "is", "it", "je", "ki", "la", "le", "lo", "ma", "me", "mi", "mis", "mon", "my", "na", "ne", "ni",
        "no", "o", "ob", "od", "of", "om", "on", "op", "or", "os", "ou", "po", "sa", "se", "si", "się", "so", "su",
        "są", "ta", "te", "ti", "to", "tu", "um", "un", "up", "us", "ve", "we", "wo", "ya", "za", "ze", "zo", "zu",
        "üç", "бы", "во", "вы", "да", "до", "ее", "её", "за", "из", "им", "их", "ко", "мы", "на", "не", "ни", "но",
        "об", "он", "от", "по", "со", "та", "те", "то", "ту", "ты",
    )
)  # fmt: skip
# Words that point at somebody or at all of something: what a compound has none of.
_POINTING = frozenset(
    (
        "all", "alle", "alles", "aus", "bu", "bütün", "cette", "den", "deze", "die", "dit", "essa", "esta", "haar",
        "he", "hem", "her", "him", "his", "ihn", "ihr", "ihre", "ihren", "jego", "jej", "lui", "ma", "meine", "mi",
        "mia", "mijn", "moją", "off", "onun", "questa", "sa", "ses", "seu", "she", "sie", "son", "su", "sua", "suoi",
        "sus", "ta", "tej", "ten", "that", "the", "this", "toda", "todo", "tous", "toutes", "tudo", "tutti", "tüm",
        "uit", "zich", "zijn", "все", "всю", "его", "ее", "её", "с", "этой", "эту",
    )
)  # fmt: skip


def spelled(text: str, vocabulary: Vocabulary, evidence: Evidence) -> str:
    """The text with words that are spelled out, "r e m o v e" or "r.e.m.o.v.e", as words."""
    if _COUNTED.search(text):
        text = _COUNTED.sub(lambda m: _told(_NUMBER.sub("", m[0]).replace(" ", ","), m[0], vocabulary, evidence), text)
    if _SPELLED.search(text):
        found: list[str] = []
        joined = _SPELLED.sub(lambda m: _join(m[0], vocabulary, evidence, found), text)
        if sum(len(words.split()) for words in found) >= _HABIT:
            # What is left is spelled out too, whether anybody knows the word or not.
            joined = _SPELLED.sub(lambda m: _as_spelled(m[0]), joined)
        text = _PAIR.sub(lambda m: m[1] + m[2], _GAP_LEFT.sub("", joined)) if found else text
    return _ONE_BY_ONE.sub(lambda m: _told(m[0], m[0], vocabulary, evidence), text)


def _told(run: str, was: str, vocabulary: Vocabulary, evidence: Evidence) -> str:
    """The words of letters with gaps between them, where most are words that people write; else `was`.

    The gap that is there most often is within words, and every other between them. Where all are alike the letters are
    cut into the likeliest words.
    """
    steps = _STEP.findall(run, 1)
    kinds = Counter(_PICTURE.sub("\u2190", gap) for gap, _ in steps)
    within = kinds.most_common(1)[0][0]
    if within == " " or len(was) > _LONGEST_SPELLED:
        return was  # told by the wider gaps, with the rest of what is spelled out
    letters = "".join(letter if _PICTURE.sub("\u2190", gap) == within else f" {letter}" for gap, letter in steps)
    words = (run[0] + letters).split()
    if len(words) * 2 > len(steps) + 1:
        words = ["".join(words)]  # gaps of all kinds tell no words apart
    parts: list[str] = []
    for word in words:
        parts += [word] if vocabulary.frequent.costs(word.lower()) else segmented(word, vocabulary).split()
    lows = [part.lower() for part in parts]
    said = [low for low in lows if len(low) > 2 and is_said(low, vocabulary)]
    if max(map(len, said), default=0) < _FEWEST_SAID or sum(map(len, said)) < _SAID * sum(map(len, lows)):
        return was
    hidden = any(len(low) > 2 and vocabulary.sensitive(low) for low in lows)
    evidence.add(HIDDEN_SENSITIVE if hidden else SPELLED_OUT)
    evidence.add(SPELLED_OUT)
    return " ".join(parts)


def _join(run: str, vocabulary: Vocabulary, evidence: Evidence, found: list[str]) -> str:
    """Letters with gaps between them: the words they spell, or the run as it was. `found` gathers what was joined.

    Words are told apart by a wider gap, or by spaces where the letters have signs between them; where all gaps are
    alike, by which words are known.
    """
    if sum(map(str.isalpha, run)) < 2 or len(run) < 5:
        return run
    return _spelled(run, vocabulary, evidence, found) or _spelled(run[::-1], vocabulary, evidence, found) or run


def _parts(run: str) -> list[str]:
    """A run of letters with gaps between them, cut into words at the wider gaps."""
    parts = run.split() if _SIGN.search(run) else run.split("  ")
    return [run] if all(len(part) == 1 for part in parts) else parts  # wide gaps throughout tell no words apart


def _as_spelled(run: str) -> str:
    words = ["".join(c for c in part if c.isalnum() or c in "@$") for part in _parts(run)]
    return " ".join(words) if sum(map(str.isalpha, run)) > 2 else run


def _spelled(run: str, vocabulary: Vocabulary, evidence: Evidence, found: list[str]) -> str | None:
    parts = _parts(run)
    words = []
    for part in parts:
        letters = "".join(c for c in part if c.isalnum() or c in "@$")
        if not letters.isdigit() and not _UNSPACED.search(letters):
            letters = "".join(STANDS_FOR.get(c, c) for c in letters)
        if _LATIN_LETTER.search(letters):
            letters = "".join(LOOKS_LATIN.get(c, c) for c in letters)
        words.append(letters)
    alone = len(words) == 1 and segmented(words[0], vocabulary)
    joined = " ".join(words) if not alone or _one_word(alone) else alone
    told = (alone or joined).casefold().split()
    hidden = any(len(word) > 2 and vocabulary.sensitive(word) for word in told)
    # Unknown words, but several of three letters and more spelled out side by side: initials don't come like that.
    several = len(parts) > 2 and sum(map(len, words)) >= 3 * len(parts)
    # Nobody writes so many syllables or characters one by one.
    several = several or len(_UNSPACED.findall(joined)) >= _SYLLABLES
    if any(map(_is_mixed, words)) or not (
        hidden or several or any(len(word) > 3 and vocabulary.knows(word) for word in told)
    ):
        return None
    evidence.add(HIDDEN_SENSITIVE if hidden else SPELLED_OUT)
    evidence.add(SPELLED_OUT)
    found.append(joined)
    return joined


def _is_mixed(word: str) -> bool:
    """True where digits stand among letters, but for scripts in which they do so between any two words."""
    return any(map(str.isdigit, word)) and not word.isdigit() and _UNSPACED.search(word) is None


def _one_word(parts: str) -> bool:
    """True where what a run of letters was cut into are too small to be words: the run is a word that nobody knows."""
    lengths = [len(part) for part in parts.split()]
    return sum(lengths) <= _LONGEST_PART and (min(lengths) == 1 or sum(lengths) < 3 * len(lengths))


def segmented(letters: str, vocabulary: Vocabulary) -> str:
    """Letters cut into the likeliest words (Viterbi, over known words of at most _LONGEST_PART letters).

    Letters of no word stay together. A script without spaces is left as it is.
    """
    low = letters.casefold()
    if len(low) != len(letters) or _UNSPACED.search(letters):
        return letters
    best = [0.0] + [float("inf")] * len(low)
    cut = [0] * (len(low) + 1)
    for end in range(1, len(low) + 1):
        best[end], cut[end] = best[end - 1] + _LOOSE_LETTER, end - 1
        for start in range(max(0, end - _LONGEST_PART), end):
            if best[start] >= best[end]:
                continue
            now = best[start] + _cost(low[start:end], vocabulary)
            if now < best[end]:
                best[end], cut[end] = now, start
    parts: list[str] = []
    end = len(low)
    loose = False
    while end:
        part = letters[cut[end] : end]
        single = len(part) == 1 and part.casefold() not in _SINGLE
        if single and loose:
            parts[-1] = part + parts[-1]
        else:
            parts.append(part)
        loose = single
        end = cut[end]
    return " ".join(reversed(parts))


def _cost(word: str, vocabulary: Vocabulary) -> float:
    if len(word) == 1:
        return 7.0 if word in _SINGLE else float("inf")
    if len(word) == 2:
        return max(7.0, vocabulary.weight(word)) if word in _SHORT else float("inf")
    return vocabulary.weight(word)


def run_together(word: str, vocabulary: Vocabulary, evidence: Evidence) -> str:
    """Words written without spaces between them, cut apart where what comes out asks for something.

    Compounds of honest German or Dutch have no verb and no pronoun in them, and stay.
    """
    if not 8 <= len(word) <= _LONGEST_RUN or not word.islower() or vocabulary.weight(word) < float("inf"):
        return word
    if _UNSPACED.search(word):
        return word
    parts = segmented(word, vocabulary).split()
    if (
        len(parts) < 2
        or len(word) < 3 * len(parts)
        or not all(
            part in _SHORT or (len(part) > 2 and (vocabulary.knows(part) or vocabulary.telling(part))) for part in parts
        )
    ):
        return word
    telling = {at for at, part in enumerate(parts) if vocabulary.telling(part)}
    pointing = {at for at, part in enumerate(parts) if part in _POINTING}
    hidden = sum(map(vocabulary.sensitive, parts))
    asks = pointing - telling or (len(telling) > 1 and len(parts) > 2) or hidden > 1 or (hidden and len(parts) > 2)
    if not telling or not asks:
        return word
    evidence.add(RUN_TOGETHER)
    return " ".join(parts)
