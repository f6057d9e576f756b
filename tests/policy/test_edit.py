"""Editing thresholds: nothing else in the file changes."""

from __future__ import annotations

import difflib

import pytest

from guardrail.errors import ConfigError
from guardrail.policy import parse
from guardrail.policy.edit import acting, with_thresholds
from guardrail.policy.load import shipped_text

TEXT = """\
# é: what stands here stays
version: 1
name: p
joins: {any.minor: ["*.minor"], any.sexual: [prompt.sexual]}
floors:
  - {id: f, when: {prompt.undress: 0.20, prompt.minor: 0.3}, action: block}
rules:
  - id: a                       # why
    when: {prompt.undress: 0.50, input.person: 0.50}
    action: block
  - {id: b, when: {prompt.undress: 5e-1, input.photo: 0.5}, action: hold}
  - {id: c, when: {prompt.undress: 0.3, prompt.evasion: 0.5}, action: hold}
  - {id: d, when: {any.minor: 0.3, prompt.undress: 0.5}, action: block}
  - {id: e, when: {any.sexual: 0.5}, action: flag}
"""


def test_only_the_thresholds_that_act_are_changed_and_comments_stay():
    text, edits = with_thresholds(TEXT, {"prompt.undress": 0.612, "prompt.sexual": 0.7})
    changed = [line for line in difflib.ndiff(TEXT.splitlines(), text.splitlines()) if line[0] in "+-"]
    assert changed == [
        "-     when: {prompt.undress: 0.50, input.person: 0.50}",
        "+     when: {prompt.undress: 0.612, input.person: 0.50}",
        "-   - {id: b, when: {prompt.undress: 5e-1, input.photo: 0.5}, action: hold}",
        "+   - {id: b, when: {prompt.undress: 0.612, input.photo: 0.5}, action: hold}",
    ]
    assert {(one.rule, one.line, one.left) for one in edits} == {
        ("f", 6, "a floor"),
        ("a", 9, ""),
        ("b", 11, ""),
        ("c", 12, "not at 0.5"),
        ("d", 13, "a rule about minors"),
        ("e", 14, "read through any.sexual"),
    }
    assert parse(text).digest != parse(TEXT).digest


def test_a_file_with_windows_line_ends_is_edited_in_place():
    text, _ = with_thresholds(TEXT.replace("\n", "\r\n"), {"prompt.undress": 0.61})
    assert "prompt.undress: 0.61, input.person: 0.50}\r\n" in text


def test_the_shipped_policy_can_be_edited():
    text, edits = with_thresholds(shipped_text("default"), {"prompt.undress": 0.9})
    assert [one.rule for one in edits if not one.left] == ["undress-request", "undress-named", "undress-unseen"]
    assert text.count("\n") == shipped_text("default").count("\n")


def test_the_threshold_that_acts_is_the_most_frequent_outside_floors():
    policy = parse(TEXT)
    assert acting(policy, "prompt.undress") == 0.5
    assert acting(policy, "prompt.sexual") is None


def test_a_policy_that_would_be_none_is_refused():
    with pytest.raises(ConfigError, match="would not be a policy"):
        with_thresholds(TEXT, {"prompt.undress": 0.0})
    with pytest.raises(ConfigError):
        with_thresholds("name: p", {"prompt.undress": 0.5})
