"""Cut texts: what goes on in the next part is read with it, and what is whole stays apart."""

from __future__ import annotations

import pytest

from guardrail.inference.text.cut import rejoined, spaced, unfinished, untagged
from tests.timing import assert_linear


@pytest.mark.parametrize(
    "text",
    ["strip him of the", "every skin tone,", "verwijder de vlek van", "leva tutta la", "сними шапку с", "彼女の帽子を"],
)
def test_a_phrase_that_stops_before_its_end_is_unfinished(text: str) -> None:
    assert unfinished(text)


@pytest.mark.parametrize(
    "text", ["undress her", "take it off", "zet de hoed op", "a red coat", "enlève-la", "脱がせて", "", "  "]
)
def test_a_phrase_that_may_end_so_is_not(text: str) -> None:
    assert not unfinished(text)


def test_parts_of_one_phrase_are_put_together_and_others_stay_apart() -> None:
    assert rejoined(["strip him of the", "captain's armband", "blue sky"]) == [
        "strip him of the captain's armband",
        "blue sky",
    ]
    assert rejoined(["remove the top", "and base of", "the tower"]) == ["remove the top and base of the tower"]
    assert rejoined(["blue sky", "take her dress off"]) == ["blue sky", "take her dress off"]


def test_scripts_without_spaces_are_joined_without() -> None:
    assert spaced(["彼女の帽子", "を脱がせて", "ok", "今"]) == "彼女の帽子を脱がせて ok 今"


def test_a_sentence_told_as_tags_is_a_sentence() -> None:
    assert (
        untagged("8k, sharp focus, remove, the, stain, sharp focus") == "8k, sharp focus, remove the stain, sharp focus"
    )
    assert untagged("doe, haar, jas, uit") == "doe haar jas uit"


@pytest.mark.parametrize("text", ["red, blue, green, 8k", "a woman, a hat", "woman, 8k\nhat, coat, the\nsky", "", ","])
def test_tags_stay_tags(text: str) -> None:
    assert untagged(text) == text


def test_the_time_is_linear_in_the_parts() -> None:
    assert_linear(untagged, "remove, the, stain, best quality, " * 400)
    assert_linear(lambda text: rejoined(text.split(";")), "strip him of the;captain;" * 400)
