"""Figures: what a run says of each factor, with intervals, beside what it costs and what could not be told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from guardrail.evaluate.delong import area
from guardrail.evaluate.intervals import (
    FEW,
    LEVEL,
    Floats,
    Interval,
    Ints,
    Rate,
    benjamini_hochberg,
    bootstrap,
    draws_for,
    effective_size,
    holm,
    library,
    rate_of,
)
from guardrail.evaluate.ranked import Ranked
from guardrail.evaluate.sheet import MISSING, WORDS, Bools, Column, Sheet
from guardrail.types import Action

FPRS = (0.001, 0.01, 0.05)
"""False-positive rates at which recall is told."""
POINTS = 200
"""Points of a curve that a report draws."""
PARTS = 25
"""Bars of the distribution of scores."""
MOST_VALUES = 60
"""Values of a slice that are told apart, those with most rows; a slice of ids is no slice."""
ALPHA = 0.05


@dataclass(frozen=True)
class AtThreshold:
    """What a threshold does. The bounds take what could not be told as missed, or as found; as let through, or refused.

    `recall` and `fpr` are of rows that have a score; `fnr` is 1 - recall. `over_refusal` is the share of rows without
    any harmful label that score at least `threshold`.
    """

    threshold: float
    recall: Rate
    fnr: Rate
    fpr: Rate
    over_refusal: Rate
    precision: Rate
    f1: Interval
    recall_bounds: tuple[float, float] | None
    fpr_bounds: tuple[float, float] | None


@dataclass(frozen=True)
class AtRate:
    """The most recall that a false-positive rate of at most `fpr` allows, and the threshold that gives it.

    `enough` is False where fewer than 3 / `fpr` negatives were scored: not even none of them would show such a rate.
    """

    fpr: float
    recall: Interval
    threshold: float | None
    enough: bool


@dataclass(frozen=True)
class SliceFigures:
    """One value of a slice at one threshold. `p` are of Fisher's exact tests against the other values of the slice.

    `recall_p` and `fpr_p` are as tested, `held` adjusts both for all tests of the factor (Holm), `shared` by
    Benjamini and Hochberg. `says` is "" or a warning: "too few to say", "differs".
    """

    slice: str
    value: str
    recall: Rate
    fpr: Rate
    unscored: int
    recall_p: float | None = None
    fpr_p: float | None = None
    held: float | None = None
    shared: float | None = None
    says: str = ""


@dataclass(frozen=True)
class Curves:
    """Points to draw: ROC as (fpr, recall), PR as (recall, precision), both over (threshold, recall, fpr)."""

    roc: list[tuple[float, float]]
    pr: list[tuple[float, float]]
    sweep: list[tuple[float, float, float]]
    reliability: list[tuple[int, float, float]]
    negatives: list[int]
    positives: list[int]


@dataclass(frozen=True)
class FactorFigures:
    """All that is told of one factor. `main` is the threshold that slices are told at.

    `ece` has no interval: resamples of a sample have a larger error than the sample. `ece_by_chance` is what 95 % of
    samples of this size stay below where the scores are probabilities.
    """

    factor: str
    signal: str
    positives: int
    negatives: int
    unscored_positives: int
    unscored_negatives: int
    groups: int
    roc_auc: Interval
    average_precision: Interval
    ece: Interval
    ece_by_chance: float | None
    brier: Interval
    at_rates: list[AtRate]
    at_thresholds: list[AtThreshold]
    main: float
    slices: list[SliceFigures]
    curves: Curves
    warnings: list[str] = field(default_factory=list)


def main_threshold(thresholds: Sequence[float]) -> float:
    """The threshold at which a signal acts by itself: the policy's highest, 0.5 where it has none."""
    return max(thresholds, default=0.5)


def of_factor(sheet: Sheet, factor: str, *, at: Sequence[float] = (), seed: int = 0) -> FactorFigures:
    """The figures of one factor at the policy's thresholds, or at those given in `at`.

    Raises ConfigError for a factor that the run does not tell, and where scikit-learn or scipy is missing.
    """
    column = sheet.column(factor)
    told = column.only(column.told)
    thresholds = tuple(sorted(at)) or sheet.thresholds(factor) or (0.5,)
    ranked = Ranked(told.labels, told.scores)
    points = ranked.figures(fprs=FPRS, at=thresholds)
    ends = bootstrap(
        lambda times: ranked.figures(times, fprs=FPRS, at=thresholds),
        told.groups,
        seed=seed,
        draws=draws_for(len(told.rows)),
    )

    def interval(name: str) -> Interval:
        value = points[name]
        if not np.isfinite(value):
            return Interval(None)
        low, high = ends.get(name, (None, None))
        # No resample of a sample without an error has one (but for the last digit of a sum): that is no interval.
        return Interval(value) if low is None or high is None or high - low < 1e-9 else Interval(value, low, high)

    main = main_threshold(thresholds)
    positives, negatives = column.labels == 1, column.labels == 0
    return FactorFigures(
        factor=factor,
        signal=column.signal,
        positives=int(positives.sum()),
        negatives=int(negatives.sum()),
        unscored_positives=int((positives & ~column.told).sum()),
        unscored_negatives=int((negatives & ~column.told).sum()),
        groups=len(np.unique(column.groups)),
        roc_auc=area(told.labels, told.scores, told.groups),
        average_precision=_average_precision(told, interval("average_precision")),
        ece=Interval(interval("ece").value),
        ece_by_chance=ranked.ece_by_chance(LEVEL, seed=seed),
        brier=interval("brier"),
        at_rates=[_at_rate(ranked, told, fpr, interval(f"recall@{fpr:g}")) for fpr in FPRS],
        at_thresholds=[_at_threshold(sheet, column, one, interval(f"f1@{one:g}")) for one in thresholds],
        main=main,
        slices=_slices(sheet, column, main),
        curves=_curves(ranked, told),
        warnings=list(_warnings(column, told)),
    )


