"""Beside nakedness: which numbers say that somebody is under eighteen. Minimal phrases; "nude" stands for the rest."""

from __future__ import annotations

import pytest

from guardrail.inference.text.ages import GROWN, THIS_YEAR
from guardrail.inference.text.youth import beside_nakedness
from tests.timing import assert_linear

NUDE = "nude, "


def sure(text: str) -> bool:
    return any(young.sure for young in beside_nakedness(NUDE + text, [(0, 4)]))


@pytest.mark.parametrize(
    "said",
    [
        *(
            "{}",
            '"{}"',
            "'{}'",
            "({})",
            "~{}",
            "{}yo",
            "{} y.o.",
            "{}yrs",
            "{} years",
            "{}-year-old",
            "yo: {}",
            "years={}",
        ),
        *("age: {}", "age={}", '"age": {}', "aged {}", "ages {}-40", "leeftijd: {}", "年齢{}", "나이 {}", "العمر {}"),
        *(
            "turning {}",
            "about to turn {}",
            "she will be {} tomorrow",
            "looks {}",
            "nearly {}",
            "not yet {}",
            "only {}",
        ),
        *(
            "wird {}",
            "net {} geworden",
            "compie {}",
            "casi {}",
            "почти {}",
            "{}歳",
            "{} 岁",
            "{}살",
            "{} лет",
            "{} lat",
        ),
        *("under {}", "under-{}s", "younger than {}", "U{}", "jonger dan {}", "unter {}", "moins de {} ans", "до {}"),
        *("младше {}", "menor de {}", "{}歳未満", "{}세 미만", "未满{}岁", "{} yaş altı", "تحت {}"),
        *(
            "her {}th birthday",
            "{}e verjaardag",
            "cake says {}",
            "the candles on her cake read {}",
            "balloon number {}",
        ),
    ],
)
def test_an_age_is_told_in_many_ways(said: str) -> None:
    assert sure(said.format(15))
    assert not sure(said.format(25))


@pytest.mark.parametrize("age", ["XVI", "xvi", "sixteen", "zestien", "sechzehn", "seize", "шестнадцать", "١٦", "१६"])
@pytest.mark.parametrize("said", ["{} years old", "aged {}", "turning {}", "under {}", "{}"])
def test_and_in_any_form_of_number(said: str, age: str) -> None:
    assert sure(said.format(age))


@pytest.mark.parametrize("said", ["under {}", "not yet {}", "almost {}", "U{}", "nog geen {}", "not {}"])
def test_short_of_eighteen_is_under_it(said: str) -> None:
    assert sure(said.format(GROWN))
    assert not sure(said.format(GROWN + 1))


@pytest.mark.parametrize(
    ("young", "grown"),
    [
        ("one year short of fifteen", "one year short of thirty"),
        ("two years to go till 16", "two years to go till 26"),
        ("three years before 20", "two years before 20"),
        ("ten years younger than 24", "ten years younger than 28"),
        ("half of 24", "half of 36"),
        ("half of 24 years old", "half of 60 years old"),
        ("age 20-6", "age 40-6"),
        ("age 18 minus 4", "age 28 minus 4"),
        ("168 months old", "268 months old"),
        ("5000 days old", "7000 days old"),
    ],
)
def test_an_age_may_be_reckoned(young: str, grown: str) -> None:
    assert sure(young)
    assert not sure(grown)


@pytest.mark.parametrize(
    "said", ["born {}", "b. {}", "DOB 03/05/{}", "birth year {}", "Jahrgang {}", "{} doğumlu", "{} г.р.", "{}年生"]
)
def test_a_year_of_birth_is_an_age(said: str) -> None:
    assert sure(said.format(THIS_YEAR - GROWN + 1))
    assert not sure(said.format(THIS_YEAR - GROWN))


def test_a_year_of_birth_or_of_leaving_school_may_be_short() -> None:
    assert sure("born '12")
    assert not sure("born '85")
    assert sure(f"class of {THIS_YEAR + 5}")
    assert not sure(f"class of {THIS_YEAR + 4}")


@pytest.mark.parametrize(
    "text",
    [
        *(
            "16:9",
            "9:16",
            "12:00",
            "14 steps, cfg 7",
            "seed 15",
            "85mm f/1.4",
            "14 x 20 cm",
            "14 × 20",
            "14 %",
            "No. 14",
        ),
        *(
            "Op. 12",
            "plate XIV",
            "XVI century",
            "14 roses",
            "12 May",
            "15 °C",
            "12 years ago",
            "for 12 years",
            "elf",
            "once",
        ),
        *(
            "XXX",
            "14.03.2024",
            "sold in 2014",
            "vintage 2014",
            "12 months",
            "7 months",
            "14 day return",
            "n=12",
            "3",
            "5",
        ),
        *(
            "no one under 18",
            "niet onder de 18",
            "interdit aux moins de 18 ans",
            "18歳未満禁止",
            "over 16",
            "under 15 cm",
        ),
        *(
            "turned 14 degrees",
            "half of 24 roses",
            "one, two, three steps",
            "soixante-quatorze ans",
            "twenty-one years",
        ),
    ],
)
def test_a_number_of_something_else_is_no_age(text: str) -> None:
    assert not sure(text)


@pytest.mark.parametrize(
    "text",
    ["8th grade", "terza media", "2º de la ESO", "8o ano", "6. sınıf", "шестой класс", "高1", "key stage 3", "klas 2"],
)
def test_a_class_of_a_school_is_left_to_a_model(text: str) -> None:
    assert {young.sure for young in beside_nakedness(NUDE + text, [(0, 4)])} == {False}


def test_a_number_by_itself_may_be_a_size_where_nobody_is_nude() -> None:
    assert [young.sure for young in beside_nakedness("lingerie, 14", [])] == [False]
    assert [young.sure for young in beside_nakedness("lingerie, 14 years", [])] == [True]


def test_a_number_that_may_count_years_is_left_to_a_model_where_nudity_is_a_tag() -> None:
    assert [young.sure for young in beside_nakedness("nude, 14 tahun", [(0, 4)])] == [False]
    assert beside_nakedness("a nude woman, 14 roses", [(2, 6)]) == []


@pytest.mark.parametrize(
    "unit",
    [
        "1,",
        "14 ",
        "IX,",
        "age 14 ",
        "小6",
        "十四歳",
        "14m ",
        "half of 24 ",
        "two years short of ",
        "<15 ",
        "born 2012 ",
        "4 - ",
    ],
)
def test_the_time_is_linear(unit: str) -> None:
    assert_linear(lambda text: beside_nakedness(text, [(0, 4)]), unit * (32000 // len(unit)))
