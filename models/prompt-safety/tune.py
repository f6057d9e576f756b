"""Tune both encoders on the lines that teach, and write what changed into the package.

    python models/prompt-safety/tune.py --lines FILE --published FOLDER [--device cuda] [--only STAGE]

Two tunings of the second encoder learn labels (`teachers`), and what they say of every line in the mean is kept in
`--scores`. From labels and these scores the second learns anew (`second`), and the first, which most texts never get
past, goes on from the change that ships (`first`). Needs torch (the extra `export`); on a graphics card minutes, where
each shape of a step is captured once and replayed; without one many hours. `lines.py` makes the file of lines;
`--published` has weights.npz and e5-small-q4.bin as the packages carry them. An eighth of the families written here and
some public sets are kept from it, for `train.py` to hold out. Seeded; sums on a graphics card have no fixed order, so
another tuning is not the same to the byte.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import towers
from lines import Lines
from torch import Tensor
from torch.nn import functional

HEADS = Path(__file__).parents[2] / "guardrail" / "inference" / "heads"
FACTORS, MINOR, ASKING = 5, 4, 3
# The tokens that a text may have, and tokens and texts in one step.
LONGEST = 64
TOKENS = {"first": 1536, "second": 2560}
TEXTS = {"first": 96, "second": 160}
# Tokens of one run where nothing is learned.
AT_ONCE = 32768
# Share of the steps in which the rate rises.
WARM = 0.06
# What the rate has fallen to at the end, and the share of the steps at whose end weights are averaged: the mean of a
# path that is still moving finds more of what other authors wrote than the point where a path that comes to rest ends.
# Every fourth point of the path is as good as every one.
AT_END, AVERAGED, EVERY = 0.3, 0.4, 4
# Nats by which a harmful text is to lie above the harmless ones of its step that come nearest, and what that counts.
MARGIN, NEAREST, APART = 1.0, 8, 1.0
# Pairs of texts in a step, as a share of its texts, that are shown as if they were one: what is sexual about adults and
# what is about a minor, never written together, must both be seen where both are.
MIXED = 0.2
# The logits beyond which the scores of teachers are all the same.
SURE = 8.0
# By encoder: the number of the token that fills a row, and the file it is published in.
FILLER = {"first": 0, "second": 1}
PUBLISHED = {"first": "weights.npz", "second": "e5-small-q4.bin"}
Array = npt.NDArray[np.int64]
Draw = Callable[[np.random.Generator], Array]


@dataclass(frozen=True)
class Plan:
    """How long an encoder learns, and how fast: passes over the lines, rates of its body and of its head.

    `rank` is that of the second's changes, None where every number is free; `labels` is what labels count beside the
    teachers' scores.
    """

    passes: int
    rate: float
    head_rate: float = 3e-3
    rank: int | None = towers.RANK
    seed: int = 7
    labels: float = 1.0


TEACHERS = (Plan(9, 1e-3), Plan(9, 1.5e-4, rank=None, seed=9))
PLANS = {"second": Plan(13, 1e-3, seed=14), "first": Plan(9, 5e-4, 1e-3, seed=12, labels=0.3)}
STAGES = ("teachers", *PLANS)


def rounded(lengths: Array) -> Array:
    """Few lengths, so that few shapes are captured."""
    return -(-np.minimum(lengths, LONGEST) // 4) * 4


def batches(kind: str, lengths: Array, some: Array, chance: np.random.Generator) -> list[Array]:
    """Indices in groups of like length, drawn and shuffled; incomplete groups are left out."""
    out = []
    for length in np.unique(rounded(lengths[some])):
        same = chance.permutation(some[rounded(lengths[some]) == length])
        size = max(8, min(TEXTS[kind], TOKENS[kind] // int(length) // 8 * 8))
        out += list(same[: len(same) // size * size].reshape(-1, size))
    return [out[i] for i in chance.permutation(len(out))]


def loss_of(
    tower: towers.Tower, pooled: Tensor, step: tuple[Tensor, ...], pairs: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """How wrong the step's texts are judged: each by itself and the twins against each other; and mixed in pairs.

    And their logits: (texts, factors).
    """
    y, weight, own = step
    logits = tower.judge(pooled)
    loss = (functional.binary_cross_entropy_with_logits(logits, y, reduction="none") * weight).sum() / len(y)
    on = (weight > 0) & own[:, None]
    harmful, harmless = on & (y == 1), on & (y == 0)
    gaps = functional.softplus(MARGIN - (logits[:, None] - logits[None])).masked_fill(~harmless[None], 0)
    near = gaps.topk(min(NEAREST, len(y)), dim=1)[0].sum(1)
    among = harmless.sum(0).clamp(1, NEAREST) * harmful.sum(0).clamp(1)
    loss = loss + APART * ((near * harmful).sum(0) / among).sum()
    one, two = pairs
    told = torch.maximum(y[one], y[two])
    # A factor is known to be there where either has it, and not to be there where both are known not to.
    known = (told == 1) | ((weight[one] > 0) & (weight[two] > 0))
    mixed = functional.binary_cross_entropy_with_logits(tower.judge(pooled[one] + pooled[two]), told, reduction="none")
    return loss, (mixed * known).sum() / len(y), logits


def pairs_of(y: npt.NDArray[np.float32], chance: np.random.Generator) -> tuple[Array, Array]:
    """Texts to be mixed: half of them what is about a minor with what asks for something, the rest anything."""
    minor, asking = np.flatnonzero(y[:, MINOR] == 1), np.flatnonzero((y[:, :ASKING] == 1).any(axis=1))
    count = max(2, int(MIXED * len(y)))
    one, two = chance.integers(len(y), size=count), chance.integers(len(y), size=count)
    half = count // 2
    if len(minor) and len(asking):
        one[:half], two[:half] = chance.choice(minor, half), chance.choice(asking, half)
    return one, two


class Learner:
    """One encoder and the lines that teach it, on one device."""

    def __init__(self, kind: str, tower: towers.Tower, lines: Lines, device: str) -> None:
        self.kind, self.lines, self.device = kind, lines, device
        rows, self.lengths = lines.rows(kind, LONGEST, FILLER[kind])
        self.rows, self.ends = (torch.from_numpy(array).to(device) for array in (rows, self.lengths))
        self.tower = tower.to(device)
        self.told = [torch.from_numpy(array).to(device) for array in (lines.y, lines.weights, lines.own)]

    def pooled(self, batch: Tensor, length: int) -> Tensor:
        """What the encoder makes of some lines, before its head."""
        mask = (torch.arange(length, device=self.device) < self.ends[batch][:, None]).long()
        return self.tower.pool(self.tower.states(self.rows[batch][:, :length].long()), mask)

    def _each(self, some: Array) -> list[tuple[Tensor, int]]:
        """Some lines in large batches of like length."""
        out = []
        for length in np.unique(rounded(self.lengths[some])):
            same = some[rounded(self.lengths[some]) == length]
            parts = np.array_split(same, -(-len(same) * int(length) // AT_ONCE))
            out += [(torch.from_numpy(part).to(self.device), int(length)) for part in parts]
        return out

    @torch.no_grad()
    def centre(self) -> None:
        """Let the head see numbers of mean 0 and spread 1, as they are before anything is learned."""
        self.tower.eval()
        drawn = np.random.default_rng(0).choice(len(self.lengths), min(2000, len(self.lengths)), replace=False)
        seen = torch.cat([self.tower.embed(self.pooled(batch, length)) for batch, length in self._each(drawn)])
        self.tower.mean.copy_(seen.mean(0))
        self.tower.spread.copy_(seen.std(0))

    @torch.no_grad()
    def scores(self, some: Array | None = None) -> Tensor:
        """The logits of all lines, or of some and nan for the rest: (lines, factors)."""
        self.tower.eval()
        out = torch.full((len(self.lengths), FACTORS), torch.nan, device=self.device)
        for batch, length in self._each(np.arange(len(self.lengths)) if some is None else some):
            out[batch] = self.tower.judge(self.pooled(batch, length))
        return out

    def learn(self, plan: Plan, scores: Tensor | None = None, draw: Draw | None = None) -> None:
        """Train by a plan: on labels, and beside them on what teachers say of each line: (lines, factors).

        `draw` gives the lines of a pass, else all templates are drawn from. Prints the loss as it goes.
        """
        chance = np.random.default_rng([plan.seed, 0])
        draw = self.lines.draw if draw is None else draw
        steps = [batch for _ in range(plan.passes) for batch in batches(self.kind, self.lengths, draw(chance), chance)]
        if not steps:
            raise SystemExit(
                f"{self.kind}: too few lines to learn from: none of their lengths fills a step, "
                f"which takes up to {TEXTS[self.kind]} texts; nothing was written"
            )
        body, head = towers.parameters(self.tower)
        step = Step(self, plan, body, head, scores)
        learned, path, begin = [*body, *head], 0, int(len(steps) * (1 - AVERAGED))
        mean = [torch.zeros_like(one) for one in learned]
        started = time.time()
        self.tower.train()
        for number, batch in enumerate(steps):
            step.rates(
                min(1.0, (number + 1) / (WARM * len(steps))) * (1 - (1 - AT_END) * number / len(steps)),
            )
            step(batch, int(rounded(self.lengths[batch]).max()), pairs_of(self.lines.y[batch], chance))
            if number >= begin and number % EVERY == 0:
                path += 1
                with torch.no_grad():
                    torch._foreach_lerp_(mean, [one.detach() for one in learned], 1 / path)
            if number % 500 == 499:
                took = time.time() - started
                print(f"{self.kind}: step {number + 1} of {len(steps)}, loss {float(step.running):.3f}, {took:.0f} s")
        with torch.no_grad():
            for one, kept in zip(learned, mean, strict=True):
                one.copy_(kept)


class Step:
    """One step of learning; on a graphics card a graph for each shape that is captured when it first comes."""

    def __init__(
        self, learner: Learner, plan: Plan, body: list[Tensor], head: list[Tensor], scores: Tensor | None
    ) -> None:
        self.learner, self.plan, self.body, self.scores = learner, plan, body, scores
        self.learned = [*body, *head]
        device, on_card = learner.device, learner.device.startswith("cuda")
        self.speed = [torch.zeros((), device=device) for _ in range(2)]
        for one in self.learned:
            one.grad = torch.zeros_like(one)
        groups = [
            {"params": part, "weight_decay": decay, "lr": rate}
            for part, decay, rate in zip((body, head), (0.05, 0.01), self.speed, strict=True)
        ]
        self.optimiser = torch.optim.AdamW(groups, betas=(0.9, 0.98), capturable=on_card, fused=on_card)
        self.running = torch.zeros((), device=device)
        self.graphs: dict[tuple[int, int], tuple[torch.cuda.CUDAGraph, list[Tensor]]] | None = {} if on_card else None

    def rates(self, share: float) -> None:
        """How fast the next step learns, as a share of the plan's rates."""
        for speed, rate in zip(self.speed, (self.plan.rate, self.plan.head_rate), strict=True):
            speed.fill_(rate * share)

    def __call__(self, batch: Array, length: int, pairs: tuple[Array, Array]) -> None:
        given = [torch.from_numpy(part).to(self.learner.device, non_blocking=True) for part in (batch, *pairs)]
        if self.graphs is None:
            self._work(given, length)
            return
        shape = (len(batch), length)
        if shape not in self.graphs:
            self.graphs[shape] = self._captured([part.clone() for part in given], length)
        graph, places = self.graphs[shape]
        for place, part in zip(places, given, strict=True):
            place.copy_(part)
        graph.replay()

    def _captured(self, places: list[Tensor], length: int) -> tuple[torch.cuda.CUDAGraph, list[Tensor]]:
        """A graph that reads its step from `places`; what is learned stays as it is."""
        moments = [value for state in self.optimiser.state.values() for value in state.values()]
        before = [value.detach().clone() for value in (*self.learned, *moments, self.running)]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            # What is made on first use must not be made while the graph is.
            for _ in range(2):
                self._work(places, length)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._work(places, length)
        with torch.no_grad():
            if not moments:
                for state in self.optimiser.state.values():
                    for value in state.values():
                        value.zero_()
            for value, kept in zip((*self.learned, *moments, self.running), before, strict=True):
                value.copy_(kept)
        return graph, places

    def _work(self, given: list[Tensor], length: int) -> None:
        batch, one, two = given
        torch._foreach_zero_([part.grad for part in self.learned])
        y, weight, own = (array[batch] for array in self.learner.told)
        pooled = self.learner.pooled(batch, length)
        labels, mixed, logits = loss_of(self.learner.tower, pooled, (y, weight, own), (one, two))
        if self.scores is None:
            loss = labels + mixed
        else:
            wanted = torch.sigmoid(self.scores[batch])
            apart = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
            # Teachers say something of every factor, of those too whose label nobody knows.
            counts = torch.where(weight > 0, weight.clamp(min=1), 1.0)
            loss = (apart * counts).sum() / len(batch) + self.plan.labels * labels + mixed
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.body, 1.0)
        self.optimiser.step()
        self.running.lerp_(loss.detach(), 0.02)


