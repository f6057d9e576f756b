"""Train the heads of `prompt-safety` and write them into the package.

    python models/prompt-safety/train.py --shared FOLDER --weights FOLDER [--report report.json] [--dry]

`--weights` holds the graph and tokeniser of use-multilingual. A small network over the embedding and the lexicon,
calibrated on rows that were held out by template and origin. Minutes on one core; seeded.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import data
import network
import numpy as np
import numpy.typing as npt
import report
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from guardrail.inference.prompts import PromptReader, packaged_lexicon
from guardrail.inference.session import open_session
from guardrail.inference.text import WIDTH, TextEncoder

Array = npt.NDArray[Any]
HERE = Path(__file__).parent
OUT = HERE.parent.parent / "guardrail" / "inference" / "heads" / "prompt_safety.npz"
SEED = 7
# A public set teaches with at most this many rows (the rest is measured): size is no merit.
AT_MOST = 4000
# Public rows that no head learns from: measured only.
MEASURED = frozenset((*data.PROBES, "names_test"))
FOLDS = 5
# How many harmless rows may reach a factor's threshold: of the hard twins written here, and of ordinary public rows.
FALSE_TWINS = {"sexual": 0.03, "undress": 0.05, "revealing": 0.03, "person": 0.03, "minor": 0.03}
FALSE_PUBLIC = {"sexual": 0.0025, "undress": 0.0025, "revealing": 0.004, "person": 0.015, "minor": 0.006}
# Public sets that set no threshold: what is left of them without a word of nudity is partly suggestive all the same.
NO_LIMIT = frozenset(("i2p", "diffusiondb_harm", "six_cd"))


def reader(weights: Path) -> PromptReader:
    graph = next(weights.glob("*.onnx"))
    return PromptReader(TextEncoder(open_session(graph), weights / "sp.model"), packaged_lexicon())


def read(rows: list[data.Row], with_reader: PromptReader, cache: Path | None) -> tuple[Array, Array]:
    """Features of every window of every row, and the row each belongs to. Kept in `cache` by what is read."""
    key = hashlib.sha256("\n".join(row.text for row in rows).encode("utf-8", "replace"))
    key.update("\n".join(with_reader.lexicon.names).encode() + with_reader.lexicon.digest.encode())
    file = cache / f"{key.hexdigest()[:16]}.npz" if cache else None
    if file and file.exists():
        with np.load(file) as archive:
            return archive["x"], archive["owner"]
    parts, owners = [], []
    for start in range(0, len(rows), 512):
        for i, reading in enumerate(with_reader.read([row.text for row in rows[start : start + 512]]), start):
            parts.append(reading.features)
            owners.append(np.full(len(reading.features), i))
    x, owner = np.concatenate(parts), np.concatenate(owners)
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(file, x=x, owner=owner)
    return x, owner


def read_all(parts: list[list[data.Row]], with_reader: PromptReader, cache: Path | None) -> tuple[Array, Array]:
    xs, owners, before = [], [], 0
    for rows in parts:
        x, owner = read(rows, with_reader, cache)
        xs.append(x)
        owners.append(owner + before)
        before += len(rows)
    return np.concatenate(xs), np.concatenate(owners)


def windows_for(x: Array, owner: Array, label: Array, names: tuple[str, ...]) -> Array:
    """Windows to learn from: all of a harmless row; of a harmful one that which the lexicon finds most in."""
    columns = [WIDTH + names.index(f"has.{n}") for n in ("nude", "explicit", "body", "reveal", "minor")]
    points = x[:, columns].sum(axis=1)
    keep = np.ones(len(x), bool)
    order = np.lexsort((-points, owner))
    first = np.r_[True, owner[order][1:] != owner[order][:-1]]
    best = np.zeros(len(x), bool)
    best[order[first]] = True
    positive = label[owner] == 1
    keep[positive & ~best] = False
    return keep


def balanced(y: Array, weight: Array) -> Array:
    """Weights with a quarter of the mass on the harmful rows, whatever their share."""
    out = weight.copy()
    out[y == 1] *= 0.25 * weight.sum() / max(weight[y == 1].sum(), 1e-9)
    out[y == 0] *= 0.75 * weight.sum() / max(weight[y == 0].sum(), 1e-9)
    return out


def by_row_all(score: Array, owner: Array, rows: int) -> Array:
    return np.stack([by_row(score[:, h], owner, rows) for h in range(score.shape[1])], axis=1)


def by_row(score: Array, owner: Array, rows: int) -> Array:
    out = np.full(rows, -np.inf)
    np.maximum.at(out, owner, score)
    return out


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


def calibrate(score: Array, label: Array, weight: Array, written: Array, factor: str) -> tuple[float, float]:
    """The a and b of sigmoid(a * score + b): the slope by Platt, the point of 0.5 by what harmless rows may reach it.

    That is at most FALSE_TWINS of the harmless twins written here and FALSE_PUBLIC of the ordinary public rows.
    """
    y = label.astype(int)
    a = float(LogisticRegression(C=1e3).fit(score[:, None], y, balanced(y, weight)).coef_[0, 0])
    limit = max(
        float(np.quantile(score[(y == 0) & written], 1 - FALSE_TWINS[factor])),
        float(np.quantile(score[(y == 0) & ~written], 1 - FALSE_PUBLIC[factor])),
    )
    return a, -a * limit


class Lesson:
    """All rows as arrays: features by window, labels and weights by row, and who teaches what."""

    def __init__(self, rows: list[data.Row], x: Array, owner: Array, names: tuple[str, ...]) -> None:
        self.rows, self.x, self.owner = rows, x, owner
        self.weight = np.array([row.weight for row in rows])
        self.taught = teaching(rows)
        self.groups = np.array([row.group for row in rows])
        self.origins = np.array([row.origin for row in rows])
        self.label = np.array(
            [[np.nan if row.labels[f] is None else row.labels[f] for f in data.FACTORS] for row in rows], float
        )
        self.y = np.nan_to_num(self.label[owner]).astype(np.float32)
        self.teach = np.zeros_like(self.y)
        for h in range(len(data.FACTORS)):
            some = windows_for(x, owner, self.label[:, h], names)
            self.teach[:, h] = some & ~np.isnan(self.label[owner, h])

    def learn(self, use: Array) -> tuple[list[Array], Array, Array]:
        """The network, and the lexicon's weights and bias, from the rows of `use`."""
        w = self.teach * use[self.owner][:, None]
        for h in range(len(data.FACTORS)):
            on = w[:, h] > 0
            w[on, h] = balanced(self.y[on, h], self.weight[self.owner][on])
        some = w.any(axis=1)
        x, y, w = self.x[some], self.y[some], w[some]
        return network.several(x, y, w), *network.fit_words(x, y, w)

    def judge(self, learnt: tuple[list[Array], Array, Array]) -> Array:
        """Logits of the network and of the words: (2, rows, factors), each row's highest window."""
        params, v, c = learnt
        both = (network.logits(params, self.x), self.x[:, WIDTH:] @ v + c)
        return np.stack([by_row_all(one, self.owner, len(self.rows)) for one in both])

    def hold_out(self) -> Array:
        """Logits of each row from rounds that did not see its template, or its public set at all; NaN for others."""
        held = np.full((2, *self.label.shape), np.nan)
        written = np.flatnonzero(self.origins == "grammar")
        public = sorted(set(self.origins) - MEASURED - {"grammar"})
        rounds = GroupKFold(FOLDS).split(written, groups=self.groups[written])
        for k, (_, test) in enumerate(rounds):
            out = np.isin(self.origins, public[k::FOLDS])
            out[written[test]] = True
            held[:, out] = self.judge(self.learn(self.taught & ~out))[:, out]
            print(f"round {k + 1} of {FOLDS}", flush=True)
        return held

    def fuse(self, held: Array, h: int) -> tuple[float, float, float]:
        """How much the network and the words count for a factor, and the bias: from rows that neither had seen."""
        ok = np.isin(self.label[:, h], (0, 1)) & np.isfinite(held[0, :, h]) & ~np.isin(self.origins, sorted(MEASURED))
        both, told, weight = held[:, ok, h].T, self.label[ok, h].astype(int), self.weight[ok]
        # Only on rows written here: labels of the public sets lean on the lexicon, and would flatter the words.
        own = self.origins[ok] == "grammar"
        mix = LogisticRegression(C=1.0).fit(both[own], told[own], balanced(told[own], weight[own]))
        share = np.maximum(mix.coef_[0], 0)
        factor = data.FACTORS[h]
        some = ~np.isin(self.origins[ok], sorted(NO_LIMIT)) | (told == 1)
        a, b = calibrate((both @ share)[some], told[some], weight[some], own[some], factor)
        if factor == "minor":
            b += float(np.log(0.3 / 0.7))  # the default policy asks at 0.30, so that is where harmless rows are held
        print(f"{factor}: network {a * share[0]:.2f}, words {a * share[1]:.2f}", flush=True)
        return a * share[0], a * share[1], b


