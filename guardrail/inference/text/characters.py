"""Characters: nothing invisible, nothing in costume, no piles of marks, one script per word."""

from __future__ import annotations

import re
import unicodedata

from guardrail.inference.text.disguise import (
    BETTER,
    DIRECTION_OVERRIDE,
    MIXED_SCRIPT_WORD,
    PILED_MARKS,
    STRAY_ACCENTS,
    STYLED_LETTERS,
    ZERO_WIDTH_IN_WORD,
    Evidence,
    Vocabulary,
    piecewise,
)
from guardrail.inference.text.joined import at_capitals
from guardrail.inference.text.lookalikes import LOOKS_CYRILLIC, LOOKS_LATIN, STYLED

_STYLED_CLASS = re.compile("[" + "".join(re.escape(chr(p)) for p in STYLED) + "]")
# Letters in boxes, two of which are a flag.
_BOXED = re.compile("[\U0001f1e6-\U0001f1ff]+")
_FIRST_BOXED = 0x1F1E6
# Compatibility letters that NFKC turns into plain ones: mathematical alphabets, circled letters, full-width letters.
_MATHEMATICAL = re.compile("[\U0001d400-\U0001d7ff\u24b6-\u24e9\u2100-\u214f]")
_FULL_WIDTH = re.compile("[\uff21-\uff3a\uff41-\uff5a]")
_EAST_ASIAN = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uff65-\uff9f]")

# Never part of what is read. The joiners (200C, 200D) and variation selectors are handled with the same pass, since
# between letters of Latin, Greek or Cyrillic they have no work to do.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff9-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_OVERRIDE = re.compile("[\u202d\u202e]")
_BACKWARDS = re.compile("\u202e([^\u202c\u202e\n]*)")
_HIDDEN_IN_WORD = re.compile(
    "(?<=[A-Za-z\u00c0-\u024f\u0370-\u052f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af])"
    "[\u00ad\u034f\u115f\u1160\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\U000e0000-\U000e0fff]+"
    "(?=[A-Za-z\u00c0-\u024f\u0370-\u052f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af])"
)
# Soft hyphens and selectors of a glyph's form are typeset by honest programs.
_TYPESET = re.compile("[\u00ad\ufe00-\ufe0f]+")
_JOINERS = "\u200c\u200d\ufe0e\ufe0f"
# The one that holds letters apart where it has no such work: it has in Persian, and from Syriac to Malayalam.
_APART = "\u200c"
_LOOSE_APART = re.compile("(?<![\u0700-\u0dff])\u200c|\u200c(?![\u0700-\u0dff])")
_LOOSE_IN_PERSIAN = re.compile("(?<![\u0621-\u06d3\u0700-\u0dff])\u200c|\u200c(?![\u0621-\u06d3\u0700-\u0dff])")
_PERSIAN = re.compile("[\u067e\u0686\u0698\u06a9\u06af\u06cc]")
# A run of combining marks: four or more are a pile whatever the script; after Latin letters even fewer are undone.
_MARKS = re.compile("[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+")
_ANY_MARKS = re.compile(
    "[\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u0730-\u074a\u0816-\u082d"
    "\u08d3-\u08ff\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0f71-\u0f84\u135d-\u135f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\u302a-\u302f"
    "\u3099\u309a\ufe20-\ufe2f]{4,}"
)
# Arabic stretches a word with this, and writes vowels above and below where a reader may stumble: all of them are
# honest, and the words of the lexicon and of most prompts are without.
_TATWEEL = re.compile("\u0640+")
_VOWELLED = re.compile("[\u0621-\u0652\u0670\u0671]+")
_VOWELS = re.compile("[\u064b-\u0652\u0670]")
# Korean letters typed one by one, as they are written before they are put together into syllables.
_JAMO = re.compile("([\u3131-\u314e])([\u314f-\u3163])([\u3131-\u314e](?![\u314f-\u3163]))?")
_FIRSTS = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"
_LASTS = "\0ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ"
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
# Letters that tell a script, since no letter of the other looks like them.
_ONLY_LATIN = re.compile("[bdfghijlnqrstuvwzDFGIJLNQRSUVWYZ]")
_ONLY_CYRILLIC = re.compile("[бгджзийлнптфцчшщъыьэюяБГДЖИЙЛПФЦЧШЩЪЫЬЭЮЯ]")
# Letters that Russian, Ukrainian and Belarusian do without, or that stand in for a Latin one.
_RARE_CYRILLIC = re.compile("[ѕіјԁһԛԝѵӏЅІЈԀԜѴӀ]")
_CYRILLIC_LETTER = re.compile("[\u0400-\u052f]")
_ACCENTED = re.compile("[\u00c0-\u024f\u1e00-\u1eff]")
_LATIN_RUN = re.compile("[A-Za-z\u00c0-\u024f\u1e00-\u1eff]+")