def tower(kind: str, plan: Plan, published: Path) -> towers.Tower:
    """An encoder as it was published; the first with the change that ships."""
    torch.manual_seed(plan.seed)
    file = published / PUBLISHED[kind]
    if kind == "second":
        return towers.Second(file, FACTORS, plan.rank, plan.seed)
    first = towers.First(file, FACTORS, plan.seed)
    with np.load(HEADS / "prompt_first_delta.npz", allow_pickle=False) as archive:
        first.take(archive)
    return first


def teachers(lines: Lines, published: Path, device: str) -> Tensor:
    """What tunings that learned labels say of every line in the mean: (lines, factors)."""
    said = []
    for plan in TEACHERS:
        learner = Learner("second", tower("second", plan, published), lines, device)
        learner.centre()
        learner.learn(plan)
        said.append(learner.scores())
    return (sum(said[1:], said[0]) / len(said)).clamp(-SURE, SURE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=Path, required=True)
    parser.add_argument("--published", type=Path, required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=HEADS)
    parser.add_argument("--scores", type=Path, default=Path("teachers.npy"), help="what the teachers say, kept here")
    parser.add_argument("--only", choices=STAGES)
    args = parser.parse_args()
    started = time.time()
    lines = Lines.load(args.lines)
    stages = [args.only] if args.only else list(STAGES)
    if "teachers" in stages:
        np.save(args.scores, teachers(lines, args.published, args.device).cpu().numpy())
    for kind in stages:
        if kind == "teachers":
            continue
        said = torch.from_numpy(np.load(args.scores)).to(args.device)
        learner = Learner(kind, tower(kind, PLANS[kind], args.published), lines, args.device)
        if kind == "second":
            learner.centre()
        learner.learn(PLANS[kind], said)
        done = learner.tower.to("cpu")
        np.savez_compressed(args.out / f"prompt_{kind}_delta.npz", **done.deltas(), **done.voice())
    print(f"{time.time() - started:.0f} s")


if __name__ == "__main__":
    main()