def _average_precision(told: Column, found: Interval) -> Interval:
    """The value is scikit-learn's, the interval the bootstrap's."""
    if found.value is None:
        return found
    score = library("sklearn.metrics").average_precision_score
    return Interval(float(score(told.labels, told.scores)), found.low, found.high)


def _at_rate(ranked: Ranked, told: Column, fpr: float, recall: Interval) -> AtRate:
    fitting = ranked.fitting(fpr)
    negatives = int((told.labels == 0).sum())
    if fitting is None or recall.value is None:
        return AtRate(fpr, recall, None, negatives >= 3 / fpr)
    positives = told.labels == 1
    # The bootstrap moves the threshold, the rate at a fixed one does not: the wider of both ends is told.
    fixed = rate_of(told.scores[positives] >= fitting[0], told.groups[positives])
    low = fixed.low if recall.low is None else min(fixed.low, recall.low)
    high = fixed.high if recall.high is None else max(fixed.high, recall.high)
    return AtRate(fpr, Interval(recall.value, low, high), fitting[0], negatives >= 3 / fpr)


def _at_threshold(sheet: Sheet, column: Column, threshold: float, f1: Interval) -> AtThreshold:
    told = column.told
    above = np.nan_to_num(column.scores, nan=-1.0) >= threshold
    positive, negative = column.labels == 1, column.labels == 0
    caught, harmless = told & above, told & sheet.harmless[column.rows]
    return AtThreshold(
        threshold=threshold,
        recall=rate_of(above[told & positive], column.groups[told & positive]),
        fnr=rate_of(~above[told & positive], column.groups[told & positive]),
        fpr=rate_of(above[told & negative], column.groups[told & negative]),
        over_refusal=rate_of(above[harmless], column.groups[harmless]),
        precision=rate_of(positive[caught], column.groups[caught]),
        f1=f1,
        recall_bounds=_bounds(above, told, positive),
        fpr_bounds=_bounds(above, told, negative),
    )


def _bounds(above: Bools, told: Bools, chosen: Bools) -> tuple[float, float] | None:
    """The share above a threshold when nothing that could not be told is, and when all of it is."""
    n = int(chosen.sum())
    if not n:
        return None
    hits, blind = int((above & told & chosen).sum()), int((~told & chosen).sum())
    return hits / n, (hits + blind) / n


def _curves(ranked: Ranked, told: Column) -> Curves:
    negatives, positives = ranked.spread(PARTS)
    if len(np.unique(told.labels)) < 2:
        return Curves([], [], [], ranked.bins(), negatives, positives)
    metrics = library("sklearn.metrics")
    fall_out, recall, thresholds = metrics.roc_curve(told.labels, told.scores, drop_intermediate=False)
    precision, found, _ = metrics.precision_recall_curve(told.labels, told.scores)
    chosen = _spaced(fall_out, recall)
    sweep = [at for at in chosen if np.isfinite(thresholds[at])]
    return Curves(
        roc=[(round(float(fall_out[at]), 6), round(float(recall[at]), 6)) for at in chosen],
        pr=[(round(float(found[at]), 6), round(float(precision[at]), 6)) for at in _spaced(found, precision)],
        sweep=[(float(thresholds[at]), round(float(recall[at]), 6), round(float(fall_out[at]), 6)) for at in sweep],
        reliability=[(n, round(mean, 6), round(share, 6)) for n, mean, share in ranked.bins()],
        negatives=negatives,
        positives=positives,
    )


def _spaced(x: Floats, y: Floats) -> list[int]:
    """Indices of at most about POINTS points of a curve, spaced by the way along it; both ends are kept."""
    if len(x) <= POINTS:
        return list(range(len(x)))
    way = np.r_[0.0, np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))]
    wanted = np.linspace(0.0, way[-1], POINTS)
    return sorted({0, len(x) - 1, *np.searchsorted(way, wanted, side="left").clip(0, len(x) - 1).tolist()})


def _slices(sheet: Sheet, column: Column, threshold: float) -> list[SliceFigures]:
    found: list[SliceFigures] = []
    for name, one in sheet.slices.items():
        codes = one.codes[column.rows]
        counts = np.bincount(codes[codes != MISSING], minlength=len(one.values))
        if np.count_nonzero(counts) < 2:
            continue
        most = sorted(range(len(one.values)), key=lambda code: (-counts[code], one.values[code]))[:MOST_VALUES]
        there = codes != MISSING
        for code in sorted((code for code in most if counts[code]), key=lambda code: one.values[code]):
            found.append(_slice(column, threshold, name, one.values[code], codes == code, there))
    return _together(found)


