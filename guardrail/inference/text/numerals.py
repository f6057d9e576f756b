"""Numerals: the numbers of a text, in whatever form they are written.

Digits of any script, Roman numerals, numbers in words of the taught languages, characters of East Asia; and what two
of them with a sign between them come to ("20-6", "10 + 4", "28/2"), or one with its root or double ("square root of
196"). Every pattern reads a character once: linear in the text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum, auto
from itertools import pairwise


class Form(StrEnum):
    """How a number is written. A SUM is two numbers with a sign between; a RANGE stands for its lower end."""

    DIGITS = auto()
    ROMAN = auto()
    WORD = auto()
    ORDINAL = auto()
    SUM = auto()
    RANGE = auto()


@dataclass(frozen=True)
class Number:
    """Where a number stands in a text, what it comes to, and how it is written; `loose` for a word that is another
    language's word for something else ("elf", "once")."""

    start: int
    end: int
    value: float
    form: Form
    loose: bool = False


# Cardinals from one on, by language; a word that several languages share stands once.
_CARDINALS: Mapping[str, str] = {
    "en": "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen",
    "nl": "een twee drie vier vijf zes zeven acht negen tien elf twaalf dertien veertien vijftien zestien zeventien "
    "achttien negentien",
    "de": "eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn "
    "achtzehn neunzehn",
    "fr": "un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize",
    "es": "uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciséis diecisiete "
    "dieciocho diecinueve",
    "it": "uno due tre quattro cinque sei sette otto nove dieci undici dodici tredici quattordici quindici sedici "
    "diciassette diciotto diciannove",
    "pt": "um dois três quatro cinco seis sete oito nove dez onze doze treze catorze quinze dezesseis dezessete "
    "dezoito dezenove",
    "pl": "jeden dwa trzy cztery pięć sześć siedem osiem dziewięć dziesięć jedenaście dwanaście trzynaście czternaście "
    "piętnaście szesnaście siedemnaście osiemnaście dziewiętnaście",
    "tr": "bir iki üç dört beş altı yedi sekiz dokuz",
    "ru": "один два три четыре пять шесть семь восемь девять десять одиннадцать двенадцать тринадцать четырнадцать "
    "пятнадцать шестнадцать семнадцать восемнадцать девятнадцать",
    "ar": "واحد اثنان ثلاث أربع خمس ست سبع ثمان تسع عشر",
    "ko": "하나 둘 셋 넷 다섯 여섯 일곱 여덟 아홉 열 열하나 열둘 열셋 열넷 열다섯 열여섯 열일곱 열여덟 열아홉",
    "ko-counting": "한 두 세 네 다섯 여섯 일곱 여덟 아홉 열 열한 열두 열세 열네 열다섯 열여섯 열일곱 열여덟 열아홉",
    "ko-sino": "일 이 삼 사 오 육 칠 팔 구 십 십일 십이 십삼 십사 십오 십육 십칠 십팔 십구",
}
_MORE: Mapping[int, str] = {
    2: "اثنين اثنتان اثنتين اثنتي إثنا اثنا twee",
    3: "ثلاثة",
    4: "أربعة اربع اربعة",
    5: "خمسة cinque",
    6: "ستة",
    7: "سبعة",
    8: "ثمانية ثماني",
    9: "تسعة",
    10: "عشرة dezena",
    12: "dozen dutzend dozijn douzaine docena dozzina dúzia tuzin düzine дюжина",
    13: "dertiene",
    14: "quatorze",
    16: "dezasseis",
    17: "dezassete",
    # From here on a word says that a number is none of a minor.
    20: "twenty twintig zwanzig vingt vingts veinte venti vinte "
    "dwadzieścia yirmi двадцать عشرون عشرين وعشرون وعشرين 스물 이십",
    30: "thirty dertig dreißig dreissig trente treinta trenta "
    "trinta trzydzieści otuz тридцать ثلاثون ثلاثين وثلاثون وثلاثين",
    40: "forty veertig vierzig quarante cuarenta quaranta quarenta "
    "czterdzieści kırk сорок أربعون أربعين وأربعون وأربعين",
    50: "fifty vijftig fünfzig cinquante cincuenta cinquanta cinquenta "
    "pięćdziesiąt elli пятьдесят خمسون خمسين وخمسون وخمسين",
    60: "sixty zestig sechzig soixante sesenta sessanta sessenta sześćdziesiąt altmış шестьдесят ستون ستين وستون وستين",
    70: "seventy zeventig siebzig setenta settanta siedemdziesiąt yetmiş семьдесят سبعون سبعين وسبعون وسبعين",
    80: "eighty tachtig achtzig ochenta ottanta oitenta osiemdziesiąt seksen восемьдесят ثمانون ثمانين وثمانون وثمانين",
    90: "ninety negentig neunzig noventa novanta dziewięćdziesiąt doksan девяносто تسعون تسعين وتسعون وتسعين",
    100: "hundred hundreds honderd hundert cent cents cien ciento cento cem sto yüz сто مئة مائة thousand million",
}
_ORDINALS: Mapping[str, str] = {
    "en": "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
    "fifteenth sixteenth seventeenth",
    "nl": "eerste tweede derde vierde vijfde zesde zevende achtste negende tiende elfde twaalfde dertiende veertiende "
    "vijftiende zestiende zeventiende",
    "fr": "premier deuxième troisième quatrième cinquième sixième septième huitième neuvième dixième onzième douzième "
    "treizième quatorzième quinzième seizième",
}
_GERMAN_ORDINAL = re.compile(r"(zehnt|elft|zwölft|dreizehnt|vierzehnt|fünfzehnt|sechzehnt|siebzehnt)(?:e[nmrs]?)")
_GERMAN = {stem: 10 + i for i, stem in enumerate(_GERMAN_ORDINAL.pattern[1:].split(")")[0].split("|"))}
# Words of other things, and of no number unless something says so.
_LOOSE = frozenset(
    (
        "elf", "once", "ten", "doze", "on", "un", "um", "uno", "one", "een", "six", "sei", "seis", "dos", "tres",
        "due",
        "tre", "dix", "altı", "sept", "set", "acht", "otto", "bir", "iki", "sto", "cent", "cents", "cento", "일", "이",
        "삼", "사", "오", "육", "칠", "팔", "구", "한", "두", "세", "네",
        "열", "십", "십일", "십이", "십오",
    )
)  # fmt: skip
# "Dört" behind it makes a number of the Turkish word, which is an English one.
_TURKISH_TEN = "on"
_TURKISH_UNITS = frozenset(_CARDINALS["tr"].split())
_FRENCH_TEN, _FRENCH_SCORE, _ARABIC_TEN, _TENS = "dix", "vingt", ("عشر", "عشرة"), 20
_HAN = {c: i for i, c in enumerate("〇一二三四五六七八九")} | {"零": 0, "両": 2, "两": 2, "壱": 1, "弐": 2, "参": 3}
_HAN_RUN = re.compile("[〇零一二三四五六七八九十百千両两壱弐参]+")
_KOREAN_UNIT = ("살의", "세의", "살짜리", "살", "세")
_ROMAN = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100}
_ROMAN_WORD = re.compile("[ivxlc]{2,7}")
_HIGHEST_ROMAN = 39
# Digits with the signs that make keys of them, or a compound of them (a time, a date, a fraction); a number of a
# computer; letters.
_TOKEN = re.compile(
    r"0x[0-9a-f]{1,4}(?![^\W_])|0b[01]{1,8}(?!\w)"
    r"|\d(?:[\ufe0f\u20e3]*\d)*[\ufe0f\u20e3]*(?:[.:/]\d+)*"
    r"|[\u2160-\u217f]+|[〇零一二三四五六七八九十百千両两壱弐参]+"
    r"|[^\W\d_〇零一二三四五六七八九十百千両两壱弐参\u2160-\u217f]+",
    re.IGNORECASE,
)
_DECIMAL = re.compile(r"\d{1,2}\.\d")
_KEYS = re.compile("[\ufe0f\u20e3]+")
_MOST_DIGITS = 4
_WITHIN_NUMBER = re.compile(r"[ \t]{0,2}[-\u2010\u2011]?[ \t]{0,2}|[ \t](?:y|et|e|and|und|en|و)[ \t]", re.IGNORECASE)
_SIGN = re.compile(
    r"[ \t]{0,2}(?:([+]|plus|add)|([-\u2010-\u2015\u2212]|minus|less|min|to|tot|bis|à|a|or|~|～))[ \t]{0,2}",
    re.IGNORECASE,
)
_MINUS = ("minus", "less", "min")
_TIMES = re.compile(
    r"[ \t]{0,2}(?:[×x*·⋅乘]|times|multiplied by|keer|maal|mal|fois|por|per|vezes|razy|kere|kez|умножить на|на|в|"
    r"かける|곱하기|乘以)[ \t]{0,2}",
    re.IGNORECASE,
)
_OVER = re.compile(
    r"[ \t]{0,2}[÷/][ \t]{0,2}|[ \t]:[ \t]|[ \t]{0,2}(?:divided by|over|gedeeld door|geteilt durch|durch|divisé par|"
    r"dividido (?:por|entre)|diviso|podzielone przez|bölü|разделить на|делить на|割る|나누기|除以)[ \t]{0,2}",
    re.IGNORECASE,
)
_FRACTION = re.compile(r"(\d{1,4})/(\d{1,2})")
# What stands before or behind a number and makes another of it.
_ROOT = re.compile(
    r"(?:√[ \t]?|\b(?:(?:the|de|die|la|il|a) )?(?:(?:square[ -])?root of|sqrt(?: of|\()?|"
    r"(?:vierkants)?wortel (?:van|uit)|(?:quadrat)?wurzel (?:aus|von)|"
    r"racine(?: carrée)? de|raíz(?: cuadrada)? de|radice(?: quadrata)? di|raiz(?: quadrada)? de|"
    r"pierwiastek(?: kwadratowy)? z(?:e)?|(?:квадратный )?корень из|الجذر التربيعي ل)[ \t]{0,2}(?:the )?)\Z",
    re.IGNORECASE,
)
_ROOT_BEHIND = re.compile(r"[ \t]?(?:の平方根|的平方根|의 ?제곱근|['\u2019]?[ıiun]{1,2}n karekökü)", re.IGNORECASE)
_DOUBLE = re.compile(
    r"\b(?:twice|double(?: of)?|dubbele? van|doppelt?e? von|double de|doble de|doppio di|dobro de|"
    r"удвоенн\w{2,3})[ \t]{1,2}\Z",
    re.IGNORECASE,
)
# Characters before a number that are looked at for these.
_BEFORE = 28


