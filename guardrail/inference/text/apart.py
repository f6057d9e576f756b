"""Apart: a text that speaks of a child and of nakedness is read once more as each of the two without the other.

Nothing that the heads learn from joins the two, and so they came to believe that one excludes the other: a sentence
with both was neither. Each half by itself is what they know.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files
from itertools import accumulate, islice

from guardrail.inference.text import latin, slang
from guardrail.inference.text.abroad import Told, abroad
from guardrail.inference.text.ages import GIRL_OR_BOY, counts_nothing, was_said
from guardrail.inference.text.lexicon import Lexicon
from guardrail.inference.text.wordlist import Span, WordList
from guardrail.inference.text.youth import beside_nakedness, blanked

# Whom a text is about where it is about a child. "Girl" and "student" alone say nothing of age.
_CHILD, _CHILDLIKE = "minor", ("minor", "youngish")
# Beside the lexicon's words: what only children wear, who looks young, what means a child beside nakedness and nowhere
# else, and names for the sexual likeness of a child.
_WORN, _LOOKS, _MEANS_CHILD, _CODED = "childwear", "younglooks", "youngname", "coded"
# A bare chest is nakedness beside a word for a girl, so many characters away at most.
_CHEST, _GIRL = "barechest", "girl"
_NEAR_GIRL = 24
# Right before it, who has the bare chest is somebody else: "a girl draws a shirtless hero".
_SOMEBODY_ELSE = re.compile(
    r"(?:\b(?:an?|the|an?other|een|ein|eine[nm]?|une?|una|uno|um|uma|bir)[ \t]|一[个個位名])\Z", re.IGNORECASE
)
# A man or a boy, whose bare chest it is where he stands right beside it, and not the girl: "her dad without a shirt",
# "a shirtless boy". Where both are named as one ("a girl and a boy topless") it is hers as well.
_HIM = (
    r"(?:\b(?:dad(?:dy)?|father|grandpa|grandfather|m[ae]n|guys?|boys?|boyfriend|brothers?|husband|uncle|vader|papa|opa|"
    r"mannen|jongens?|broer|oom|vater|mann|männer|jung(?:en?|em)|bruder|onkel|père|hommes?|garçons?|frère|mari|oncle|"
    r"padre|papá|hombres?|niños?|chicos?|hermano|tío|papà|uomo|uomini|ragazz[oi]|bambino|fratello|pai|papai|homem|"
    r"homens|meninos?|garotos?|irmão|tat[aąęo]|ojc\w{1,3}|ojciec|mężczyzn\w{0,3}|chłop\w{2,6}|brat\w{0,3}|baba\w{0,4}|"
    r"adam\w{0,4}|erkek\w{0,4}|пап[аыоуй]й?|отц\w{1,2}|отец|мужчин\w{1,3}|мальчик\w{0,3}|пар(?:ень|н\w{1,3})|"
    r"дедушк\w{1,2}|брат\w{0,3}|والد\w{0,3}|رجل|ولد)\b|父親?|男の子|男性?|少年|息子|パパ|아빠|아버지|남자|소년|爸爸|父亲|男孩|男人|男子)"
)
_HIM_BEFORE = re.compile(_HIM + r"([^\n,;.!?、，]{0,6})\Z", re.IGNORECASE)
_HIM_BEHIND = re.compile(r"[ \t]{0,2}(?:の|的|를 벗은 |을 벗은 )?(?:bir )?" + _HIM, re.IGNORECASE)
_HIM_BETWEEN = re.compile(_HIM, re.IGNORECASE)
_AND = (
    r"(?:\s(?:and|or|en|of|und|oder|et|ou|y|e|o|i|ve|и)\s(?:(?:an?|the|een|de|ein(?:en)?|une?|le|una?|el|uno?|il|"
    r"um|bir)\s)?|\s?[&+/와과と和]\s?|,\s|\sو)"
)
_HERS = frozenset(("", "的", "の"))
_AS_ONE = re.compile(_AND + r"\Z", re.IGNORECASE)
_JOINED = re.compile(
    r"\s(?:and|or|en|of|und|oder|et|ou|y|e|o|i|ve|и|both|beide|allebei)\s|[&+/와과と和و]", re.IGNORECASE
)
# What is called bare or nude and undresses nobody.
_THING = "barething"
# A letter by itself speaks of one thing at most.
_ONE_LETTER = re.compile(r"\s?\w[\s.,;!?\u3001\u3002\uff0c]{0,3}")
_NUDE = re.compile(r"\bnude\b", re.IGNORECASE)
# A field that says that nothing is worn, which the heads do not read as nakedness.
_NO_FIELD = "nofield"
_A_CHILD, _CODED_MEANS = "child", ("pornography", "child")
# What nakedness and a child in a language that the encoders were not taught mean in one that they were.
_BARE_MEANS, _ABROAD_MEANS = "naked woman", ("naked woman", "child")
# A number in words is an age beside a word that says so, or where it has one in itself ("vijfjarig").
_NUMBER, _YEARS = "youngnumber", ("yearunit", "ageword", "birthday")
# Nakedness that is told, in no place of its own.
_ANYWHERE = Span(0, 0, "nude")
_OLD = re.compile("jari|jähr|letni|lat[ek]|летн|歳|岁|살")
_BESIDE = 16  # characters
# Words of the body and of dress: one of the first alone, or both of the pair.
_BARE = ("nude", "explicit", "body", "reveal", "through", "nofield", "barechest")
_PAIR = ("remove", "clothes")
_SPOKEN = ("nude", "explicit", "body", "reveal", "through", *_PAIR)
# Of these a number that stands beside them alone is an age; a size or a shade may stand beside the others.
_NAKED = ("nude", "explicit", "nofield", "barechest")
_WORD = re.compile(r"[^\W\d_]+")
_UNSPACED_GIRL_OR_BOY = re.compile("女孩|男孩|女生|男生|少女|少年|女の子|男の子|소녀|소년|여자애|남자애")
_CLAUSE = re.compile(r"[^,;.!?|\n\u060c\u3001\u3002\uff0c\uff1b]+")
_MOST_CLAUSES = 8
_PARTED = re.compile(r"[^\w\s'\u2019-]|\n")
# Signs between an age and nakedness, so many at most.
_TOUCHING = 4
_NOT_LETTERS_BEFORE, _NOT_LETTERS = re.compile(r"[\W_]*\Z"), re.compile(r"[\W_]*")
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
_MANY, _POINTED = "people", frozenset(("nude", "body", "reveal", "through", "nofield", "barechest"))


def readings(text: str, lexicon: Lexicon) -> list[str]:
    """The text with somebody of no age in it, and the text without its words of the body and of dress.

    None where it does not speak of both. Beside them "child" where it is sure that somebody is under 18, and what names
    and languages that were not taught mean, in words that the encoders know. Linear in the text.
    """
    if _ONE_LETTER.fullmatch(text):
        return []
    things = [
        span for span in _own().spans(text, (_THING,), whole=True) if not _PARTED.search(text, span.start, span.end)
    ]
    bare = _beside(lexicon.spans(text, _SPOKEN, whole=True), things)
    meant = [*_CODED_MEANS] if _own().spans(text, (_CODED,)) else []
    fields = _own().spans(text, (_NO_FIELD,), whole=True)
    told = sorted([*bare, *fields, *_bare_girls(text)], key=lambda span: span.start)
    halves, sure, near = _halves(text, told, lexicon)
    if sure:
        meant += [_A_CHILD, _BARE_MEANS] if fields or near else [_A_CHILD]
    meant += _told_abroad(text, abroad().told(text), bare, lexicon)
    return [*halves, *dict.fromkeys(meant)]


def coloured(text: str) -> str:
    """The text with "beige" for the colour nude of shoes and make-up, which says nothing about anybody's clothes.

    Linear in the text.
    """
    if "nude" not in text.casefold():
        return text
    out, at = [], 0
    for span in _own().spans(text, (_THING,), whole=True):
        if span.start < at or _PARTED.search(text, span.start, span.end):
            continue
        out += [text[at : span.start], _NUDE.sub("beige", text[span.start : span.end])]
        at = span.end
    return "".join([*out, text[at:]])


def _told_abroad(text: str, told: Told, bare: Sequence[Span], lexicon: Lexicon) -> Sequence[str]:
    """What a text means that speaks of a child and of nakedness, where one of them is told in such a language.

    In a script that no taught language is written in, the other may be told in one of those.
    """
    if told.both:
        return _ABROAD_MEANS
    if told.own_child and any(span.concept in _NAKED for span in bare):
        return (_A_CHILD,)
    if told.own_bare and (lexicon.spans(text, (_CHILD,)) or _young(text, [_ANYWHERE], lexicon)[1]):
        return _ABROAD_MEANS
    return ()


def _halves(text: str, bare: Sequence[Span], lexicon: Lexicon) -> tuple[list[str], bool, bool]:
    """Both halves, none where one is missing; whether somebody is surely under 18; whether nakedness touches that."""
    worn = _own().spans(text, (_WORN,), whole=True)
    told = {span.concept for span in bare} | ({"clothes"} if worn else set())
    if not (told & set(_BARE) or told.issuperset(_PAIR)):
        return [], False, False
    naked = [span for span in bare if span.concept in _NAKED]
    ages, surely = _young(text, naked, lexicon)
    names = _own().spans(text, (_LOOKS, _MEANS_CHILD), whole=True)
    ages += names
    girl = _CHEST in told
    if not ages and not worn and not girl and not lexicon.spans(text, (_CHILD,)):
        return [], False, False
    sure = bool(surely) or any(name.concept == _MEANS_CHILD for name in names)
    grown = _without(text, [*ages, *lexicon.spans(text, _YEARS, whole=True)])
    grown = _dressed_as_anybody(grown)
    somebody = _written(text)[0] if told & _POINTED else _MANY
    grown = _without(grown, [*lexicon.spans(grown, _CHILDLIKE, whole=True), *_girls_and_boys(grown)], somebody)
    # What only children wear says both; the other half is what is left, but for what they wear.
    others = _beside(bare, worn)
    alone = _clauses(text, naked, ages) if sure or names else []
    halves = (grown, _without(text, others), *alone)
    return [part for part in dict.fromkeys(halves) if _WORD.search(part)], sure, _touch(text, naked, surely)


def _bare_girls(text: str) -> list[Span]:
    """Where a chest is bare beside a word for a girl."""
    chests = _own().spans(text, (_CHEST,), whole=True)
    girls = _own().spans(text, (_GIRL,)) if chests else []
    starts = [girl.start for girl in girls]

    def beside(chest: Span) -> bool:
        at = bisect_left(starts, chest.start)
        before = girls[at - 1] if at and chest.start <= girls[at - 1].end + _NEAR_GIRL else None
        at = bisect_left(starts, chest.end)
        near = at < len(girls) and starts[at] <= chest.end + _NEAR_GIRL
        if near and not _PARTED.search(text, chest.end, starts[at]) and not _is_his(text, chest, starts[at]):
            return True
        if before is None or _SOMEBODY_ELSE.search(text, before.end, chest.start):
            return False
        return not _his_instead(text, before, chest)

    return [chest for chest in chests if beside(chest)]


def _is_his(text: str, chest: Span, girl: int) -> bool:
    """True where a man stands right before a bare chest, or between it and a girl behind it."""
    if text[chest.end : girl].strip() in _HERS:  # "a shirtless girl", whoever stands before that
        return False
    if _HIM_BETWEEN.search(text, chest.end, girl):
        return True
    him = _HIM_BEFORE.search(text, max(0, chest.start - _NEAR_GIRL), chest.start)
    return him is not None and not _JOINED.search(him[1])


def _his_instead(text: str, girl: Span, chest: Span) -> bool:
    """True where a man stands right beside a bare chest, and a girl further before it."""
    if _HIM_BEHIND.match(text, chest.end):
        return True
    him = _HIM_BEFORE.search(text, girl.end, chest.start)
    return him is not None and not (_AS_ONE.search(text, girl.end, him.start()) or _JOINED.search(him[1]))


def _touch(text: str, naked: Sequence[Span], ages: Sequence[Span]) -> bool:
    """True where an age stands right beside nakedness, with signs between: "nude, 14", whatever stands around both.

    The heads read a clause of two words in a line of many others for what the others say.
    """
    ends = {span.end for span in naked}
    starts = sorted(span.start for span in naked)
    for age in ages:
        before = _NOT_LETTERS_BEFORE.search(text, max(0, age.start - _TOUCHING), age.start)
        if before is not None and before.start() in ends:
            return True
        behind = _NOT_LETTERS.match(text, age.end, age.end + _TOUCHING)
        at = bisect_left(starts, age.end)
        if behind is not None and at < len(starts) and starts[at] <= behind.end():
            return True
    return False


def _clauses(text: str, naked: Sequence[Span], ages: Sequence[Span]) -> list[str]:
    """The first clauses that speak of nakedness, without ages: what stands around these hides it ("not quite")."""
    cleared = blanked(text, sorted((age.start, age.end) for age in ages))
    starts = [span.start for span in naked]
    found: dict[str, None] = {}
    for clause in _CLAUSE.finditer(cleared):
        first = bisect_left(starts, clause.start())
        if first < len(starts) and starts[first] < clause.end():
            found[clause[0]] = None
    return [_SPACES.sub(" ", clause).strip(" -") for clause in islice(found, _MOST_CLAUSES)]


def digest() -> str:
    """Eight hex digits that tell the lists of words from any others."""
    return sha256(f"{_own().digest} {abroad().digest} {latin.digest()} {slang.digest()}".encode()).hexdigest()[:8]


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


def _young(text: str, naked: Sequence[Span], lexicon: Lexicon) -> tuple[list[Span], list[Span]]:
    """Where somebody's age under 18 stands, and those of which it is sure that they are that."""
    found = [Span(start, end, "age") for start, end in lexicon.young_ages(text)]
    years = iter(lexicon.spans(text, _YEARS))
    near = next(years, None)
    for number in lexicon.spans(text, (_NUMBER,), whole=True):
        while near is not None and near.end < number.start - _BESIDE:
            near = next(years, None)
        beside = near is not None and near.start <= number.end + _BESIDE
        if beside or _OLD.search(text, number.start, number.end) or _is_said(text, number):
            found.append(number)
    told = beside_nakedness(text, [(span.start, span.end) for span in naked])
    ages = [(Span(one.start, one.end, "age"), one.sure) for one in told]
    return [*found, *(span for span, _ in ages)], [span for span, sure in ages if sure]


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
