"""Comparing two runs of the same rows: what differs, by how much, and whether chance explains it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from guardrail.errors import ConfigError
from guardrail.evaluate import runs
from guardrail.evaluate.delong import areas
from guardrail.evaluate.figures import main_threshold
from guardrail.evaluate.intervals import Floats, Interval, Ints, Rate, bootstrap, holm, library, rate_of
from guardrail.evaluate.sheet import MISSING, WORDS, Bools, Sheet
from guardrail.types import Action

FLIPS = 10_000
"""Random flips of a test over groups; its p-value is then good to about a hundredth of itself at 5 %."""


@dataclass(frozen=True)
class Difference:
    """One figure of two runs and the difference, second minus first.

    `test` names the test: "DeLong", "McNemar" (exact), or "flips" where rows of a group go together. `only_first`
    and `only_second` are the rows that one of the two runs alone scores above its threshold. `held` adjusts `p` for
    all tests of the comparison (Holm).
    """

    factor: str
    what: str
    first: Rate | Interval
    second: Rate | Interval
    change: Interval
    test: str
    p: float | None
    only_first: int = 0
    only_second: int = 0
    held: float | None = None


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side. `moved` counts the rows that went from one action to another."""

    first: str
    second: str
    rows: int
    left_out: int
    differences: list[Difference]
    moved: Mapping[str, Mapping[str, int]]
    notes: list[str] = field(default_factory=list)


def compare(first: Sheet, second: Sheet, *, at: Mapping[str, float] | None = None, seed: int = 0) -> Comparison:
    """Compare two runs on the rows that both have, each factor at each run's own main threshold or at `at`.

    Raises ConfigError where they are not of the same suite, share no row or no factor, or a row is labelled
    otherwise.
    """
    if first.run["suite"]["id"] != second.run["suite"]["id"]:
        raise ConfigError(
            f"{first.name} and {second.name} are of the suites {first.run['suite']['id']} and "
            f"{second.run['suite']['id']}; two runs of one suite can be compared"
        )
    mine, theirs = _matched(first, second)
    shared = [factor for factor in first.factors if factor in second.factors]
    if not len(mine) or not shared:
        raise ConfigError(f"{first.name} and {second.name} share no {'factor' if len(mine) else 'row'}")
    found: list[Difference] = []
    notes = _notes(first, second)
    for factor in shared:
        labels = first.labels[factor][mine]
        if not np.array_equal(labels, second.labels[factor][theirs]):
            raise ConfigError(f"{first.name} and {second.name}: the same rows have other labels on {factor}")
        scores = np.stack([first.scores[first.signals[factor]][mine], second.scores[second.signals[factor]][theirs]])
        groups = first.groups[mine]
        limits = tuple((at or {}).get(factor, main_threshold(one.thresholds(factor))) for one in (first, second))
        blind = (labels != MISSING) & np.isnan(scores).any(axis=0)
        if blind.any():
            notes.append(f"{factor}: {int(blind.sum())} rows that one of the two could not tell are not compared")
        chosen = (labels != MISSING) & ~np.isnan(scores).any(axis=0)
        found += _factor(factor, labels[chosen], scores[:, chosen], groups[chosen], (limits[0], limits[1]), seed)
    found += _actions(first, second, mine, theirs, seed)
    return Comparison(
        first.name,
        second.name,
        len(mine),
        len(first) + len(second) - 2 * len(mine),
        _together(found),
        _moved(first.actions[mine], second.actions[theirs]),
        notes,
    )


def _matched(first: Sheet, second: Sheet) -> tuple[Ints, Ints]:
    """Rows of both runs with the same id, in the order of the first."""
    where = {name: at for at, name in enumerate(second.ids)}
    pairs = [(at, where[name]) for at, name in enumerate(first.ids) if name in where]
    told = np.asarray(pairs, dtype=np.int64).reshape(-1, 2)
    return told[:, 0], told[:, 1]


def _notes(first: Sheet, second: Sheet) -> list[str]:
    said = []
    for word in ("models", "policy", "attack", "guardrail"):
        one, other = first.run.get(word), second.run.get(word)
        if one != other:
            said.append(f"{word} differs: {_said(one)} and {_said(other)}")
    parts = [runs.part_of(one.run["suite"]) or "all" for one in (first, second)]
    if parts[0] != parts[1]:
        said.append(f"the part of the suite differs: {parts[0]} and {parts[1]}")
    given = [runs.given(one.run) or "none" for one in (first, second)]
    if given[0] != given[1]:
        said.append(f"scores taken as given differ: {given[0]} and {given[1]}")
    for factor, signal in first.signals.items():
        if second.signals.get(factor, signal) != signal:
            said.append(f"{factor} is scored by {signal} and by {second.signals[factor]}")
    if first.run["suite"].get("digest") != second.run["suite"].get("digest"):
        said.append("the suite has another digest: rows were added, removed or changed between the two runs")
    return said