def numbers(text: str) -> list[Number]:
    """The numbers of a text, in order, and behind them what two that belong together come to."""
    found = list(_joined(text, list(_single(text))))
    return [*found, *_sums(text, found)]


def _single(text: str) -> Iterator[Number]:
    for match in _TOKEN.finditer(text):
        token = match[0]
        start, end = match.span()
        read = _read_digits(token) if token[0].isdigit() else _read_letters(token)
        if read is not None and not (token in _KOREAN_UNIT and text[start - 1 : start].isdecimal()):
            value, form, length = read
            loose = (length == 1 and form is Form.WORD) or token[:length].casefold() in _LOOSE
            yield Number(start, start + length if length < len(token) else end, value, form, loose)


def _read_digits(token: str) -> tuple[float, Form, int] | None:
    low = token.casefold()
    if low.startswith(("0x", "0b")) and len(low) > 2:
        return float(int(low[2:], 16 if low[1] == "x" else 2)), Form.DIGITS, len(token)
    plain = _KEYS.sub("", token)
    if plain.isdecimal():
        if len(plain) > _MOST_DIGITS:
            return None
        return float(int(plain)), Form.DIGITS, len(token)
    fraction = _FRACTION.fullmatch(plain)
    if fraction and (whole := _divided(float(fraction[1]), float(fraction[2]))) is not None:
        return whole, Form.SUM, len(token)
    if _DECIMAL.fullmatch(plain):
        return float(plain), Form.DIGITS, len(token)
    return None


