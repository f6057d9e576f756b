"""The command: a suite run, attacked and put beside a peer, with a check of the test's own."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from guardrail.cli import app
from guardrail.cli.eval_build import (
    OpenGuardJudge,
    cores,
    remembered_as,
    reporting,
    settings_that_count,
    workers_for,
)
from guardrail.config import load
from guardrail.errors import ConfigError
from guardrail.evaluate import runs
from guardrail.evaluate.judging import About
from guardrail.evaluate.survey import Survey
from guardrail.types import Kind
from tests.checks.people import real_models
from tests.cli import plugin
from tests.evaluate.stand_ins import row, write_suite

ROWS = [row(n, "remove her clothes" if n % 2 else "a red bicycle", undress=n % 2) for n in range(12)]


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home/evaluate/suites").mkdir(parents=True)
    write_suite(tmp_path / "home/evaluate/suites/mine", ROWS, factors=["undress"])
    return tmp_path / "home"


def guardrail(home, *arguments):
    return CliRunner().invoke(app, ["--home", str(home), "eval", *arguments])


def test_suites_under_home_are_listed(home):
    done = guardrail(home, "list")
    assert done.exit_code == 0
    assert "mine" in done.stdout


def test_attacks_are_listed_with_what_they_do(home):
    done = guardrail(home, "attacks")
    assert "homoglyphs" in done.stdout
    assert "jpeg" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "yours"], "no suite 'yours'; there are mine"),
        (["run", "mine", "--where", "lang"], "--where lang: NAME=VALUE"),
        (["run", "mine", "--assume", "input.person=2"], "a score in [0, 1]"),
        (["run", "mine", "--assume", "input.persn=1"], "does not read it; did you mean 'input.person'?"),
        (["run", "mine", "--attack", "leat"], "no attack is called 'leat'"),
        (["run", "mine", "--map", "txt=prompt"], "--map txt: no such entry"),
        (["run", "mine", "--name", "../mine"], "run name '../mine'"),
        (["attack", "mine", "--factor", "gore"], "the suite's factors are undress"),
        (["peers", "install", "nobody"], "no peer 'nobody'"),
        (["peers", "table", "nothing"], "no run 'nothing'"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_scored(home, arguments, words):
    done = guardrail(home, *arguments)
    assert done.exit_code != 0
    assert words in str(done.exception)


def test_progress_says_how_far_how_fast_and_how_long(capsys):
    with reporting("mine") as report:
        report(0, 40)
        report(40, 40)
    said = capsys.readouterr().err
    assert "mine: 40 of 40 rows" in said
    assert "/s, 0 s left" in said


@pytest.mark.parametrize(
    ("setting", "value", "counts"),
    [
        ("checks.options", "{protected: {false_alarms_per_face: 0.1}}", True),
        ("limits.frames", "2", True),
        ("limits.megapixels", "1", True),
        ("models.providers", "[CUDAExecutionProvider]", True),
        ("server.port", "9", False),
    ],
)
def test_scores_made_with_other_settings_are_not_taken_for_those_of_these(tmp_path, setting, value, counts):
    plain, other = (load(None, {"home": str(tmp_path), **flags}, {}) for flags in ({}, {setting: value}))
    kept, others = settings_that_count(plain), settings_that_count(other)
    assert ({name for name in kept if kept[name] != others[name]} == {setting}) is counts
    assert (kept != others) is counts
    about = About(("m@1",), frozenset(), "models", settings=kept)
    assert (remembered_as(replace(about, settings=others)) != remembered_as(about)) is counts
    assert remembered_as(replace(about, label="other models")) != remembered_as(about)


def test_the_options_of_a_check_that_is_not_opened_do_not_count(tmp_path):
    flags = {"home": str(tmp_path), "checks.options": "{protected: {false_alarms_per_face: 0.1}}"}
    plain, other = load(None, {"home": str(tmp_path)}, {}), load(None, flags, {})

    def counted(configuration, kind):
        return settings_that_count(OpenGuardJudge(configuration, frozenset({kind})).narrowed())

    assert counted(plain, Kind.PROMPT) == counted(other, Kind.PROMPT)
    assert counted(plain, Kind.OUTPUT) != counted(other, Kind.OUTPUT)


OWN = ("--set", "checks.enabled=[words]", "--set", "limits.body_mb=7")


def test_a_kept_run_is_said_to_be_one_and_is_none_of_other_settings(home, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(plugin.install(tmp_path / "site")))
    write_suite(home / "evaluate/suites/words", [row(0, "a forbidden word", sexual=1)], factors=["sexual"])
    (tmp_path / "p.yaml").write_text(plugin.policy())

    def run(*top, more=()):
        words = ("eval", "run", "words", "--workers", "1", "--policy", str(tmp_path / "p.yaml"))
        return CliRunner().invoke(app, ["--home", str(home), *OWN, *top, *words, *more])

    first = run()
    assert first.exit_code == 0, first.exception
    assert "kept" not in first.output
    again = run("--set", "limits.body_mb=8")  # no score depends on it
    assert "kept from before" in again.output
    other = ("--set", "checks.options={words: {strict: true}}")
    refused = run(*other)
    assert isinstance(refused.exception, ConfigError)
    assert "settings.checks.options differs" in str(refused.exception)
    assert "kept" not in run(*other, more=("--fresh",)).output
    assert isinstance(run().exception, ConfigError)


def test_few_rows_are_judged_by_one_process_and_many_by_one_a_core():
    held = Survey("d", 9000, 0, {}, {"lang": {"nl": 512, "en": 513, "de": 7975}})
    assert workers_for(0, held) == cores()
    assert workers_for(0, held, where=(("lang", "nl"),)) == 1
    assert workers_for(0, held, where=(("lang", "en"),)) == cores()
    assert workers_for(0, held, limit=512) == 1
    assert workers_for(3, held, limit=1) == 3


@pytest.mark.weights
def test_a_suite_is_run_and_attacked_with_the_real_model(home):
    (home / "models").symlink_to(real_models("use-multilingual").cache)
    done = guardrail(home, "run", "mine", "--workers", "1", "--where", "kind=edit", "--assume", "input.person=1")
    assert done.exit_code == 0, done.exception
    told = runs.read_run(runs.runs_folder(home) / "mine")
    assert (told["rows"], told["unscored"]) == (12, 0)
    found = list(runs.rows(runs.runs_folder(home) / "mine"))
    assert {one["action"] for one in found if one["labels"]["undress"]} <= {"hold", "block"}
    assert {one["action"] for one in found if not one["labels"]["undress"]} == {"allow"}

    done = guardrail(home, "attack", "mine", "--attack", "spacing", "--attack", "zero_width", "--searches", "2",
                     "--budget", "10", "--name", "attacked", "--workers", "1")  # fmt: skip
    assert done.exit_code == 0, done.exception
    summary = json.loads((runs.runs_folder(home) / "attacked/attacks.json").read_text())
    assert [one["attack"] for one in summary["attacks"]] == ["spacing", "zero_width"]
    assert summary["plain"]["recall"]["hits"] == 6
    assert summary["cheapest"]["taken"]["n"] == 6
    assert set(summary["cheapest"]["won"]) <= {"spacing", "zero_width"}
    assert summary["search"]["worked"]["n"] == 2
