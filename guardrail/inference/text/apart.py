"""Apart: a text that speaks of a child and of nakedness is read once more as each of the two without the other.

Nothing that the heads learn from joins the two, and so they came to believe that one excludes the other: a sentence
with both was neither. Each half by itself is what they know.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from itertools import accumulate

from guardrail.inference.text.ages import (
    GIRL_OR_BOY,
    beside_nakedness,
    counts_nothing,
    stands_alone,
    under_eighteen,
    was_said,
)
from guardrail.inference.text.lexicon import Lexicon
from guardrail.inference.text.wordlist import Span, WordList

# Whom a text is about where it is about a child. "Girl" and "student" alone say nothing of age.
_CHILD, _CHILDLIKE = "minor", ("minor", "youngish")
# Beside the lexicon's words: what only children wear, who looks young, and names for the sexual likeness of a child.
_WORN, _LOOKS, _CODED = "childwear", "younglooks", "coded"
_CODED_MEANS = ("pornography", "child")
# A child and nakedness in a language that the encoders were not taught, and what that means in one that they were.
_BARE_IN, _CHILD_IN, _ABROAD_MEANS = "bare.", "child.", ("naked woman", "child")
# A number in words is an age beside a word that says so, or where it has one in itself ("vijfjarig").
_NUMBER, _YEARS = "youngnumber", ("yearunit", "ageword", "birthday")
_OLD = re.compile("jari|jähr|letni|lat[ek]|летн|歳|岁|살")
_BESIDE = 16  # characters
# Words of the body and of dress: one of the first alone, or both of the pair.
_BARE = ("nude", "explicit", "body", "reveal", "through")
_PAIR = ("remove", "clothes")
_WORD = re.compile(r"[^\W\d_]+")
_UNSPACED_GIRL_OR_BOY = re.compile("女孩|男孩|女生|男生|少女|少年|女の子|男の子|소녀|소년|여자애|남자애")
_SPACES = re.compile(r"[ \t]{2,}")
# What stands for somebody without an age, and for clothes of no school, by how the text is written; the encoders know
# the words of one language in a sentence of another.
_WRITTEN = (
    (re.compile(r"[\u3040-\u30ff]"), "女性", "服"),
    (re.compile(r"[\uac00-\ud7af]"), "여자", "옷"),
    (re.compile(r"[\u3400-\u9fff]"), "女人", "衣服"),
    (re.compile(r"[\u0400-\u04ff]"), "женщина", "одежду"),
    (re.compile(r"[\u0600-\u06ff]"), "امرأة", "ملابس"),
)
_ANYBODY, _ANYTHING = "woman", "clothes"
# Beside words of sex or of changing clothes alone, as in a lesson about the one and a child's other jumper: a plural,
# which points at nobody.
_MANY, _POINTED = "people", frozenset(("nude", "body", "reveal", "through"))


def readings(text: str, lexicon: Lexicon) -> list[str]:
    """The text with somebody of no age in it, and the text without its words of the body and of dress.

    None where it does not speak of both. Beside them what names, "under 18" and languages that were not taught mean, in
    words that the encoders know. Linear in the text.
    """
    halves = _halves(text, lexicon)
    meant = [*_CODED_MEANS] if _own().spans(text, (_CODED,)) else []
    if halves and under_eighteen(text):
        meant.append(_CODED_MEANS[1])
    if _is_told_abroad(text):
        meant += _ABROAD_MEANS
    return [*halves, *dict.fromkeys(meant)]


def _is_told_abroad(text: str) -> bool:
    """True where one language that was not taught has words for both."""
    told = {span.concept for span in _own().spans(text, _abroad(), whole=True)}
    return any(concept.replace(_BARE_IN, _CHILD_IN) in told for concept in told if concept.startswith(_BARE_IN))


@cache
def _abroad() -> tuple[str, ...]:
    return tuple(concept for concept in _own().concepts if concept.startswith((_BARE_IN, _CHILD_IN)))


def _halves(text: str, lexicon: Lexicon) -> list[str]:
    ages = [*_ages(text, lexicon), *_own().spans(text, (_LOOKS,), whole=True)]
    worn = _own().spans(text, (_WORN,), whole=True)
    if not ages and not worn and not lexicon.spans(text, (_CHILD,)):
        return []
    bare = lexicon.spans(text, (*_BARE, *_PAIR), whole=True)
    told = {span.concept for span in bare} | ({"clothes"} if worn else set())
    if not (told & set(_BARE) or told.issuperset(_PAIR)):
        return []
    grown = _without(text, [*ages, *lexicon.spans(text, _YEARS, whole=True)])
    grown = _dressed_as_anybody(grown)
    somebody = _written(text)[0] if told & _POINTED else _MANY
    grown = _without(grown, [*lexicon.spans(grown, _CHILDLIKE, whole=True), *_girls_and_boys(grown)], somebody)
    # What only children wear says both; the other half is what is left, but for what they wear.
    others = _beside(bare, worn)
    return [part for part in (grown, _without(text, others)) if _WORD.search(part)]


@cache
def _own() -> WordList:
    return WordList(files("guardrail.inference").joinpath("heads/prompt_apart.txt").read_text("utf-8"))


def _beside(spans: Sequence[Span], others: Sequence[Span]) -> list[Span]:
    """Those of the spans that overlap none of the others, which are in order."""
    starts, reach = [one.start for one in others], [*accumulate((one.end for one in others), max)]

    def clear(span: Span) -> bool:
        before = bisect_left(starts, span.end)
        return not before or reach[before - 1] <= span.start

    return [span for span in spans if clear(span)]


def _dressed_as_anybody(text: str) -> str:
    """The text with clothes in place of what only children wear."""
    parts, at = [], 0
    for span in _own().spans(text, (_WORN,), whole=True):
        if span.start >= at:
            parts += [text[at : span.start], _written(text)[1]]
            at = span.end
    return "".join((*parts, text[at:]))


def _ages(text: str, lexicon: Lexicon) -> list[Span]:
    """Where somebody's age under 18 stands, in digits or in words."""
    found = [Span(start, end, "age") for start, end in lexicon.young_ages(text)]
    years = iter(lexicon.spans(text, _YEARS))
    near = next(years, None)
    for number in lexicon.spans(text, (_NUMBER,), whole=True):
        while near is not None and near.end < number.start - _BESIDE:
            near = next(years, None)
        beside = near is not None and near.start <= number.end + _BESIDE
        said = _OLD.search(text, number.start, number.end) or _is_said(text, number)
        if beside or said or stands_alone(text, number.start, number.end):
            found.append(number)
    return [*found, *(Span(start, end, "age") for start, end in beside_nakedness(text))]


