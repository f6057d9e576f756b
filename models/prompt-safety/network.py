"""The network behind the heads, in numpy: small enough that a framework would be the larger part."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

Array = npt.NDArray[Any]

SEED = 7
HIDDEN = 96
MEMBERS = 2
EPOCHS = 10
BATCH = 256
RATE = 1e-3
DECAY = 0.1
DROPOUT = 0.2
# Shares of the pieces that are seen without their lexicon features, and without their embeddings: each must be able
# to carry a verdict alone.
BLIND_SHARE = 0.25
WORDS_SHARE = 0.1
# Pairs of pieces in a batch, as a share of it, that are shown as if they were one. What is sexual about adults and what
# is about a minor are never written together, and without this a head learns that one means the other is not there.
MIXED = 0.15
# Columns of `pairs` that say who may be a minor, and who asks for something that is not for minors.
MINOR, ASKING = 4, slice(0, 3)


def fit(x: Array, y: Array, weight: Array, words: slice, seed: int = SEED) -> list[Array]:
    """Train the network: hidden layer with ReLU beside a linear path, AdamW on weighted cross-entropy.

    `x` (pieces, features), of which the columns `words` are the lexicon's; `y` and `weight` (pieces, factors), a weight
    of 0 where a piece teaches a factor nothing. Returns w0 (features, hidden), b0, w1 (hidden, factors), skip
    (features, factors), b1.
    """
    chance = np.random.default_rng(seed)
    n, width = x.shape
    factors = y.shape[1]
    w0 = (chance.standard_normal((width, HIDDEN)) * np.sqrt(2 / width)).astype(np.float32)
    w1 = (chance.standard_normal((HIDDEN, factors)) * np.sqrt(1 / HIDDEN)).astype(np.float32)
    params = [
        w0,
        np.zeros(HIDDEN, np.float32),
        w1,
        np.zeros((width, factors), np.float32),
        np.zeros(factors, np.float32),
    ]
    first, second = [np.zeros_like(p) for p in params], [np.zeros_like(p) for p in params]
    # Pieces that teach something are drawn as often as they weigh over all factors.
    mass = weight / weight.sum(axis=0)
    scale = (mass * n).astype(np.float32)
    steps, step = EPOCHS * (n // BATCH), 0
    for _ in range(EPOCHS):
        order = chance.permutation(n)
        for start in range(0, n - BATCH + 1, BATCH):
            rows = order[start : start + BATCH]
            one, two = pairs(y[rows], chance, int(MIXED * BATCH))
            told, known = both(y[rows], scale[rows], one, two)
            batch = _seen(np.concatenate([x[rows], mixed(x[rows[one]], x[rows[two]], words, chance)]), words, chance)
            told, heavy = np.concatenate([y[rows], told]), np.concatenate([np.minimum(scale[rows], 20), known])
            w0, b0, w1, skip, b1 = params
            hidden = np.maximum(batch @ w0 + b0, 0)
            keep = (chance.random(hidden.shape, np.float32) > DROPOUT) / np.float32(1 - DROPOUT)
            dropped = hidden * keep
            p = 1 / (1 + np.exp(-(dropped @ w1 + batch @ skip + b1)))
            d = (p - told) * heavy / BATCH
            dh = (d @ w1.T) * keep * (hidden > 0)
            gradients = [batch.T @ dh, dh.sum(0), dropped.T @ d, batch.T @ d, d.sum(0)]
            step += 1
            rate = RATE * 0.5 * (1 + np.cos(np.pi * step / steps))
            for k, g in enumerate(gradients):
                first[k] += 0.1 * (g - first[k])
                second[k] += 0.001 * (g * g - second[k])
                update = (first[k] / (1 - 0.9**step)) / (np.sqrt(second[k] / (1 - 0.999**step)) + 1e-8)
                params[k] = (params[k] - rate * (update + (DECAY * params[k] if params[k].ndim > 1 else 0))).astype(
                    np.float32
                )
    return params


def _seen(batch: Array, words: slice, chance: np.random.Generator) -> Array:
    """A batch as the network is shown it: numbers of embeddings left out by chance, now and then a whole part."""
    listed = batch[:, words].copy()
    batch *= (chance.random(batch.shape, np.float32) > DROPOUT) / np.float32(1 - DROPOUT)
    draw = chance.random(len(batch))
    listed[draw < BLIND_SHARE] = 0
    batch[draw > 1 - WORDS_SHARE] = 0
    batch[:, words] = listed
    return batch


def pairs(y: Array, chance: np.random.Generator, count: int) -> tuple[Array, Array]:
    """Rows of `y` (rows, factors) to be mixed: half of them a minor with what is asked of adults, the rest anything."""
    one, two = chance.integers(len(y), size=count), chance.integers(len(y), size=count)
    minor, asking = np.flatnonzero(y[:, MINOR] == 1), np.flatnonzero((y[:, ASKING] == 1).any(axis=1))
    if len(minor) and len(asking):
        one[: count // 2] = chance.choice(minor, count // 2)
        two[: count // 2] = chance.choice(asking, count // 2)
    return one, two


def both(y: Array, weight: Array, one: Array, two: Array) -> tuple[Array, Array]:
    """Labels of mixed rows, and 1 where they are known: a factor is there where either has it, not there where both
    are known not to have it."""
    told = np.maximum(y[one], y[two])
    known = (told == 1) | ((weight[one] > 0) & (weight[two] > 0))
    return told, known.astype(np.float32)


def mixed(one: Array, two: Array, words: slice, chance: np.random.Generator) -> Array:
    """Two rows of features as one: embeddings between the two, as long as each; of the lexicon what either has."""
    share = chance.uniform(0.35, 0.65, (len(one), 1)).astype(np.float32)
    out = one * share + two * (1 - share)
    dense = out[:, : words.start]
    dense *= np.linalg.norm(one[:, : words.start], axis=1, keepdims=True) / np.linalg.norm(dense, axis=1, keepdims=True)
    out[:, words] = np.maximum(one[:, words], two[:, words])
    return out


def several(x: Array, y: Array, weight: Array, words: slice) -> list[Array]:
    """The mean of MEMBERS networks from different seeds, side by side as one."""
    members = [fit(x, y, weight, words, SEED + i) for i in range(MEMBERS)]
    w0, b0, w1, skip, b1 = ([m[k] for m in members] for k in range(5))
    return [np.hstack(w0), np.hstack(b0), np.vstack(w1) / MEMBERS, sum(skip) / MEMBERS, sum(b1) / MEMBERS]


def logits(params: list[Array], x: Array) -> Array:
    w0, b0, w1, skip, b1 = params
    return np.concatenate(
        [np.maximum(part @ w0 + b0, 0) @ w1 + part @ skip + b1 for part in np.array_split(x, max(1, len(x) // 8192))]
    )


def fit_words(words: Array, y: Array, weight: Array) -> tuple[Array, Array]:
    """Logistic regressions on the lexicon alone, one per factor: weights (lexicon features, factors) and bias."""
    columns, biases = [], []
    for h in range(y.shape[1]):
        on = weight[:, h] > 0
        told, mass, shown = y[on, h], weight[on, h], words[on]
        # A label in between counts by that share as harmful, by the rest as harmless.
        even = (told > 0) & (told < 1)
        shown = np.concatenate([shown, shown[even]])
        mass = np.concatenate([mass * np.where(even, 1 - told, 1), (mass * told)[even]])
        told = np.concatenate([np.where(even, 0, told), np.ones(int(even.sum()), told.dtype)])
        model = LogisticRegression(C=1.0, max_iter=200).fit(shown, told, mass)
        columns.append(model.coef_[0])
        biases.append(model.intercept_[0])
    return np.stack(columns, axis=1).astype(np.float32), np.array(biases, np.float32)
