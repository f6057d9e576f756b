"""Changes that the record does not account for: cut short by a killed process, or made past the commands."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from guardrail.audit import Entry, Missing, Reader, missing, verify
from guardrail.checks.bank import Bank

from .support import KEY

ROOT = Path(__file__).parents[2]
STEPS = ["asked", "part", "part", "begun", "changed", "made", "part", "part", "ended"]


def killed(folder: Path, step: str, times: int = 1) -> list[str]:
    """The steps that a process reached which was killed at one of them."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.audit.changing", str(folder), step, str(times)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0 if step == "never" else -9, "")
    return [line.removeprefix("step ") for line in done.stdout.splitlines() if line.startswith("step ")]


def on_record(folder: Path) -> list[Entry]:
    reader = Reader.open(f"sqlite:///{folder}/audit.db")
    try:
        return [record.entry for record in reader.scan(kind="event")]
    finally:
        reader.close()


def test_every_step_of_a_change_is_one_that_the_tests_stop_at(tmp_path):
    assert killed(tmp_path, "never") == STEPS
    assert missing(on_record(tmp_path), {"bank": Bank(tmp_path).file.revision()}) == []


@pytest.mark.parametrize("at", range(len(STEPS)))
def test_a_change_whose_process_was_killed_is_never_there_without_a_word_of_it(tmp_path, at):
    step = STEPS[at]
    assert killed(tmp_path, step, STEPS[: at + 1].count(step)) == STEPS[: at + 1]
    changed, told = bool(Bank(tmp_path).entries()), on_record(tmp_path)
    assert verify(f"sqlite:///{tmp_path}/audit.db", KEY) == []
    assert changed is (at >= STEPS.index("changed"))
    begun = [entry for entry in told if entry.id.endswith(".open")]
    ended = [entry for entry in told if entry.id.count(".") == 0]
    assert bool(begun) or not changed
    found = missing(told, {"bank": Bank(tmp_path).file.revision()} if changed else {})
    assert [one.record for one in found] == ([] if ended else [entry.id for entry in begun])
    assert all("bank-add by anna was begun, and its end is not on record" in one.what for one in found)
    assert bool(found) or not changed or bool(ended)


def event(number: int, before: int | None, revision: int, action: str = "bank-add", **body: object) -> Entry:
    moved = {"revision": revision} if before is None else {"before": before, "revision": revision}
    return Entry("event", f"change-{number}", 1.7e9 + number, "*", action, {"by": "anna", **moved, **body})


CHAIN = [event(1, 0, 5), event(2, 5, 9), event(3, 9, 12)]


def test_changes_that_follow_each_other_are_wholly_on_record():
    assert missing(CHAIN, {"bank": 12}) == []
    assert missing([CHAIN[0], CHAIN[2], CHAIN[1]], {"bank": 12}) == []  # two commands at once
    assert missing(CHAIN[1:], {"bank": 12}) == []  # the log began after the bank
    assert missing([event(1, None, 5), *CHAIN[1:]], {"bank": 12}) == []  # by a version that did not say
    assert missing(CHAIN, {}) == []  # no bank here to compare with
    assert missing([], {"bank": 12, "registry": 3}) == []


def test_a_change_between_two_events_and_one_after_the_last_are_named():
    assert missing([CHAIN[0], CHAIN[2]], {"bank": 12}) == [
        Missing("change-3", "bank: revision 9, which this change found, was made by no event")
    ]
    assert missing(CHAIN[:2], {"bank": 12}) == [Missing(None, "bank: its revision is 12, which was made by no event")]


def test_a_file_that_was_put_back_is_named():
    assert missing(CHAIN, {"bank": 5}) == [Missing(None, "bank: was put back to revision 5, by no event")]
    again = event(4, 5, 8)
    assert missing([*CHAIN, again], {"bank": 8}) == [
        Missing("change-4", "bank: was put back to revision 5 before this change, by no event")
    ]


def test_each_bank_and_the_registry_has_revisions_of_its_own():
    others = [event(4, 0, 5, bank="acme"), event(5, 0, 9, "registry-add")]
    assert missing([*CHAIN, *others], {"bank": 12, "bank acme": 5, "registry": 9}) == []
    found = missing([*CHAIN, *others], {"bank": 12, "bank acme": 6, "registry": 10})
    assert [one.what.partition(":")[0] for one in found] == ["bank acme", "registry"]


def test_a_change_that_failed_after_it_was_made_is_on_record():
    chain = [CHAIN[0], event(2, 5, 9, failed="ConfigError")]
    assert [later.body["before"] == earlier.body["revision"] for earlier, later in pairwise(chain)] == [True]
    assert missing(chain, {"bank": 9}) == []
