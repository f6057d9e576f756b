"""Let both encoders go on from the changes that ship, on what was written since, without a graphics card.

    python models/prompt-safety/on.py --lines FILE --published FOLDER [--out FOLDER] [--only first|second]

Newer authors' templates are shown beside some of the earlier ones'. What is written of the second is the mean of what
it was and what it became, which loses less of earlier authors' lines than what it became; of the first, the mean of
two that went on: one learned labels, the other what the second, as it was, says as well. The card has figures. Needs
torch (the extra `export`). Seeded.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import towers
from lines import Lines
from torch import Tensor
from tune import HEADS, PUBLISHED, SURE, Array, Draw, Learner, Plan

FACTORS = 5
# One pass of the second over the newer templates, and by how many times their number earlier ones are shown.
SECOND, EARLIER_SECOND = Plan(1, 4e-4, 1e-3, seed=15), 0.6
LABELS, EARLIER_FIRST = Plan(2, 3e-4, 1e-3, rank=None, seed=15), 1.5
# What the second says is asked of one piece of each newer template and of so many others, once.
TAUGHT, OTHERS = Plan(5, 4e-4, 1e-3, rank=None, seed=16, labels=0.3), 30_000
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


def settle(one: Learner, *states: Mapping[str, Tensor]) -> None:
    """Make the mean of some states the encoder's own."""
    with torch.no_grad():
        for name, value in one.tower.named_parameters():
            value.copy_(torch.stack([part[name] for part in states]).mean(0))


def second(lines: Lines, published: Path) -> towers.Tower:
    one = learner("second", lines, published)
    before = state(one)
    one.learn(SECOND, draw=newer(lines, EARLIER_SECOND))
    settle(one, before, state(one))
    tower: towers.Tower = one.tower
    return tower


def first(lines: Lines, published: Path) -> towers.Tower:
    labels = learner("first", lines, published)
    labels.learn(LABELS, draw=newer(lines, EARLIER_FIRST))
    drawn = lines.draw(np.random.default_rng(5))
    old = np.random.default_rng(6).permutation(drawn[~lines.newer[drawn]])[:OTHERS]
    some = np.concatenate([drawn[lines.newer[drawn]], old])
    said = learner("second", lines, published).scores(some).clamp(-SURE, SURE)
    taught = learner("first", lines, published)
    taught.learn(TAUGHT, said, lambda chance: some)
    settle(taught, state(labels), state(taught))
    tower: towers.Tower = taught.tower
    return tower


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=Path, required=True)
    parser.add_argument("--published", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=HEADS)
    parser.add_argument("--only", choices=KINDS)
    args = parser.parse_args()
    started = time.time()
    lines = Lines.load(args.lines)
    # Both from what ships: neither is written before both are done.
    done = {
        kind: go(lines, args.published)
        for kind, go in (("first", first), ("second", second))
        if args.only in (None, kind)
    }
    for kind, tower in done.items():
        np.savez_compressed(args.out / f"prompt_{kind}_delta.npz", **tower.deltas(), **tower.voice())
    print(f"{time.time() - started:.0f} s")


if __name__ == "__main__":
    main()
