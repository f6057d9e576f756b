"""Changes to what judges: on record with who and how many, never with a name, and never made where none can be kept."""

from __future__ import annotations

import json
import sqlite3

import pytest

from guardrail.audit import AuditLog, Changes, Reader, concerns, verify
from guardrail.audit.changes import SUBJECTS
from guardrail.errors import AuditError, ConfigError

from .support import KEY, OTHER_KEY


@pytest.fixture
def log(url):
    with AuditLog.open(url, KEY) as log:
        yield log


@pytest.fixture
def changes(log):
    return Changes(log, OTHER_KEY, by="anna")


def events(log):
    """How changes ended."""
    told = [record.entry for record in reversed(log.entries(kind="event"))]
    return [entry for entry in told if entry.body.get("status") != "begun"]


def test_a_change_is_on_record_with_who_what_and_how_many_and_no_name(log, changes, url):
    with changes.change("registry-add", file="x") as change:
        [begun] = [record.entry for record in log.entries()]
        change.about("p-1234")
        change.counts(templates=2)
    [entry] = events(log)
    assert (begun.id, begun.action, begun.body["by"]) == (f"{entry.id}.open", "registry-add", "anna")
    assert (begun.body["status"], begun.body["file"], begun.body["subject"]) == ("begun", "x", [])
    assert (entry.action, entry.tenant) == ("registry-add", "*")
    assert entry.body["by"] == "anna"
    assert entry.body["counts"] == {"templates": 2}
    assert entry.body["file"] == "x"
    assert "p-1234" not in json.dumps(entry.body)
    assert verify(url, KEY) == []


def test_whoever_has_the_key_and_the_name_finds_the_change_and_nobody_else(log, changes):
    with changes.change("bank-add", source="hotline") as change:
        change.about("ab" * 32)
    [entry] = events(log)
    assert concerns(entry.body, "ab" * 32, OTHER_KEY)
    assert concerns(entry.body, "AB" * 32, OTHER_KEY)
    assert not concerns(entry.body, "ab" * 31 + "cd", OTHER_KEY)
    assert not concerns(entry.body, "ab" * 32, KEY)
    assert not concerns({"subject": "digest:1"}, "x", OTHER_KEY)
    assert not concerns({}, "x", OTHER_KEY)


def test_what_is_to_be_changed_is_on_record_before_it_is(log, changes):
    with changes.change("registry-remove", about=["p-1"]):
        [begun] = [record.entry for record in log.entries()]
    assert concerns(begun.body, "p-1", OTHER_KEY)
    assert [concerns(entry.body, "p-1", OTHER_KEY) for entry in events(log)] == [True]


def test_a_change_that_ends_in_an_error_is_on_record_as_such(log, changes):
    with pytest.raises(ConfigError), changes.change("registry-remove", about=["p-1"]):
        raise ConfigError("the file could not be rebuilt")
    [entry] = events(log)
    assert entry.body["failed"] == "ConfigError"
    assert concerns(entry.body, "p-1", OTHER_KEY)


def test_more_subjects_than_one_event_holds_stand_in_several(log, changes):
    with changes.change("registry-import") as change:
        change.about(*(f"p-{n}" for n in range(SUBJECTS + 1)))
        change.counts(persons=SUBJECTS + 1)
    first, second = events(log)
    assert [len(one.body["subject"]) for one in (first, second)] == [SUBJECTS, 1]
    assert [one.body["part"] for one in (first, second)] == ["1 of 2", "2 of 2"]
    assert first.body["counts"] == second.body["counts"] == {"persons": SUBJECTS + 1}
    assert concerns(second.body, f"p-{SUBJECTS}", OTHER_KEY)


def test_nothing_is_changed_where_records_cannot_be_written(tmp_path):
    url = f"sqlite:///{tmp_path}/audit.db"
    done = []
    with AuditLog.open(url, KEY) as log:
        other = sqlite3.connect(tmp_path / "audit.db")
        other.execute("DROP TABLE guardrail_audit_records")
        with pytest.raises(AuditError, match="nothing was changed"), Changes(log, KEY, by="a").change("bank-add"):
            done.append(1)
    assert done == []


def test_a_change_that_was_made_and_not_recorded_is_said(tmp_path):
    url = f"sqlite:///{tmp_path}/audit.db"

    def loses_the_table(log):
        with Changes(log, KEY, by="a").change("bank-add") as change:
            change.about("x")
            sqlite3.connect(tmp_path / "audit.db").execute("DROP TABLE guardrail_audit_records")

    with AuditLog.open(url, KEY) as log, pytest.raises(AuditError, match="bank-add: was done, but is not on record"):
        loses_the_table(log)


@pytest.mark.parametrize("by", ["", "x" * 257, "a\nb"])
def test_who_does_it_is_a_name(log, by):
    with pytest.raises(ConfigError, match="who changes it"):
        Changes(log, KEY, by=by)


def test_records_about_what_was_changed_are_found_by_a_reader(log, changes, url):
    with changes.change("bank-remove") as change:
        change.about("x")
    reader = Reader.open(url)
    found = list(reader.scan(about=lambda entry: concerns(entry.body, "x", OTHER_KEY)))
    reader.close()
    assert [record.entry.action for record in found] == ["bank-remove"]
