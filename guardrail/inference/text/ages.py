"""Ages: which numbers of a text say how old somebody is.

"13-year-old", "she's 13", "Emma (13)" and "born in 2013" do; 13 tables, f/16 and a boat of 16 m don't. Beside a word of
nakedness a number that stands alone does too ("nude, 14"), and so does a class of a school.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

Knows = Callable[[str, Iterable[str]], bool]

GROWN = 18
# "A girl of 12": whose number is an age without a word that says so.
_OF = frozenset(("of", "van", "von", "de", "di", "from"))
GIRL_OR_BOY = frozenset(
    (
        "girl", "boy", "kid", "child", "lad", "lass", "meisje", "jongen", "meid", "kind", "meiske", "gast", "mädchen",
        "junge", "jungen", "fille", "garçon", "gamin", "gamine", "enfant", "niña", "niño", "chica", "chico", "muchacha",
        "muchacho", "ragazza", "ragazzo", "bambina", "bambino", "menina", "menino", "garota", "garoto", "rapariga",
        "dziewczyna", "dziewczynka", "chłopak", "chłopiec", "kız", "oğlan", "девочка", "мальчик", "девушка", "парень",
        "فتاة", "بنت", "ولد", "فتى",
    )
)  # fmt: skip
# "She's 16", "ze is net 17": whose number is an age where it counts nothing, as at the end of a clause.
_BEING = frozenset(
    (
        "is", "s", "am", "m", "was", "only", "just", "barely", "almost", "nearly", "now", "net", "pas", "maar", "bijna",
        "amper", "nu", "ist", "bin", "erst", "gerade", "fast", "knapp", "è", "tiene", "tengo", "ha", "ho", "tem", "ma",
    )
)  # fmt: skip
_WHO = frozenset(
    (
        "she", "he", "i", "they", "ze", "zij", "hij", "ik", "sie", "er", "ich", "lei", "lui", "ella", "él", "ela",
        "ele", "ona", "on", "tiene", "tengo", "tem", "ha", "ho",
    )
)  # fmt: skip
_CLAUSE_ENDS = re.compile("[,;.!?()\n:\u3001\u3002]|\\s-")
_FIRST_WORD = re.compile(r"[^\W\d_]+")
_NOTHING_COUNTED = frozenset(("and", "but", "so", "en", "maar", "und", "aber", "geworden", "now", "today", "vandaag"))
# "Born in 2012", "geboren op 3 mei 2012", "Jahrgang 2012"; behind the year "doğumlu", "года рождения", "年生まれ".
_BORN = frozenset(
    (
        "born", "birthyear", "birth", "geboren", "geboortejaar", "jahrgang", "geburtsjahr", "né", "née", "nacida",
        "nacido", "nata", "nato", "nascida", "nascido", "urodzona", "urodzony", "rocznik", "родилась", "родился",
        "مواليد", "ولدت",
    )
)  # fmt: skip
_BORN_WORDS = 4
_BORN_AFTER = ("doğumlu", "рождения", "년생", "年生", "年出生")
# The year in which the heads were learned; a year of birth is an age in it.
THIS_YEAR = 2026
_OLDEST = 100
# "16f": from so many years on; a small number before an f is a lens or a note.
_F_FROM = 10
# A number up to 17, in digits or Roman, and where it stands alone: behind the end of a clause.
_YOUNG_NUMBER = re.compile(
    r"(?<![\w.,:/+-])[fm]?(?:1[0-7]|[1-9])(?![\w%°/])|\b(?:XVI?I?|XI[IV]?|VIII?|XIII)\b", re.IGNORECASE
)
_BEGINS_CLAUSE = re.compile(r"(?:^|[,;.!?(\n:\u3001\u3002\uff0c])[\s(]*$")
_BARE = frozenset(
    ("nude", "naked", "topless", "naakt", "nackt", "nue", "nu", "desnuda", "desnudo", "nuda", "nudo", "nua")
)
_AROUND = 16  # characters
# A class of a school.
_NTH = r"(?:1[0-3]|[1-9])(?:st|nd|rd|th|ste|de|e|\.|º|ª|er|ère|ème)?[ -]?"
_CLASSES = (
    "grade|grader|year|form|klas|klasser|groep|leerjaar|klasse|klässler|klässlerin|classe|année|grado|curso|ano|série|anno|"
    "klasa|klasy|sınıf|класс|класса|學年|年级|年級|年生|학년"
)
_CLASS = re.compile(
    rf"\b(?:{_CLASSES})[ -]?(?:1[0-3]|[1-9])(?!\d)|(?<!\d){_NTH}(?:{_CLASSES})(?![^\W\d_])|\bk-?12\b",
    re.IGNORECASE,
)
# Less than eighteen, which the heads do not read as an age. Not "nobody under 18", nor "under 15 euros".
_UNDER = re.compile(
    r"(?:\b(?:under|below|minus|unter|onder|moins de|menos de|meno di|poniżej|до|younger than)|<|\bu-?) ?"
    r"(?:1[0-8]|eighteen|achttien|achtzehn)(?!\d)"
    r"|\byo\W{1,2}(?:1[0-7]|[1-9])(?!\d)|\bb\. ?20(?:09|1\d|2\d)(?!\d)|\b(?:1[0-9]{2}|20[0-9]) months\b",
    re.IGNORECASE,
)
_NOBODY = frozenset(
    ("no", "not", "nobody", "none", "never", "geen", "niet", "niemand", "kein", "keine", "nicht", "pas", "nadie")
)


def beside_nakedness(text: str) -> list[tuple[int, int]]:
    """Where a number, in digits, or a class of a school stands that is an age where a text speaks of nakedness."""
    numbers = [match.span() for match in _YOUNG_NUMBER.finditer(text) if stands_alone(text, *match.span())]
    return [*numbers, *(match.span() for match in _CLASS.finditer(text)), *under_eighteen(text)]


def under_eighteen(text: str) -> list[tuple[int, int]]:
    """Where somebody is said to be under eighteen."""
    found = []
    for start, end in (match.span() for match in _UNDER.finditer(text)):
        before = _FIRST_WORD.findall(text[max(0, start - _AROUND) : start].casefold())
        if _NOBODY.isdisjoint(before) and _is_over(text, end):
            found.append((start, end))
    return found


def stands_alone(text: str, start: int, end: int) -> bool:
    """True for a number that neither counts nor labels anything: a clause by itself, or beside nothing but "nude"."""
    before = text[max(0, start - _AROUND) : start]
    words = _FIRST_WORD.findall(before.casefold())
    begins = not before.strip() or _BEGINS_CLAUSE.search(before) is not None or (bool(words) and words[-1] in _BARE)
    return begins and _is_over(text, end)


def _is_over(text: str, end: int) -> bool:
    """True where the clause ends at `end`, or behind a word of nakedness that follows there."""
    if counts_nothing(text[end : end + _AROUND]):
        return True
    behind = _FIRST_WORD.search(text, end, end + _AROUND)
    return (
        behind is not None
        and behind[0].casefold() in _BARE
        and counts_nothing(text[behind.end() : behind.end() + _AROUND])
    )


def ages(words: Sequence[str], gaps: Sequence[str], knows: Knows) -> Iterator[tuple[int, int]]:
    """Places of numbers in digits that are somebody's age, and the age: "13-year-old", "13歳", "aged 13".

    Also "13th birthday", "a girl of 13", "boy, 13", "Emma (13)", "she's 13", "13f", and a number in brackets after a
    person: "pupil (13)". Of a year in which somebody was born, the age in THIS_YEAR.

    `words` are those of a text in lower case, `gaps` what stands before, between and behind them; `knows` says whether
    a word stands for one of some concepts of the lexicon.
    """
    for i, word in enumerate(words):
        if not word.isdecimal() or len(word) > 4:
            continue
        number = int(word)
        if len(word) == 4:
            if 0 <= THIS_YEAR - number < _OLDEST and _is_birth(words, i):
                yield i, max(1, THIS_YEAR - number)
        elif len(word) < 3 and number and _is_age(words, gaps, i, knows):
            yield i, number


def _is_birth(words: Sequence[str], i: int) -> bool:
    before, behind = words[max(0, i - _BORN_WORDS) : i], words[i + 1 : i + 3]
    return not _BORN.isdisjoint(before) or any(word.startswith(_BORN_AFTER) for word in behind)


def _is_age(words: Sequence[str], gaps: Sequence[str], i: int, knows: Knows) -> bool:
    after = words[i + 1] if i + 1 < len(words) else ""
    before = words[i - 1] if i else ""
    if after and _told_behind(words, gaps, i, knows):
        return True
    if not before:
        return False
    if _told_before(words, gaps, i, knows):
        return True
    if knows(before, ("birthday",)) or was_said(words[max(0, i - 3) : i]):
        return counts_nothing(f"{gaps[i + 1]}{after}")
    return False


def was_said(words: Sequence[str]) -> bool:
    """True where these words, in lower case, come before an age: "she is only"."""
    return bool(words) and words[-1] in _BEING and not _WHO.isdisjoint(words[-3:])


def counts_nothing(text: str) -> bool:
    """True where the text behind a number begins with no thing that the number could count."""
    word = _FIRST_WORD.search(text)
    if word is None or word[0].casefold() in _NOTHING_COUNTED:
        return True
    return _CLAUSE_ENDS.search(text, 0, word.start()) is not None


def _told_behind(words: Sequence[str], gaps: Sequence[str], i: int, knows: Knows) -> bool:
    after = words[i + 1]
    party = (after, words[i + 2] if i + 2 < len(words) and len(after) < 4 else "")
    return (
        knows(after, ("yearunit",))
        or after[0] in "歳才살세岁歲"
        or any(knows(one, ("birthday",)) for one in party if one)
        or (after == "f" and not gaps[i + 1] and _F_FROM <= int(words[i]) < GROWN)
    )


def _told_before(words: Sequence[str], gaps: Sequence[str], i: int, knows: Knows) -> bool:
    before = words[i - 1]
    bracketed = gaps[i].endswith("(") and gaps[i + 1].startswith(")")
    return (
        before in GIRL_OR_BOY
        or knows(before, ("ageword", "firstname"))
        or (before in _OF and i > 1 and words[i - 2] in GIRL_OR_BOY)
        or (bracketed and knows(before, ("youngish", "minor", "adult")))
    )
