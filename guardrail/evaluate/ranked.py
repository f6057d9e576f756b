"""Scores in order: every curve and area of a sample whose rows count several times, or not at all.

A bootstrap asks for the same figures a thousand times over. Rows are sorted once; a resample is a vector of counts.
With every count 1 the figures are scikit-learn's own.
"""

from __future__ import annotations

import numpy as np

from guardrail.evaluate.intervals import Floats, Ints

BINS = 10
"""Bins of the calibration error, of equal width (Naeini et al. 2015)."""


class Ranked:
    """The rows of one factor that have a score, in descending order; `times` says how often each counts."""

    def __init__(self, labels: Ints, scores: Floats) -> None:
        self._order = np.argsort(-scores, kind="stable")
        ordered = scores[self._order]
        self._truth = labels[self._order].astype(np.float64)
        self._scores = ordered
        self._starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(ordered) else np.zeros(0, int)
        self.thresholds: Floats = ordered[self._starts]
        """Every score that occurs, highest first."""
        self._bins = np.minimum((ordered * BINS).astype(np.int64), BINS - 1)

    def counts(self, times: Floats | None = None) -> tuple[Floats, Floats]:
        """Positives and negatives that score at least each of `thresholds`."""
        weight = np.ones(len(self._order)) if times is None else times[self._order]
        if not len(weight):
            return np.zeros(0), np.zeros(0)
        hits = np.add.reduceat(weight * self._truth, self._starts).cumsum()
        alarms = np.add.reduceat(weight * (1.0 - self._truth), self._starts).cumsum()
        return hits, alarms

    def at(self, threshold: float) -> int:
        """Index of the lowest of `thresholds` that is at least `threshold`; -1 where none is."""
        return int(np.searchsorted(-self.thresholds, -threshold, side="right")) - 1

    def figures(
        self, times: Floats | None = None, *, fprs: tuple[float, ...] = (), at: tuple[float, ...] = ()
    ) -> dict[str, float]:
        """Areas, recall at fixed false-positive rates, F1 at thresholds and calibration; NaN where there is no telling.

        Names: "roc_auc", "average_precision", "recall@FPR", "f1@THRESHOLD", "ece", "brier".
        """
        hits, alarms = self.counts(times)
        told: dict[str, float] = {}
        positives = float(hits[-1]) if len(hits) else 0.0
        negatives = float(alarms[-1]) if len(alarms) else 0.0
        both = positives > 0 and negatives > 0
        with np.errstate(divide="ignore", invalid="ignore"):
            recall, fall_out = hits / positives, alarms / negatives
            precision = hits / (hits + alarms)
        told["roc_auc"] = float(np.trapezoid(np.r_[0.0, recall], np.r_[0.0, fall_out])) if both else np.nan
        told["average_precision"] = (
            float(np.nansum(np.diff(recall, prepend=0.0) * np.nan_to_num(precision))) if both else np.nan
        )
        for fpr in fprs:
            allowed = int(np.searchsorted(fall_out, fpr, side="right")) - 1 if both else -1
            told[f"recall@{fpr:g}"] = (float(recall[allowed]) if allowed >= 0 else 0.0) if both else np.nan
        for threshold in at:
            index = self.at(threshold)
            found, wrong = (float(hits[index]), float(alarms[index])) if index >= 0 else (0.0, 0.0)
            told[f"f1@{threshold:g}"] = 2 * found / (found + wrong + positives) if positives else np.nan
        told["ece"], told["brier"] = self._calibration(times)
        return told

    def fitting(self, fpr: float) -> tuple[float, float, float] | None:
        """Threshold, recall and false-positive rate of the lowest score whose false-positive rate is at most `fpr`."""
        hits, alarms = self.counts()
        if not len(hits) or not alarms[-1] or not hits[-1]:
            return None
        allowed = int(np.searchsorted(alarms / alarms[-1], fpr, side="right")) - 1
        if allowed < 0:
            return None
        return float(self.thresholds[allowed]), float(hits[allowed] / hits[-1]), float(alarms[allowed] / alarms[-1])

    def bins(self) -> list[tuple[int, float, float]]:
        """For each bin of scores: rows, mean score, share of positives; bins without rows are left out."""
        count = np.bincount(self._bins, minlength=BINS)
        score = np.bincount(self._bins, self._scores, minlength=BINS)
        truth = np.bincount(self._bins, self._truth, minlength=BINS)
        return [(int(n), float(s / n), float(t / n)) for n, s, t in zip(count, score, truth, strict=True) if n]

    def spread(self, bins: int) -> tuple[list[int], list[int]]:
        """How many negatives and positives score in each of `bins` equal parts of [0, 1]."""
        told = np.minimum((self._scores * bins).astype(np.int64), bins - 1)
        negative = np.bincount(told, 1.0 - self._truth, minlength=bins)
        positive = np.bincount(told, self._truth, minlength=bins)
        return [int(one) for one in negative], [int(one) for one in positive]

    def ece_by_chance(self, share: float, *, seed: int = 0, draws: int = 200) -> float | None:
        """The calibration error that scores which are probabilities stay below in `share` of samples like this one.

        Labels are drawn by the scores themselves (consistency resampling, Broecker and Smith 2007): a small sample
        has an error above 0 whatever the scores are, and a resample of its rows only adds to it.
        """
        if not len(self._scores):
            return None
        random = np.random.default_rng(seed)
        found = []
        for _ in range(draws):
            truth = random.random(len(self._scores)) < self._scores
            gap = np.bincount(self._bins, self._scores - truth, minlength=BINS)
            found.append(float(np.abs(gap).sum() / len(self._scores)))
        return float(np.quantile(found, share))

    def _calibration(self, times: Floats | None) -> tuple[float, float]:
        weight = np.ones(len(self._order)) if times is None else times[self._order]
        total = float(weight.sum())
        if not total:
            return np.nan, np.nan
        gap = np.bincount(self._bins, weight * (self._scores - self._truth), minlength=BINS)
        return float(np.abs(gap).sum() / total), float((weight * (self._scores - self._truth) ** 2).sum() / total)
