"""Which numbers are somebody's age, and which are not."""

from __future__ import annotations

import pytest

from guardrail.inference.text.ages import GROWN, THIS_YEAR
from guardrail.inference.text.prompts import packaged_lexicon

LEXICON = packaged_lexicon()


def young(text: str) -> list[str]:
    return [text[start:end] for start, end in LEXICON.young_ages(text)]


@pytest.mark.parametrize(
    "text",
    [
        "she's 16, in a park",
        "he is only 16",
        "ze is net 16 geworden",
        "zij is pas 16.",
        "sie ist erst 16",
        "tiene 16, en la playa",
        "she turned 16, party with cake",
        "16f, studio portrait",
        "pupil (16)",
        "Emma, 16",
        "a girl of 16",
        "16歳の人",
    ],
)
def test_an_age_is_told_by_how_it_is_said(text: str) -> None:
    assert young(text) == ["16"]
    assert young(text.replace("16", "18")) == []


@pytest.mark.parametrize(
    "text",
    [
        "she is 16 metres from the door",
        "it is 16 degrees",
        "f/16, 35 mm",
        "F-16 over the sea",
        "the boat is 16 m long",
        "turned 16 degrees to the left",
        "she has 16 cats",
        "5f on the fretboard",
        "16 tables, 12 chairs",
    ],
)
def test_a_number_that_counts_something_is_no_age(text: str) -> None:
    assert young(text) == []


@pytest.mark.parametrize(
    "text",
    ["born in {}", "geboren op 3 mei {}", "Jahrgang {}", "née en {}", "{} doğumlu", "{}年生まれの人", "родилась в {}"],
)
def test_a_year_of_birth_is_an_age(text: str) -> None:
    assert young(text.format(THIS_YEAR - GROWN + 1)) == [str(THIS_YEAR - GROWN + 1)]
    assert young(text.format(THIS_YEAR - GROWN)) == []


@pytest.mark.parametrize("text", ["a car of 2014", "photo from 2014", "2014, oil on canvas", "born in 3014"])
def test_another_year_is_none(text: str) -> None:
    assert young(text) == []
