"""Frequent words: a text's language is told by its words, and what a word costs by its place in the list."""

from __future__ import annotations

import pytest

from guardrail.errors import ConfigError
from guardrail.inference.text.frequent import RARE, FrequentWords, packaged_frequent

WORDS = FrequentWords(
    "# a comment\n\nen: the her main dress\nde: der mein ihr kleid\nfr: la main robe\nru: на платье\n"
)


def test_an_earlier_word_of_a_list_is_likelier_than_a_later_one() -> None:
    (first,), (later,) = WORDS.costs("the"), WORDS.costs("dress")
    assert first[0] == later[0] == "en"
    assert 0 < first[1] < later[1] < RARE


def test_a_word_of_two_languages_has_its_cost_in_each() -> None:
    assert [language for language, _ in WORDS.costs("main")] == ["en", "fr"]


def test_a_word_of_no_list_costs_nothing_that_could_be_compared() -> None:
    assert WORDS.costs("xylophone") == ()


@pytest.mark.parametrize(
    ("words", "language"),
    [
        (("her", "main"), "en"),
        (("la", "main"), "fr"),
        (("mein", "kleid", "xylophone"), "de"),
        (("платье",), "ru"),
        (("xylophone",), ""),
        ((), ""),
    ],
)
def test_the_language_is_the_one_that_writes_most_of_the_words(words: tuple[str, ...], language: str) -> None:
    assert WORDS.language(words) == language


def test_letters_are_those_of_the_same_script_and_the_most_frequent_come_first() -> None:
    assert "".join(WORDS.letters("т"))[0] == "а"
    assert set(WORDS.letters("x")).isdisjoint(WORDS.letters("т"))
    assert list(WORDS.letters("я")) == list(WORDS.letters("т"))
    assert not list(WORDS.letters("ب"))


def test_an_alphabet_is_of_one_language() -> None:
    assert set(WORDS.alphabet("ru")) == set("наплтье")
    assert WORDS.alphabet("ja") == ""
    assert "é" in packaged_frequent().alphabet("fr")
    assert "é" not in packaged_frequent().alphabet("en")


def test_a_line_without_a_language_is_told_by_its_number() -> None:
    with pytest.raises(ConfigError, match="line 2: expected 'language: words'"):
        FrequentWords("en: the\nher dress\n")


def test_the_shipped_list_has_the_words_of_twelve_languages_in_small_letters() -> None:
    shipped = packaged_frequent()
    sentences = {
        "en": "remove the coat from her picture",
        "nl": "haal de jas weg van deze foto",
        "de": "nimm den mantel weg von diesem bild",
        "fr": "enlève le manteau de cette photo",
        "es": "quita el abrigo de esta foto",
        "it": "togli il cappotto da questa foto",
        "pt": "tira o casaco desta foto",
        "pl": "usuń płaszcz z tego zdjęcia",
        "tr": "bu fotoğraftaki ceketi çıkar",
        "ru": "убери пальто с этой фотографии",
        "ar": "أزل المعطف من هذه الصورة",
        "ko": "이 사진에서 코트를 지워 줘",
    }
    assert {language: shipped.language(text.split()) for language, text in sentences.items()} == {
        language: language for language in sentences
    }