def _is_said(text: str, number: Span) -> bool:
    """True for the number of "she's sixteen"."""
    said = _WORD.findall(text[max(0, number.start - _BESIDE) : number.start].casefold())
    return was_said(said) and counts_nothing(text[number.end : number.end + _BESIDE])


def _girls_and_boys(text: str) -> list[Span]:
    spaced = [match for match in _WORD.finditer(text) if match.group().casefold() in GIRL_OR_BOY]
    return [Span(*match.span(), "youngish") for match in (*spaced, *_UNSPACED_GIRL_OR_BOY.finditer(text))]


def _written(text: str) -> tuple[str, str]:
    """Somebody and clothes, in the script of the text."""
    found = ((who, what) for script, who, what in _WRITTEN if script.search(text))
    return next(found, (_ANYBODY, _ANYTHING))


def _without(text: str, spans: Sequence[Span], instead: str = "") -> str:
    """The text without the spans, and `instead` in place of the first of each run of them."""
    parts: list[str] = []
    at = 0
    for span in sorted(spans, key=lambda span: span.start):
        if span.end <= at:
            continue
        between = text[at : max(at, span.start)]
        if instead and (not parts or _WORD.search(between)):
            between += instead
        parts.append(between)
        at = span.end
    parts.append(text[at:])
    return _SPACES.sub(" ", "".join(parts)).strip(" -,")