def _read_letters(token: str) -> tuple[float, Form, int] | None:
    if _HAN_RUN.fullmatch(token):
        han = _from_han(token)
        return None if han is None else (float(han), Form.WORD, len(token))
    if "\u2160" <= token[0] <= "\u217f":
        token = unicodedata.normalize("NFKC", token)
    low = token.casefold()
    if low in _VALUES:
        return float(_VALUES[low]), Form.WORD, len(token)
    if low in _NTH:
        return float(_NTH[low]), Form.ORDINAL, len(token)
    german = _GERMAN_ORDINAL.fullmatch(low)
    if german:
        return float(_GERMAN[german[1]]), Form.ORDINAL, len(token)
    for unit in _KOREAN_UNIT:
        bare = low.removesuffix(unit)
        if bare != low and bare in _VALUES:
            return float(_VALUES[bare]), Form.WORD, len(bare)
    roman = _from_roman(low)
    return None if roman is None else (float(roman), Form.ROMAN, len(token))


def _from_roman(low: str) -> int | None:
    if not _ROMAN_WORD.fullmatch(low):
        return None
    values = [_ROMAN[c] for c in low]
    total = values[-1] + sum(-a if a < b else a for a, b in pairwise(values))
    return total if 0 < total <= _HIGHEST_ROMAN else None


