"""Pictographs: each says its word in a prompt; a rain of them in a long text says each word once in a while."""

from __future__ import annotations

import random

import pytest

from guardrail.inference.text.pictographs import spelled_out
from tests.timing import assert_linear

CLOTHES = "👙👗👚👕👖"
FIRST_LONG = 9001  # characters


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("👗", "dress"),
        ("👗👗", "dress dress"),
        ("👩❌👗", "woman without dress"),
        ("👩❌", "👩❌"),
        ("👩🏽\u200d🚀 👗", "👩🏽\u200d🚀 dress"),
        ("🔞", "nsfw"),
        ("🍑", "🍑"),
        ("🍑🍆", "sexual sexual"),
        ("her 🍑", "her naked bottom"),
        ("👶🏽 ✂️", "baby remove"),
    ],
)
def test_a_pictograph_says_its_word_beside_what_makes_it_one(text: str, words: str) -> None:
    assert " ".join(spelled_out(text).split()) == words


def test_a_short_text_says_every_one() -> None:
    assert spelled_out("👗" * (FIRST_LONG - 1)).split() == ["dress"] * (FIRST_LONG - 1)


def test_a_long_rain_says_each_word_once_in_64_characters() -> None:
    text = "".join(random.Random(1).choices(CLOTHES, k=32_000))
    said = spelled_out(text).split()
    assert set(said) == {"bikini", "dress", "blouse", "shirt", "jeans"}
    assert 5 * 32_000 / 80 < len(said) <= 5 * 32_000 / 64 + 5


def test_a_word_that_stands_far_from_the_last_is_said_in_a_long_text_too() -> None:
    text = ("a harbour at dawn " * 5 + "👗 ") * (FIRST_LONG // 92 + 1)
    assert spelled_out(text).count("dress") == text.count("👗")


@pytest.mark.parametrize("rain", ["👗", "👙👗👚👕", "🍑🍆", "👩❌👗 "])
def test_time_is_linear(rain: str) -> None:
    assert_linear(spelled_out, rain * (40_000 // len(rain)))