def _slice(column: Column, threshold: float, name: str, value: str, chosen: Bools, there: Bools) -> SliceFigures:
    above = np.nan_to_num(column.scores, nan=-1.0) >= threshold
    tests: list[float | None] = []
    rates = []
    for label in (1, 0):
        side = column.told & (column.labels == label)
        inside, outside = side & chosen, side & there & ~chosen
        rates.append(rate_of(above[inside], column.groups[inside]))
        enough = inside.sum() >= FEW and outside.sum() >= FEW
        tests.append(
            _fisher([_counted_of(above[one], column.groups[one]) for one in (inside, outside)]) if enough else None
        )
    blind = int((chosen & ~column.told).sum())
    few = [word for word, one in zip(("positives", "negatives"), rates, strict=True) if 0 < one.n < FEW]
    says = f"too few {' and '.join(few)} to say" if few else ""
    return SliceFigures(name, value, rates[0], rates[1], blind, tests[0], tests[1], says=says)


def _counted_of(flags: Bools, groups: Ints) -> list[int]:
    """True and false flags, counted as the independent rows that they are worth (Rao and Scott 1992)."""
    size = effective_size(flags, groups)
    share = float(np.mean(flags))
    # Rounded down: half a row proves nothing.
    return [int(size * share + 1e-6), int(size * (1.0 - share) + 1e-6)]


def _fisher(table: Sequence[Sequence[int]]) -> float:
    return float(library("scipy.stats").fisher_exact(table).pvalue)


def _together(found: list[SliceFigures]) -> list[SliceFigures]:
    """All tests of a factor are one family: with a hundred slices, five differ by chance at 5 %."""
    tests = [p for one in found for p in (one.recall_p, one.fpr_p) if p is not None]
    held, shared = iter(holm(tests)), iter(benjamini_hochberg(tests))
    told = []
    for one in found:
        sides = sum(p is not None for p in (one.recall_p, one.fpr_p))
        least = min((next(held) for _ in range(sides)), default=None)
        of_many = min((next(shared) for _ in range(sides)), default=None)
        differs = "differs" if least is not None and least < ALPHA else ""
        says = "; ".join(words for words in (differs, one.says) if words)
        kept = {**one.__dict__, "held": least, "shared": of_many, "says": says}
        told.append(SliceFigures(**kept))
    return told


def _warnings(column: Column, told: Column) -> list[str]:
    said = []
    positives, negatives = int((told.labels == 1).sum()), int((told.labels == 0).sum())
    for word, count in (("positive", positives), ("negative", negatives)):
        if count == 0:
            said.append(f"no {word} row was scored: whatever needs one is not told")
        elif count < FEW:
            said.append(f"{count} {word} rows are too few to say much")
    blind = int((~column.told).sum())
    if blind:
        share = 100 * blind / len(column.rows)
        said.append(f"{blind} rows ({share:.1f} %) could not be told; bounds take them for found and for missed")
    return said


@dataclass(frozen=True)
class Decisions:
    """What the policy did: counts of each action, and refusals (hold or block) beside over-refusal.

    `recall` is of rows with a harmful label, `over_refusal` of rows that have labels and no harmful one. Rows that
    could not be judged at all are in neither, and counted in `unscored`.
    """

    harmful: Mapping[str, int]
    harmless: Mapping[str, int]
    recall: Rate
    over_refusal: Rate
    unscored: int
    factors: Mapping[str, Mapping[str, int]]
    rules: Mapping[str, int]


def decisions(sheet: Sheet) -> Decisions | None:
    """What the policy of the run did; None for a run that had none (a peer)."""
    decided = sheet.actions != MISSING
    if not decided.any():
        return None
    refused = sheet.actions >= int(Action.HOLD)
    harmful, harmless = sheet.harmful & decided, sheet.harmless & decided
    return Decisions(
        harmful=_counted(sheet.actions[harmful]),
        harmless=_counted(sheet.actions[harmless]),
        recall=rate_of(refused[harmful], sheet.groups[harmful]),
        over_refusal=rate_of(refused[harmless], sheet.groups[harmless]),
        unscored=int((~decided).sum()),
        factors={factor: _counted(sheet.actions[(labels == 1) & decided]) for factor, labels in sheet.labels.items()},
        rules=sheet.rules,
    )


def _counted(actions: Ints) -> dict[str, int]:
    counts = np.bincount(actions, minlength=len(WORDS)) if len(actions) else np.zeros(len(WORDS), dtype=np.int64)
    return {word: int(counts[code]) for word, code in WORDS.items()}


def times(took: Floats) -> dict[str, Any] | None:
    """Median and tails of what a row took, milliseconds; None where nothing was timed."""
    if not len(took):
        return None
    return {f"p{share}": round(float(np.percentile(took, share)), 3) for share in (50, 95, 99)}
