"""`guardrail models`: what is there, what is not, and what to do about it."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from guardrail.cli import app
from guardrail.errors import ConfigError
from guardrail.inference.manifest import packaged


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("GUARDRAIL_HOME", str(tmp_path))

    def command(*words: str):
        return CliRunner().invoke(app, ["models", *words])

    return command


def test_list_names_every_weight_with_its_licence(run):
    rows = json.loads(run("list", "--json").stdout)
    assert [row["name"] for row in rows] == list(packaged().names())
    assert not any(row["here"] for row in rows)
    assert all(row["licence_weights"] and row["training_data"] and row["packages"] for row in rows)


def test_list_shows_a_table(run):
    answer = run("list")
    assert answer.exit_code == 0
    (line,) = [line for line in answer.stdout.splitlines() if line.startswith("yunet ")]
    assert line.split()[1:3] == ["no", f"{packaged()['yunet'].size / 1e6:.1f}"]
    assert line.endswith(packaged()["yunet"].scores)


def refusal(answer) -> str:
    """What `guardrail` says on standard error before it ends with status 2."""
    assert isinstance(answer.exception, ConfigError), answer.output
    assert answer.stdout == ""
    return str(answer.exception)


def test_a_path_that_is_not_there_is_an_error(run):
    assert "yunet is not in" in refusal(run("path", "yunet"))


def test_verifying_an_empty_cache_is_an_error(run):
    assert "run `guardrail models pull`" in refusal(run("verify"))


def test_verify_names_what_is_missing_and_fails(run):
    answer = run("verify", "yunet")
    assert answer.exit_code == 1
    assert "weight yunet is not in" in answer.stdout


def test_pulling_from_an_empty_folder_fails_and_says_what_to_do(run, tmp_path):
    assert "yunet" in refusal(run("pull", "yunet", "--from", str(tmp_path), "--no-packages"))
    assert not (tmp_path / "models" / "yunet.onnx").exists()


def test_an_unknown_weight_is_an_error(run):
    assert "nonsense" in refusal(run("pull", "nonsense", "--no-packages"))


@pytest.mark.weights
def test_bench_times_every_weight_that_is_here(monkeypatch):
    monkeypatch.delenv("GUARDRAIL_MODELS_CACHE", raising=False)
    answer = CliRunner().invoke(app, ["models", "bench", "--runs", "1", "--json"])
    assert answer.exit_code == 0, answer.output
    rows = json.loads(answer.stdout)
    here = json.loads(CliRunner().invoke(app, ["models", "list", "--json"]).stdout)
    assert {row["name"].partition("@")[0] for row in rows} == {row["name"] for row in here if row["here"]}
