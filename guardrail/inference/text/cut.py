"""Cut texts: a phrase that goes on in the next field, turn or tag is put together again before it is judged.

Half a sentence says what the whole does not: "strip him of the" with "captain's armband" in the next field undresses
nobody. What is whole by itself stays apart. Linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# Words after which something must come. Those that may stand last are left out ("undress her", "zet de hoed op").
_OPEN = frozenset(
    (
        "the", "a", "an", "of", "with", "from", "and", "or", "by", "for", "to", "at", "into", "onto", "its", "their",
        "my", "your", "our", "his", "every", "de", "een", "van", "met", "voor", "door", "en", "bij", "naar",
        "tussen", "zonder", "mijn", "hun", "onze", "uw", "der", "dem", "den", "des", "ein", "eine", "einen", "einer",
        "eines", "einem", "von", "vom", "für", "und", "oder", "im", "zum", "zur", "ohne", "durch", "meine", "meiner",
        "meinem", "ihrer", "ihrem", "seiner", "seinem", "le", "la", "les", "un", "une", "du", "et", "ou", "avec",
        "sans", "pour", "par", "dans", "sur", "sous", "au", "aux", "son", "sa", "ses", "mon", "ma", "mes", "leurs",
        "que", "qui", "el", "los", "las", "una", "del", "y", "o", "con", "sin", "para", "por", "su", "sus", "mi", "mis",
        "al", "il", "lo", "i", "gli", "uno", "di", "della", "dei", "delle", "dello", "da", "dal", "dalla", "e", "senza",
        "per", "nel", "nella", "sul", "sulla", "che", "os", "as", "um", "uma", "do", "dos", "das", "com", "sem", "em",
        "no", "na", "nos", "nas", "seu", "meu", "minha", "ao", "w", "we", "z", "ze", "od", "po", "pod", "nad", "przy",
        "bez", "dla", "oraz", "lub", "albo", "u", "ve", "veya", "bir", "в", "во", "на", "с", "со", "к", "ко", "от",
        "до", "по", "под", "над", "у", "без", "для", "и", "или", "из", "за", "о", "об", "что", "من", "في", "على",
        "إلى", "عن", "مع", "بدون", "و", "أو", "التي", "الذي",
    )
)  # fmt: skip
# Words before which something must have come.
_FOLLOWS = frozenset(
    (
        "of", "and", "or", "van", "en", "von", "vom", "und", "oder", "de", "du", "des", "et", "ou", "y", "e",
        "o", "del", "di", "della", "do", "da", "dos", "das", "i", "oraz", "lub", "ve", "veya", "и", "или", "و", "أو",
    )
)  # fmt: skip
# Words that are no tag, beside those of _OPEN: a sentence has them.
_SPOKEN = frozenset(
    (
        "her", "him", "she", "he", "it", "is", "this", "that", "on", "off", "in", "het", "haar", "hem", "zijn", "op",
        "uit", "aan", "die", "dit", "dat", "ze", "ihr", "ihre", "sein", "seine", "sie", "das", "aus", "mit", "auf",
        "an", "elle", "lui", "cette", "ce", "suo", "sua", "dela", "dele", "jej", "jego", "się", "onun", "bu", "её",
        "ее", "его", "эта", "этой", "هذه", "هذا",
    )
)  # fmt: skip
# The same at the end of a text in a script without spaces between words, or with particles joined to them.
_OPEN_END = re.compile(r"(?:[のをにとがはでへ的和把被与給给]|[가-힣](?:의|을|를|와|과|에게))\Z")
_UNSPACED = re.compile(r"[\u3001-\u30ff\u3400-\u9fff\uff0c]")
_GOING_ON = (",", ":", "\u060c", "\u3001", "\uff0c")
_TAG_END = re.compile(r"[ \t]*[,|\u060c]\s*")
_SIGNS = "\"'\u2018\u2019\u201c\u201d.,;:!?()\u00ab\u00bb"
# A run of so many single words between commas may be a sentence that was cut.
_FEWEST_TAGS = 3


def unfinished(text: str) -> bool:
    """True for a text that ends where no phrase does."""
    text = text.rstrip()
    if not text or text.endswith(_GOING_ON):
        return bool(text)
    last = text[-_LONGEST:].rsplit(None, 1)[-1].casefold()
    return last in _OPEN or _OPEN_END.search(last) is not None


def rejoined(parts: Sequence[str]) -> list[str]:
    """The parts, those that go on with the one before as one with it."""
    found: list[list[str]] = []
    last = ""
    for part in parts:
        if found and (unfinished(last) or _follows(part)):
            found[-1].append(part.strip())
        else:
            found.append([part])
        last = part
    return [spaced(run) for run in found]


def spaced(parts: Sequence[str]) -> str:
    """The parts as one text, with spaces but between two in a script that has none."""
    found: list[str] = []
    for part in parts:
        if found and not (_UNSPACED.match(part) and _UNSPACED.match(found[-1][-1:])):
            found.append(" ")
        found.append(part)
    return "".join(found)


def untagged(text: str) -> str:
    """The text with the words of a sentence that stand as tags, one by one, as the sentence that they are."""
    if len(parts := _TAG_END.split(text)) < _FEWEST_TAGS:
        return text
    found: list[str] = []
    at = 0
    run: list[tuple[int, int]] = []
    ends = [*((match.start(), match.end()) for match in _TAG_END.finditer(text)), (len(text), len(text))]
    for part, (end, after) in zip(parts, ends, strict=True):
        start = end - len(part)
        if part and not part[0].isspace() and len(part.split(None, 1)) == 1 and "\n" not in text[start:after]:
            run.append((start, end))
        else:
            at = _closed(text, run, at, found)
            run = []
    at = _closed(text, run, at, found)
    return "".join((*found, text[at:]))


# No word of _OPEN is longer.
_LONGEST = 40


def _follows(part: str) -> bool:
    words = part[:_LONGEST].split(None, 1)
    return bool(words) and words[0] in _FOLLOWS


def _closed(text: str, run: Sequence[tuple[int, int]], at: int, found: list[str]) -> int:
    """Add the text up to the end of a run, its words as a sentence where they are one; where the run ends."""
    if len(run) < _FEWEST_TAGS:
        return at
    words = [text[start:end] for start, end in run]
    if not any(word.strip(_SIGNS).casefold() in _OPEN or word.casefold() in _SPOKEN for word in words):
        return at
    found += [text[at : run[0][0]], " ".join(words)]
    return run[-1][1]
