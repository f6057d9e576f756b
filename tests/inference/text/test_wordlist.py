"""The word list: words, stems, phrases and scripts without spaces are found where they stand; slips are put right."""

from __future__ import annotations

import pytest

from guardrail.errors import ConfigError
from guardrail.inference.text.prompts import packaged_lexicon
from guardrail.inference.text.wordlist import WordList

SMALL = WordList("[bare]\nnl: naakt* bloot\nja: 裸 !裸足\n[pet]\nen: cat my_cat\nde: katze*")
SHIPPED = packaged_lexicon()


def told(text: str, *concepts: str, whole: bool = False) -> list[tuple[str, str]]:
    return [(text[one.start : one.end], one.concept) for one in SMALL.spans(text, concepts, whole=whole)]


def test_a_stem_does_not_match_inside_a_word() -> None:
    small = WordList("[x]\nnl: naakt* kip")
    assert small.contains("naaktheid")
    assert not small.contains("spiernaakt")
    assert not small.contains("kippen")


def test_spans_say_where_each_word_stands_in_order() -> None:
    assert told("Bloot, een kat; my cat", "bare", "pet") == [("Bloot", "bare"), ("my", "pet"), ("cat", "pet")]
    assert told("my cat sleeps", "pet", whole=True) == [("my cat", "pet"), ("cat", "pet")]
    assert told("my cat", "bare") == []


def test_a_word_inside_a_longer_one_that_is_listed_as_a_cover_is_left_out() -> None:
    assert told("裸の人", "bare") == [("裸", "bare")]
    assert told("裸足の人", "bare") == []


@pytest.mark.parametrize("typed", ["undrress", "undess", "undrses", "undtess"])
def test_a_slip_of_the_finger_is_put_right(typed: str) -> None:
    assert (SHIPPED.mended(typed) or "").startswith("undress")


@pytest.mark.parametrize("word", ["undress", "understand", "dressing", "cat"])
def test_a_word_that_is_none_is_left_alone(word: str) -> None:
    assert SHIPPED.mended(word) is None


@pytest.mark.parametrize("text", ["nl: naakt", "[bare]\nnaakt bloot"])
def test_a_line_that_is_no_list_is_an_error_that_says_where(text: str) -> None:
    with pytest.raises(ConfigError, match="line"):
        WordList(text)
