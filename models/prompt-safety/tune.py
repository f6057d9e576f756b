"""Tune both encoders on the lines that teach, and write what changed into the package.

    python models/prompt-safety/tune.py --lines FILE --published FOLDER [--device cuda] [--only STAGE]

Both learn labels (stages `first` and `second`); then the first, which most texts never get past, learns what the second
says (`follow`). When another author has written, `further` takes the second on from the change that ships, with the
new lines and some of the others, and `after` the first behind it: hours less. Needs torch (the extra `export`).
`lines.py` makes the file; `--published` has weights.npz and e5-small-q4.bin as the packages carry them. An eighth of
the families written here and some public sets are kept from it, for `train.py` to hold out. Seeded; sums on a graphics
card have no fixed order, so another tuning is not the same to the byte.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import towers
from lines import KINDS, SEED, Lines
from torch import Tensor
from torch.nn import functional

HEADS = Path(__file__).parents[2] / "guardrail" / "inference" / "heads"
FACTORS, MINOR, ASKING = 5, 4, 3
# The tokens that a text may have, and tokens and texts in one step.
LONGEST = 64
TOKENS = {"first": 1536, "second": 2560}
TEXTS = {"first": 96, "second": 160}
# Share of the steps in which the rate rises.
WARM = 0.06
# What the rate has fallen to at the end, and the share of the steps at whose end weights are averaged: the mean of a
# path that is still moving finds more of what other authors wrote than the point where a path that comes to rest ends.
AT_END, AVERAGED = 0.3, 0.4
# Nats by which a harmful text is to lie above the harmless ones of its step that come nearest, and what that counts.
MARGIN, NEAREST, APART = 1.0, 8, 1.0
# Pairs of texts in a step, as a share of its texts, that are shown as if they were one: what is sexual about adults and
# what is about a minor, never written together, must both be seen where both are.
MIXED = 0.2
# What labels count beside the other encoder's scores, and the logits beyond which these are all the same.
LABELS, SURE = 0.3, 8.0
# By encoder: the number of the token that fills a row, what it is in torch, and the file it is published in.
FILLER = {"first": 0, "second": 1}
MAKERS: dict[str, type[towers.First] | type[towers.Second]] = {"first": towers.First, "second": towers.Second}
PUBLISHED = {"first": "weights.npz", "second": "e5-small-q4.bin"}
Array = npt.NDArray[np.int64]


def padded_to(lengths: Array) -> int:
    """Few lengths, so that few shapes are compiled."""
    return int(-(-int(lengths.max()) // 4) * 4)


def batches(kind: str, lengths: Array, some: Array, chance: np.random.Generator | None = None) -> list[Array]:
    """Indices in groups of like length; with `chance` drawn and shuffled, and incomplete groups left out."""
    rounded = -(-np.minimum(lengths[some], LONGEST) // 4) * 4
    out = []
    for length in np.unique(rounded):
        same = some[rounded == length]
        size = max(8, min(TEXTS[kind], TOKENS[kind] // int(length) // 8 * 8))
        if chance is not None:
            same = chance.permutation(same)[: len(same) // size * size]
        out += [same[start : start + size] for start in range(0, len(same), size)]
    if chance is not None:
        out = [out[i] for i in chance.permutation(len(out))]
    return out


def loss_of(
    tower: towers.Tower, pooled: Tensor, step: tuple[Tensor, ...], pairs: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """How wrong the step's texts are judged: each by itself and the twins against each other; and mixed in pairs."""
    y, weight, own = step
    logits = tower.judge(pooled)
    loss = (functional.binary_cross_entropy_with_logits(logits, y, reduction="none") * weight).sum() / len(y)
    on = (weight > 0) & own[:, None]
    for h in range(logits.shape[1]):
        harmful, harmless = on[:, h] & (y[:, h] == 1), on[:, h] & (y[:, h] == 0)
        gaps = functional.softplus(MARGIN - (logits[:, None, h] - logits[None, :, h]))
        near = gaps.masked_fill(~harmless, 0).topk(min(NEAREST, len(y)), dim=1)[0]
        among = harmless.sum().clamp(1, NEAREST) * harmful.sum().clamp(1)
        loss = loss + APART * (near * harmful[:, None]).sum() / among
    one, two = pairs
    told = torch.maximum(y[one], y[two])
    # A factor is known to be there where either has it, and not to be there where both are known not to.
    known = (told == 1) | ((weight[one] > 0) & (weight[two] > 0))
    mixed = functional.binary_cross_entropy_with_logits(tower.judge(pooled[one] + pooled[two]), told, reduction="none")
    return loss, (mixed * known).sum() / len(y)


