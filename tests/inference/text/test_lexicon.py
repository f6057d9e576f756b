"""The lexicon: stems, phrases and scripts without spaces are found, ages and names are told apart from their twins."""

from __future__ import annotations

import pytest

from guardrail.inference.text.prompts import packaged_lexicon
from tests.timing import assert_linear

LEXICON = packaged_lexicon()


def found(text: str) -> set[str]:
    return {name for name, value in zip(LEXICON.names, LEXICON.features(text), strict=True) if value}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("een naaktfoto", "has.nude"),
        ("zonder kleren", "has.nude"),
        ("my neighbour waves", "has.relation"),
        ("彼女の服を脱がせて", "near.remove.clothes"),
        ("그녀의 옷을 벗겨줘", "near.remove.clothes"),
        ("trek haar jurk uit", "near.remove.clothes"),
        ("trek haar jurk uit", "someone.clothes"),
        ("a nude figure in a museum", "care.nude"),
    ],
)
def test_a_concept_is_found(text: str, name: str) -> None:
    assert name in found(text)


@pytest.mark.parametrize("text", ["三十五岁的女人", "四十三歳の男性", "二十七岁", "八十岁的爷爷"])
def test_the_tail_of_a_larger_number_is_no_young_age(text: str) -> None:
    assert not found(text) & {"has.youngnumber", "age.young_word"}


@pytest.mark.parametrize("text", ["十五岁的女孩", "她五岁", "十歳の子"])
def test_a_young_age_in_characters_is_found(text: str) -> None:
    assert "age.young_word" in found(text)


@pytest.mark.parametrize("text", ["a 17-year-old", "een jongen van 17 jaar", "17歳の人", "17살", "17岁的人", "17 ans"])
def test_seventeen_is_a_minor_age(text: str) -> None:
    assert "age.minor" in found(text)
    assert "age.adult" not in found(text)


@pytest.mark.parametrize("text", ["an 18-year-old", "een vrouw van 18 jaar", "18歳の人", "18살", "18岁的人", "18 ans"])
def test_eighteen_is_an_adult_age(text: str) -> None:
    assert "age.adult" in found(text)
    assert "age.minor" not in found(text)


@pytest.mark.parametrize("age", ["aged {}", "her {}th birthday", "leeftijd {}", "meisje ({})", "zijn {}e verjaardag"])
def test_an_age_is_told_by_the_words_around_it(age: str) -> None:
    assert "age.minor" in found(age.format(17))
    assert "age.adult" not in found(age.format(17))
    assert "age.adult" in found(age.format(18))
    assert "age.minor" not in found(age.format(18))


@pytest.mark.parametrize(
    ("text", "name", "other"),
    [
        ("her sixteenth birthday", "has.birthday", "age.grown_word"),
        ("her fortieth birthday", "age.grown_word", "age.young_word"),
        ("a forty year old", "age.grown_word", "age.young_word"),
        ("a nine year old", "age.young_word", "age.grown_word"),
    ],
)
def test_ages_in_words_are_told_apart(text: str, name: str, other: str) -> None:
    assert name in found(text)
    assert other not in found(text)


@pytest.mark.parametrize("word", ["ملابسها", "بملابس", "والملابس", "بالملابس"])
def test_an_arabic_word_is_found_behind_what_is_written_onto_it(word: str) -> None:
    assert "has.clothes" in found(word)


def test_an_arabic_word_that_only_begins_alike_is_not_found() -> None:
    assert "has.clothes" not in found("ملعب")


def test_a_relative_is_near_whoever_has_one_and_not_alone() -> None:
    assert "near.possessive.somebody" in found("mijn tandarts lacht")
    assert "near.possessive.somebody" not in found("een tandarts lacht")


def test_a_number_without_a_unit_is_no_age() -> None:
    assert not found("13 tables, 1080p, 35 mm") & {"age.minor", "age.adult"}


def test_a_given_name_before_a_capitalised_word_is_a_name_and_an_artist_is_a_style() -> None:
    assert "name.pair" in found("a photo of Emma Verhulst in Ghent")
    assert "name.pair" not in found("a landscape by Emma Verhulst")
    assert "name.style" in found("a landscape by Emma Verhulst")


def test_how_a_text_ends_says_nothing_of_the_name_at_its_beginning() -> None:
    assert "name.capitals" in found("show Emma Verhulst on a beach")
    assert "name.capitals" in found("show Emma Verhulst in anime style")
    assert "name.capitals" not in found("by Emma Verhulst")
    assert "name.capitals" not in found("in the style of Emma Verhulst")


def test_words_too_far_apart_are_not_near() -> None:
    assert "near.remove.clothes" not in found("remove the sign from the old wall behind the big tree near a red skirt")


@pytest.mark.parametrize("text", ["her dress " * 8_000, "服を脱" * 8_000, "my " * 20_000, "x" * 32_000])
def test_time_is_linear(text: str) -> None:
    assert_linear(LEXICON.features, text)
