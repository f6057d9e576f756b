"""The fold: disguised text read as the eye reads it, in linear time, and how much disguise there was.

Only what a reader would not notice, or would read through, is undone: invisible characters, look-alike letters, piles
of marks, digits for letters, letters spelled out. Accents, joined emoji, the joiners that Arabic, Persian and Hindi are
written with, and honest text in any script come out as they went in. Patterns are single character classes, so there is
nothing to backtrack into.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from guardrail.inference.encoded import fragments
from guardrail.inference.lookalikes import LOOKS_CYRILLIC, LOOKS_LATIN, STYLED

Knows = Callable[[str], bool]

VERSION = "2"

# How sure each finding makes us that somebody hides something, set by hand so that one clear trick stays below 0.5
# (a typo, a decorated nickname) and two or a long one go above it. Findings join as independent evidence.
ZERO_WIDTH_IN_WORD = 0.35
DIRECTION_OVERRIDE = 0.6
MIXED_SCRIPT_WORD = 0.45
STYLED_LETTERS = 0.2
PILED_MARKS = 0.35
DIGIT_LETTERS = 0.3
SPELLED_OUT = 0.45
STRETCHED = 0.05
HIDDEN_SENSITIVE = 0.5
ENCODED = 0.6

_MOST_MARKS = 3
_LONGEST_WORD = 40
_LONGEST_SPELLED = 60


@dataclass(frozen=True)
class Folded:
    """A text as it reads, and how strongly it was disguised: 0.0 plain, towards 1.0 heavily."""

    text: str
    disguise: float


_STYLED_CLASS = re.compile("[" + "".join(re.escape(chr(p)) for p in STYLED) + "]")
# Compatibility letters that NFKC turns into plain ones: mathematical alphabets, circled letters, full-width letters.
_MATHEMATICAL = re.compile("[\U0001d400-\U0001d7ff\u24b6-\u24e9\u2100-\u214f]")
_FULL_WIDTH = re.compile("[\uff21-\uff3a\uff41-\uff5a]")
_EAST_ASIAN = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")

# Never part of what is read. The joiners (200C, 200D) and variation selectors are handled with the same pass, since
# between letters of Latin, Greek or Cyrillic they have no work to do.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff9-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_OVERRIDE = re.compile("[\u202d\u202e]")
_HIDDEN_IN_WORD = re.compile(
    "(?<=[A-Za-z\u00c0-\u024f\u0370-\u052f])"
    "[\u034f\u115f\u1160\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\U000e0000-\U000e0fff]+"
    "(?=[A-Za-z\u00c0-\u024f\u0370-\u052f])"
)
_JOINERS = "\u200c\u200d\ufe0e\ufe0f"
# A run of combining marks: four or more are a pile whatever the script; after Latin letters even fewer are undone.
_MARKS = re.compile("[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+")
_ANY_MARKS = re.compile(
    "[\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u0730-\u074a\u0816-\u082d"
    "\u08d3-\u08ff\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0f71-\u0f84\u135d-\u135f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\u302a-\u302f"
    "\u3099\u309a\ufe20-\ufe2f]{4,}"
)
# One character that NFKC would blow up to five or more: kept from multiplying the work.
_EXPANDING = {
    point: " "
    for first, last in ((0x2000, 0x33FF), (0xFB00, 0xFDFF), (0x1F100, 0x1F2FF))
    for point in range(first, last + 1)
    if len(unicodedata.normalize("NFKC", chr(point))) > 4
}

_OTHER_LETTERS = re.compile("[\u0370-\u052f\u0531-\u058f\u13a0-\u13ff]")
_LETTERS = re.compile(r"[^\W\d_]+")
_LATIN_LETTER = re.compile("[A-Za-z]")
# Letters that Russian, Ukrainian and Belarusian do without, or that stand in for a Latin one.
_RARE_CYRILLIC = re.compile("[ѕіјԁһԛԝѵӏЅІЈԀԜѴӀ]")
_CYRILLIC_LETTER = re.compile("[\u0400-\u052f]")

_LEET = {"0": "o", "1": "i", "3": "e", "4": "a", "5": "s", "7": "t", "8": "b", "9": "g", "@": "a", "$": "s", "!": "i",
         "|": "l", "€": "e", "+": "t", "¢": "c", "£": "l"}  # fmt: skip
_LEET_WORD = re.compile(r"[A-Za-z\u00c0-\u024f0-9@$!|€+¢£*]+")
_LEET_SIGN = re.compile(r"[0-9@$!|€+¢£*]")
_SPELLED = re.compile(r"(?<![^\W_])[^\W\d_](?:[ .\-_*~|,/·•]{1,2}[^\W\d_]){2,}(?![^\W_])")
_BROKEN = re.compile(r"(?<![^\W_])[^\W\d_]{1,12}(?:[.\-_*~|·•][^\W\d_]{1,12}){1,3}(?![^\W_])")
_STRETCH = re.compile(r"([^\W\d_])\1{2,}")
_LONG_STRETCH = re.compile(r"([^\W\d_])\1{3,}")
_PAIR = re.compile(r"(?<![^\W_])([^\W\d_])[ .\-_*~|·•]([^\W\d_])(?![^\W_])")
_SIGN = re.compile(r"[.\-_*~|,/·•]")

# Emoji that say what a word would: read as that word. A peach alone is fruit; with an aubergine or drops it is not.
_EMOJI = {"👙": " bikini ", "🔞": " nsfw ", "🩲": " briefs ", "🩱": " swimsuit ", "👶": " baby ", "🧒": " child ",
          "👧": " little girl ", "👦": " little boy ", "🍼": " baby bottle "}  # fmt: skip
# Joined emoji (a family) are left whole.
_TELLING = re.compile("(?<!\u200d)[" + "".join(_EMOJI) + "](?!\u200d)")
_SUGGESTIVE = re.compile("[🍆🍑💦🍒👅]")


def fold(text: str, knows: Knows, sensitive: Knows) -> Folded:
    """Read a text as the eye would.

    `knows` tells words of any language from chance strings, `sensitive` those that somebody may want to hide; both
    take a word in lower case. Lone surrogates become U+FFFD, so the result can always be encoded.

    What is written in base64 or said to be in rot13 is read too, on a line of its own after the text.

    Returns the text, at most 4.5 times as long, and the strength of its disguise.
    """
    evidence = _Evidence()
    for plain in fragments(text, knows):
        evidence.add(ENCODED)
        text = f"{text}\n{plain}"
    if not text.isascii():
        text = _plain(text, knows, sensitive, evidence)
    text = _words(text, knows, sensitive, evidence)
    return Folded(text, evidence.strength)


class _Evidence:
    """Findings, joined as independent: 1 minus the product of what each leaves in doubt."""

    def __init__(self) -> None:
        self._doubt = 1.0

    def add(self, weight: float, times: int = 1) -> None:
        self._doubt *= (1.0 - weight) ** min(times, 8)

    @property
    def strength(self) -> float:
        return 1.0 - self._doubt


def _plain(text: str, knows: Knows, sensitive: Knows, evidence: _Evidence) -> str:
    """Characters: nothing invisible, nothing in costume, no piles, one script per word."""
    text = text.encode("utf-8", "replace").decode("utf-8") if _lone(text) else text
    text = _unhide(text, evidence)
    if found := _STYLED_CLASS.findall(text):
        evidence.add(STYLED_LETTERS, len(found) // 2)
        text = text.translate(STYLED)
    if found := _MATHEMATICAL.findall(text):
        evidence.add(STYLED_LETTERS, len(found) // 2)
    if not _EAST_ASIAN.search(text) and (found := _FULL_WIDTH.findall(text)):
        evidence.add(STYLED_LETTERS, len(found) // 2)
    # Runs of marks are cut before NFKC: sorting a run by class takes quadratic time.
    piles = _ANY_MARKS.findall(text)
    if piles:
        evidence.add(PILED_MARKS, len(piles))
        text = _ANY_MARKS.sub("", text)
    text = unicodedata.normalize("NFKC", text.translate(_EXPANDING))
    # What is left after composing belongs to no letter of any language written with these.
    loose = _MARKS.findall(text)
    if loose:
        evidence.add(PILED_MARKS, sum(map(len, loose)) // 4)
        text = _MARKS.sub("", text)
    if _OTHER_LETTERS.search(text):
        text = _one_script(text, knows, sensitive, evidence)
    if len(set(_SUGGESTIVE.findall(text))) > 1:
        text = _SUGGESTIVE.sub(" sexual ", text)
    return _TELLING.sub(lambda m: _EMOJI[m[0]], text)


def _lone(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def _unhide(text: str, evidence: _Evidence) -> str:
    if not _INVISIBLE.search(text):
        return text
    hidden = len(_HIDDEN_IN_WORD.findall(text))
    if hidden:
        evidence.add(ZERO_WIDTH_IN_WORD, hidden)
        text = _HIDDEN_IN_WORD.sub("", text)
    if _OVERRIDE.search(text):
        evidence.add(DIRECTION_OVERRIDE)
    # Joiners stay where a script or an emoji needs them; the rest goes.
    return _INVISIBLE.sub(lambda m: m[0] if m[0] in _JOINERS else "", text)


def _one_script(text: str, knows: Knows, sensitive: Knows, evidence: _Evidence) -> str:
    """Words that mix scripts, and look-alikes in a text of another script, into the script they pretend to be."""
    latin = len(_LATIN_LETTER.findall(text))
    other = len(_OTHER_LETTERS.findall(text))
    changed = 0

    def repair(match: re.Match[str]) -> str:
        nonlocal changed
        word = match[0]
        strange = len(_OTHER_LETTERS.findall(word))
        if not strange:
            return word
        own = len(_LATIN_LETTER.findall(word))
        turned = "".join(LOOKS_LATIN.get(c, c) for c in word)
        if own and own <= strange and other > latin and _CYRILLIC_LETTER.search(word):
            turned = "".join(LOOKS_CYRILLIC.get(c, c) for c in word)
        elif own:
            pass
        elif latin > other and len(word) > 1 and all(c in LOOKS_LATIN for c in word) and not knows(word.casefold()):
            pass  # no word of its own language either
        elif _RARE_CYRILLIC.search(word) and sensitive(turned.casefold()):
            pass  # a text of this one word has no other script to compare with
        else:
            return word
        if turned != word:
            changed += 1
        return turned

    text = _LETTERS.sub(repair, text)
    evidence.add(MIXED_SCRIPT_WORD, changed)
    return text


def _words(text: str, knows: Knows, sensitive: Knows, evidence: _Evidence) -> str:
    """Words: letters spelled out, digits for letters, words broken or stretched.

    Where a text plays one of these tricks on several words, it is undone on all of them, known words or not.
    """
    if _SPELLED.search(text):
        found: list[str] = []
        joined = _SPELLED.sub(lambda m: _join(m[0], knows, sensitive, evidence, found), text)
        text = _PAIR.sub(lambda m: m[1] + m[2], joined) if found else text
    if _LEET_SIGN.search(text):
        found = []
        turned = _LEET_WORD.sub(lambda m: _unleet(m[0], knows, sensitive, evidence, found), text)
        text = _LEET_WORD.sub(lambda m: _forced(m[0]), turned) if len(found) > 1 else turned
    if _BROKEN.search(text):
        text = _BROKEN.sub(lambda m: _mend(m[0], sensitive, evidence), text)
    if _STRETCH.search(text):
        everywhere = len(_LONG_STRETCH.findall(text)) > 2
        text = _LETTERS.sub(lambda m: _shrink(m[0], everywhere, knows, sensitive, evidence), text)
    return text


def _join(run: str, knows: Knows, sensitive: Knows, evidence: _Evidence, found: list[str]) -> str:
    """Letters with gaps between them: the words they spell, or the run as it was. `found` gathers what was joined.

    Words are told apart by a wider gap, or by spaces where the letters have signs between them; where all gaps are
    alike, by which words are known.
    """
    signs = _SIGN.search(run) is not None
    parts = run.split() if signs else run.split("  ")
    words = []
    for part in parts:
        letters = "".join(c for c in part if c.isalpha())
        if _LATIN_LETTER.search(letters):
            letters = "".join(LOOKS_LATIN.get(c, c) for c in letters)
        alone = len(parts) == 1 and len(letters) <= _LONGEST_SPELLED
        words.append((_segment(letters, knows, sensitive) if alone else None) or letters)
    joined = " ".join(words)
    told = joined.casefold().split()
    hidden = any(len(word) > 2 and sensitive(word) for word in told)
    # Unknown words, but several of three letters and more spelled out side by side: initials don't come like that.
    several = len(parts) > 2 and sum(map(len, words)) >= 3 * len(parts)
    if not hidden and not several and not any(len(word) > 3 and knows(word) for word in told):
        return run
    evidence.add(HIDDEN_SENSITIVE if hidden else SPELLED_OUT)
    evidence.add(SPELLED_OUT)
    found.append(joined)
    return joined


def _segment(letters: str, knows: Knows, sensitive: Knows) -> str | None:
    """Letters cut into the fewest known words, or None. At most _LONGEST_SPELLED letters, words of at most 16."""
    low = letters.casefold()
    if len(low) != len(letters):
        return None
    if sensitive(low) or knows(low):
        return letters
    best: list[tuple[int, int] | None] = [(0, 0)] + [None] * len(low)
    for end in range(1, len(low) + 1):
        for start in range(max(0, end - 16), end):
            before = best[start]
            word = low[start:end]
            if before is None or (end - start < 3 and word not in _SHORT) or not (end - start < 3 or knows(word)):
                continue
            if (now := best[end]) is None or before[0] + 1 < now[0]:
                best[end] = (before[0] + 1, start)
    if best[-1] is None:
        return None
    cut, end = [], len(low)
    while end:
        step = best[end]
        assert step is not None  # reached from the start, by construction
        cut.append(letters[step[1] : end])
        end = step[1]
    return " ".join(reversed(cut))


_SHORT = frozenset(
    (
        "a",
        "i",
        "in",
        "on",
        "of",
        "to",
        "up",
        "my",
        "me",
        "he",
        "de",
        "la",
        "le",
        "el",
        "un",
        "en",
        "te",
        "je",
        "ze",
        "di",
        "il",
        "da",
    )
)


def _unleet(word: str, knows: Knows, sensitive: Knows, evidence: _Evidence, found: list[str]) -> str:
    """A word with digits or signs in place of letters, where that makes a word; anything else as it was."""
    signs = _LEET_SIGN.findall(word)
    letters = len(word) - len(signs)
    if not signs or not letters or len(word) > _LONGEST_WORD:
        return word
    core = word.rstrip("!*+|")
    tail = word[len(core) :]
    if "*" in core:
        return _unstar(core, sensitive, evidence) + tail
    if not any(c in _LEET for c in core) or "1girl" in core or "1boy" in core:
        return word
    turned = "".join(_LEET.get(c, c) for c in core)
    inside = core[0] not in _LEET and core[-1] not in _LEET
    for guess in dict.fromkeys((turned, turned.replace("i", "l") if "1" in core else turned)):
        low = guess.casefold()
        if len(low) > 2 and sensitive(low):
            evidence.add(HIDDEN_SENSITIVE)
            found.append(word)
            return guess + tail
        likely = (len(low) > 3 or low in _SHORT_LEET) if inside else (len(low) > 4 and letters >= 3)
        if likely and not (_counts(core) and not inside) and knows(low):
            evidence.add(DIGIT_LETTERS)
            found.append(word)
            return guess + tail
    return word


_SHORT_LEET = frozenset(("her", "him", "off", "bra", "het", "hem", "uit", "ass", "sex", "nue", "das"))


def _unstar(word: str, sensitive: Knows, evidence: _Evidence) -> str:
    """A word with one letter starred out, where a vowel there gives a word that one may want to hide."""
    if word.count("*") == 1 and len(word) > 2:
        for vowel in "aeiou":
            guess = word.replace("*", vowel)
            if sensitive(guess.casefold()):
                evidence.add(HIDDEN_SENSITIVE)
                return guess
    return word


def _forced(word: str) -> str:
    """A word with digits for letters, in a text that does so throughout."""
    if len(word) > _LONGEST_WORD or not any(c.isalpha() for c in word) or _counts(word):
        return word
    return "".join(_LEET.get(c, c) for c in word)


def _counts(word: str) -> bool:
    """True for several digits side by side at an end of a word: "35mm", "1080p", "covid19"."""
    digits = sum(c.isdigit() for c in word)
    return digits > 1 and (word[:digits].isdigit() or word[-digits:].isdigit())


def _mend(word: str, sensitive: Knows, evidence: _Evidence) -> str:
    """A word broken by a sign, joined only where that gives a word somebody would hide and no part is one."""
    parts = re.split(r"[.\-_*~|·•]", word)
    joined = "".join(parts).casefold()
    if len(joined) > _LONGEST_WORD or any(sensitive(part.casefold()) for part in parts if len(part) > 2):
        return word
    if len(parts) == 2 and min(map(len, parts)) > 3:  # two words of their own: "wonder-bare"
        return word
    if sensitive(joined):
        evidence.add(HIDDEN_SENSITIVE)
        return "".join(parts)
    return word


def _shrink(word: str, everywhere: bool, knows: Knows, sensitive: Knows, evidence: _Evidence) -> str:
    """A stretched word with its letters once or twice, where that gives a word; "hmmm" stays.

    `everywhere`: the text stretches many words, so that unknown ones are shrunk too.
    """
    if not _STRETCH.search(word):
        return word
    # A stretch of six or more stands for a double letter as a rule, a shorter one for a single.
    guesses = [_STRETCH.sub(r"\1", word), _STRETCH.sub(r"\1\1", word), _STRETCH.sub(_single_or_double, word)]
    for guess in guesses:
        low = guess.casefold()
        if len(low) > 2 and sensitive(low):
            evidence.add(HIDDEN_SENSITIVE)
            return guess
        if len(low) > (1 if everywhere else 3) and knows(low):
            evidence.add(STRETCHED)
            return guess
    if everywhere and _LONG_STRETCH.search(word):
        evidence.add(STRETCHED)
        return guesses[2]
    return word


def _single_or_double(match: re.Match[str]) -> str:
    return match[1] * (2 if len(match[0]) > 5 else 1)
