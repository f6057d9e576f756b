"""The gazetteer: names are found however they are written, and what only looks like one is not."""

from __future__ import annotations

from importlib.resources import files

import pytest

from guardrail.errors import ConfigError
from guardrail.inference.text.gazetteer import STRENGTH, Gazetteer, packaged_names, read_names
from tests.timing import assert_linear

SMALL = Gazetteer(
    "[names]\nEmma Verhulst; Jean-Luc d'Arçon\nIwona Łęcka; テイラー・ヴァン; 손가락왕\nLi Wu\n"
    "[alone]\nBeyonda\n[capital]\nTrumpet\n[not persons]\nEmma Verhulst bridge; Mona Vita"
)
SHIPPED = Gazetteer(packaged_names())


@pytest.mark.parametrize(
    "text",
    [
        "a photo of Emma Verhulst in Ghent",
        "EMMA  VERHULST",
        "emma verhulst's dog",
        "jean luc d'arcon",
        "zdjęcie Iwony Łęckiej i Iwona Łęckaą",
        "テイラー・ヴァンの写真",
        "テイラーヴァン",
        "손가락왕이 뛰는",
        "beyonda on stage",
        "Trumpet speaks",
        "Li Wu walks",
    ],
)
def test_a_name_is_found_in_any_case_accent_and_ending(text: str) -> None:
    assert SMALL.strength(text) == STRENGTH


@pytest.mark.parametrize(
    "text",
    [
        "",
        "emma and verhulst",
        "Emma, Verhulst",
        "the Emma Verhulst bridge at night",
        "a trumpet on a chair",
        "li wu wu",
        "スーパーテイラー・ヴァンガード",
        "큰손가락왕",
        "Mona Vita",
        "Beyondala",
    ],
)
def test_parts_others_and_ordinary_words_are_no_name(text: str) -> None:
    assert SMALL.strength(text) == 0.0


def test_an_operators_list_adds_to_the_shipped_one_and_changes_the_digest() -> None:
    both = Gazetteer(packaged_names(), "Rumina Vandersteeg\n")
    assert not SHIPPED.finds("foto van Rumina Vandersteeg")
    assert both.finds("foto van Rumina Vandersteeg")
    assert both.digest != SHIPPED.digest
    assert both.size == SHIPPED.size + 1


@pytest.mark.parametrize(
    "text",
    ["Harry Potter", "the Mona Lisa", "Geralt of Rivia", "Zeus and Aphrodite", "a King Charles spaniel", "Snow White",
     "Sherlock Holmes", "Lara Croft", "Madonna and Child", "Katrien Duck", "Sinterklaas", "Girl with a Pearl Earring"],
)  # fmt: skip
def test_characters_gods_and_subjects_of_paintings_are_no_persons(text: str) -> None:
    assert not SHIPPED.finds(f"a painting of {text} in a forest")


def test_each_shipped_list_begins_with_its_section_and_says_no_name_twice() -> None:
    folder = files("guardrail.inference").joinpath("heads/names")
    lists = [one.read_text("utf-8") for one in folder.iterdir()]
    assert len(lists) > 5
    for text in lists:
        assert next(line for line in text.splitlines() if not line.startswith("#")) == "[names]"
    alone = [Gazetteer(text).size for text in lists]
    assert sum(alone) == SHIPPED.size > 50_000


@pytest.mark.parametrize(
    "text",
    ["a rose in may", "ice cube in a glass", "doe maar gewoon", "will smith and wesson shoot",
     "will power and patience", "a sky brown with dust", "chase young birds away", "a little mix of colours",
     "bad bunny on the lawn", "summer walker on a trail", "isabelle a un chapeau", "young thug life",
     "keizer en snelle trein",
     "de maan schijnt", "kim is here", "la rosa rossa", "das rote haus", "o leão e a rosa",
     "noc i dzień", "gece ve gündüz"],
)  # fmt: skip
def test_ordinary_words_are_no_public_figures(text: str) -> None:
    assert SHIPPED.finds(text) == ("will smith" in text)


@pytest.mark.parametrize(
    "text",
    ["foto van Mark Rutte", "Helene Fischer", "Владимира Путина", "زين هيفاء وهبي", "木村拓哉", "손흥민이", "周杰伦",
     "Pommelien Thijs", "Lotte Kopecky", "Caitlin Clark", "Rashmika Mandanna", "Gigi Birofio", "장원영",
     "Jang Wonyoung", "Léna Situations", "Ester Expósito", "Ксения Собчак", "نانسي عجرم", "Hande Erçel"],
)  # fmt: skip
def test_public_figures_are_found_in_their_own_scripts(text: str) -> None:
    assert SHIPPED.finds(text)


def test_a_list_that_is_no_list_says_where(tmp_path) -> None:
    with pytest.raises(ConfigError, match="line 2"):
        Gazetteer("Emma Verhulst\n[people]\nx")
    with pytest.raises(ConfigError, match="no letter"):
        Gazetteer("?!")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_names(tmp_path / "none.txt")
    (tmp_path / "bad.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="UTF-8"):
        read_names(tmp_path / "bad.txt")


@pytest.mark.parametrize("text", ["Emma " * 8_000, "木村" * 16_000, "テイ" * 16_000, "x" * 32_000, "손가 " * 10_000])
def test_time_is_linear(text: str) -> None:
    assert_linear(SHIPPED.finds, text)


def test_time_is_linear_in_words_that_names_begin_with() -> None:
    assert_linear(SMALL.finds, "emma " * 40_000)
