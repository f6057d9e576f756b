"""What `guardrail registry` and `guardrail bank` change is on record: who and how many, no name, picture or hash."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from guardrail import config
from guardrail.audit import AuditLog, Entry, verify
from guardrail.checks.known import bank_of
from guardrail.checks.registry import Registry, Template
from guardrail.cli import app
from guardrail.errors import AuditError, ConfigError
from guardrail.inference.image import pdq
from tests.checks import people
from tests.checks.pictures import encoded, scene

NOW = datetime.now(UTC)
LABEL = "A. Jansen"


@pytest.fixture
def place(tmp_path):
    return config.load(None, {"home": str(tmp_path / "home")})


@pytest.fixture
def run(tmp_path):
    def run(*words: object, top: tuple[str, ...] = ()) -> Result:
        home = ("--home", str(tmp_path / "home"))
        return CliRunner().invoke(app, [*home, *top, *map(str, words)], env={"USER": "operator", "COLUMNS": "300"})

    return run


@pytest.fixture
def person(place):
    registry = Registry(place.home / "registry", place.key("registry"), model="sface@0000abcd")
    template = Template.of(np.random.default_rng(1).normal(size=128))
    return registry.enrol([template], label=LABEL, group="staff", now=NOW).id


@pytest.fixture
def events(run):
    def events() -> list[dict]:
        """How each change ended; the event before it says that it was begun."""
        exported = run("audit", "export", "--kind", "event")
        assert exported.exit_code == 0, exported.exception
        told = [json.loads(line) for line in exported.stdout.splitlines()]
        begun, ended = told[::2], told[1::2]
        assert [one["id"] for one in begun] == [f"{one['id']}.open" for one in ended]
        assert {one["body"]["status"] for one in begun} <= {"begun"}
        return ended

    return events


def file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_removing_a_person_is_on_record_under_who_is_logged_in_or_named(run, person, events, place):
    assert run("registry", "remove", person, "--yes", "--by", "anna").exit_code == 0
    [event] = events()
    assert (event["action"], event["tenant"]) == ("registry-remove", "*")
    assert (event["body"]["by"], event["body"]["counts"]) == ("anna", {"persons": 1})
    registry = Registry(place.home / "registry", place.key("registry"), model="")
    assert event["body"]["revision"] == registry.templates().revision  # which receipts name
    assert person not in json.dumps(event)
    assert "staff" not in json.dumps(event)
    assert "registry-remove" in run("audit", "list", "--subject", person).stdout
    assert "no records" in run("audit", "list", "--subject", "p-000000000000").stdout
    assert verify(place.audit_url, place.key("audit")) == []
    assert run("audit", "verify").exit_code == 0
    shown = run("audit", "show", event["id"])
    assert shown.exit_code == 0
    for told in ("registry-remove", "by        anna", "persons: 1", "this is what was written"):
        assert told in shown.stdout, told


def test_who_removes_nobody_and_who_thinks_better_of_it_leave_no_event(run, person, events, place):
    assert run("registry", "remove", "--expired", "--yes").exit_code == 0
    assert run("registry", "remove", person).exit_code == 1  # nobody answers
    assert not (place.home / "audit/audit.db").exists()


def test_a_person_who_is_not_there_leaves_an_event_that_says_it_failed(run, person, events):
    assert isinstance(run("registry", "remove", "p-0", "--yes").exception, ConfigError)
    [event] = events()
    assert (event["body"]["by"], event["body"]["failed"]) == ("operator", "ConfigError")


def test_a_backup_that_goes_out_and_comes_back_is_on_record(run, person, events, tmp_path):
    backup = tmp_path / "backup"
    assert run("registry", "export", backup).exit_code == 0
    run("registry", "remove", person, "--yes")
    taken = run("registry", "import", backup)
    assert taken.exit_code == 0, taken.exception
    sent, _, came = events()
    assert (sent["action"], sent["body"]["counts"]) == ("registry-export", {"persons": 1})
    assert came["action"] == "registry-import"
    assert came["body"]["counts"] == {"persons": 0, "restored": 0}
    restored = run("registry", "import", backup, "--restore-removed")
    assert restored.exit_code == 0, restored.exception
    assert events()[3]["body"]["counts"] == {"persons": 1, "restored": 1}
    assert len(events()[3]["body"]["subject"]) == 2  # the file and the person
    found = run("audit", "list", "--subject", file_digest(backup)).stdout
    assert [found.count(action) for action in ("registry-export", "registry-remove", "registry-import")] == [1, 0, 4]


def test_a_registry_that_is_sealed_anew_says_so_in_the_record_that_begins_with_the_key(run, person, events, place):
    old = place.home / "old.key"
    (place.home / "key").rename(old)
    assert run("registry", "rekey", "--old-key-file", old).exit_code == 0
    [event] = events()
    assert (event["seq"], event["action"], event["body"]["counts"]) == (2, "registry-rekey", {"persons": 1})


@pytest.mark.weights
def test_a_person_who_is_added_is_on_record_without_their_name(run, events, monkeypatch):
    monkeypatch.setenv("GUARDRAIL_MODELS_CACHE", str(people.real_models("yunet", "sface").cache))
    picture = Path(__file__).parents[1] / "pictures/collins.jpg"
    words = ("--label", LABEL, "--consent", "file 12", "--contact", "legal@example.org")
    added = json.loads(run("registry", "add", picture, *words, "--json").stdout)
    assert run("registry", "add", picture, "--to", added["id"]).exit_code == 0
    first, second = events()
    assert [one["action"] for one in (first, second)] == ["registry-add", "registry-add"]
    assert [one["body"]["counts"] for one in (first, second)] == [{"persons": 1, "templates": 1}, {"templates": 1}]
    for told in (LABEL, added["id"], "file 12", "legal", "collins"):
        assert told not in json.dumps([first, second]), told
    assert run("audit", "list", "--subject", added["id"]).stdout.count("registry-add") == 4


def test_a_hash_is_on_record_from_its_adding_to_its_removal(run, events, place, tmp_path):
    path = tmp_path / "scene.png"
    path.write_bytes(encoded(scene(1)))
    digits = pdq.hash_of(scene(1)).hex
    assert run("bank", "add", path, "--source", "hotline", "--note", "case 7").exit_code == 0
    assert run("bank", "remove", digits.upper()).exit_code == 0
    assert run("bank", "--bank", "acme", "add", path, "--source", "hotline", "--exact").exit_code == 0
    assert run("bank", "--bank", "acme", "remove", "--source", "hotline").exit_code == 0
    added, removed, exact, source = events()
    revisions = [one["body"]["revision"] for one in (added, removed, exact, source)]
    assert revisions[0] < revisions[1] == bank_of(place.home).file.revision()
    assert revisions[2] < revisions[3] == bank_of(place.home, "acme").file.revision()
    assert (added["action"], added["body"]["counts"]["new"]) == ("bank-add", 1)
    assert (removed["action"], removed["body"]["counts"]) == ("bank-remove", {"entries": 1})
    assert [one["body"].get("bank") for one in (added, removed, exact, source)] == [None, None, "acme", "acme"]
    for told in (digits, file_digest(path), "hotline", "case 7", "scene"):
        assert told not in json.dumps([added, removed, exact, source]), told
    for name, count in ((digits, 4), (digits.upper(), 4), (file_digest(path), 4), ("hotline", 6)):
        assert run("audit", "list", "--subject", name).stdout.count("bank-") == count, name


def test_a_list_is_on_record_by_its_file_and_counts(run, events, tmp_path):
    path = tmp_path / "may.txt"
    path.write_text("".join(f"pdq {pdq.hash_of(scene(seed)).hex}\n" for seed in range(3)))
    assert run("bank", "import", path).exit_code == 0
    assert run("bank", "export", tmp_path / "out.csv", "--format", "csv").exit_code == 0
    taken, sent = events()
    assert (taken["action"], taken["body"]["counts"]["new"]) == ("bank-import", 3)
    assert (sent["action"], sent["body"]["counts"]) == ("bank-export", {"hashes": 3})
    assert "may.txt" not in json.dumps(taken)
    assert "bank-import" in run("audit", "list", "--subject", file_digest(path)).stdout
    assert "bank-export" in run("audit", "list", "--subject", file_digest(tmp_path / "out.csv")).stdout


def test_without_a_record_nothing_is_changed_unless_none_is_required(run, person, place, tmp_path):
    place.state.folder("audit")
    (place.home / "audit/audit.db").write_bytes(b"no database, and not empty either" * 40)
    path = tmp_path / "scene.png"
    path.write_bytes(encoded(scene(1)))
    for words in (("registry", "remove", person, "--yes"), ("bank", "add", path)):
        refused = run(*words)
        assert isinstance(refused.exception, AuditError)
        assert "nothing was changed" in str(refused.exception)
    assert [one["id"] for one in json.loads(run("registry", "list", "--json").stdout)] == [person]
    assert bank_of(place.home).entries() == []
    done = run("bank", "add", path, top=("--set", "audit.required=false"))
    assert done.exit_code == 0
    assert "not on record" in done.stderr
    assert len(bank_of(place.home).entries()) == 1


def test_the_log_of_a_running_server_takes_the_event(run, person, place, events):
    with AuditLog.open(place.audit_url, place.key("audit")) as log:
        assert log.writable()
        assert run("registry", "remove", person, "--yes").exit_code == 0
        assert [record.entry.action for record in log.entries()] == ["registry-remove"] * 2


def test_a_change_past_the_commands_is_named_where_the_log_is_verified(run, events, place, tmp_path):
    path = tmp_path / "scene.png"
    path.write_bytes(encoded(scene(1)))
    assert run("bank", "--bank", "acme", "add", path).exit_code == 0
    assert run("audit", "verify").exit_code == 0
    bank = bank_of(place.home, "acme")
    bank.withdraw([bank.entries()[0].pdq], now=NOW)
    found = run("audit", "verify")
    assert found.exit_code == 3
    revision = bank.file.revision()
    assert f"no record: bank acme: its revision is {revision}, which was made by no event" in found.stdout
    assert "whole: 2 records" in found.stdout
    assert run("bank", "--bank", "acme", "add", path, "--again").exit_code == 0
    found = run("audit", "verify")
    assert found.exit_code == 3
    assert f"{events()[1]['id']}: bank acme: revision {revision}, which this change found" in found.stdout


def test_a_change_that_was_cut_short_is_named_where_the_log_is_verified(run, place, tmp_path):
    path = tmp_path / "scene.png"
    path.write_bytes(encoded(scene(1)))
    assert run("bank", "add", path).exit_code == 0
    with AuditLog.open(place.audit_url, place.key("audit")) as log:
        body = {"by": "anna", "status": "begun", "subject": []}
        log.append_wait(Entry("event", "change-1.open", NOW.timestamp(), "*", "bank-remove", body))
    found = run("audit", "verify")
    assert found.exit_code == 3
    assert "change-1.open: bank-remove by anna was begun, and its end is not on record" in found.stdout


def test_a_log_is_verified_though_a_bank_beside_it_cannot_be_read(run, place, tmp_path):
    path = tmp_path / "scene.png"
    path.write_bytes(encoded(scene(1)))
    assert run("bank", "add", path).exit_code == 0
    bank_of(place.home).file.path.write_bytes(b"no database, and not empty either" * 40)
    found = run("audit", "verify")
    assert "whole: 2 records" in found.stdout
    assert isinstance(found.exception, ConfigError)
