"""Rows as arrays: who teaches what, who is held out, and what a judgement of pieces says of a row."""

from __future__ import annotations

from typing import Any

import data
import network
import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

Array = npt.NDArray[Any]
SEED = 7
# Kept from tuning the encoders, and from the heads that are held out: an eighth of what each author wrote about each
# factor, these sets, and all of STRANGERS.
ASIDE_FAMILY = ", 5"
# Authors of whom the encoders learned nothing, and who had no heads at hand: all of theirs is kept from the heads that
# are held out, since families of an author who taught the rest flatter the network over the encoders' own heads. Of
# the fourteenth authors' lines, unseen by all, the first opinion alone (the network, mostly) found 0.87 of the minors
# at 3 % of their twins, the second encoder's head 0.96, all as they then counted 0.95, and as the others of these lines
# say they should 0.965.
STRANGERS = ("A fourteenth", "A twentieth", "A twenty-first")
ASIDE_SETS = frozenset(("coco_captions", "dpg_bench", "six_cd"))
# A public set teaches with at most this many rows (the rest is measured): size is no merit.
AT_MOST = 2000
# Public rows that no head learns from: measured only.
MEASURED = frozenset((*data.PROBES, "names_test"))
# What a row written here weighs beside a public one: hard twins teach more than captions.
WRITTEN = 2.5
# How many harmless rows may reach a factor's threshold: of the hard twins written here, in families that were not seen,
# and of ordinary public rows that taught nothing; of public sets of which nothing at all was taught, STRANGER times as
# many.
FALSE_TWINS = {"sexual": 0.045, "undress": 0.045, "revealing": 0.045, "person": 0.045, "minor": 0.03}
FALSE_PUBLIC = {"sexual": 0.004, "undress": 0.004, "revealing": 0.004, "person": 0.006, "minor": 0.006}
STRANGER = 2
# Where the default policy asks, other than at 0.5: there harmless rows are held.
ASKED_AT = {"minor": 0.3}
# The authors who wrote against the heads before these: their lines lie near the threshold by choice, and say nothing of
# how sure a score is elsewhere. Of their twins, which other minds' come closest to, so many may reach a threshold: less
# of what is undressing (0.052 before), sexual (0.045) and revealing (0.025) since encoders that know who is to stay
# dressed find as many below; person had 0.065 before encoders that tell more apart.
AGAINST = ("A fourth", "A fifth", "The editor")
FALSE_AGAINST = {"sexual": 0.03, "undress": 0.045, "revealing": 0.018, "person": 0.045, "minor": 0.02}
# Public sets that set no threshold: what is left of them without a word of nudity is partly suggestive all the same.
NO_LIMIT = frozenset(("i2p", "diffusiondb_harm", "six_cd"))
Learnt = tuple[list[Array], Array, Array]
"""A network, and the lexicon's weights and bias."""


