"""The table at the end of a run: each client at each door, and what it was put through.

A test says its cases with `case(...)`, and its module says its `DOOR`. The client is the environment that `saw` ran in,
or the only one at that door. What is marked and did not run is shown as such, and never as passed; a cell that no test
fills says why, or that one is missing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from typing import Any

import pytest

from tests.conformance.cases import CASES, DOORS, NOT_APPLICABLE

Cell = tuple[str, str, str]
_RESULTS = pytest.StashKey[defaultdict[Cell, Counter[str]]]()
_CELLS = pytest.StashKey[list[Cell]]()
_ASKED = pytest.StashKey[set[str]]()
MISSING = "NO TEST"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "case(*names, client): what of the table of clients and cases this test shows")
    config.stash[_RESULTS] = defaultdict(Counter)
    config.stash[_ASKED] = set()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        door = getattr(getattr(item, "module", None), "DOOR", None)
        if door is None:
            continue
        callspec = getattr(item, "callspec", None)
        ran_in = (
            (callspec.params.get("saw") or callspec.params.get("run")) if callspec is not None else None
        ) or getattr(item.module, "CLIENT", next(iter(DOORS[door])))
        marks = list(item.iter_markers("case"))
        item.stash[_CELLS] = [(door, mark.kwargs["client"] or ran_in, name) for mark in marks for name in mark.args]


def pytest_collection_finish(session: pytest.Session) -> None:
    """The doors of this run: a run of one part, or without what is slow, has no rows for the others."""
    for item in session.items:
        session.config.stash[_ASKED].update(door for door, _, _ in item.stash.get(_CELLS, ()))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    outcome = yield
    report = outcome.get_result()
    cells = item.stash.get(_CELLS, [])
    if report.when == "call" or report.outcome != "passed":
        for cell in cells:
            item.config.stash[_RESULTS][cell][report.outcome] += 1


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    results = config.stash[_RESULTS]
    if not results:
        return
    asked = [door for door in DOORS if door in config.stash[_ASKED]]
    terminalreporter.section("clients and cases: how many tests passed")
    for line in table(results, asked):
        terminalreporter.write_line(line)
    left = [door for door in DOORS if door not in asked]
    if left:
        terminalreporter.write_line(f"left out of this run: {', '.join(left)}")
    for (door, name), why in NOT_APPLICABLE.items():
        if door in asked:
            terminalreporter.write_line(f"n/a: {door}, {name}: {why}")


def table(results: Mapping[Cell, Counter[str]], doors: Collection[str] = tuple(DOORS)) -> list[str]:
    """One row for each client at each of `doors`: the number of tests that passed, or what is not as it should be."""
    rows = [["door", "client", *CASES]]
    ran = {(door, client) for door, client, _ in results}
    for door, clients in DOORS.items():
        for client, called in clients.items() if door in doors else ():
            counted = {name: results.get((door, client, name), Counter()) for name in CASES}
            there = (door, client) in ran
            words = [_said(door, name, of) if there else "not run" for name, of in counted.items()]
            rows.append([door, called, *words])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _said(door: str, name: str, counted: Counter[str]) -> str:
    if counted["failed"]:
        return f"{counted['failed']} FAILED"
    if counted["skipped"]:
        return "not run"
    if counted["passed"]:
        return str(counted["passed"])
    return "n/a" if (door, name) in NOT_APPLICABLE else MISSING
