"""`guardrail eval report`, `compare`, `thresholds`, `evidence`: from folders of runs to files."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner, Result

from guardrail.cli import app
from guardrail.errors import ConfigError
from guardrail.policy import load
from tests.evaluate import made


@pytest.fixture
def home(tmp_path):
    home = tmp_path / "home"
    place = home / "evaluate" / "runs"
    made.run(place / "plain", made.normal(400, 2.0, slices={"lang": "nl"}))
    made.run(place / "other", made.normal(400, 2.5, slices={"lang": "nl"}))
    return home


@pytest.fixture
def guardrail(home):
    def run(*words: object) -> Result:
        return CliRunner().invoke(app, ["--home", str(home), "eval", *map(str, words)], env={"COLUMNS": "200"})

    return run


def test_a_report_is_printed_in_short_and_written_whole(guardrail, tmp_path):
    files = {kind: tmp_path / f"r.{kind}" for kind in ("html", "markdown", "json")}
    done = guardrail("report", "plain", *(word for kind, file in files.items() for word in (f"--{kind}", file)))
    assert done.exit_code == 0, done.output
    assert "plain" in done.stdout
    assert "ROC AUC" in done.stdout
    assert files["html"].read_text().startswith("<!doctype html>")
    assert files["markdown"].read_text().startswith("# plain\n")
    assert json.loads(files["json"].read_text())["runs"][0]["name"] == "plain"


def test_a_threshold_can_be_given(guardrail, tmp_path):
    guardrail("report", "plain", "--at", "undress=0.25", "--json", tmp_path / "r.json")
    (factor,) = json.loads((tmp_path / "r.json").read_text())["runs"][0]["factors"]
    assert [at["threshold"] for at in factor["at_thresholds"]] == [0.25]
    assert isinstance(guardrail("report", "plain", "--at", "undress=25").exception, ConfigError)


def test_two_runs_are_compared(guardrail):
    done = guardrail("compare", "plain", "other")
    assert done.exit_code == 0, done.output
    assert "McNemar" in done.stdout
    assert "DeLong" in done.stdout
    assert "named twice" in str(guardrail("compare", "plain", "plain").exception)


def test_a_proposed_policy_passes_its_check_and_an_old_file_is_not_overwritten(guardrail, tmp_path):
    file = tmp_path / "new.yaml"
    done = guardrail("thresholds", "plain", "--fpr", "0.05", "--write", file)
    assert done.exit_code == 0, done.output
    at = {c.at_least for rule in load(str(file)).rules for c in rule.when if c.name == "prompt.undress"}
    assert 0.5 not in at - {0.2, 0.3}
    assert CliRunner().invoke(app, ["policy", "check", str(file)]).exit_code == 0
    before = file.read_text()
    assert "is there already" in str(guardrail("thresholds", "plain", "--fpr", "0.05", "--write", file).exception)
    assert file.read_text() == before


def test_a_threshold_that_cannot_be_told_is_refused_in_words_and_not_written(guardrail, tmp_path):
    done = guardrail("thresholds", "plain", "--fpr", "0.001", "--write", tmp_path / "new.yaml")
    assert "6000 negatives are needed in all" in done.output
    assert isinstance(done.exception, ConfigError)
    assert not (tmp_path / "new.yaml").exists()


def test_a_policy_that_does_not_act_on_the_signal_is_not_written(guardrail, tmp_path):
    policy, out = tmp_path / "p.yaml", tmp_path / "new.yaml"
    rules = "  - {id: a, when: {prompt.sexual: 0.5}, action: block}\n"
    policy.write_text(f"version: 1\nname: p\nrules:\n{rules}")
    done = guardrail("thresholds", "plain", "--fpr", "0.05", "--policy", policy, "--write", out)
    assert "no rule acts on prompt.undress" in str(done.exception)
    assert not out.exists()


def test_costs_are_two_numbers(guardrail):
    assert guardrail("thresholds", "plain", "--cost", "fn=10,fp=1", "--by", "lang").exit_code == 0
    for wrong in ("fn=10", "fn=a,fp=1", "10,1", "fn=10,fp=0"):
        assert isinstance(guardrail("thresholds", "plain", "--cost", wrong).exception, ConfigError), wrong


def test_proposals_come_as_json_too(guardrail):
    told = json.loads(guardrail("thresholds", "plain", "--fpr", "0.05", "--json").stdout)
    assert told["proposals"][0]["fpr"]["n"] > 100


def test_an_evidence_pack_is_written(guardrail, tmp_path):
    done = guardrail("evidence", "plain", "--policy", "default", "--operator", "House", "--out", tmp_path / "e.html")
    assert done.exit_code == 0, done.output
    assert "House" in (tmp_path / "e.html").read_text()


def test_a_run_that_is_not_there_is_named_with_those_that_are(guardrail):
    assert "there are: other, plain" in str(guardrail("report", "gone").exception)
