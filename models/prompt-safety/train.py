"""Train the heads of `prompt-safety`, first and second opinion, and write them into the package.

    python models/prompt-safety/train.py --shared FOLDER [--weights FOLDER] [--cache FOLDER] [--dry]

`--weights` is a folder of pulled weights, else the cache of this machine's Guardrail. Small networks over embeddings
and the lexicon, calibrated on rows that were held out by template and origin. On one or two cores; seeded.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import data
import numpy as np
import numpy.typing as npt
import reading
import report
from lesson import NO_LIMIT, SEED, Learnt, Lesson

from guardrail.inference.text import second
from guardrail.inference.text.encoder import WIDTH

Array = npt.NDArray[Any]
HERE = Path(__file__).parent
HEADS = reading.INFERENCE / "heads"
# Rows of a public set that teach the second heads: each is read at 5 ms a piece.
AGAIN_AT_MOST = 800
# Share of harmless ordinary rows that one factor may send to the second opinion, and of all harmless rows that may lie
# above where the first is believed without it.
ASKED = 0.012
BELIEVED = 0.001
# The second opinion is asked at least from so many logits below 0.5.
BELOW = 1.5


@dataclass(frozen=True)
class Opinion:
    """Calibrated logits by piece: of rounds that had not seen the row where there is one, and as shipped."""

    learnt: Learnt
    points: list[tuple[float, float, float]]
    held: Array
    final: Array


def settle(lesson: Lesson, asked: tuple[Array, Array] | None = None) -> Opinion:
    """Learn, hold out, fuse and calibrate.

    `asked` (pieces, factors) is false where this opinion is never asked: by the rounds that had not seen the row, and
    as shipped.
    """
    held = lesson.hold_out()
    learnt = lesson.learn(lesson.taught)
    final = lesson.judge(learnt)
    held = np.where(np.isnan(held), final, held)  # what is only measured no round has seen
    points = []
    for h, factor in enumerate(data.FACTORS):
        share = lesson.fuse(held, h)
        rows = []
        for k, part in enumerate((held, final)):
            score = share @ part[:, :, h]
            if asked is not None:
                score = np.where(asked[k][:, h], score, -np.inf)
            rows.append(lesson.by_row(score[:, None])[:, 0])
        a, b = lesson.calibrate(*rows, h)
        points.append((a * share[0], a * share[1], b))
        print(f"{factor}: network {a * share[0]:.2f}, words {a * share[1]:.2f}", flush=True)
    net, words, shift = np.array(points).T
    held, final = (both[0] * net + both[1] * words + shift for both in (held, final))
    return Opinion(learnt, points, held, final)


def bands(lesson: Lesson, opinion: Opinion) -> tuple[Array, Array]:
    """The first logits between which the second opinion counts, by factor."""
    rows = lesson.by_row(opinion.held)
    lower, upper = [], []
    for h in range(len(data.FACTORS)):
        harmless = lesson.label[:, h] == 0
        own = harmless & (lesson.origins == "grammar")
        plain = harmless & lesson.ordinary()
        lower.append(min(float(np.quantile(rows[plain, h], 1 - ASKED)), -BELOW))
        believed = max(float(np.quantile(rows[some, h], 1 - BELIEVED)) for some in (own, plain))
        upper.append(max(believed, lower[-1] + 4 * second.EDGE))
    return np.array(lower, np.float32), np.array(upper, np.float32)


def taught_again(lesson: Lesson) -> Array:
    """Rows that teach the second heads: those written here, and AGAIN_AT_MOST of each public set."""
    chance = np.random.default_rng(SEED)
    out = lesson.taught.copy()
    for origin in sorted(set(lesson.origins[out]) - {"grammar"}):
        where = np.flatnonzero(out & (lesson.origins == origin))
        if len(where) > AGAIN_AT_MOST:
            out[chance.choice(where, len(where) - AGAIN_AT_MOST, replace=False)] = False
    return out


def folded(learnt: Learnt, mean: Array, spread: Array) -> Learnt:
    """The same heads for numbers that are not brought to mean 0 and spread 1: that goes into the weights."""
    (w0, b0, w1, skip, b1), v, c = learnt
    w0, skip = w0.copy(), skip.copy()
    w0[-len(mean) :] /= spread[:, None]
    skip[-len(mean) :] /= spread[:, None]
    return [w0, b0 - mean @ w0[-len(mean) :], w1, skip, b1 - mean @ skip[-len(mean) :]], v, c


def write(path: Path, learnt: Learnt, points: list[tuple[float, float, float]], **more: Array) -> None:
    """The packaged file: fusion and calibration folded into the network's last layer and linear path."""
    (w0, b0, w1, skip, b1), v, c = learnt
    slope, words, shift = np.array(points, np.float32).T
    skip = skip * slope
    skip[WIDTH : WIDTH + len(v)] += v * words
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path,
        factors=np.array(data.FACTORS),
        w0=w0.astype(np.float16),
        b0=b0.astype(np.float32),
        w1=(w1 * slope).astype(np.float32),
        skip=skip.astype(np.float32),
        b1=(b1 * slope + c * words + shift).astype(np.float32),
        **more,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--report", type=Path, default=HERE / "report.json")
    parser.add_argument("--dry", action="store_true", help="measure, write no heads")
    parser.add_argument("--scores", type=Path, help="keep the scores here")
    args = parser.parse_args()
    started = time.time()

    def say(what: str) -> None:
        print(f"{time.time() - started:.0f} s: {what}", flush=True)

    weights = reading.models(args.weights)
    reader = reading.first_reader(weights)
    names = reader.lexicon.names
    rows = [row for part in data.everything(args.shared, reader.lexicon) for row in part]
    read = reading.read(rows, reader, args.cache)
    say(f"{len(rows)} rows, {len(read.x)} pieces")

    lesson = Lesson(rows, read.x, read.owner, names, np.ones(len(read.x), bool))
    first = settle(lesson)
    lower, upper = bands(lesson, first)
    say(f"first opinion; second asked from {np.round(lower, 1)} to {np.round(upper, 1)}")

    shares = [second.unsure(part, lower, upper) for part in (first.held, first.final)]
    teaches = lesson.teach.any(axis=1) & taught_again(lesson)[read.owner]
    known = np.flatnonzero(teaches | shares[0].any(axis=1) | shares[1].any(axis=1))
    again = reading.read_again([read.texts[i] for i in known], reading.second_encoder(weights), args.cache)
    mean, spread = again.mean(axis=0), again.std(axis=0)
    say(f"{len(known)} pieces read again")
    wide = np.concatenate([read.x[known], (again - mean) / spread], axis=1)
    lesson_again = Lesson(rows, wide, read.owner[known], names, teaches[known])
    anew = settle(lesson_again, (shares[0][known] > 0, shares[1][known] > 0))
    say("second opinion")

    scores = {}
    for name, one, two, share in (
        ("held", first.held, anew.held, shares[0]),
        ("final", first.final, anew.final, shares[1]),
    ):
        logits = one.copy()
        logits[known] += share[known] * (two - one[known])
        for kind, part in ((name, logits), (f"{name} first", one)):
            scores[kind] = 1 / (1 + np.exp(-lesson.by_row(part)))
    if args.scores:
        np.savez(args.scores, taught=lesson.taught, **scores)
    if not args.dry:
        write(HEADS / "prompt_safety.npz", first.learnt, first.points)
        second_learnt = folded(anew.learnt, mean, spread)
        write(HEADS / "prompt_second.npz", second_learnt, anew.points, lower=lower, upper=upper)

    untaught = ~lesson.taught
    asked = lesson.by_row(shares[1]).max(axis=1) > 0
    found = {
        "held out": report.tables(rows, scores["held"]),
        "held out, first opinion alone": report.tables(rows, scores["held first"]),
        # Rows of the same origins that taught nothing, judged by the heads as they ship.
        "not taught": report.tables(
            [row for row, on in zip(rows, untaught, strict=True) if on], scores["final"][untaught]
        ),
        "second opinion asked": report.shares(rows, asked),
        "calibration": report.calibration(
            [r for r in rows if r.origin not in NO_LIMIT], scores["held"][~np.isin(lesson.origins, sorted(NO_LIMIT))]
        ),
    }
    args.report.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")
    for title in ("held out", "not taught"):
        print(f"\n=== {title}{report.text(found[title])}")
    print(json.dumps({k: found[k] for k in ("second opinion asked", "calibration")}, indent=1))
    say("done")


if __name__ == "__main__":
    main()
