"""The evidence pack: what was measured, and by name what was not."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest

from guardrail.errors import ConfigError
from guardrail.evaluate import runs
from guardrail.evaluate.evidence import as_html, sources
from guardrail.inference.manifest import packaged
from guardrail.policy import load, parse
from tests.evaluate import made

POLICY = parse(
    "version: 1\nname: house\nsays: keeps people dressed\nrules:\n"
    "  - {id: r, when: {prompt.undress: 0.7, input.person: 0.5}, action: block, says: asks to undress}\n"
)
MADE = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path):
    weight = next(iter(packaged().weights))
    return made.run(tmp_path / "run", made.normal(60, 2.0), models=[f"{weight}@12345678", "own@1"])


def test_a_pack_says_policy_models_results_dates_and_limits(folder):
    html = as_html(POLICY, sources([folder], POLICY), made=MADE, operator="House & Co")
    weight = next(iter(packaged().weights.values()))
    for words in (
        POLICY.digest,
        "keeps people dressed",
        "House &amp; Co",
        "2026-03-01 12:00 UTC",
        "prompt.undress &gt;= 0.7 and input.person &gt;= 0.5",
        "asks to undress",
        weight.licence_weights,
        "own@1",
        hashlib.sha256((folder / runs.ROWS).read_bytes()).hexdigest(),
        "The suite made-up misses: everything real.",
    ):
        assert words in html, words


def test_what_no_run_measured_is_named(folder):
    html = as_html(POLICY, sources([folder], POLICY), made=MADE)
    (row,) = [row for row in html.split("<tr>") if ">input.person<" in row]
    assert "NOT MEASURED" in row
    (row,) = [row for row in html.split("<tr>") if ">prompt.undress<" in row]
    assert "NOT MEASURED" not in row


def test_a_signal_of_the_operators_own_that_no_run_measured_is_named_too(folder):
    policy = parse(
        "version: 1\nname: own\njoins: {any.known: ['*.known', output.known.acme]}\nrules:\n"
        "  - {id: a, when: {input.concept.gore: 0.5}, action: block}\n"
        "  - {id: b, when: {any.known: 0.5}, action: block}\n"
    )
    html = as_html(policy, sources([folder], policy), made=MADE)
    for signal in ("input.concept.gore", "output.known.acme", "output.known"):
        (row,) = [row for row in html.split("<tr>") if f">{signal}<" in row]
        assert "NOT MEASURED" in row
    assert ">pair.known<" not in html  # what a wildcard stands for and no check gives


def test_rates_are_at_the_thresholds_of_the_policy_not_of_the_run(folder):
    (found,) = sources([folder], POLICY)
    assert [at.threshold for at in found.report.factors[0].at_thresholds] == [0.7]
    assert "its decisions are those of policy p@11111111, not of this one" in as_html(POLICY, [found], made=MADE)


def test_a_run_under_attack_is_said_to_be_one(tmp_path):
    folder = made.run(tmp_path / "run", made.normal(40, 2.0), attack={"name": "leet", "seed": 0})
    assert "every row was attacked (leet)" in as_html(POLICY, sources([folder], POLICY), made=MADE)


def test_a_run_of_a_part_of_its_suite_is_said_to_be_one(tmp_path):
    rows = made.normal(40, 2.0)
    folder = made.run(tmp_path / "run", rows)
    assert "part of its suite" not in as_html(POLICY, sources([folder], POLICY), made=MADE)
    for at, (part, words) in enumerate(
        (
            ({"where": [["lang", "en"], ["kind", "edit"]]}, "lang=en and kind=edit"),
            ({"limit": 80}, "the first 80 rows"),
            ({"only_factor": "undress"}, "rows labelled 1 on undress"),
        )
    ):
        folder = made.run(tmp_path / f"part-{at}", rows, part=part)
        html = as_html(POLICY, sources([folder], POLICY), made=MADE)
        assert f"part-{at}: only a part of its suite was run: {words}" in html
        (row,) = [row for row in html.split("<tr>") if f">part-{at}<" in row and "made-up 1" in row]
        assert words in row


def test_scores_that_were_taken_as_given_are_said_beside_the_decisions(tmp_path):
    assume = {"*": {}, "edit": {"input.person": 1.0, "input.photo": 0.9}}
    folder = made.run(tmp_path / "run", made.normal(40, 2.0), assume=assume)
    html = as_html(POLICY, sources([folder], POLICY), made=MADE)
    assert "run: its decisions take scores as given: input.person=1 and input.photo=0.9 where kind=edit" in html


def test_columns_that_nobody_checked_are_named(tmp_path):
    folder = made.run(tmp_path / "run", made.normal(40, 2.0), part={"columns_verified": False})
    assert "nobody has checked which columns" in as_html(POLICY, sources([folder], POLICY), made=MADE)


def test_a_join_says_what_it_reads_and_a_rule_what_it_does_when_it_cannot_be_told(folder):
    policy = parse(
        "version: 1\nname: house\nmode: shadow\njoins: {any.minor: [prompt.minor]}\nrules:\n"
        "  - {id: r, when: {any.minor: 0.3}, action: block, on_unknown: allow}\n"
    )
    html = as_html(policy, sources([folder], policy), made=MADE)
    assert "any.minor = prompt.minor" in html
    (row,) = [row for row in html.split("<tr>") if "any.minor &gt;= 0.3" in row]
    assert ">(block)<" in row
    assert ">allow<" in row
    assert "in shadow: decides and is recorded, and never acts" in html


def test_the_shipped_policy_has_a_pack(folder):
    policy = load("default")
    html = as_html(policy, sources([folder], policy), made=MADE)
    assert all(f">{rule.id}" in html for rule in policy.rules)


def test_a_pack_without_a_measurement_is_refused():
    with pytest.raises(ConfigError, match="no runs"):
        sources([], POLICY)
