"""Rows: label rules on both sides of their thresholds, and columns of other people's files."""

from __future__ import annotations

from pathlib import Path

import pytest

from guardrail.errors import ConfigError
from guardrail.evaluate.rows import Columns, RowError, RowMaker, label_rule


@pytest.mark.parametrize(
    ("rule", "record", "label"),
    [
        ("nsfw", {"nsfw": "True"}, 1),
        ("nsfw", {"nsfw": 0}, 0),
        ("nsfw>0.5", {"nsfw": 0.5}, 0),
        ("nsfw>0.5", {"nsfw": "0.51"}, 1),
        ("nsfw>=0.5", {"nsfw": 0.5}, 1),
        ("age<18", {"age": "17"}, 1),
        ("age<18", {"age": "18"}, 0),
        ("age<=18", {"age": "18"}, 1),
        ("category==nudity", {"category": "nudity"}, 1),
        ("category==nudity", {"category": "gore"}, 0),
        ("category!=safe", {"category": "gore"}, 1),
        # Yes and no as JSON and Parquet have them are spelled otherwise in Python than in the rule.
        ("nsfw==true", {"nsfw": True}, 1),
        ("nsfw==True", {"nsfw": True}, 1),
        ("nsfw==true", {"nsfw": False}, 0),
        ("safe!=true", {"safe": True}, 0),
        ("nsfw==true", {"nsfw": "True"}, 0),
        ({"column": "nsfw", "yes": ["true"], "no": ["false"]}, {"nsfw": True}, 1),
        ({"column": "nsfw", "yes": [True], "no": [False]}, {"nsfw": False}, 0),
        ({"column": "nsfw", "yes": [True], "no": [False]}, {"nsfw": "true"}, 1),
        ("categories~sexual", {"categories": "violence, Sexual"}, 1),
        ("categories~sexual", {"categories": "asexual"}, 0),
        ("categories~sexual", {"categories": ["sexual"]}, 1),
        ("1", {}, 1),
        (0, {}, 0),
        ({"column": "age", "yes": ["0-2"], "no": ["20-29"]}, {"age": "0-2"}, 1),
        ({"column": "age", "yes": ["0-2"], "no": ["20-29"]}, {"age": "20-29"}, 0),
        ({"column": "age", "yes": ["0-2"], "no": ["20-29"]}, {"age": "10-19"}, None),
    ],
)
def test_a_label_rule_says_yes_no_or_nothing(rule, record, label):
    assert label_rule("factor", rule)(record) == label


@pytest.mark.parametrize("rule", ["nsfw>high", {"column": "age"}, {"yes": [1]}, {"column": "a", "yes": [1], "x": 2}])
def test_a_rule_that_is_none_is_refused(rule):
    with pytest.raises(ConfigError, match="label factor"):
        label_rule("factor", rule)


def test_a_value_that_is_both_yes_and_no_is_refused():
    with pytest.raises(ConfigError, match="label factor: '3-9' stands under yes and under no"):
        label_rule("factor", {"column": "age", "yes": ["0-2", "3-9"], "no": ["3-9"]})


@pytest.mark.parametrize(
    ("rule", "record", "words"),
    [
        ("nsfw", {"nsfw": "maybe"}, "0 or 1"),
        ("nsfw>0.5", {"nsfw": "?"}, "not a number"),
        ("nsfw>0.5", {"nsfw": float("nan")}, "not a number"),
        ("age<18", {"age": "nan"}, "not a number"),
        ("age<18", {"age": None}, "not a number"),
        ("nsfw", {"a": 1}, "no column"),
    ],
)
def test_a_cell_outside_its_set_is_named(rule, record, words):
    with pytest.raises(RowError, match=words):
        label_rule("factor", rule)(record)


@pytest.mark.parametrize(("age", "band"), [("0", "0-17"), ("17", "0-17"), ("18", "18-59"), (60, "60+")])
def test_a_number_falls_in_its_band(age, band):
    columns = Columns(text="t", slices={"age": {"column": "age", "bands": [0, 18, 60]}})
    made = RowMaker(columns, "prompt", ["sexual"], Path()).row("f:1", {"t": "x", "age": age})
    assert made.slices == {"age": band}


def test_what_is_no_number_is_in_no_band():
    maker = RowMaker(Columns(text="t", slices={"age": {"column": "age", "bands": [0, 18]}}), "prompt", [], Path())
    with pytest.raises(RowError, match="slice age: a number is expected"):
        maker.row("f:1", {"t": "x", "age": float("nan")})


def test_a_group_that_is_a_text_is_kept_as_a_digest():
    maker = RowMaker(Columns(text="t", group="seed"), "prompt", [], Path())
    short, long, same, other = (
        maker.row("f:1", {"t": "x", "seed": seed}).group for seed in ("p" * 40, "p" * 41, "p" * 41, "q" * 41)
    )
    assert short == "p" * 40
    assert long == same != other
    assert len(long) == 16
    assert "p" not in long


def test_a_pair_needs_both_pictures(tmp_path):
    maker = RowMaker(Columns(input="a", output="b"), "pair", ["same_face"], tmp_path)
    with pytest.raises(RowError, match="an input and an output"):
        maker.row("f:1", {"a": "x.png"})


def test_pictures_may_be_bytes_inside_a_record():
    maker = RowMaker(Columns(image="image"), "image", ["sexual"], Path())
    assert maker.row("f:1", {"image": {"bytes": b"abc", "path": None}}).outputs == (b"abc",)
    assert RowMaker(Columns(image="image"), "image", [], Path(), image_as="input").row(
        "f:1", {"image": b"abc"}
    ).inputs == (b"abc",)


def test_a_row_never_shows_its_content():
    maker = RowMaker(Columns(text="t"), "prompt", [], Path())
    assert "secret" not in repr(maker.row("f:1", {"t": "secret"}))
