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
from lesson import ASKED_AT, NO_LIMIT, Learnt, Lesson, logit

from guardrail.inference.text import second
from guardrail.inference.text.encoder import WIDTH

Array = npt.NDArray[Any]
HERE = Path(__file__).parent
# Share of harmless ordinary rows that one factor may send to the second opinion, and of all harmless rows that may lie
# above where the first is believed without it.
ASKED = 0.012
BELIEVED = 0.0003
# The second opinion is asked at least from so many logits below where the policy asks. Two thirds of what was missed
# from 2.3 had never been read again, and from 3.3 a part of it is found at the same twins. Minors from 3.0: from 3.3
# on half of all ordinary captions would be read twice for them.
BELOW = {"sexual": 3.3, "undress": 3.3, "revealing": 2.3, "person": 3.3, "minor": 3.0}
# Above so many logits the first is believed whatever a rare harmless row reaches: no rule asks for more than 0.94. What
# asks to keep somebody dressed reaches 2.8 on undressing, and the second knows better; most plain requests are above
# that. Minors from 2.0 on would lose 0.046 of their recall at 1 % of twins.
CERTAIN = {"sexual": 2.0, "undress": 2.85, "revealing": 2.75, "person": 2.75, "minor": 2.75}


@dataclass(frozen=True)
class Opinion:
    """What each voice counts and the bias, by factor; calibrated logits by piece.

    `shares` is (factors, voices), `bias` (factors,). `held` is of heads that did not see what is aside, `final` as
    shipped.
    """

    shares: Array
    bias: Array
    held: Array
    final: Array


def settle(lesson: Lesson, held: Array, final: Array, asked: tuple[Array, Array] | None = None) -> Opinion:
    """Fuse and calibrate what voices say: logits (voices, pieces, factors), held out and as shipped.

    `asked` (pieces, factors) is false where this opinion is never asked, held out and as shipped.
    """
    shares, bias = [], []
    for h, factor in enumerate(data.FACTORS):
        share = lesson.fuse(held, h)
        rows = []
        for k, part in enumerate((held, final)):
            score = share @ part[:, :, h]
            if asked is not None:
                score = np.where(asked[k][:, h], score, -np.inf)
            rows.append(lesson.by_row(score[:, None])[:, 0])
        a, b = lesson.calibrate(*rows, h)
        shares.append(a * share)
        bias.append(b)
        print(f"{factor}: voices count {np.round(a * share, 2)}", flush=True)
    told = np.array(shares), np.array(bias)
    fused = (np.einsum("vph,hv->ph", part, told[0]) + told[1] for part in (held, final))
    return Opinion(*told, *fused)


def bands(lesson: Lesson, opinion: Opinion) -> tuple[Array, Array]:
    """The first logits between which the second opinion counts, by factor."""
    rows = np.where(lesson.aside[:, None], lesson.by_row(opinion.held), lesson.by_row(opinion.final))
    lower, upper = [], []
    for h in range(len(data.FACTORS)):
        harmless = lesson.label[:, h] == 0
        own = lesson.judged(h) & harmless
        plain = harmless & lesson.ordinary() & (lesson.aside | ~lesson.taught)
        least = logit(ASKED_AT.get(data.FACTORS[h], 0.5)) - BELOW[data.FACTORS[h]]
        lower.append(min(float(np.quantile(rows[plain, h], 1 - ASKED)), least))
        believed = max(float(np.quantile(rows[some, h], 1 - BELIEVED)) for some in (own, plain))
        upper.append(max(min(believed, CERTAIN[data.FACTORS[h]]), lower[-1] + 4 * second.EDGE))
    return np.array(lower, np.float32), np.array(upper, np.float32)


def head(kind: str) -> tuple[Array, Array]:
    """The head that an encoder was tuned with: (features, factors) and (factors,). It is a voice beside the others."""
    with np.load(reading.HEADS / f"prompt_{kind}_delta.npz") as archive:
        return archive["head.weight"], archive["head.bias"]