def pairs_of(y: npt.NDArray[np.float32], chance: np.random.Generator) -> tuple[Array, Array]:
    """Texts to be mixed: half of them what is about a minor with what asks for something, the rest anything."""
    minor, asking = np.flatnonzero(y[:, MINOR] == 1), np.flatnonzero((y[:, :ASKING] == 1).any(axis=1))
    count = max(2, int(MIXED * len(y)))
    one, two = chance.integers(len(y), size=count), chance.integers(len(y), size=count)
    half = count // 2
    if len(minor) and len(asking):
        one[:half], two[:half] = chance.choice(minor, half), chance.choice(asking, half)
    return one, two


@dataclass(frozen=True)
class Plan:
    """How long an encoder learns, and how fast: passes over the lines, rates of its body and of its head.

    `known` is the share of what it has seen that it is shown again beside the newest author's lines.
    """

    passes: int
    rate: float
    head_rate: float = 3e-3
    known: float = 1.0


PLANS = {
    "first": Plan(10, 5e-4),
    "second": Plan(12, 1e-3),
    "further": Plan(5, 5e-4, 1e-3, known=0.3),
    "follow": Plan(9, 5e-4, 1e-3),
    "after": Plan(4, 5e-4, 1e-3, known=0.5),
}
STAGES = tuple(PLANS)


class Learner:
    """One encoder and the lines that teach it, on one device."""

    def __init__(self, kind: str, published: Path, lines: Lines, device: str) -> None:
        self.kind, self.lines, self.device = kind, lines, device
        self.tokens = lines.ids(kind)
        self.lengths = np.array([len(one) for one in self.tokens])
        torch.manual_seed(SEED)
        self.tower = MAKERS[kind](published / PUBLISHED[kind], FACTORS, seed=SEED).to(device)
        self.told = [torch.from_numpy(array).to(device) for array in (lines.y, lines.weights, lines.own)]

    def pooled(self, batch: Array) -> Tensor:
        """What the encoder makes of some lines, before its head."""
        rows: Sequence[Sequence[int]] = [self.tokens[i] for i in batch]
        tokens, mask = towers.padded(rows, min(LONGEST, padded_to(self.lengths[batch])), FILLER[self.kind])
        states = self.tower.states(tokens.to(self.device, non_blocking=True))
        return self.tower.pool(states, mask.to(self.device, non_blocking=True))

    def centre(self) -> None:
        """Let the head see numbers of mean 0 and spread 1, as they are before anything is learned."""
        self.tower.eval()
        drawn = np.random.default_rng(SEED).choice(len(self.tokens), min(2000, len(self.tokens)), replace=False)
        with torch.no_grad():
            some = batches(self.kind, self.lengths, drawn)
            seen = torch.cat([self.tower.embed(self.pooled(batch)) for batch in some])
        self.tower.mean.copy_(seen.mean(0))
        self.tower.spread.copy_(seen.std(0))

    def scores(self, some: Array) -> Tensor:
        """The logits of some lines: (lines, factors), NaN for the others."""
        self.tower.eval()
        out = torch.full((len(self.tokens), FACTORS), torch.nan, device=self.device)
        with torch.no_grad():
            for batch in batches(self.kind, self.lengths, some):
                out[torch.from_numpy(batch).to(self.device)] = self.tower.judge(self.pooled(batch))
        return out

    def learn(self, plan: Plan, chance: np.random.Generator, follows: Learner | None = None) -> None:
        """Train by a plan: on labels, and where it follows another on what that one says of the same lines.

        Prints the loss as it goes.
        """
        drawn = [self.lines.draw(chance, plan.known) for _ in range(plan.passes)]
        example = follows.scores(np.unique(np.concatenate(drawn))).clamp(-SURE, SURE) if follows else None
        started = time.time()
        steps = [batch for some in drawn for batch in batches(self.kind, self.lengths, some, chance)]
        body, head = towers.parameters(self.tower)
        learned, path, begin = [*body, *head], 0, int(len(steps) * (1 - AVERAGED))
        mean = [torch.zeros_like(one) for one in learned]
        groups = [{"params": body, "weight_decay": 0.05}, {"params": head, "weight_decay": 0.01}]
        optimiser = torch.optim.AdamW(groups, betas=(0.9, 0.98))
        self.tower.train()
        running = torch.zeros((), device=self.device)
        for step, batch in enumerate(steps):
            share = min(1.0, (step + 1) / (WARM * len(steps))) * (1 - (1 - AT_END) * step / len(steps))
            for group, rate in zip(optimiser.param_groups, (plan.rate, plan.head_rate), strict=True):
                group["lr"] = rate * share
            loss = self._loss(batch, pairs_of(self.lines.y[batch], chance), example)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(body, 1.0)
            optimiser.step()
            if step >= begin:
                path += 1
                with torch.no_grad():
                    torch._foreach_lerp_(mean, [one.detach() for one in learned], 1 / path)
            running.lerp_(loss.detach(), 0.02 if step else 1.0)
            if step % 500 == 499:
                took = time.time() - started
                print(
                    f"{self.kind}: step {step + 1} of {len(steps)}, loss {float(running):.3f}, {took:.0f} s", flush=True
                )
        with torch.no_grad():
            for one, kept in zip(learned, mean, strict=True):
                one.copy_(kept)

    def _loss(self, batch: Array, pairs: tuple[Array, Array], example: Tensor | None) -> Tensor:
        where = torch.from_numpy(batch).to(self.device)
        y, weight, own = (array[where] for array in self.told)
        one, two = (torch.from_numpy(part).to(self.device) for part in pairs)
        pooled = self.pooled(batch)
        labels, mixed = loss_of(self.tower, pooled, (y, weight, own), (one, two))
        if example is None:
            return labels + mixed
        wanted = torch.sigmoid(example[where])
        apart = functional.binary_cross_entropy_with_logits(self.tower.judge(pooled), wanted, reduction="none")
        # The example says something of every factor, of those too whose label nobody knows.
        counts = torch.where(weight > 0, weight.clamp(min=1), 1.0)
        return (apart * counts).sum() / len(batch) + LABELS * labels + mixed