def encodable(text: str) -> str:
    """The text with lone surrogates replaced by U+FFFD."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode("utf-8")
    return text


def plain(text: str, vocabulary: Vocabulary, evidence: Evidence) -> str:
    """The text in plain characters of the scripts that its words pretend to be in."""
    text = _unhide(text, vocabulary, evidence)
    if found := _STYLED_CLASS.findall(text):
        evidence.add(STYLED_LETTERS, len(found) // 2)
        text = text.translate(STYLED)
    if found := _MATHEMATICAL.findall(text):
        evidence.add(STYLED_LETTERS, len(found) // 2)
    if not _EAST_ASIAN.search(text) and (found := _FULL_WIDTH.findall(text)):
        evidence.add(STYLED_LETTERS, len(found) // 2)
    if _BOXED.search(text):
        text = _unboxed(text, vocabulary, evidence)
    # Runs of marks are cut before NFKC: sorting a run by class takes quadratic time.
    piles = _ANY_MARKS.findall(text)
    if piles:
        evidence.add(PILED_MARKS, len(piles))
        text = _ANY_MARKS.sub("", text)
    text = _JAMO.sub(_syllable, text)
    text = unicodedata.normalize("NFKC", text.translate(_EXPANDING))
    # What is left after composing belongs to no letter of any language written with these.
    loose = _MARKS.findall(text)
    if loose:
        evidence.add(PILED_MARKS, sum(map(len, loose)) // 4)
        text = unicodedata.normalize("NFKC", _MARKS.sub("", text))
    if _VOWELS.search(text) or "\u0640" in text:
        text = _VOWELLED.sub(_unvowelled, _TATWEEL.sub("", text))
    if _OTHER_LETTERS.search(text):
        text = _one_script(text, vocabulary, evidence)
    return _unaccented(text, vocabulary, evidence)


def _unboxed(text: str, vocabulary: Vocabulary, evidence: Evidence) -> str:
    """The text with letters for those in boxes, where one is left over from flags, or they are a word that matters."""
    runs = [_letters_of(run) for run in _BOXED.findall(text)]
    if not any(len(run) % 2 or vocabulary.telling(run) or vocabulary.sensitive(run) for run in runs):
        return text
    evidence.add(STYLED_LETTERS, sum(map(len, runs)) // 2)
    return _BOXED.sub(lambda m: _letters_of(m[0]), text)


def _letters_of(boxed: str) -> str:
    return "".join(chr(ord(letter) - _FIRST_BOXED + ord("a")) for letter in boxed)


def _unhide(text: str, vocabulary: Vocabulary, evidence: Evidence) -> str:
    if not _INVISIBLE.search(text):
        return text
    hidden = sum(1 for found in _HIDDEN_IN_WORD.findall(text) if not _TYPESET.fullmatch(found))
    soft = len(_TYPESET.findall(text))
    if hidden or soft:
        evidence.add(ZERO_WIDTH_IN_WORD, hidden or soft // 8)
        text = _HIDDEN_IN_WORD.sub("", text)
    if _OVERRIDE.search(text):
        evidence.add(DIRECTION_OVERRIDE)
        # Shown backwards: letters without spaces between words can't be told by their strangeness, so both are read.
        if _EAST_ASIAN.search(text):
            text = "\n".join([text, *(part[::-1] for part in _BACKWARDS.findall(text))])
        else:
            text = _BACKWARDS.sub(lambda m: _as_shown(m[1], vocabulary), text)
    if _APART in text:
        text = (_LOOSE_IN_PERSIAN if _PERSIAN.search(text) else _LOOSE_APART).sub("", text)
    # Joiners stay where a script or an emoji needs them; the rest goes.
    return _INVISIBLE.sub(lambda m: m[0] if m[0] in _JOINERS else "", text)


def _as_shown(run: str, vocabulary: Vocabulary) -> str:
    """What an override shows backwards, as it is shown where that is language, else as it is written."""
    shown = run[::-1]
    return shown if vocabulary.strangeness(shown) < vocabulary.strangeness(run) else run


def _syllable(match: re.Match[str]) -> str:
    first, vowel, last = _FIRSTS.find(match[1]), ord(match[2]) - 0x314F, _LASTS.find(match[3] or "\0")
    if first < 0 or vowel > 20 or last < 0:
        return match[0]
    return chr(0xAC00 + (first * 21 + vowel) * 28 + last)


def _unvowelled(match: re.Match[str]) -> str:
    """A word with two vowel signs and more, without them; one alone is how it is written every day."""
    word = match[0]
    return _VOWELS.sub("", word) if len(_VOWELS.findall(word)) > 1 else word


def _one_script(text: str, vocabulary: Vocabulary, evidence: Evidence) -> str:
    """Words that mix scripts, and look-alikes in a text of another script, into the script they pretend to be."""
    mixed = False
    for word in _LETTERS.findall(text):
        if _OTHER_LETTERS.search(word) and _LATIN_LETTER.search(word):
            mixed = True
            break
    cyrillic = len(_ONLY_CYRILLIC.findall(text))
    latin = len(_ONLY_LATIN.findall(text))
    if not mixed and not latin and not _RARE_CYRILLIC.search(text):
        return text
    changed = 0

    def repair(match: re.Match[str]) -> str:
        nonlocal changed
        word = match[0]
        strange = len(_OTHER_LETTERS.findall(word))
        if not strange:
            if not mixed or cyrillic <= latin or not all(c in LOOKS_CYRILLIC for c in word):
                return word
            # A word of a Russian text written in Latin letters throughout.
            turned = "".join(LOOKS_CYRILLIC.get(c, c) for c in word)
        elif _LATIN_LETTER.search(word):
            to_cyrillic = cyrillic > latin and _CYRILLIC_LETTER.search(word)
            table = LOOKS_CYRILLIC if to_cyrillic else LOOKS_LATIN
            turned = "".join(table.get(c, c) for c in word)
        else:
            turned = "".join(LOOKS_LATIN.get(c, c) for c in word)
            if not _stands_for_latin(word, turned, latin > cyrillic, mixed, vocabulary):
                return word
        if turned != word:
            changed += 1
        return turned

    text = _LETTERS.sub(repair, text)
    evidence.add(MIXED_SCRIPT_WORD, changed)
    return text


def _stands_for_latin(word: str, turned: str, in_latin: bool, mixed: bool, vocabulary: Vocabulary) -> bool:
    """Whether a word wholly of another script stands for the Latin one it looks like."""
    low = turned.casefold()
    if not all(c in LOOKS_LATIN for c in word):
        return False
    if _RARE_CYRILLIC.search(word) and vocabulary.sensitive(low):
        return True  # a text of this one word has no other script to compare with
    if not in_latin:
        return False
    if vocabulary.sensitive(low) and not vocabulary.sensitive(word.casefold()):
        return True
    if mixed and (len(word) < 3 or vocabulary.knows(low)):
        return True
    return len(word) > 1 and not vocabulary.knows(word.casefold())  # no word of its own language either


def _unaccented(text: str, vocabulary: Vocabulary, evidence: Evidence) -> str:
    """Accents scattered over plain words, taken off; those of any language stay."""
    if not _ACCENTED.search(text):
        return text
    text = piecewise(text, lambda piece: _without_accents(piece, vocabulary, evidence))
    return _LATIN_RUN.sub(lambda m: _accented_word(m[0], vocabulary, evidence), text)


def _without_accents(piece: str, vocabulary: Vocabulary, evidence: Evidence) -> str:
    accents = len(_ACCENTED.findall(piece))
    if accents < 3 or accents * 3 < len(piece.split()):
        return piece
    # Short honest lines read as easily without: their words are known with accents, scattered ones without alone.
    words = [word.casefold() for word in _LATIN_RUN.findall(piece) if _ACCENTED.search(word)]
    honest, bare = (sum(map(vocabulary.knows, some)) for some in (words, map(_bare, words)))
    if 2 * honest >= bare:
        return piece
    # Words run together are strange with accents and without.
    apart = at_capitals(piece)
    if vocabulary.strangeness(_bare(apart)) > BETTER * vocabulary.strangeness(apart):
        return piece
    evidence.add(STRAY_ACCENTS)
    return _bare(piece)


def _accented_word(word: str, vocabulary: Vocabulary, evidence: Evidence) -> str:
    low = word.casefold()
    if word.isascii() or vocabulary.knows(low) or vocabulary.sensitive(low):
        return word
    bare = _bare(word)
    if len(bare) > 3 and vocabulary.telling(bare.casefold()) and not vocabulary.telling(low):
        evidence.add(STRAY_ACCENTS / 2)
        return bare
    return word


def _bare(text: str) -> str:
    return _ACCENTED.sub(lambda m: _PLAIN.get(m[0]) or unicodedata.normalize("NFD", m[0])[0], text)


_PLAIN = {"ł": "l", "Ł": "L", "ø": "o", "Ø": "O", "đ": "d", "Đ": "D", "ı": "i"}