def _from_han(run: str) -> int | None:
    """The number that a run of such characters is: "十四", "二十", "一四"; None for one over 99 or one by itself."""
    if any(c in "百千" for c in run):
        return None
    if "十" not in run:
        return sum(_HAN[c] * 10**i for i, c in enumerate(reversed(run))) if len(run) <= 2 else None
    before, _, behind = run.partition("十")
    if len(before) > 1 or len(behind) > 1 or "十" in behind:
        return None
    return (_HAN[before] if before else 1) * 10 + (_HAN[behind] if behind else 0)


def _joined(text: str, singles: list[Number]) -> Iterator[Number]:
    """The numbers of a text, with those of several words as one: "twenty-four", "on dört", "أربعة عشر"."""
    run: list[Number] = []
    for number in singles:
        if run and _belongs(text, run[-1], number):
            run.append(number)
            continue
        if run:
            yield _as_one(text, run)
        run = [number]
    if run:
        yield _as_one(text, run)


def _belongs(text: str, one: Number, other: Number) -> bool:
    """True where a word for a number goes on with the next: units beside tens, "ten" beside units."""
    if not (one.form is Form.WORD is other.form and _WITHIN_NUMBER.fullmatch(text, one.end, other.start)):
        return False
    word, following = (text[each.start : each.end].casefold() for each in (one, other))
    if _TURKISH_TEN in (word, following):
        return word == _TURKISH_TEN and following in _TURKISH_UNITS
    if word == _FRENCH_TEN:
        return other.value in (7, 8, 9)
    return following in _ARABIC_TEN or max(one.value, other.value) >= _TENS


def _as_one(text: str, run: list[Number]) -> Number:
    if len(run) == 1:
        return run[0]
    total = 0.0
    for number in run:
        score = total == 4 and text[number.start : number.end].casefold().startswith(_FRENCH_SCORE)
        total = 80.0 if score else total + number.value
    return Number(run[0].start, run[-1].end, total, Form.WORD)


def _sums(text: str, found: list[Number]) -> Iterator[Number]:
    for number in found:
        yield from _reckoned(text, number)
    for one, other in pairwise(found):
        form, value = Form.SUM, _come_to(text, one, other)
        if value is None and (sign := _SIGN.fullmatch(text, one.end, other.start)) and sign[2] not in (None, *_MINUS):
            form, value = Form.RANGE, one.value if one.value <= other.value else None
        if value is not None:
            yield Number(one.start, other.end, value, form)


def _come_to(text: str, one: Number, other: Number) -> float | None:
    """What two numbers come to by the sign between them; None where none stands there."""
    if sign := _SIGN.fullmatch(text, one.end, other.start):
        if sign[1]:
            return one.value + other.value
        fewer = other.value < one.value and (sign[2] in _MINUS or not sign[2].isalpha())
        return one.value - other.value if fewer else None
    if _TIMES.fullmatch(text, one.end, other.start):
        return one.value * other.value
    return _divided(one.value, other.value) if _OVER.fullmatch(text, one.end, other.start) else None


def _divided(value: float, by: float) -> float | None:
    """A number divided by another, where that comes to a whole one: "3/4" is a view."""
    return value / by if by and not value % by else None


def _reckoned(text: str, number: Number) -> Iterator[Number]:
    """The root or the double of a number, where that is said of it."""
    before = max(0, number.start - _BEFORE)
    root = _ROOT.search(text, before, number.start)
    behind = None if root else _ROOT_BEHIND.match(text, number.end)
    if root or behind:
        value = number.value**0.5
        if value.is_integer():
            yield Number(
                root.start() if root else number.start, behind.end() if behind else number.end, value, Form.SUM
            )
    elif double := _DOUBLE.search(text, before, number.start):
        yield Number(double.start(), number.end, 2 * number.value, Form.SUM)


def _table(lists: Mapping[str, str]) -> dict[str, int]:
    return {word: i for words in lists.values() for i, word in enumerate(words.split(), 1)}


def _also_plain(values: dict[str, int]) -> dict[str, int]:
    """The words, and the longer ones without their accents."""
    plain = {
        "".join(c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c)): value
        for word, value in values.items()
        if len(word) >= _PLAIN_FROM and word[0] < _GREEK
    }
    return plain | values


_PLAIN_FROM, _GREEK = 5, "\u0370"
_VALUES = _also_plain(
    _table(_CARDINALS) | {word: value for value, words in _MORE.items() for word in words.split()} | {_TURKISH_TEN: 10}
)
_NTH = _also_plain(_table(_ORDINALS))
