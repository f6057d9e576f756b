"""`guardrail config`: what holds and where it came from, on a terminal, in a pipe and as JSON."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from guardrail.cli import app
from guardrail.config import keys


@pytest.fixture
def config(tmp_path):
    """Run `guardrail config` with a value from each source; each line of the answer by the setting it begins with."""
    long = tmp_path / ("a-folder-with-a-long-name" * 8)
    (tmp_path / "s.yaml").write_text(
        f"server: {{drain_s: 5, access_key: hush-hush}}\nmodels.cache: {long}\naudit.url: postgresql://u:hush-hush@h/d\n"
    )

    def run(*arguments):
        flags = ["--config", str(tmp_path / "s.yaml"), "--set", "server.port=3333", "config", *arguments]
        around = {
            "GUARDRAIL_HOME": str(tmp_path),
            "GUARDRAIL_LOG_LEVEL": "debug",
            "GUARDRAIL_KEY": "ab" * 32,
        }
        return CliRunner().invoke(app, flags, env=around)

    run.long = str(long)
    return run


def test_each_setting_is_shown_whole_on_a_line_with_where_it_came_from(config, tmp_path):
    got = config("show")
    assert got.exit_code == 0
    lines = {line.split()[0]: line.split() for line in got.output.splitlines()}
    assert lines.keys() == {"setting", *(key.name for key in keys())}
    assert lines["server.port"] == ["server.port", "3333", "flag"]
    assert lines["log.level"] == ["log.level", "debug", "environment", "(GUARDRAIL_LOG_LEVEL)"]
    assert lines["server.drain_s"] == ["server.drain_s", "5.0", "file", str(tmp_path / "s.yaml")]
    assert lines["server.host"] == ["server.host", "127.0.0.1", "default"]
    assert lines["models.cache"][1] == config.long


def test_no_secret_is_shown(config):
    for arguments in (["show"], ["show", "--json"]):
        said = config(*arguments).output
        assert "hush-hush" not in said
        assert "abab" not in said
        assert "(set)" in said


def test_all_of_it_comes_as_json_too(config, tmp_path):
    said = json.loads(config("show", "--json").output)
    assert said["file"] == str(tmp_path / "s.yaml")
    rows = {row["name"]: row for row in said["settings"]}
    assert rows["server.port"] == {"name": "server.port", "value": "3333", "origin": "flag"}
    assert rows.keys() == {key.name for key in keys()}


def test_every_setting_is_listed_with_its_variable_and_what_it_means(config):
    lines = config("keys").output.splitlines()
    for key in keys():
        (line,) = [line for line in lines if line.startswith(f"{key.name} ")]
        assert key.variable in line
        assert key.help in line
