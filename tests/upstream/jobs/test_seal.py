"""Sealed words: only what the guard wrote opens, for its purpose, in its time."""

import pytest

from guardrail.upstream.jobs.seal import Seal

KEY = b"k" * 32


def test_what_was_sealed_opens_for_its_purpose_alone():
    word = Seal(KEY).close("file", {"url": "https://a.example/x"})
    assert Seal(KEY).open("file", word) == {"url": "https://a.example/x"}
    assert Seal(KEY).open("hook", word) is None
    assert Seal(b"j" * 32).open("file", word) is None
    assert Seal().open("file", word) is None


def test_a_word_shows_nothing_of_what_it_says_and_fits_in_a_path():
    word = Seal(KEY).close("file", {"url": "https://a.example/x"})
    assert "example" not in word
    assert word.replace("-", "").replace("_", "").isalnum()
    assert word != Seal(KEY).close("file", {"url": "https://a.example/x"})


@pytest.mark.parametrize("wrong", ["", "A", "AAAA", "é", "A" * 20_000, "../x", "_" * 40])
def test_anything_else_does_not_open(wrong):
    assert Seal(KEY).open("file", wrong) is None


def test_a_word_opens_as_it_was_written_and_in_no_other_spelling():
    """What is known by its address would else be new under each."""
    for said in ({}, {"a": "b"}, {"a": "bc"}):
        word = Seal(KEY).close("file", said)
        for other in (f"{word}=", f"{word}~~~~", f"{word[:8]}....{word[8:]}", word.replace(word[3], f"{word[3]}!", 1)):
            assert Seal(KEY).open("file", other) is None


def test_every_single_change_is_noticed():
    word = Seal(KEY).close("file", {"a": "b"})
    for at in range(len(word)):
        changed = word[:at] + ("B" if word[at] == "A" else "A") + word[at + 1 :]
        assert Seal(KEY).open("file", changed) is None


def test_a_seal_holds_for_its_time():
    now = 1000.0
    seal = Seal(KEY, age_s=60, clock=lambda: now)
    word = seal.close("file", {})
    now = 1060.0
    assert seal.open("file", word) == {}
    now = 1061.0
    assert seal.open("file", word) is None