def _said(told: Any) -> str:
    if isinstance(told, Mapping):
        return f"{told.get('name')}@{str(told['digest'])[:8]}" if "digest" in told else str(told.get("name"))
    return ", ".join(map(str, told)) if isinstance(told, list) else str(told or "none")


def _factor(
    factor: str, labels: Ints, scores: Floats, groups: Ints, limits: tuple[float, float], seed: int
) -> list[Difference]:
    positive, negative = labels == 1, labels == 0
    found = []
    if positive.any() and negative.any():
        told = areas(labels, scores, groups)
        gap, low, high, p = told.difference()
        one, other = (Interval(float(value)) for value in told.values)
        found.append(Difference(factor, "ROC AUC", one, other, Interval(gap, low, high), "DeLong", p))
    above = scores >= np.asarray(limits)[:, None]
    words = f"at {limits[0]:g}" if limits[0] == limits[1] else f"at {limits[0]:g} and {limits[1]:g}"
    for side, what in ((positive, "recall"), (negative, "false-positive rate")):
        if side.any():
            found.append(_flags(factor, f"{what} {words}", above[0][side], above[1][side], groups[side], seed))
    return found


def _actions(first: Sheet, second: Sheet, mine: Ints, theirs: Ints, seed: int) -> list[Difference]:
    one, other = first.actions[mine], second.actions[theirs]
    decided = (one != MISSING) & (other != MISSING)
    found = []
    for side, what in ((first.harmful[mine], "refused of harmful"), (first.harmless[mine], "over-refusal")):
        chosen = side & decided
        if chosen.any():
            refused = (one[chosen] >= Action.HOLD, other[chosen] >= Action.HOLD)
            found.append(_flags("decision", what, *refused, first.groups[mine][chosen], seed))
    return found


def _flags(factor: str, what: str, one: Bools, other: Bools, groups: Ints, seed: int) -> Difference:
    gap = other.astype(np.float64) - one.astype(np.float64)
    share = float(gap.mean())
    ends = bootstrap(lambda times: {"gap": float((gap * times).sum() / times.sum())}, groups, seed=seed)
    # No resample of rows that are all alike differs: that is no interval.
    low, high = ends.get("gap", (None, None))
    grouped = len(np.unique(groups)) < len(groups)
    only_first, only_second = int((one & ~other).sum()), int((other & ~one).sum())
    return Difference(
        factor,
        what,
        rate_of(one, groups),
        rate_of(other, groups),
        Interval(share) if low == high else Interval(share, low, high),
        "flips" if grouped else "McNemar",
        flips(gap, groups, seed) if grouped else mcnemar(only_first, only_second),
        only_first,
        only_second,
    )


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact p-value of McNemar's test (1947): of the rows that differ, half differ each way by chance."""
    both = only_first + only_second
    return float(library("scipy.stats").binomtest(only_first, both, 0.5).pvalue) if both else 1.0


def flips(gap: Floats, groups: Ints, seed: int = 0) -> float:
    """P-value of no difference where rows of a group go together: each group's sum is as likely with the other sign.

    Phipson and Smyth 2010: the observed one counts among the flips, so it is never 0.
    """
    _, codes = np.unique(groups, return_inverse=True)
    sums = np.bincount(codes, gap)
    sums = sums[sums != 0]
    if not len(sums):
        return 1.0
    random = np.random.default_rng(seed)
    seen, left = 0, FLIPS
    most = max(1, 2_000_000 // len(sums))
    while left:
        count = min(left, most)
        signs = random.integers(0, 2, (count, len(sums)), dtype=np.int8) * 2 - 1
        seen += int(np.count_nonzero(np.abs(signs @ sums) >= abs(sums.sum()) - 1e-9))
        left -= count
    return (seen + 1) / (FLIPS + 1)


def _together(found: list[Difference]) -> list[Difference]:
    held = holm([one.p if one.p is not None else 1.0 for one in found])
    return [replace(one, held=p) for one, p in zip(found, held, strict=True)]


def _moved(one: Ints, other: Ints) -> dict[str, dict[str, int]]:
    if not ((one != MISSING) & (other != MISSING)).any():
        return {}
    names = {MISSING: "none", **{code: word for word, code in WORDS.items()}}
    moved: dict[str, dict[str, int]] = {}
    pairs, counts = np.unique(np.stack([one, other]), axis=1, return_counts=True)
    for (was, now), count in zip(pairs.T.tolist(), counts.tolist(), strict=True):
        moved.setdefault(names[was], {})[names[now]] = int(count)
    return moved