def write(path: Path, learnt: Learnt, opinion: Opinion, heads: list[tuple[Array, Array]], **kept: Array) -> None:
    """The packaged file: fusion and calibration folded into the network's last layer and linear path.

    `heads` are those of the first encoder and, for the second opinion, of the second.
    """
    (w0, b0, w1, skip, b1), v, c = learnt
    net, words, *more = opinion.shares.T
    skip, b1 = skip * net, b1 * net + c * words + opinion.bias
    skip[WIDTH : WIDTH + len(v)] += v * words
    for place, ((weight, bias), share) in enumerate(zip(heads, more, strict=True)):
        if place:
            w0 = np.concatenate([w0, np.zeros((len(weight), w0.shape[1]), w0.dtype)])
            skip = np.concatenate([skip, weight * share])
        else:
            skip[: len(weight)] += weight * share
        b1 = b1 + bias * share
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        path,
        factors=np.array(data.FACTORS),
        w0=w0.astype(np.float16),
        b0=b0.astype(np.float32),
        w1=(w1 * net).astype(np.float32),
        skip=skip.astype(np.float32),
        b1=b1.astype(np.float32),
        **kept,
    )


def chosen(rows: list[data.Row], which: Array) -> list[data.Row]:
    return [row for row, on in zip(rows, which, strict=True) if on]


def both(kind: str, first: Opinion, anew: Opinion, known: Array, share: Array) -> list[tuple[str, Array]]:
    """Logits by piece of both opinions together, "held" or "final", and of the first alone."""
    one, two = getattr(first, kind), getattr(anew, kind)
    logits = one.copy()
    logits[known] += share[known] * (two - one[known])
    return [(kind, logits), (f"{kind} first", one)]


def figures(lesson: Lesson, scores: dict[str, Array], asked: Array) -> dict[str, Any]:
    """What the report holds. `scores` (rows, factors) by kind; `asked` is true where the second opinion was."""

    def of(which: Array, kind: str) -> dict[str, Any]:
        return report.tables(chosen(lesson.rows, which), scores[kind][which])

    aside, untaught = lesson.aside, ~lesson.taught
    plain = aside & ~np.isin(lesson.origins, sorted(NO_LIMIT))
    return {
        "held out": of(aside, "held"),
        "held out, first opinion alone": of(aside, "held first"),
        # Rows of the same origins that taught nothing, judged by the heads as they ship.
        "not taught": of(untaught, "final"),
        "second opinion asked": report.shares(lesson.rows, asked),
        "calibration": report.calibration(chosen(lesson.rows, plain), scores["held"][plain]),
    }


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
    say(f"{len(rows)} rows, {len(read.owner)} pieces")
    x = reading.embedded(read, reader, weights, args.cache)
    say("embedded")

    lesson = Lesson(rows, x, read.owner, names, np.ones(len(x), bool))
    held_learnt, learnt = lesson.learn(lesson.taught & ~lesson.aside), lesson.learn(lesson.taught)
    heads = [head("first"), head("second")]
    own = (x[:, :WIDTH] @ heads[0][0] + heads[0][1])[None]
    held, final = (np.concatenate([lesson.judge(one), own]) for one in (held_learnt, learnt))
    first = settle(lesson, held, final)
    lower, upper = bands(lesson, first)
    say(f"first opinion; second asked from {np.round(lower, 1)} to {np.round(upper, 1)}")

    shares = [second.unsure(part, lower, upper) for part in (first.held, first.final)]
    # Nothing is learned from what is read again but how much it counts, on rows that are measured.
    measured = (lesson.aside | ~lesson.taught)[read.owner]
    known = np.flatnonzero(measured & (shares[0].any(axis=1) | shares[1].any(axis=1)))
    again = reading.read_again([read.texts[i] for i in known], reading.second_encoder(weights), weights, args.cache)
    tuned = (again @ heads[1][0] + heads[1][1])[None]
    say(f"{len(known)} pieces read again")
    lesson_again = Lesson(rows, x[known], read.owner[known], names, np.ones(len(known), bool))
    voices = (np.concatenate([part[:, known], tuned]) for part in (held, final))
    anew = settle(lesson_again, *voices, (shares[0][known] > 0, shares[1][known] > 0))
    say("second opinion")

    scores = {
        name: lesson.odds(part)
        for kind, share in (("held", shares[0]), ("final", shares[1]))
        for name, part in both(kind, first, anew, known, share)
    }
    if args.scores:
        np.savez(args.scores, taught=lesson.taught, **scores)
    if not args.dry:
        write(reading.HEADS / "prompt_safety.npz", learnt, first, heads[:1])
        write(reading.HEADS / "prompt_second.npz", learnt, anew, heads, lower=lower, upper=upper)

    asked = lesson.by_row(shares[1]).max(axis=1) > 0
    found = figures(lesson, scores, asked)
    args.report.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")
    for title in ("held out", "not taught"):
        print(f"\n=== {title}{report.text(found[title])}")
    print(json.dumps({k: found[k] for k in ("second opinion asked", "calibration")}, indent=1))
    say("done")


if __name__ == "__main__":
    main()
