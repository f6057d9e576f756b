"""Numbers are read once, whatever they are written in; words of other things are none."""

from __future__ import annotations

import pytest

from guardrail.inference.text.numerals import Form, numbers
from tests.timing import assert_linear


def values(text: str) -> list[float]:
    return [number.value for number in numbers(text) if number.form not in (Form.SUM, Form.RANGE)]


@pytest.mark.parametrize(
    "text",
    [
        *("14", "\uff11\uff14", "١٤", "१४", "1\ufe0f\u20e34\ufe0f\u20e3", "0xE", "0b1110", "XIV", "xiv", "XIIII", "ⅩⅣ"),
        *("fourteen", "veertien", "vierzehn", "quatorze", "catorce", "quattordici", "czternaście", "czternascie"),
        *(
            "on dört",
            "четырнадцать",
            "أربعة عشر",
            "十四",
            "一四",
            "열넷",
            "십사",
            "열네살",
            "fourteenth",
            "vierzehnten",
        ),
    ],
)
def test_fourteen_is_fourteen(text: str) -> None:
    assert values(text) == [14.0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("twenty-four", 24),
        ("vingt et un", 21),
        ("soixante-quatorze", 74),
        ("quatre-vingt-quatorze", 94),
        ("dix-sept", 17),
        ("yirmi dört", 24),
        ("أربعة وعشرون", 24),
        ("treinta y cuatro", 34),
        ("двадцать четыре", 24),
        ("三十五", 35),
        ("14.5", 14.5),
    ],
)
def test_several_words_or_signs_are_one_number(text: str, value: float) -> None:
    assert values(text) == [value]


@pytest.mark.parametrize("text", ["vierundzwanzig", "12:30", "3/5/2012", "civil", "mix", "i", "百", "1234567", ""])
def test_what_is_no_number_of_years_is_left_alone(text: str) -> None:
    assert values(text) == []


@pytest.mark.parametrize("text", ["3/4", "16/9", "1/2", "7/0", "28/2/2012", "12:30", "√195", "a root of 2, twice"])
def test_fractions_times_and_dates_come_to_nothing(text: str) -> None:
    assert [number.value for number in numbers(text) if number.form is Form.SUM] == []


def test_lists_are_several_numbers() -> None:
    assert values("one two three") == [1, 2, 3]
    assert values("12, 14") == [12, 14]


@pytest.mark.parametrize(
    ("text", "form", "value"),
    [
        ("20-6", Form.SUM, 14),
        ("18 minus 4", Form.SUM, 14),
        ("7 + 7", Form.SUM, 14),
        ("13-15", Form.RANGE, 13),
        ("12 to 14", Form.RANGE, 12),
        *((text, Form.SUM, 14) for text in ("7x2", "7 × 2", "two times seven", "2 keer 7", "zwei mal sieben", "2*7")),
        *((text, Form.SUM, 14) for text in ("28/2", "28 ÷ 2", "28 divided by 2", "28 gedeeld door 2", "28 : 2")),
        *((text, Form.SUM, 14) for text in ("twice 7", "double seven", "het dubbele van 7", "le double de 7")),
        *((text, Form.SUM, 14) for text in ("√196", "the square root of 196", "de wortel van 196", "Wurzel aus 196")),
        *((text, Form.SUM, 14) for text in ("racine carrée de 196", "корень из 196", "196の平方根", "196的平方根")),
    ],
)
def test_two_numbers_and_a_sign_come_to_one(text: str, form: Form, value: float) -> None:
    assert [number.value for number in numbers(text) if number.form is form] == [value]


@pytest.mark.parametrize("word", ["elf", "once", "ten", "doze", "六", "한"])
def test_a_word_of_something_else_is_a_loose_number(word: str) -> None:
    assert [number.loose for number in numbers(word)] == [True]


@pytest.mark.parametrize(
    "unit",
    [
        "1,",
        "4 - ",
        "xiv ",
        "on ",
        "vingt ",
        "十四",
        "열네 ",
        "1.",
        "12:",
        "twenty-four ",
        "2x",
        "28/2 ",
        "twice 7 ",
        "√196 ",
    ],
)
def test_the_time_is_linear(unit: str) -> None:
    assert_linear(numbers, unit * (32000 // len(unit)))
