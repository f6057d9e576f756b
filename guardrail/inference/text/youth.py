"""Youth: where a text that speaks of nakedness says that somebody is under eighteen, in numbers of any form.

One grammar reads the numbers (`numerals.py`); what stands around one, within so many characters, says whether it is an
age. Some is sure ("fourteen years", "turning 13", "class of 2031"); of some only a model can tell, and it is asked of
the words as they are. Beside nakedness alone: elsewhere a bare number or a class of a school says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from guardrail.inference.text import agecues as cues
from guardrail.inference.text.ages import GROWN, THIS_YEAR
from guardrail.inference.text.numerals import Form, Number, numbers

# Characters before and behind a number that are read.
_BEFORE, _BEHIND = 44, 36
# From so many on a number that stands by itself, with nothing to count, is an age; below, it may be one of a list.
_TEEN = 10
_TEENS = range(_TEEN, GROWN)
_MANY_MONTHS = 30
_IN_A_YEAR = {"d": 365.0, "w": 52.0, "m": 12.0}
# Whether anything can be told at all by what stands right before a number, or behind it.
_NEAR, _LISTED = 12, 2
_AROUND = 24
# A number that can be an age, in years and in days; the count in "two years short of"; and whom it is short of.
_OLDEST, _MOST_DAYS, _SHORT_OF = 99, 80, 30
# A university is left four years after school.
_LEAVES_BEFORE = 4

# Said before an age, these make another of it.
_OF_ANOTHER = (cues.UNDER, cues.NOT_YET, cues.HALF, cues.SHORT)


@dataclass(frozen=True)
class Young:
    """Where somebody's age under 18, or a class of a school, stands. `sure` where it can be nothing else."""

    start: int
    end: int
    sure: bool


def beside_nakedness(text: str, bare: Sequence[tuple[int, int]]) -> list[Young]:
    """Where a text that speaks of nakedness in the places `bare`, in order, says that somebody is under 18.

    Without such a place it speaks of the body or of revealing dress, and a number by itself may be a size.
    """
    found = [Young(*match.span(), False) for match in cues.CLASS.finditer(text)]
    found += [Young(*match.span(), True) for match in cues.SURE_CLASS.finditer(text)]
    found += _years(text)
    seen = numbers(text)
    summed = {(one.start, one.end) for one in seen if one.form is Form.SUM}
    parts = {start for start, _ in summed} | {-end for _, end in summed}
    hidden = blanked(text, bare)
    by_itself = _by_itself(text, hidden)
    last: Number | None = None
    for one in seen:
        part = one.form is not Form.SUM and (one.start in parts or -one.end in parts)
        young = None if part else _judged(hidden, one, last, bool(bare))
        if young is not None:
            found.append(young)
        elif by_itself and not part and _perhaps(hidden, one):
            found.append(Young(one.start, one.end, False))
        last = one
    return found


def _by_itself(text: str, hidden: str) -> bool:
    """True where a clause says nothing but nakedness, as a tag does: whom it is about stands elsewhere."""
    clauses = (match.span() for match in cues.CLAUSE.finditer(text))
    return any(cues.LETTER.search(hidden, *one) is None and cues.LETTER.search(text, *one) for one in clauses)


def _perhaps(text: str, one: Number) -> bool:
    """True for a number of a teenager's years at an end of a clause, which may count years in any language."""
    teen = one.form in (Form.DIGITS, Form.WORD) and not one.loose and one.value in _TEENS
    if not teen:
        return False
    before, behind = text[max(0, one.start - _BEFORE) : one.start], text[one.end : one.end + _BEHIND]
    if (
        behind[:1].isalpha()
        or cues.MEASURED.match(behind)
        or cues.ABBREVIATED.search(before)
        or cues.LABELS.search(before)
    ):
        return False
    return cues.BEGINS.search(before) is not None or _is_over(behind)


def blanked(text: str, places: Sequence[tuple[int, int]]) -> str:
    """The text with spaces in these places, which are in order: "nude 14" without "nude" holds nothing but a number."""
    parts, at = [], 0
    for start, end in places:
        if start >= at:
            parts += [text[at:start], " " * (end - start)]
            at = end
    return "".join((*parts, text[at:]))


def _judged(text: str, one: Number, last: Number | None, surely: bool) -> Young | None:
    """Whether a number is an age; one that stands by itself is `surely` one."""
    start, end = one.start, one.end
    before, behind = text[max(0, start - _BEFORE) : start], text[end : end + _BEHIND]
    if one.form is Form.ORDINAL:
        said = cues.BIRTHDAY_BEHIND.match(behind) or (cues.HER.search(before) and cues.NTH_YEAR.match(behind))
        return Young(start, end, True) if said and one.value < GROWN else None
    told = _told_age(before, behind, one, last)
    if told is not None and 0 < told < GROWN:
        return Young(start, end, True)
    whole = one.value.is_integer() and one.form is not Form.SUM
    if told is None and whole and 0 < one.value < GROWN and _alone(before, behind, one.value < _TEEN):
        return Young(start, end, one.value >= _TEEN and not one.loose and surely)
    return None


def _told_age(before: str, behind: str, one: Number, last: Number | None) -> float | None:
    """The age that somebody is said to have by a number; None where none is said."""
    if one.value > _OLDEST * _MOST_DAYS:
        return None
    if cues.WORD_BEHIND.match(behind) and (told := _told_behind(before, behind, one.value)) is not None:
        return told
    if last is not None and 0 <= one.start - last.end <= _LISTED:
        return None  # one of a list of numbers
    if one.value > _OLDEST or cues.WORD_BEFORE.search(before, max(0, len(before) - _NEAR)) is None:
        return None
    return _told_before(before, behind, one, last)


