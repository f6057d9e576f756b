"""The table at the end of a run: what did not run is never shown as passed."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.conformance.cases import CASES, DOORS, case
from tests.conformance.conftest import table
from tests.conformance.guarded import program_of


def row(lines: list[str], door: str, client: str) -> dict[str, str]:
    head, *rest = [[word.strip() for word in line.split("  ") if word.strip()] for line in lines]
    (found,) = [one for one in rest if one[:2] == [door, DOORS[door][client]]]
    return dict(zip(head, found, strict=True))


def test_every_door_and_client_has_a_row_and_what_never_ran_says_so():
    lines = table({})
    assert len(lines) == 1 + sum(map(len, DOORS.values()))
    assert all(
        row(lines, door, client)[name] == "not run" for door in DOORS for client in DOORS[door] for name in CASES
    )


def test_a_cell_says_how_many_passed_that_some_failed_or_that_they_were_skipped():
    said = row(
        table(
            {
                ("chat", "node", "clean"): Counter(passed=7),
                ("chat", "node", "words"): Counter(passed=3, failed=1),
                ("chat", "node", "input"): Counter(skipped=2),
                ("chat", "node", "output"): Counter(passed=2, skipped=1),
            }
        ),
        "chat",
        "node",
    )
    assert (said["clean"], said["words"], said["input"], said["output"]) == ("7", "1 FAILED", "not run", "not run")
    assert said["record"] == "-"


def test_a_client_that_is_not_installed_is_skipped_and_says_how_to_have_it():
    with pytest.raises(pytest.skip.Exception, match="make clients"):
        program_of("no-such-client")


def test_a_case_that_is_not_in_the_table_is_no_case():
    with pytest.raises(ValueError, match="no case is called"):
        case("misspelled")