def shipped(kind: str, published: Path, lines: Lines, deltas: Path, device: str) -> Learner:
    """An encoder with the change in a folder."""
    learner = Learner(kind, published, lines, device)
    with np.load(deltas / f"prompt_{kind}_delta.npz", allow_pickle=False) as archive:
        learner.tower.take(archive)
    return learner


def tune(kind: str, published: Path, lines: Lines, device: str = "cpu") -> Learner:
    """Train one encoder's changes on labels."""
    learner = Learner(kind, published, lines, device)
    learner.centre()
    learner.learn(PLANS[kind], np.random.default_rng([SEED, 0]))
    return learner


def follow(published: Path, lines: Lines, deltas: Path, device: str = "cpu", plan: str = "follow") -> Learner:
    """Train the first encoder's change, which `tune` made, to say what the tuned second says of the same lines."""
    first, second = (shipped(kind, published, lines, deltas, device) for kind in KINDS)
    first.learn(PLANS[plan], np.random.default_rng([SEED, 1]), second)
    return first


def further(published: Path, lines: Lines, deltas: Path, device: str = "cpu") -> Learner:
    """Train the second encoder's change, which `tune` made, on what the newest author wrote."""
    learner = shipped("second", published, lines, deltas, device)
    learner.learn(PLANS["further"], np.random.default_rng([SEED, 2]))
    return learner


def work(job: tuple[str, Path, Path, str, Path, int]) -> None:
    """Tune one encoder and write its change."""
    what, file, published, device, out, threads = job
    torch.set_num_threads(threads)
    lines = Lines.load(file)
    if what in KINDS:
        learner = tune(what, published, lines, device)
    elif what == "further":
        learner = further(published, lines, out, device)
    else:
        learner = follow(published, lines, out, device, what)
    tower = learner.tower.to("cpu")
    np.savez_compressed(out / f"prompt_{learner.kind}_delta.npz", **tower.deltas(), **tower.voice())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=Path, required=True)
    parser.add_argument("--published", type=Path, required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=HEADS)
    parser.add_argument("--only", choices=STAGES)
    args = parser.parse_args()
    started = time.time()
    stages = [[args.only]] if args.only else [list(KINDS), ["follow"]]
    # CUDA cannot be used in a process that was forked: each encoder begins afresh, on a core of its own.
    for stage in stages:
        threads = max(1, (os.cpu_count() or 1) // len(stage))
        jobs = [(what, args.lines, args.published, args.device, args.out, threads) for what in stage]
        with get_context("spawn").Pool(len(stage)) as pool:
            pool.map(work, jobs, chunksize=1)
    print(f"{time.time() - started:.0f} s")


if __name__ == "__main__":
    main()
