"""Fitting and teaching: from examples to numbers that mean what they say, with figures from examples never seen.

Every figure is about pictures judged by a fit that saw neither them nor others of their source.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from guardrail.errors import ConfigError, extra
from guardrail.inference.clip import figures
from guardrail.inference.clip.concepts import Concept
from guardrail.inference.clip.examples import Examples
from guardrail.inference.clip.figures import Labels, Scores
from guardrail.inference.clip.probes import Probe

FOLDS = 5
# Two numbers from 30 and 30; a direction of hundreds of numbers from 50 and 50. With 50 and 50 an AUC of 0.90 is known
# to about 0.06 either way (Hanley and McNeil 1982).
LEAST_TO_FIT, LEAST_LINEAR, LEAST_MLP = 30, 50, 200
LEAST_OF_GROUP = 30
HIDDEN = 16
# Stronger than the library's default: a folder of hundreds of pictures in hundreds of dimensions separates by chance.
LINEAR_C, MLP_ALPHA = 0.01, 1.0

KindOfProbe = Literal["linear", "mlp"]


def fit_concept(
    concept: Concept, examples: Examples, base_rate: float | None = None
) -> tuple[float, float, dict[str, Any]]:
    """Temperature, bias and figures of a concept, from its examples.

    `base_rate` is the share of pictures in traffic that show it; without it, the examples' own.
    Raises ConfigError when there are too few, or when the prompts do not tell them apart.
    """
    what = f"concept {concept.name}"
    examples.enough(LEAST_TO_FIT, FOLDS, what)
    scores = np.array([float(concept.margins(views).max()) for views in examples.views])
    rate = _rate(base_rate, examples.labels, what)
    slope, shift = figures.platt(scores, examples.labels, figures.weights_for(examples.labels, rate))
    if slope <= 0 or figures.auc_interval(scores, examples.labels, examples.sources)[0] <= 0.5:
        raise ConfigError(
            f"{what}: its prompts do not tell the examples apart (AUC {figures.auc(scores, examples.labels):.2f}); "
            "write others, or train a probe"
        )
    return 1.0 / slope, shift, _measured(scores, examples, rate)


def train_probe(
    name: str, examples: Examples, *, kind: KindOfProbe = "linear", base_rate: float | None = None, seed: int = 0
) -> Probe:
    """Teach a probe and measure it. Both labels weigh the same while it learns; the probability is calibrated to
    `base_rate` (without it, the examples' own share of yes).

    Raises ConfigError when there are too few examples, or the `train` extra is not installed.
    """
    examples.enough(LEAST_MLP if kind == "mlp" else LEAST_LINEAR, FOLDS, f"probe {name}")
    rate = _rate(base_rate, examples.labels, f"probe {name}")
    folds = examples.folds(FOLDS, seed)
    scores = np.zeros(len(examples))
    for fold in range(FOLDS):
        held = folds == fold
        head = _head(name, examples, ~held, kind, seed)
        scores[held] = _highest(head, examples, held)
    slope, shift = figures.platt(scores, examples.labels, figures.weights_for(examples.labels, rate))
    if slope <= 0:
        raise ConfigError(f"probe {name}: what it learned does not hold for pictures it did not see; nothing was kept")
    whole = _head(name, examples, np.ones(len(examples), bool), kind, seed)
    *before, (weight, bias) = whole.layers
    calibrated = (weight * np.float32(slope), (bias * np.float32(slope) + np.float32(shift)).astype(np.float32))
    told = {"kind": kind, **_measured(scores, examples, rate, folds)}
    return Probe(name, examples.space, whole.mean, whole.scale, (*before, calibrated), told)


def _rate(base_rate: float | None, labels: Labels, what: str) -> float:
    rate = float(labels.mean()) if base_rate is None else base_rate
    if not 0 < rate < 1:
        raise ConfigError(f"{what}: the base rate is {rate:g}; expected a share between 0 and 1")
    return rate


def _head(name: str, examples: Examples, taken: NDArray[np.bool_], kind: KindOfProbe, seed: int) -> Probe:
    """A head that learned from the usual views of the pictures `taken`, not calibrated yet."""
    try:
        linear, neural = import_module("sklearn.linear_model"), import_module("sklearn.neural_network")
    except ImportError as error:
        raise ConfigError(f"training needs scikit-learn: {extra('train')}") from error
    rows, labels = examples.usual[taken], examples.labels[taken]
    mean, scale = rows.mean(axis=0), rows.std(axis=0) + np.float32(1e-6)
    scaled = (rows - mean) / scale
    if kind == "linear":
        net: Any = linear.LogisticRegression(C=LINEAR_C, class_weight="balanced", max_iter=2000).fit(scaled, labels)
        learned: Any = ((net.coef_.T, net.intercept_),)
    else:
        # This net takes no weights in every version: the rarer label is repeated.
        few, many = sorted((np.flatnonzero(labels), np.flatnonzero(~labels)), key=len)
        drawn = np.concatenate([many, np.resize(np.random.default_rng(seed).permutation(few), len(many))])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it stops at max_iter is no news
            net = neural.MLPClassifier((HIDDEN,), alpha=MLP_ALPHA, max_iter=400, random_state=seed).fit(
                scaled[drawn], labels[drawn]
            )
        learned = tuple(zip(net.coefs_, net.intercepts_, strict=True))
    exact = tuple((np.asarray(w, np.float32), np.asarray(b, np.float32)) for w, b in learned)
    return Probe(name, examples.space, mean.astype(np.float32), scale.astype(np.float32), exact)


def _highest(head: Probe, examples: Examples, held: NDArray[np.bool_]) -> Scores:
    """The highest logit of any view of each picture held out: as a picture is judged."""
    return np.array([float(head.logits(examples.views[at]).max()) for at in np.flatnonzero(held)])


def _measured(
    scores: Scores, examples: Examples, rate: float, folds: NDArray[np.int64] | None = None
) -> dict[str, Any]:
    """Figures of held-out scores, the calibration held out as well."""
    labels = examples.labels
    weights = figures.weights_for(labels, rate)
    split = examples.folds(FOLDS) if folds is None else folds
    said = np.zeros(len(labels))
    for fold in range(FOLDS):
        held = split == fold
        said[held] = figures.apply(*figures.platt(scores[~held], labels[~held], weights[~held]), scores[held])
    low, high = figures.auc_interval(scores, labels, examples.sources)
    missed, alarms = int((said[labels] < 0.5).sum()), int((said[~labels] >= 0.5).sum())
    yes, no = int(labels.sum()), int((~labels).sum())
    return {
        "yes": yes,
        "no": no,
        "sources": len(set(examples.sources.tolist())),
        "left_out": examples.left_out,
        "base_rate": round(rate, 4),
        "folds": FOLDS,
        "auc": round(figures.auc(scores, labels), 4),
        "auc_95": [round(low, 4), round(high, 4)],
        "ece": round(figures.ece(said, labels, weights), 4),
        "missed_at_half": [missed, yes],
        "alarms_at_half": [alarms, no],
        "bands": _bands(said, labels, weights),
        "groups": {
            group: _group(said, examples, weights, group) for group in sorted(set(examples.groups.tolist()) - {""})
        },
    }


def _bands(said: Scores, labels: Labels, weights: Scores) -> list[list[float]]:
    """For each fifth of [0, 1]: from, to, pictures, what was said on average, what was so."""
    rows = []
    for low in (0.0, 0.2, 0.4, 0.6, 0.8):
        band = (said >= low) & ((said < low + 0.2) | (low == 0.8))
        if band.any():
            weight = weights[band]
            told, seen = (float((weight * one[band]).sum() / weight.sum()) for one in (said, labels))
            rows.append([low, round(low + 0.2, 1), int(band.sum()), round(told, 3), round(seen, 3)])
    return rows


def _group(said: Scores, examples: Examples, weights: Scores, group: str) -> Mapping[str, Any]:
    """How honest the score is about one group: what was said less what was so, with its interval over sources."""
    rows = np.flatnonzero(examples.groups == group)
    labels = examples.labels[rows]
    yes, no = int(labels.sum()), int((~labels).sum())
    told: dict[str, Any] = {
        "yes": yes,
        "no": no,
        "missed_at_half": [int((said[rows][labels] < 0.5).sum()), yes],
        "alarms_at_half": [int((said[rows][~labels] >= 0.5).sum()), no],
    }
    if min(yes, no) < LEAST_OF_GROUP:
        return {**told, "honest": None}
    chance = np.random.default_rng(0)
    _, which = np.unique(examples.sources[rows], return_inverse=True)
    members = [rows[which == one] for one in range(int(which.max()) + 1)]

    def gap(some: NDArray[Any]) -> float:
        return float((weights[some] * (said[some] - examples.labels[some])).sum() / weights[some].sum())

    drawn = [
        gap(np.concatenate([members[one] for one in chance.integers(0, len(members), len(members))]))
        for _ in range(figures.DRAWS)
    ]
    low, high = (float(one) for one in np.percentile(drawn, [2.5, 97.5]))
    told |= {"gap": round(gap(rows), 4), "gap_95": [round(low, 4), round(high, 4)], "honest": low <= 0 <= high}
    told["auc"] = round(figures.auc(said[rows], labels), 4)
    return told