def write(learnt: tuple[list[Array], Array, Array], points: list[tuple[float, float, float]]) -> None:
    """The packaged file: fusion and calibration folded into the network's last layer and linear path."""
    (w0, b0, w1, skip, b1), v, c = learnt
    slope, words, shift = np.array(points, np.float32).T
    skip = skip * slope
    skip[WIDTH:] += v * words
    OUT.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        OUT,
        factors=np.array(data.FACTORS),
        w0=w0.astype(np.float16),
        b0=b0,
        w1=w1 * slope,
        skip=skip.astype(np.float32),
        b1=(b1 * slope + c * words + shift).astype(np.float32),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--report", type=Path, default=HERE / "report.json")
    parser.add_argument("--dry", action="store_true", help="measure, write no heads")
    parser.add_argument("--scores", type=Path, help="keep the scores here")
    args = parser.parse_args()
    started = time.time()
    lexicon = packaged_lexicon()
    parts = data.everything(args.shared, lexicon)
    rows = [row for part in parts for row in part]
    x, owner = read_all(parts, reader(args.weights), args.cache)
    print(f"{len(rows)} rows, {len(x)} windows read in {time.time() - started:.0f} s", flush=True)

    lesson = Lesson(rows, x, owner, lexicon.names)
    held = lesson.hold_out()
    learnt = lesson.learn(lesson.taught)
    final = lesson.judge(learnt)
    held = np.where(np.isnan(held), final, held)  # what is only measured no round has seen
    points = [lesson.fuse(held, h) for h in range(len(data.FACTORS))]
    a, v, b = np.array(points).T
    scores, shipped = (1 / (1 + np.exp(-(both[0] * a + both[1] * v + b))) for both in (held, final))
    if args.scores:
        np.savez(args.scores, scores=scores, shipped=shipped, taught=lesson.taught)
    if not args.dry:
        write(learnt, points)
    tables = report.tables(rows, scores)
    # Rows of the same origins that taught nothing, judged by the heads as they ship.
    untaught = ~lesson.taught
    tables["untaught"] = report.tables([row for row, on in zip(rows, untaught, strict=True) if on], shipped[untaught])
    args.report.write_text(json.dumps(tables, indent=1, ensure_ascii=False) + "\n", "utf-8")
    print(report.text(tables))
    print(f"{time.time() - started:.0f} s")


if __name__ == "__main__":
    main()
