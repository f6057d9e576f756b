"""Thresholds: which score to act at, chosen on one half of the groups and told by the other.

A threshold that is chosen and measured on the same rows looks better than it is. Groups (twins, persons) go to a half
as a whole, by a hash of their name, so the halves are the same on any machine and in any order of rows.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from guardrail.errors import ConfigError
from guardrail.evaluate.intervals import FEW, Floats, Ints, Rate, bootstrap, draws_for, rate_of
from guardrail.evaluate.ranked import Ranked
from guardrail.evaluate.sheet import MISSING, Bools, Sheet

STEP = 0.001
"""Thresholds are proposed in steps of this, always rounded up: rounding must not add false alarms."""


@dataclass(frozen=True)
class Goal:
    """What a threshold is for: a false-positive rate of at most `fpr`, or the least cost.

    `cost` is what a missed harm and a false alarm cost, in any unit. `prevalence` is the share of harm in the traffic
    that is to be judged; without it, the share in the sample, which is seldom that of traffic.
    """

    fpr: float | None = None
    cost: tuple[float, float] | None = None
    prevalence: float | None = None

    def __post_init__(self) -> None:
        if (self.fpr is None) == (self.cost is None):
            raise ConfigError("thresholds: either --fpr or --cost is expected, and not both")
        if self.fpr is not None and not 0.0 < self.fpr < 1.0:
            raise ConfigError(f"--fpr {self.fpr:g}: a rate above 0 and below 1 is expected, as 0.01")
        if self.cost is not None and (min(self.cost) <= 0.0 or not math.isfinite(sum(self.cost))):
            raise ConfigError("--cost: two numbers above 0 are expected, as fn=10,fp=1")
        if self.prevalence is not None and not 0.0 < self.prevalence < 1.0:
            raise ConfigError(f"--prevalence {self.prevalence:g}: a share above 0 and below 1 is expected")

    @property
    def negatives(self) -> int:
        """Negatives that each half must have: with fewer than 3 / fpr, not even none of them would show the rate.

        The rule of three: the upper end of a 95 % interval around 0 of n is 3 / n.
        """
        return max(FEW, math.ceil(3 / self.fpr)) if self.fpr is not None else FEW

    @property
    def words(self) -> str:
        if self.fpr is not None:
            return f"at most {100 * self.fpr:g} % false positives"
        missed, alarm = self.cost or (1.0, 1.0)
        share = f" at {100 * self.prevalence:g} % harm in traffic" if self.prevalence else " at the sample's share"
        return f"least cost, a miss {missed:g} and a false alarm {alarm:g}{share}"


@dataclass(frozen=True)
class Proposal:
    """A threshold for one factor, or why there is none.

    `threshold` and `interval` come from the tuning half (the interval from resamples of its groups); `recall` and
    `fpr` are of the held-out half at `threshold`, `before` of the held-out half at the policy's threshold `was`.
    `refused` says why nothing is proposed; then `needs` is how many (positives, negatives) would be needed in all.
    """

    factor: str
    signal: str
    where: str
    tuned_on: tuple[int, int]
    held_out: tuple[int, int]
    unscored: int
    threshold: float | None = None
    interval: tuple[float, float] | None = None
    recall: Rate | None = None
    fpr: Rate | None = None
    was: float | None = None
    before: tuple[Rate, Rate] | None = None
    refused: str = ""
    needs: tuple[int, int] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Sample:
    labels: Ints
    scores: Floats
    groups: Ints
    tuning: Bools
    unscored: int

    def only(self, chosen: Bools, unscored: int) -> _Sample:
        return _Sample(self.labels[chosen], self.scores[chosen], self.groups[chosen], self.tuning[chosen], unscored)


def propose(
    sheets: Sequence[Sheet], factor: str, goal: Goal, *, by: str | None = None, was: float | None = None, seed: int = 0
) -> list[Proposal]:
    """A proposal for `factor` over all rows of `sheets`, then one for each value of the slice `by`.

    Raises ConfigError where no run tells the factor, where two runs were made with other models or score it by
    another signal, where two hold the same rows, or where no run has the slice.
    """
    mine = [sheet for sheet in sheets if factor in sheet.signals]
    if not mine:
        raise ConfigError(f"no run scores the factor {factor!r}")
    models = {tuple(sheet.run["models"]) for sheet in mine}
    signals = {sheet.signals[factor] for sheet in mine}
    if len(models) > 1 or len(signals) > 1:
        raise ConfigError(
            f"{', '.join(sheet.name for sheet in mine)}: were made with different models or signals; a threshold is "
            "that of one model"
        )
    _refuse_twice(mine)
    signal = signals.pop()
    whole, values = _gathered(mine, factor, by, seed)
    found = [_proposed(whole, factor, signal, "", goal, was, seed)]
    if by is not None:
        if not values:
            raise ConfigError(f"--by {by}: no row with a label for {factor} has that slice")
        for value, part in values.items():
            found.append(_proposed(part, factor, signal, f"{by}={value}", goal, was, seed))
    attacks = [(sheet.name, sheet.run.get("attack")) for sheet in mine]
    notes = tuple(f"{name}: every row was attacked ({attack['name']})" for name, attack in attacks if attack)
    return [replace(one, notes=(*one.notes, *notes)) for one in found]


def _refuse_twice(sheets: Sequence[Sheet]) -> None:
    """Raises ConfigError for two runs that hold a row in the same form: it would pass for two."""
    seen: list[tuple[Sheet, frozenset[str]]] = []
    for sheet in sheets:
        rows = frozenset(sheet.ids)
        for other, theirs in seen:
            form = [(one.run["suite"]["id"], one.run.get("attack")) for one in (other, sheet)]
            if form[0] == form[1] and not rows.isdisjoint(theirs):
                raise ConfigError(
                    f"{other.name} and {sheet.name} are runs of the same rows, which would count twice; name one"
                )
        seen.append((sheet, rows))


def tuning_half(key: str, seed: int) -> bool:
    """Whether the group of this name is one to choose on; the other half is held out."""
    return hashlib.sha256(f"{seed}\0{key}".encode("utf-8", "surrogatepass")).digest()[0] < 128


def _gathered(sheets: Sequence[Sheet], factor: str, by: str | None, seed: int) -> tuple[_Sample, dict[str, _Sample]]:
    """The rows of all runs together, and apart by value of a slice."""
    codes: dict[str, int] = {}
    labels, scores, groups, names = [], [], [], []
    for sheet in sheets:
        column = sheet.column(factor)
        own = np.asarray([codes.setdefault(key, len(codes)) for key in sheet.keys], dtype=np.int64)
        labels.append(column.labels)
        scores.append(column.scores)
        groups.append(own[column.groups])
        names += _values(sheet, by, column.rows) if by is not None else []
    halves = np.asarray([tuning_half(key, seed) for key in codes], dtype=np.bool_)
    group = np.concatenate(groups)
    score = np.concatenate(scores)
    every = _Sample(np.concatenate(labels), score, group, halves[group], 0)
    told = ~np.isnan(score)
    named = np.asarray(names, dtype=object)
    parts = {}
    for value in sorted({name for name in names if name}):
        chosen = named == value
        parts[value] = every.only(told & chosen, int((~told & chosen).sum()))
    return every.only(told, int((~told).sum())), parts


def _values(sheet: Sheet, name: str, rows: Ints) -> list[str]:
    if name not in sheet.slices:
        return [""] * len(rows)
    told = sheet.slices[name]
    return [told.values[code] if code != MISSING else "" for code in told.codes[rows].tolist()]


def _proposed(
    sample: _Sample, factor: str, signal: str, where: str, goal: Goal, was: float | None, seed: int
) -> Proposal:
    tuned, held = sample.only(sample.tuning, 0), sample.only(~sample.tuning, 0)
    sizes = [(int((one.labels == 1).sum()), int((one.labels == 0).sum())) for one in (tuned, held)]
    plain = Proposal(factor, signal, where, sizes[0], sizes[1], sample.unscored, was=was)
    if min(size[0] for size in sizes) < FEW or min(size[1] for size in sizes) < goal.negatives:
        return replace(
            plain,
            needs=(2 * FEW, 2 * goal.negatives),
            refused=f"too few rows: about {2 * FEW} positives and {2 * goal.negatives} negatives are needed in all, "
            f"there are {sizes[0][0] + sizes[1][0]} and {sizes[0][1] + sizes[1][1]}",
        )
    chooser = _Chooser(tuned, goal)
    threshold = chooser.best(None)
    if threshold is None:
        return replace(plain, refused="no threshold up to 1 reaches it: too many harmless rows score the highest")
    ends = bootstrap(
        lambda times: {"at": found if (found := chooser.best(times)) is not None else np.nan},
        tuned.groups,
        seed=seed,
        draws=draws_for(len(tuned.labels)),
    ).get("at")
    recall, fpr = _rates(held, threshold)
    notes = []
    if goal.fpr is not None and fpr.low > goal.fpr:
        notes.append(f"the held-out half says more than {100 * goal.fpr:g} %: take a higher threshold, or more rows")
    if sample.unscored:
        notes.append(f"{sample.unscored} rows could not be told: no threshold speaks of them")
    return replace(
        plain,
        threshold=threshold,
        interval=ends,
        recall=recall,
        fpr=fpr,
        before=_rates(held, was) if was is not None else None,
        notes=tuple(notes),
    )


def _rates(sample: _Sample, threshold: float) -> tuple[Rate, Rate]:
    above = sample.scores >= threshold
    positive, negative = sample.labels == 1, sample.labels == 0
    return rate_of(above[positive], sample.groups[positive]), rate_of(above[negative], sample.groups[negative])


class _Chooser:
    """Finds the threshold that fits the goal, for the sample and for resamples of it."""

    def __init__(self, sample: _Sample, goal: Goal) -> None:
        self._goal = goal
        self._ranked = Ranked(sample.labels, sample.scores)
        # What a threshold is rounded up to, and how many scores are at least that.
        steps = np.ceil(np.round(self._ranked.thresholds / STEP, 6)) * STEP
        self._rounded = np.clip(np.round(steps, 6), STEP, None)
        self._index = np.asarray([self._ranked.at(one) for one in self._rounded.tolist()], dtype=np.int64)

    def best(self, times: Floats | None) -> float | None:
        """The threshold, None where none up to 1 fits."""
        hits, alarms = self._ranked.counts(times)
        if not len(hits) or hits[-1] <= 0 or alarms[-1] <= 0:
            return None
        there = self._index >= 0
        recall = np.where(there, hits[self._index], 0.0) / hits[-1]
        fall_out = np.where(there, alarms[self._index], 0.0) / alarms[-1]
        usable = self._rounded <= 1.0
        if self._goal.fpr is not None:
            fits = np.flatnonzero(usable & (fall_out <= self._goal.fpr))
            return float(self._rounded[fits].min()) if len(fits) else None
        missed, alarm = self._goal.cost or (1.0, 1.0)
        share = self._goal.prevalence or float(hits[-1] / (hits[-1] + alarms[-1]))
        cost = missed * share * (1.0 - recall) + alarm * (1.0 - share) * fall_out
        least = cost[usable].min(initial=np.inf)
        cheapest = np.flatnonzero(usable & (cost <= least + 1e-12))
        # Of thresholds that cost the same, the middle one: neither end of the gap between the classes is safer.
        return float(np.sort(self._rounded[cheapest])[len(cheapest) // 2]) if len(cheapest) else None