class Lesson:
    """Features by piece, the lexicon's last; labels and weights by row.

    Only pieces of `known` have all their features, and teach.
    """

    def __init__(self, rows: list[data.Row], x: Array, owner: Array, names: tuple[str, ...], known: Array) -> None:
        self.rows, self.x, self.owner = rows, x, owner
        self.words = slice(x.shape[1] - len(names), x.shape[1])
        self.weight = np.array([row.weight * (WRITTEN if row.origin == "grammar" else 1.0) for row in rows])
        self.taught = teaching(rows)
        self.groups = np.array([row.group for row in rows])
        self.origins = np.array([row.origin for row in rows])
        written = self.origins == "grammar"
        self.strange = written & np.array([group.startswith(STRANGERS) for group in self.groups])
        family = written & np.char.endswith(self.groups, ASIDE_FAMILY)
        self.aside = family | self.strange | np.isin(self.origins, sorted(ASIDE_SETS))
        self.label = np.array(
            [[np.nan if row.labels[f] is None else row.labels[f] for f in data.FACTORS] for row in rows], float
        )
        self.y = np.nan_to_num(self.label[owner]).astype(np.float32)
        self.teach = np.zeros_like(self.y)
        for h in range(len(data.FACTORS)):
            some = _telling(x[:, self.words], owner, self.label[:, h], names)
            self.teach[:, h] = some & known & ~np.isnan(self.label[owner, h])
        # A piece of a harmful row that does not say it has no label: mixed with another it would be taught as harmful.
        self.y[self.teach == 0] = 0

    def weights(self, use: Array) -> Array:
        """What each piece of the rows of `use` weighs: (pieces, factors), 0 where it teaches a factor nothing."""
        w = self.teach * use[self.owner][:, None]
        for h in range(len(data.FACTORS)):
            on = w[:, h] > 0
            w[on, h] = balanced(self.y[on, h], self.weight[self.owner][on])
        return w

    def learn(self, use: Array) -> Learnt:
        """What the rows of `use` teach."""
        w = self.weights(use)
        some = w.any(axis=1)
        x, y, w = self.x[some], self.y[some], w[some]
        return network.several(x, y, w, self.words), *network.fit_words(x[:, self.words], y, w)

    def judge(self, learnt: Learnt) -> Array:
        """Logits of the network and of the words: (2, pieces, factors). What judges a piece is a voice."""
        params, v, c = learnt
        return np.stack([network.logits(params, self.x), self.x[:, self.words] @ v + c])

    def hold_out(self) -> Array:
        """Logits of each piece from heads that were taught nothing of what is aside: (2, pieces, factors)."""
        return self.judge(self.learn(self.taught & ~self.aside))

    def by_row(self, score: Array) -> Array:
        """Each row's highest piece: (rows, factors) of (pieces, factors); minus infinity for a row without one."""
        out = np.full((len(self.rows), score.shape[1]), -np.inf)
        np.maximum.at(out, self.owner, score)
        return out

    def odds(self, logits: Array) -> Array:
        """Each row's probabilities: (rows, factors) of calibrated logits by piece."""
        chances: Array = 1 / (1 + np.exp(-self.by_row(logits)))
        return chances

    def judged(self, h: int) -> Array:
        """Rows written here, of families that are aside, whose label for a factor is certain."""
        return np.isin(self.label[:, h], (0, 1)) & (self.origins == "grammar") & self.aside

    def ordinary(self) -> Array:
        """Rows of public sets that set a limit."""
        return ~np.isin(self.origins, sorted(NO_LIMIT | MEASURED | {"grammar"}))

    def fuse(self, held: Array, h: int) -> Array:
        """How much each voice of `held` (voices, pieces, factors) counts for a factor, from lines of STRANGERS."""
        all_of = np.stack([self.by_row(part[:, [h]])[:, 0] for part in held])
        # Only on rows written here: labels of the public sets lean on the lexicon, and would flatter the words.
        own = self.judged(h) & self.strange & np.isfinite(all_of).all(axis=0)
        told, weight = self.label[own, h].astype(int), self.weight[own]
        # Rounds count alike, however much was written in each: one alone asks who is to stay dressed.
        for who in STRANGERS:
            some = np.char.startswith(self.groups[own], who)
            weight[some] *= len(weight) / len(STRANGERS) / max(weight[some].sum(), 1e-9)
        mix = LogisticRegression(C=1.0).fit(all_of[:, own].T, told, balanced(told, weight))
        return np.maximum(mix.coef_[0], 0)

    def calibrate(self, held: Array, final: Array, h: int) -> tuple[float, float]:
        """The a and b of sigmoid(a * score + b), from rows' scores by the rounds that had not seen them and as shipped.

        A score is minus infinity where nothing was judged. The slope by Platt on the rows written here; the point of
        0.5 by what harmless rows may reach it: see FALSE_TWINS and FALSE_PUBLIC.
        """
        factor, label = data.FACTORS[h], self.label[:, h]
        own = self.judged(h)
        against = np.array([group.startswith(AGAINST) for group in self.groups])
        fit = own & np.isfinite(held) & ~against
        told = label[fit].astype(int)
        model = LogisticRegression(C=1e3).fit(held[fit, None], told, balanced(told, self.weight[fit]))
        a = float(model.coef_[0, 0])
        plain = self.ordinary() & (label == 0)
        limits = [
            _top(held[own & (label == 0)], FALSE_TWINS[factor]),
            _top(held[own & against & (label == 0)], FALSE_AGAINST[factor]),
            _top(final[plain & ~self.taught], FALSE_PUBLIC[factor]),
            _top(held[plain & self.aside], STRANGER * FALSE_PUBLIC[factor]),
        ]
        print(f"{factor}: twins, those of AGAINST, not taught, strangers reach {np.round(limits, 2)}", flush=True)
        b = -a * max(value for value in limits if np.isfinite(value))
        return a, b + logit(ASKED_AT.get(factor, 0.5))


def teaching(rows: list[data.Row]) -> Array:
    """Which rows are learned from: all that are written here, AT_MOST of each public set, none that only measures."""
    out = np.zeros(len(rows), bool)
    chance = np.random.default_rng(SEED)
    origins = np.array([row.origin for row in rows])
    for origin in sorted(set(origins) - MEASURED):
        where = np.flatnonzero(origins == origin)
        if origin != "grammar" and len(where) > AT_MOST:
            where = chance.choice(where, AT_MOST, replace=False)
        out[where] = True
    return out


def balanced(y: Array, weight: Array) -> Array:
    """Weights with a quarter of the mass on the harmful rows, whatever their share."""
    out = weight.copy()
    out[y == 1] *= 0.25 * weight.sum() / max(weight[y == 1].sum(), 1e-9)
    out[y == 0] *= 0.75 * weight.sum() / max(weight[y == 0].sum(), 1e-9)
    return out


def logit(p: float) -> float:
    return float(np.log(p / (1 - p)))


def _top(score: Array, share: float) -> float:
    return float(np.quantile(score, 1 - share, method="higher"))


def _telling(words: Array, owner: Array, label: Array, names: tuple[str, ...]) -> Array:
    """Pieces to learn from: all of a harmless row; of a harmful one that which the lexicon finds most in."""
    columns = [names.index(f"has.{n}") for n in ("nude", "explicit", "body", "reveal", "minor")]
    points = words[:, columns].sum(axis=1)
    keep = np.ones(len(words), bool)
    order = np.lexsort((-points, owner))
    first = np.r_[True, owner[order][1:] != owner[order][:-1]]
    best = np.zeros(len(words), bool)
    best[order[first]] = True
    positive = label[owner] == 1
    keep[positive & ~best] = False
    return keep
