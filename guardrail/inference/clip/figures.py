"""Figures of a binary score: how well it separates, and how honest it is. In numpy alone, with intervals.

Where pictures come from few sources, intervals are drawn over sources: twenty frames of one film are one opinion.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
Labels = NDArray[np.bool_]

DRAWS = 1000
BINS = 10


def auc(scores: Scores, labels: Labels) -> float:
    """Chance that a positive scores above a negative, ties counting half. Needs one of each."""
    order = np.argsort(scores, kind="stable")
    ranks = np.empty(len(scores))
    ranks[order] = np.arange(1, len(scores) + 1)
    _, which, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.bincount(which, ranks) / counts)[which]
    yes = int(labels.sum())
    return float((ranks[labels].sum() - yes * (yes + 1) / 2) / (yes * (len(labels) - yes)))


def auc_interval(scores: Scores, labels: Labels, sources: NDArray[Any], seed: int = 0) -> tuple[float, float]:
    """95 % of the AUCs over DRAWS resamplings of the sources."""
    chance = np.random.default_rng(seed)
    _, which = np.unique(sources, return_inverse=True)
    members = [np.flatnonzero(which == one) for one in range(int(which.max()) + 1)]
    drawn = []
    for _ in range(DRAWS):
        rows = np.concatenate([members[one] for one in chance.integers(0, len(members), len(members))])
        if 0 < labels[rows].sum() < len(rows):
            drawn.append(auc(scores[rows], labels[rows]))
    low, high = np.percentile(drawn, [2.5, 97.5]) if drawn else (0.0, 1.0)
    return float(low), float(high)


def ece(said: Scores, labels: Labels, weights: Scores | None = None) -> float:
    """Expected calibration error over BINS equal bins of [0, 1]: mean distance of what was said from what was so."""
    weight = np.ones(len(said)) if weights is None else weights
    bins = np.minimum((said * BINS).astype(int), BINS - 1)
    gaps = np.abs(np.bincount(bins, weight * (said - labels), BINS))
    return float(gaps.sum() / weight.sum())


def weights_for(labels: Labels, base_rate: float) -> Scores:
    """Weights, 1 on average, under which `base_rate` of all examples are positive."""
    yes = float(labels.mean())
    return np.where(labels, base_rate / yes, (1 - base_rate) / (1 - yes))


def platt(scores: Scores, labels: Labels, weights: Scores) -> tuple[float, float]:
    """Slope and shift that make sigmoid(slope * score + shift) a probability.

    Platt's method with his smoothed targets, by Newton's (Lin, Lin, Weng 2007). Scores are standardised on the way, so
    cosines and logits fit alike.
    """
    middle, spread = float(scores.mean()), float(scores.std()) or 1.0
    x = (scores - middle) / spread
    yes, no = float(labels.sum()), float((~labels).sum())
    target = np.where(labels, (yes + 1) / (yes + 2), 1 / (no + 2))
    found = np.zeros(2)
    columns = np.stack([x, np.ones_like(x)], axis=1)
    for _ in range(100):
        said = 1 / (1 + np.exp(-np.clip(columns @ found, -30, 30)))
        slope = columns.T @ (weights * (said - target))
        curve = (columns * (weights * said * (1 - said))[:, None]).T @ columns + 1e-9 * np.eye(2)
        step = np.linalg.solve(curve, slope)
        # A separable set throws Newton far out; what it then says does not change any more.
        found = np.clip(found - np.clip(step, -2, 2), -1e3, 1e3)
        if np.abs(step).max() < 1e-9:
            break
    return float(found[0] / spread), float(found[1] - found[0] * middle / spread)


def apply(slope: float, shift: float, scores: Scores) -> Scores:
    return 1 / (1 + np.exp(-np.clip(slope * scores + shift, -50, 50)))


def wilson(hits: int, count: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927)."""
    if count == 0:
        return 0.0, 1.0
    z, share = 1.96, hits / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return max(0.0, middle - half), min(1.0, middle + half)
