"""The table at the end of a run: what did not run is never shown as passed."""

from __future__ import annotations

from collections import Counter
from importlib import import_module

import pytest

from tests.conformance.cases import CASES, DOORS, NOT_APPLICABLE, case
from tests.conformance.conftest import MISSING, table
from tests.conformance.guarded import HERE, new_enough, program_of


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
    assert said["record"] == MISSING


def test_a_cell_that_cannot_be_filled_says_so_and_why():
    said = row(table({("diffusers", "diffusers", "clean"): Counter(passed=1)}), "diffusers", "diffusers")
    assert said["caller"] == "n/a"
    assert said["words"] == MISSING
    assert all(door in DOORS and name in CASES and why for (door, name), why in NOT_APPLICABLE.items())


def test_a_run_of_one_door_has_no_rows_for_the_others():
    assert len(table({}, ["chat"])) == 1 + len(DOORS["chat"])


def test_every_door_has_its_tests():
    modules = (import_module(f"tests.conformance.{file.stem}") for file in HERE.glob("test_*.py"))
    assert {door for module in modules if (door := getattr(module, "DOOR", None))} == set(DOORS)


def test_a_client_that_is_not_installed_is_skipped_and_says_how_to_have_it():
    with pytest.raises(pytest.skip.Exception, match="make clients"):
        program_of("no-such-client")


@pytest.mark.parametrize(
    ("said", "enough"), [("v20.0.0", True), ("v24.19.0", True), ("v19.9.0", False), ("v8.1", False), ("", False)]
)
def test_an_old_node_is_none(said, enough):
    assert new_enough(said) is enough


def test_a_case_that_is_not_in_the_table_is_no_case():
    with pytest.raises(ValueError, match="no case is called"):
        case("misspelled")
