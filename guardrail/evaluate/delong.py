"""Areas under ROC curves and what is known of them: DeLong's variance, by the fast algorithm, for grouped rows.

DeLong, DeLong and Clarke-Pearson 1988; midranks instead of all pairs after Sun and Xu 2014 (IEEE Signal Processing
Letters 21(11)); rows of one group go together after Obuchowski 1997 (Biometrics 53), which without groups is
DeLong's own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from guardrail.evaluate.intervals import LEVEL, Floats, Interval, Ints, library


@dataclass(frozen=True)
class Areas:
    """The area of each of several scores on the same rows, and the covariance of the areas, shape (k, k)."""

    values: Floats
    covariance: Floats

    def difference(self) -> tuple[float, float, float, float]:
        """Second minus first of two areas: the difference, its 95 % interval, and the p-value of none."""
        norm = library("scipy.stats").norm
        gap = float(self.values[1] - self.values[0])
        cov = self.covariance
        variance = float(cov[0, 0] + cov[1, 1] - 2 * cov[0, 1])
        if variance <= 1e-18:  # the same order of rows: nothing differs, or nothing can be said
            return gap, gap, gap, 1.0 if abs(gap) < 1e-12 else 0.0
        spread = math.sqrt(variance)
        half = float(norm.ppf((1 + LEVEL) / 2)) * spread
        return gap, max(-1.0, gap - half), min(1.0, gap + half), float(2 * norm.sf(abs(gap) / spread))


def areas(labels: Ints, scores: Floats, groups: Ints | None = None) -> Areas:
    """Areas of `scores`, shape (k, rows), against `labels` of 0 and 1. There must be rows of both labels."""
    rankdata = library("scipy.stats").rankdata
    own = np.arange(len(labels)) if groups is None else groups
    positive = labels == 1
    m, n = int(positive.sum()), int((~positive).sum())
    above = np.empty((len(scores), m))
    below = np.empty((len(scores), n))
    for k, row in enumerate(scores):
        ranks = rankdata(row)
        # Share of the other class that each row is on the right side of, ties counting half.
        above[k] = (ranks[positive] - rankdata(row[positive])) / n
        below[k] = 1.0 - (ranks[~positive] - rankdata(row[~positive])) / m
    values = above.mean(axis=1)
    return Areas(values, _covariance(above - values[:, None], below - values[:, None], own[positive], own[~positive]))


def _covariance(above: Floats, below: Floats, of_above: Ints, of_below: Ints) -> Floats:
    m, n = above.shape[1], below.shape[1]
    _, codes = np.unique(np.concatenate([of_above, of_below]), return_inverse=True)
    count = int(codes.max()) + 1
    up = np.stack([np.bincount(codes[:m], row, minlength=count) for row in above])
    down = np.stack([np.bincount(codes[m:], row, minlength=count) for row in below])
    ups, downs = len(np.unique(codes[:m])), len(np.unique(codes[m:]))
    cross = up @ down.T / (m * n) * count / max(1, count - 1)
    told: Floats = (
        up @ up.T / m**2 * ups / max(1, ups - 1) + down @ down.T / n**2 * downs / max(1, downs - 1) + cross + cross.T
    )
    return told


def area(labels: Ints, scores: Floats, groups: Ints | None = None) -> Interval:
    """One area with its interval on the logit scale, which stays within [0, 1] and holds 95 % near 1 too.

    Where no pair is in the wrong order the variance is 0 and says nothing. The lower end then is the exact one of as
    many pairs of a positive and a negative row as can be made so that no group is in two of them.
    """
    positive = labels == 1
    if not positive.any() or positive.all():
        return Interval(None)
    told = areas(labels, scores[None, :], groups)
    value, variance = float(told.values[0]), float(told.covariance[0, 0])
    if value >= 1.0 or value <= 0.0:
        own = np.arange(len(labels)) if groups is None else groups
        bound = float(((1 - LEVEL) / 2) ** (1 / _disjoint(own[positive], own[~positive])))
        return Interval(value, bound, 1.0) if value >= 1.0 else Interval(value, 0.0, 1 - bound)
    if variance <= 1e-18:  # every row has the same score: the figure is no estimate
        return Interval(value)
    z = float(library("scipy.stats").norm.ppf((1 + LEVEL) / 2))
    half = z * math.sqrt(variance) / (value * (1 - value))
    middle = math.log(value / (1 - value))
    return Interval(value, _share(middle - half), _share(middle + half))


def _share(logit: float) -> float:
    return 1 / (1 + math.exp(-max(-700.0, min(700.0, logit))))


def _disjoint(positive: Ints, negative: Ints) -> int:
    """Pairs of a positive and a negative row, no two of which share a group; at least 1."""
    ups, downs = set(positive.tolist()), set(negative.tolist())
    both, only_up, only_down = len(ups & downs), len(ups - downs), len(downs - ups)
    # A group with both makes one pair with another one; each that is left over pairs with a group of one kind.
    used = min(only_up, only_down)
    left = abs(only_up - only_down)
    with_one = min(both, left)
    return max(1, used + with_one + (both - with_one) // 2)
