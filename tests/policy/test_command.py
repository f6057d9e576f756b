"""`guardrail policy`: mistakes by line, cases with an exit status, and a policy one can read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from guardrail.cli.policy import app

EXAMPLES = Path(__file__).parents[2] / "serving" / "policies"
GOOD = "version: 1\nname: p\nrules:\n  - {id: r, when: {prompt.sexual: 0.5}, action: block}\n"
CASE = "version: 1\ncases:\n  - {id: c, signals: {prompt.sexual: 0.5}, expect: block}\n"


@pytest.fixture
def run():
    def run(*words: object) -> tuple[int, str]:
        result = CliRunner().invoke(app, [str(word) for word in words])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.output

    return run


@pytest.fixture
def write(tmp_path):
    def write(name: str, text: str) -> Path:
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def test_a_good_policy_passes_the_check(run, write):
    status, said = run("check", write("p.yaml", GOOD))
    assert status == 0
    assert "0 floors, 1 rules, enforce" in said


def test_every_mistake_stands_on_a_line_of_its_own_and_the_status_is_1(run, write):
    path = write("p.yaml", GOOD.replace("0.5", "50").replace("block", "blok"))
    status, said = run("check", path)
    assert status == 1
    assert [line.split(": ")[0] for line in said.splitlines()] == [f"{path}:4:35", f"{path}:4:48"]


def test_a_signal_that_no_check_gives_fails_the_check_unless_it_is_named(run, write):
    path = write("p.yaml", GOOD.replace("prompt.sexual", "prompt.gore"))
    assert run("check", path)[0] == 1
    assert run("check", path, "--signal", "prompt.gore")[0] == 0


def test_a_missing_file_is_a_plain_sentence(run, tmp_path):
    status, said = run("check", tmp_path / "none.yaml")
    assert status == 1
    assert "cannot be read" in said


def test_cases_as_expected_pass_and_others_fail_with_what_was_seen(run, write):
    policy = write("p.yaml", GOOD)
    status, said = run("test", policy, write("c.yaml", CASE))
    assert (status, "1 of 1 cases as expected" in said) == (0, True)
    status, said = run("test", policy, write("d.yaml", CASE.replace("expect: block", "expect: allow")))
    assert status == 1
    assert "expected allow, was block" in said
    assert "block r: prompt.sexual 0.5" in said
    assert "0 of 1 cases as expected" in said


def test_strict_fails_where_no_case_fires_a_rule(run, write):
    policy = write("p.yaml", GOOD)
    cases = write("c.yaml", CASE.replace("0.5", "0.1").replace("block", "allow"))
    assert run("test", policy, cases)[0] == 0
    assert run("test", policy, cases, "--strict")[0] == 1


def test_a_broken_cases_file_fails(run, write):
    assert run("test", write("p.yaml", GOOD), write("c.yaml", "version: 1\ncases: []\n"))[0] == 1


def test_a_tenants_policy_is_tested_under_the_floors_of_the_default(run):
    policy, cases = EXAMPLES / "school.yaml", EXAMPLES / "school.cases.yaml"
    assert run("test", policy, cases, "--base", "default", "--strict")[0] == 0
    assert run("test", policy, cases)[0] == 1  # without them the cases of the floors fail


def test_a_policy_is_shown_rule_by_rule(run):
    status, said = run("show", "default")
    assert status == 0
    assert "default@" in said
    assert "minor-sexual" in said
    assert "any.minor = highest of" in said


JOINED = """
version: 1
name: {name}
joins:
  any.bare: [{signals}]
{part}:
  - {{id: {name}-bare, when: {{any.bare: 0.5}}, action: block}}
"""


def test_joins_of_one_name_that_read_different_signals_are_shown_apart(run, write):
    base = write("base.yaml", JOINED.format(name="base", signals="input.exposure, output.exposure", part="floors"))
    own = write("own.yaml", JOINED.format(name="own", signals="prompt.sexual", part="rules"))
    same = write("same.yaml", JOINED.format(name="same", signals="input.exposure, output.exposure", part="rules"))
    lines = run("show", own, "--base", base)[1].splitlines()
    assert [line for line in lines if line.startswith("any.bare")] == [
        "any.bare = highest of input.exposure, output.exposure (in base-bare)",
        "any.bare = prompt.sexual (in own-bare)",
    ]
    lines = run("show", same, "--base", base)[1].splitlines()
    assert [line for line in lines if line.startswith("any.bare")] == [
        "any.bare = highest of input.exposure, output.exposure"
    ]


def test_a_rule_that_goes_into_a_file_is_one_whole_line(run, write, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    lines = run("show", "default")[1].splitlines()
    [line] = [line for line in lines if " minor-sexual " in line]
    assert line.startswith("block")
    assert "any.minor >= " in line
    assert " any.sexual >= " in line
    assert len([line for line in lines if line.startswith("any.minor = ")]) == 1


def test_the_how_to_prints_what_the_command_prints(run, write, monkeypatch, tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "write-a-policy.md").read_text()
    policy, cases = re.findall(r"^```yaml runnable=(?:policy|cases)\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    write("house.yaml", policy)
    write("house.cases.yaml", cases)
    status, said = run("test", "house.yaml", "house.cases.yaml", "--strict")
    assert (status, "    " + said.strip() in page.splitlines()) == (0, True), said
    write("house.yaml", policy.replace("input.person: 0.50", "input.person: 50"))
    status, said = run("check", "house.yaml")
    assert (status, "    " + said.strip() in page.splitlines()) == (1, True), said