def _told_behind(before: str, behind: str, value: float) -> float | None:
    """An age that is told by what stands behind its number."""
    months = cues.MONTHS_BEHIND.match(behind)
    if months:
        alone = months[1][0] in "mM" and value > _MANY_MONTHS and _is_over(behind[months.end() :])
        aged = (months[2] or alone) and not cues.DURING.search(before)
        return _in_years(value, months[1].casefold()) if aged else None
    if value > _OLDEST:
        return None
    old, years = cues.OLD_BEHIND.match(behind), _years_end(behind)
    if cues.UNDER_BEHIND.match(behind):
        return _under(before, behind, value)
    if old or years:
        if cues.FORBIDS.match(behind) or any(cue.search(before) for cue in _OF_ANOTHER):
            return None
        return None if not old and (cues.DURING.search(before) or cues.NO_AGE_BEHIND.match(behind)) else value
    return value if cues.BIRTHDAY_BEHIND.match(behind) or cues.CANDLES_BEHIND.match(behind) else None


def _told_before(before: str, behind: str, one: Number, last: Number | None) -> float | None:
    """An age that is told by what stands before its number."""
    if (short := _short_of(before, one, last)) is not None:
        return short
    over = _ends(behind)
    ended = over or cues.OLD_BEHIND.match(behind) is not None or _years_end(behind)
    if (ended or cues.UNDERS.match(behind)) and cues.UNDER.search(before):
        return _under(before, behind, one.value)
    if cues.ON_CAKE.search(before) or cues.SHAPED.search(before):
        return one.value
    if not ended or cues.FORBIDS.match(behind):
        return None
    if over and cues.LITTLE.search(before):
        return one.value
    named = any(cue.search(before) for cue in (cues.NAMED, cues.UNIT_BEFORE, cues.YEARS_BEFORE))
    return one.value if named and over and not one.loose else _told_by_degree(before, one, over)


def _told_by_degree(before: str, one: Number, over: bool) -> float | None:
    """The age of somebody who is "not yet", "almost", "turning" or "only" so old, or half of that."""
    value = one.value
    if cues.NOT_YET.search(before) or (value == GROWN and (cues.NEARLY.search(before) or cues.ISNT.search(before))):
        return value - 1
    if cues.HALF.search(before):
        return value / 2
    growing = over and not one.loose and (cues.GROWING.search(before) or cues.STILL.search(before))
    return value if growing else None


def _under(before: str, behind: str, value: float) -> float:
    """The most that somebody under an age can be; 0 where nobody is meant, or nobody who is a minor for it."""
    return value - 1 if value <= GROWN and not _is_nobody(before) and not cues.FORBIDS.match(behind) else 0.0


def _in_years(value: float, unit: str) -> float:
    if unit.startswith("dec"):
        return value * 10
    return value / _IN_A_YEAR["m" if unit.startswith("m") else "w" if unit.startswith("w") else "d"]


def _short_of(before: str, one: Number, last: Number | None) -> float | None:
    """The age of somebody who is so many years short of one, or from one: "one year short of fifteen"."""
    said = cues.SHORT.search(before)
    if said is None or one.value > _SHORT_OF:
        return None
    count = last.value if last is not None and one.start - last.end < _BEFORE else 1.0
    years = count if said["unit"][:1].casefold() in "yjaаlлrг" and not said["unit"].casefold().startswith("m") else 0.5
    return one.value - years


def _years_end(behind: str) -> bool:
    """True where years follow, and nothing that they are years of."""
    years = cues.YEARS_BEHIND.match(behind)
    return years is not None and _ends(behind[years.end() :])


def _ends(behind: str) -> bool:
    return cues.MEASURED.match(behind) is None and _is_over(behind)


def _is_over(behind: str) -> bool:
    """True where the clause ends before a word that the number could count."""
    word = cues.WORD.search(behind)
    if word is None or word[0].casefold() in cues.SOON:
        return True
    return cues.CLAUSE_ENDS.search(behind, 0, word.start()) is not None


def _is_nobody(before: str) -> bool:
    words = cues.WORD.findall(before[-_AROUND:].casefold())
    return not cues.NOBODY.isdisjoint(words)


def _alone(before: str, behind: str, few: bool) -> bool:
    """True for a number that neither counts nor labels anything: a clause by itself, or beside nothing but "nude".

    A small one (`few`) may count what is nude.
    """
    begins = not before.strip() or cues.BEGINS.search(before) is not None
    if few and cues.AT_ONCE.match(behind) is None:
        return False
    if not begins or cues.ABBREVIATED.search(before):
        return False
    quoted = before.rstrip()[-1:] in ('"', "\u201c", "'", "\u2018", "*", "_")
    letter = cues.LETTER_BEHIND.match(behind)
    rest = behind[letter.end() :] if letter else behind
    return _is_over(rest) and (quoted or cues.MEASURED.match(rest) is None)


def _years(text: str) -> list[Young]:
    """Years of birth that make somebody a minor, and years in which somebody will leave school."""
    found = []
    for pattern in (cues.BORN, cues.BORN_BEHIND):
        for match in pattern.finditer(text):
            group = "year" if match["year"] else "year2"
            if 0 <= THIS_YEAR - _full(match[group]) < GROWN:
                found.append(Young(*match.span(group), True))
    for match in cues.LEAVES.finditer(text):
        if _full(match["year"]) - THIS_YEAR > _LEAVES_BEFORE:
            found.append(Young(*match.span(), True))
    return found


def _full(year: str) -> int:
    digits = year.strip("'\u2018\u2019")
    return int(digits) if len(digits) == 4 else 2000 + int(digits)
