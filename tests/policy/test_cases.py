"""Cases: what a policy is expected to do, and the shipped and example policies doing it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from guardrail.policy import PolicyError, decide, load, parse
from guardrail.policy.cases import load_cases, run_cases, untested
from guardrail.types import SIGNALS, Action, Evidence, Signal

REPOSITORY = Path(__file__).parents[2]
EXAMPLES = REPOSITORY / "serving" / "policies"
POLICY = parse(
    "version: 1\nname: p\nrules:\n  - {id: r, when: {prompt.sexual: 0.5}, action: block}\n"
    "  - {id: s, when: {prompt.minor: 0.5}, action: hold}\n"
)


@pytest.fixture
def write(tmp_path):
    def write(text: str, name: str = "cases.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def one(signals: str, expect: str, more: str = "") -> str:
    return f"version: 1\ncases:\n  - {{id: c, signals: {signals}, expect: {expect}{more}}}\n"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (one("{prompt.sexual: 0.5}", "block"), ""),
        (one("{prompt.sexual: 0.5}", "block", ", rules: [r]"), ""),
        (one("{prompt.sexual: 0.49}", "allow", ", rules: []"), ""),
        (one("{prompt.sexual: [0.1, 0.5]}", "block"), ""),
        (one("{prompt.sexual: unknown}", "hold"), ""),
        (one("{prompt.sexual: [unknown, 0.7]}", "block"), ""),
        (one("{prompt.sexual: 0.49}", "block"), "expected block, was allow"),
        (one("{prompt.sexual: 0.5}", "block", ", rules: [s]"), "expected rules s, was r"),
        (one("{prompt.sexual: 0.5}", "block", ", rules: []"), "expected rules none, was r"),
        # A case that nothing reads is as expected whatever the policy says.
        (
            one("{prompt.sexul: 0.9}", "allow"),
            "'prompt.sexul' says nothing to this policy; did you mean 'prompt.sexual'?",
        ),
        (
            one("{prompt.undres: 0.9}", "allow"),
            "'prompt.undres' says nothing to this policy; did you mean 'prompt.undress'?",
        ),
        (one("{prompt.undress: 0.9}", "allow"), ""),
        (one("{input.concept.gun: 0.9}", "allow"), ""),
    ],
)
def test_a_case_says_how_the_decision_differs_from_what_was_expected(write, text, wrong):
    [outcome] = run_cases(POLICY, load_cases(write(text)))
    assert outcome.wrong == wrong


def test_rules_that_no_case_fires_are_named_and_not_knowing_does_not_count_as_firing(write):
    outcomes = run_cases(POLICY, load_cases(write(one("{prompt.sexual: 0.5, prompt.minor: unknown}", "block"))))
    assert untested(POLICY, outcomes) == ["s"]


def test_what_a_policy_in_shadow_would_do_is_compared(write):
    shadow = parse(
        "version: 1\nname: p\nmode: shadow\nrules:\n  - {id: r, when: {prompt.sexual: 0.5}, action: block}\n"
    )
    [outcome] = run_cases(shadow, load_cases(write(one("{prompt.sexual: 0.5}", "block", ", rules: [r]"))))
    assert outcome.wrong == ""


def test_cases_may_stand_one_a_line(write):
    path = write(
        '{"id": "a", "signals": {"prompt.sexual": 0.7}, "expect": "block", "rules": ["r"]}\n\n'
        '{"id": "b", "signals": {"prompt.sexual": 0.1}, "expect": "allow"}\n',
        "cases.jsonl",
    )
    cases = load_cases(path)
    assert [case.place.line for case in cases] == [1, 3]
    assert [outcome.wrong for outcome in run_cases(POLICY, cases)] == ["", ""]


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("version: 1\ncases: []\n", "c.yaml", "has no cases"),
        ("", "c.jsonl", "has no cases"),
        ("", "c.yaml", "is empty"),
        ("cases: []\n", "c.yaml", "no 'version'"),
        (one("{prompt.sexual: 1.5}", "block"), "c.yaml", ":3:38: case 'c': score of prompt.sexual is 1.5"),
        (one("{'*.minor': 0.5}", "block"), "c.yaml", "is no signal"),
        (one(f"{{prompt.sexual: [{'0.1, ' * 1000}0.9]}}", "block"), "c.yaml", "has 1001 scores, at most 1000"),
        (one("{prompt.sexual: maybe}", "block"), "c.yaml", "expected a number from 0 to 1"),
        (one("{prompt.sexual: 0.5}", "blok"), "c.yaml", "did you mean 'block'?"),
        (one("{prompt.sexual: 0.5}", "block", ", rule: [r]"), "c.yaml", "did you mean 'rules'?"),
        ("version: 1\ncases:\n  - {id: c, expect: block}\n", "c.yaml", ":3:5: a case has no 'signals'"),
        ('{"id": "c", "signals": {}, "expect": "allow"}\n' * 2, "c.jsonl", ":2:1: case 'c' stands twice"),
        ('{"id": "c"\n', "c.jsonl", "is not YAML"),
    ],
)
def test_a_mistake_in_a_cases_file_is_pointed_at(write, text, name, expected):
    with pytest.raises(PolicyError) as caught:
        load_cases(write(text, name))
    assert expected in str(caught.value)


@pytest.mark.parametrize("name", ["default", "school", "drawn-art"])
def test_a_policy_that_ships_does_what_its_cases_say_and_every_rule_is_seen_firing(name):
    base = load("default")
    policy = base if name == "default" else load(EXAMPLES / f"{name}.yaml").under(base)
    policy.require(SIGNALS)
    outcomes = run_cases(policy, load_cases(EXAMPLES / f"{name}.cases.yaml"))
    assert [(outcome.case.id, outcome.wrong) for outcome in outcomes if outcome.wrong] == []
    assert untested(policy, outcomes) == []


def test_every_example_policy_has_cases():
    policies = {path.name.partition(".")[0] for path in EXAMPLES.glob("*.yaml")}
    assert policies == {path.name.partition(".")[0] for path in EXAMPLES.glob("*.cases.yaml")}


DEFAULT = load("default")


@pytest.mark.parametrize("rule", DEFAULT.rules, ids=lambda rule: rule.id)
def test_each_rule_of_the_default_fires_at_its_thresholds_and_not_below(rule):
    def fires(scores: dict[str, float]) -> bool:
        signals = tuple(Signal(name, "s", "c", score=score) for name, score in scores.items())
        return rule.id in {reason.rule for reason in decide(DEFAULT, Evidence(signals)).reasons}

    at = {next(n for n in each.signals if n in SIGNALS): each.at_least for each in rule.when}
    assert len(at) == len(rule.when)
    assert fires(at)
    for name, at_least in at.items():
        assert not fires({**at, name: at_least - 0.01})


def test_the_default_reads_only_what_the_shipped_checks_give_and_explains_itself():
    DEFAULT.require(SIGNALS)
    assert {floor.id for floor in DEFAULT.floors} == {"minor-sexual", "minor-undress", "known-image"}
    assert all(rule.says for rule in DEFAULT.rules)
    assert DEFAULT.on_unknown is Action.HOLD


def test_a_child_found_by_no_other_check_than_age_is_enough_for_the_floor():
    for minor in ("prompt.minor", "input.minor", "output.minor"):
        for sexual in ("prompt.sexual", "input.exposure", "output.exposure"):
            seen = Evidence((Signal(minor, "s", "c", score=0.3), Signal(sexual, "s", "c", score=0.2)))
            assert decide(DEFAULT, seen).action is Action.BLOCK, (minor, sexual)


@pytest.mark.parametrize("page", ["how-to/write-a-policy.md", "reference/policy.md"])
def test_the_policies_and_cases_in_the_docs_are_what_they_claim(page, tmp_path):
    text = (REPOSITORY / "docs" / page).read_text()
    blocks = re.findall(r"^```yaml[^\n]*\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    assert blocks
    policy = None
    for block in blocks:
        if block.startswith("version: 1\nname:"):
            policy = parse(block, source=page)
            policy.require(SIGNALS)
        elif block.startswith("version: 1\ncases:"):
            cases = tmp_path / "cases.yaml"
            cases.write_text(block)
            assert policy is not None
            assert [outcome.wrong for outcome in run_cases(policy, load_cases(cases)) if outcome.wrong] == []
