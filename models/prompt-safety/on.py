"""Let both encoders go on from the changes that ship, on what was written since, without a graphics card.

    python models/prompt-safety/on.py --lines FILE --published FOLDER [--out FOLDER] [--only first|second]

Newer authors' templates are shown beside some of the earlier ones'. The first learns labels and what the second, gone
on, says of the same lines. What is written of either lies between what it was and what it became (BETWEEN): that loses
less of earlier authors' lines. The card has figures. Needs torch (the extra `export`). Seeded.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
import towers
from lines import Lines
from torch import Tensor
from tune import HEADS, PUBLISHED, SURE, Array, Draw, Learner, Plan

FACTORS = 5
# Two passes of the second over the newer templates, and by how many times their number earlier ones are shown.
SECOND, EARLIER_SECOND = Plan(2, 4e-4, 1e-3, seed=15), 0.6
# The first: more earlier lines, since it forgets sooner. What the second says is asked of each line once.
FIRST, EARLIER_FIRST = Plan(4, 3e-4, 1e-3, rank=None, seed=19, labels=0.5), 2.0
# How far each goes from what it was (0) to what it became (1).
BETWEEN = {"second": 0.75, "first": 0.7}
KINDS = ("first", "second")
State = dict[str, Tensor]


def newer(lines: Lines, earlier: float) -> Draw:
    """Draws one piece of each newer template, and `earlier` times as many of the others."""

    def draw(chance: np.random.Generator) -> Array:
        drawn = lines.draw(chance)
        new, old = drawn[lines.newer[drawn]], drawn[~lines.newer[drawn]]
        return np.concatenate([new, chance.permutation(old)[: int(len(new) * earlier)]])

    return draw


def learner(kind: str, lines: Lines, published: Path) -> Learner:
    """An encoder with the change that ships."""
    file = published / PUBLISHED[kind]
    one = towers.First(file, FACTORS) if kind == "first" else towers.Second(file, FACTORS)
    with np.load(HEADS / f"prompt_{kind}_delta.npz", allow_pickle=False) as archive:
        one.take(archive)
    return Learner(kind, one, lines, "cpu")


def state(one: Learner) -> State:
    """What is learned, as it is now."""
    return {name: value.detach().clone() for name, value in one.tower.named_parameters()}


def settle(one: Learner, before: State) -> None:
    """Leave the encoder between what it was before and what it is now."""
    with torch.no_grad():
        for name, value in one.tower.named_parameters():
            value.copy_(torch.lerp(before[name], value, BETWEEN[one.kind]))


def second(lines: Lines, published: Path) -> Learner:
    one = learner("second", lines, published)
    before = state(one)
    one.learn(SECOND, draw=newer(lines, EARLIER_SECOND))
    settle(one, before)
    return one


def first(lines: Lines, published: Path, teacher: Learner) -> Learner:
    one = learner("first", lines, published)
    before = state(one)
    some = newer(lines, EARLIER_FIRST)(np.random.default_rng(5))
    one.learn(FIRST, teacher.scores(some).clamp(-SURE, SURE), lambda chance: some)
    settle(one, before)
    return one


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=Path, required=True)
    parser.add_argument("--published", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=HEADS)
    parser.add_argument("--only", choices=KINDS)
    args = parser.parse_args()
    started = time.time()
    lines = Lines.load(args.lines)
    # The second as it ships, where it does not go on, teaches the first.
    teacher = learner("second", lines, args.published) if args.only == "first" else second(lines, args.published)
    done = [] if args.only == "first" else [teacher]
    if args.only != "second":
        done.append(first(lines, args.published, teacher))
    for one in done:
        np.savez_compressed(args.out / f"prompt_{one.kind}_delta.npz", **one.tower.deltas(), **one.tower.voice())
    print(f"{time.time() - started:.0f} s")


if __name__ == "__main__":
    main()
