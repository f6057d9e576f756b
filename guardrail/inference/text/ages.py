"""Ages: which numbers of a text say how old somebody is.

"13-year-old", "she's 13", "Emma (13)" and "born in 2013" do; 13 tables, f/16 and a boat of 16 m don't. What more says
so beside a word of nakedness is in `youth.py`.
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
NOTHING_COUNTED = frozenset(("and", "but", "so", "en", "maar", "und", "aber", "geworden", "now", "today", "vandaag"))
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
    if word is None or word[0].casefold() in NOTHING_COUNTED:
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
