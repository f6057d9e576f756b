"""`guardrail registry`: lists, removes, and says what is wrong by the file's name; shows no template."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from guardrail.checks.registry import Registry, Template
from guardrail.cli.registry import app, last_day
from guardrail.errors import ConfigError
from guardrail.home import Home
from tests.checks import people
from tests.checks.pictures import encoded, scene

NOW = datetime.now(UTC)
SECRET = "11" * 32


@pytest.fixture
def run(tmp_path):
    def run(*words: object, key: str = SECRET, columns: int = 200) -> tuple[int, str]:
        environ = {"GUARDRAIL_HOME": str(tmp_path), "GUARDRAIL_KEY": key, "COLUMNS": str(columns)}
        result = CliRunner().invoke(app, [str(word) for word in words], env=environ)
        if isinstance(result.exception, ConfigError):
            return 2, str(result.exception)  # what the command `guardrail` makes of it
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.output

    return run


@pytest.fixture
def registry(tmp_path) -> Registry:
    home = Home(tmp_path, secret=SECRET)
    return Registry(tmp_path / "registry", home.key("registry"), model="sface@0000abcd")


def face(seed: int) -> Template:
    return Template.of(np.random.default_rng(seed).normal(size=128))


def test_an_empty_registry_says_that_nobody_is_protected(run):
    assert run("list") == (0, "Nobody is in the registry: nobody is protected.\n")
    assert run("list", "--json") == (0, "[]\n")


def test_the_list_shows_words_and_dates_and_no_template(run, registry):
    person = registry.enrol([face(1)], label="A. Jansen [x]", group="staff", now=NOW, expires=NOW + timedelta(days=9))
    status, said = run("list")
    assert status == 0
    assert person.id in said
    assert "A. Jansen [x]" in said
    (entry,) = json.loads(run("list", "--json")[1])
    assert entry["label"] == "A. Jansen [x]"
    assert entry["templates"] == 1
    assert entry["in_force"] is True
    assert not any(isinstance(value, list) for value in entry.values())


def test_a_row_that_goes_into_a_file_is_one_whole_line_however_narrow_the_screen(run, registry):
    kept = "in the safe of the legal department, folder 12, page 7"
    person = registry.enrol([face(1)], label="A. Jansen", consent=kept, contact="legal@example.org", now=NOW)
    (row,) = [line for line in run("list", columns=80)[1].splitlines() if person.id in line]
    assert all(word in row for word in ("A. Jansen", kept, "legal@example.org", f"{NOW:%Y-%m-%d}"))
    assert any("cosine at 0.5" in line for line in run("thresholds", columns=20)[1].splitlines())


def test_the_id_is_whole_in_a_narrow_terminal(run, registry):
    person = registry.enrol([face(1)], label="a long label " * 9, group="group " * 9, now=NOW)
    assert person.id in run("list", columns=60)[1]


def test_a_group_is_listed_apart(run, registry):
    registry.enrol([face(1)], label="one", group="staff", now=NOW)
    registry.enrol([face(2)], label="two", group="guests", now=NOW)
    assert [entry["label"] for entry in json.loads(run("list", "--group", "guests", "--json")[1])] == ["two"]


def test_removing_asks_first_and_then_deletes(run, registry):
    person = registry.enrol([face(1)], label="x", now=NOW)
    status, _ = run("remove", person.id)  # nobody answers
    assert status == 1
    assert len(registry.people()) == 1
    status, said = run("remove", person.id, "--yes")
    assert (status, said) == (0, f"Deleted: {person.id}.\n")
    assert registry.people() == []


def test_only_those_whose_protection_ended_go_with_expired(run, registry):
    long_ago = NOW - timedelta(days=10)
    old = registry.enrol([face(1)], label="old", now=long_ago, expires=NOW - timedelta(days=1))
    new = registry.enrol([face(2)], label="new", now=NOW)
    assert json.loads(run("remove", "--expired", "--yes", "--json")[1]) == {"removed": [old.id]}
    assert [person.id for person in registry.people()] == [new.id]


def test_another_key_is_said_and_is_not_an_empty_list(run, registry):
    registry.enrol([face(1)], label="x", now=NOW)
    status, said = run("list", key="22" * 32)
    assert status == 2
    assert "another key" in said


def test_adding_nothing_or_changing_words_with_to_is_refused(run):
    assert run("add", "--label", "x")[0] == 2
    assert run("add", "x.jpg", "--to", "p-1", "--label", "x")[0] == 2
    assert run("remove")[0] == 2


def test_the_last_day_counts_whole_and_a_number_of_days_counts_from_now():
    assert last_day("2027-12-31", NOW) == datetime(2028, 1, 1, tzinfo=UTC)
    assert last_day("365d", NOW) == NOW + timedelta(days=365)
    for bad in ("soon", "2027-13-01", "-1d", "1 d", ""):
        with pytest.raises(ConfigError, match="a date such as"):
            last_day(bad, NOW)
    assert last_day("9999-12-30", NOW) == datetime(9999, 12, 31, tzinfo=UTC)
    with pytest.raises(ConfigError, match="leave it out where protection does not end"):
        last_day("9999-12-31", NOW)


def test_a_group_is_removed_as_one(run, registry):
    registry.enrol([face(1)], label="one", group="staff", now=NOW)
    stays = registry.enrol([face(2)], label="two", group="guests", now=NOW)
    assert run("remove", "--group", "staff", "--yes")[0] == 0
    assert [person.id for person in registry.people()] == [stays.id]


def test_where_consent_is_asked_for_nobody_is_added_without(run, monkeypatch):
    monkeypatch.setenv("GUARDRAIL_REGISTRY_REQUIRE_CONSENT", "true")
    status, said = run("add", "x.jpg", "--label", "x")
    assert status == 2
    assert "--consent says where" in said


def test_a_backup_comes_back_in_another_home_under_another_key(run, registry, tmp_path):
    person = registry.enrol([face(1)], label="x", now=NOW)
    status, said = run("export", tmp_path / "backup")
    assert (status, said.splitlines()[0][:16]) == (0, "1 person copied.")
    registry.file.path.unlink()
    (tmp_path / "audit").rename(tmp_path / "record-of-the-old-key")
    (tmp_path / "old.key").write_text(SECRET)
    assert "another key" in run("import", tmp_path / "backup", key="22" * 32)[1]
    said = run("import", tmp_path / "backup", "--old-key-file", tmp_path / "old.key", "--json", key="22" * 32)[1]
    assert json.loads(said) == {"added": [person.id], "restored": [], "stay_removed": []}
    assert json.loads(run("list", "--json", key="22" * 32)[1])[0]["label"] == "x"


def test_who_was_removed_comes_back_from_a_backup_only_when_that_is_said(run, registry, tmp_path):
    kept = registry.enrol([face(1)], label="kept", now=NOW)
    gone = registry.enrol([face(2)], label="gone", now=NOW)
    run("export", tmp_path / "backup")
    run("remove", gone.id, "--yes")
    assert run("import", tmp_path / "backup") == (
        0,
        f"0 persons added.\nRemoved before, and not brought back: {gone.id} (--restore-removed would).\n",
    )
    assert [person.id for person in registry.people()] == [kept.id]
    said = run("import", tmp_path / "backup", "--restore-removed")[1]
    assert said == f"1 person added.\nRemoved before, and back now: {gone.id}.\n"
    assert {person.id for person in registry.people()} == {kept.id, gone.id}


def test_a_registry_is_sealed_under_the_new_key(run, registry, tmp_path):
    registry.enrol([face(1)], label="x", now=NOW)
    (tmp_path / "old.key").write_text(SECRET)
    assert "this is the key in use" in run("rekey", "--old-key-file", tmp_path / "old.key")[1]
    assert run("list", key="22" * 32)[0] == 2
    assert run("rekey", "--old-key-file", tmp_path / "old.key", key="22" * 32)[0] == 0
    assert run("list", key="22" * 32)[0] == 0
    assert run("list")[0] == 2


def test_thresholds_say_what_to_expect_at_each_size(run):
    rows = json.loads(run("thresholds", "10", "1000", "100000", "--json")[1])
    adults = [row for row in rows if not row["child"]]
    assert [row["templates"] for row in adults] == [10, 1000, 100000]
    assert all(row["false_alarms_per_face"] <= 0.0101 for row in rows)
    assert adults[0]["cosine"] < adults[1]["cosine"] < adults[2]["cosine"]
    (looser,) = (row for row in json.loads(run("thresholds", "1000", "--false-alarms", "0.1", "--json")[1])[:1])
    assert looser["cosine"] < adults[1]["cosine"]
    assert "100,000" in run("thresholds")[1]
    assert run("thresholds", "--false-alarms", "2")[0] == 2


@pytest.mark.weights
def test_a_person_is_enrolled_from_a_picture_and_a_picture_without_a_face_is_named(
    run, registry, tmp_path, monkeypatch
):
    monkeypatch.setenv("GUARDRAIL_MODELS_CACHE", str(people.real_models("yunet", "sface").cache))
    (tmp_path / "scene.png").write_bytes(encoded(scene(1)))
    status, said = run("add", tmp_path / "scene.png", "--label", "x")
    assert status == 2
    assert "scene.png: no face was found" in said
    assert registry.people() == []
    pictures = Path(__file__).parents[1] / "pictures"
    status, said = run("add", pictures / "collins.jpg", "--label", "x", "--json")
    assert status == 0
    person = json.loads(said)
    (tmp_path / "t.json").write_text(json.dumps(face(1).vector.tolist()))
    assert run("add", "--template", tmp_path / "t.json", "--to", person["id"])[0] == 0
    assert [found.templates for found in registry.people()] == [2]
    status, said = run("add", pictures / "collins.jpg", pictures / "hopper.jpg", "--label", "both")
    assert said.count("looks like none of the others") == 2
