"""Tune both encoders on the rows that teach, and write what changed into the package.

    python models/prompt-safety/tune.py --shared FOLDER --published FOLDER [--weights FOLDER] [--cache FOLDER]

Needs torch (the extra `export`). `--published` has weights.npz and e5-small-q4.bin as the packages carry them. A sixth
of the families written here and some public sets are kept from it, for `train.py` to hold out. Seeded.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from multiprocessing import get_context
from multiprocessing.synchronize import Event as EventType
from pathlib import Path

import data
import lesson
import numpy as np
import numpy.typing as npt
import reading
import torch
import towers
from torch import Tensor
from torch.nn import functional

from guardrail.inference.text.encoder import BEGIN, END

SEED = 7
# Pieces of one template that teach in one pass, and rows of one public set in all.
OF_TEMPLATE, OF_SET = 1, 1000
# The first authors' lines are learned soonest: in each pass half of them are shown.
SOON, SHOWN = ("early", "A third"), 0.5
# The tokens that a text may have, and tokens and texts in one step.
LONGEST = 64
TOKENS = {"first": 1536, "second": 2560}
TEXTS = {"first": 96, "second": 160}
# Cores that the slower encoder has to itself once the other is done.
THREADS = 2
PASSES = {"first": 7, "second": 4}
RATE = {"first": 5e-4, "second": 1e-3}
HEAD_RATE, WARM = 3e-3, 0.06
# What the rate has fallen to at the end, and the share of the steps at whose end weights are averaged: the mean of a
# path that is still moving finds more of what other authors wrote than the point where a path that comes to rest ends.
AT_END, AVERAGED = 0.3, 0.4
# Nats by which a harmful text is to lie above the harmless ones of its step that come nearest, and what that counts.
MARGIN, NEAREST, APART = 1.0, 8, 1.0
# Pairs of texts in a step, as a share of its texts, that are shown as if they were one: what is sexual about adults and
# what is about a minor, never written together, must both be seen where both are.
MIXED = 0.2
Array = npt.NDArray[np.int64]


class Lines:
    """What teaches in one pass: texts as token ids, labels and weights by factor."""

    def __init__(self, rows: Sequence[data.Row], read: reading.Read, names: tuple[str, ...]) -> None:
        lessons = lesson.Lesson(list(rows), read.words, read.owner, names, np.ones(len(read.owner), bool))
        use = lessons.taught & ~lessons.aside
        chance = np.random.default_rng(SEED)
        for origin in sorted(set(lessons.origins[use]) - {"grammar"}):
            where = np.flatnonzero(use & (lessons.origins == origin))
            use[chance.permutation(where)[OF_SET:]] = False
        weights = lessons.weights(use)
        self.pieces = np.flatnonzero(weights.any(axis=1))
        weights = weights[self.pieces]
        self.y = torch.tensor(lessons.y[self.pieces])
        share = weights / weights.sum(axis=0)
        self.weights = torch.tensor(np.minimum(share * len(self.pieces), 20).astype(np.float32))
        rows_of = read.owner[self.pieces]
        self.own = torch.tensor(lessons.origins[rows_of] == "grammar")
        self.template = np.array([rows[i].template or f"{i}" for i in rows_of])
        self.soon = np.array([rows[i].group.startswith(SOON) for i in rows_of])
        self.texts = [read.texts[i] for i in self.pieces]
        self.tokens = [read.ids(i) for i in self.pieces]

    def draw(self, chance: np.random.Generator) -> Array:
        """Pieces of one pass: of each template OF_TEMPLATE at most, of those that are learned soon some."""
        order = chance.permutation(len(self.pieces))
        _, place = np.unique(self.template[order], return_inverse=True)
        ranked = np.argsort(place, kind="stable")
        firsts = np.r_[0, np.flatnonzero(np.diff(place[ranked])) + 1]
        rank = np.arange(len(order)) - np.repeat(firsts, np.diff(np.r_[firsts, len(order)]))
        kept = order[ranked[rank < OF_TEMPLATE]]
        shown: Array = kept[~self.soon[kept] | (chance.random(len(kept)) < SHOWN)]
        return shown


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


def loss_of(tower: towers.Tower, pooled: Tensor, lines: Lines, batch: Array, chance: np.random.Generator) -> Tensor:
    y, weight, own = lines.y[batch], lines.weights[batch], lines.own[batch]
    logits = tower.judge(pooled)
    loss = (functional.binary_cross_entropy_with_logits(logits, y, reduction="none") * weight).sum() / len(batch)
    for h in range(logits.shape[1]):
        on = (weight[:, h] > 0) & own
        harmful, harmless = logits[on & (y[:, h] == 1), h], logits[on & (y[:, h] == 0), h]
        if len(harmful) and len(harmless):
            gaps = functional.softplus(MARGIN - (harmful[:, None] - harmless[None]))
            loss = loss + APART * gaps.topk(min(NEAREST, len(harmless)), dim=1)[0].mean()
    one, two = pairs(y, weight, chance)
    if len(one):
        told = torch.maximum(y[one], y[two])
        # A factor is known to be there where either has it, and not to be there where both are known not to.
        known = (told == 1) | ((weight[one] > 0) & (weight[two] > 0))
        mixed = functional.binary_cross_entropy_with_logits(
            tower.judge(pooled[one] + pooled[two]), told, reduction="none"
        )
        loss = loss + (mixed * known).sum() / len(batch)
    return loss


def pairs(y: Tensor, weight: Tensor, chance: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Texts to be mixed: half of them what is about a minor with what asks for something, the rest anything."""
    minor = np.flatnonzero((y[:, data.FACTORS.index("minor")] == 1).numpy())
    asking = np.flatnonzero((y[:, :3] == 1).any(1).numpy())
    count = max(2, int(MIXED * len(y)))
    one, two = chance.integers(len(y), size=count), chance.integers(len(y), size=count)
    half = count // 2
    if len(minor) and len(asking):
        one[:half], two[:half] = chance.choice(minor, half), chance.choice(asking, half)
    return torch.from_numpy(one), torch.from_numpy(two)


def tune(
    kind: str, published: Path, lines: Lines, ids: Sequence[Sequence[int]], passes: int, spare: EventType
) -> towers.Tower:
    """Train one encoder's changes. Prints the loss as it goes. Uses all cores once `spare` is set."""
    torch.manual_seed(SEED)
    chance = np.random.default_rng(SEED)
    lengths = np.array([len(one) for one in ids])
    towers_of: dict[str, tuple[type[towers.First] | type[towers.Second], str, int]] = {
        "first": (towers.First, "weights.npz", 0),
        "second": (towers.Second, "e5-small-q4.bin", 1),
    }
    maker, file, filler = towers_of[kind]
    tower = maker(published / file, len(data.FACTORS), seed=SEED)

    def states(batch: Array) -> tuple[Tensor, Tensor]:
        tokens, mask = towers.padded([ids[i] for i in batch], min(LONGEST, padded_to(lengths[batch])), filler)
        return tower.states(tokens), mask

    started = time.time()
    tower.eval()
    with torch.no_grad():
        some = batches(kind, lengths, chance.choice(len(ids), min(2000, len(ids)), replace=False))
        seen = torch.cat([tower.embed(tower.pool(*states(batch))) for batch in some])
    tower.mean.copy_(seen.mean(0))
    tower.spread.copy_(seen.std(0))
    steps = [batch for _ in range(passes) for batch in batches(kind, lengths, lines.draw(chance), chance)]
    body, head = towers.parameters(tower)
    learned, path, begin = [*body, *head], 0, int(len(steps) * (1 - AVERAGED))
    mean = [torch.zeros_like(one) for one in learned]
    teacher = torch.optim.AdamW(
        [{"params": body, "weight_decay": 0.05}, {"params": head, "weight_decay": 0.01}], betas=(0.9, 0.98)
    )
    tower.train()
    running = 0.0
    for step, batch in enumerate(steps):
        if spare.is_set():
            torch.set_num_threads(THREADS)
        share = min(1.0, (step + 1) / (WARM * len(steps))) * (1 - (1 - AT_END) * step / len(steps))
        for group, rate in zip(teacher.param_groups, (RATE[kind], HEAD_RATE), strict=True):
            group["lr"] = rate * share
        loss = loss_of(tower, tower.pool(*states(batch)), lines, batch, chance)
        teacher.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(body, 1.0)
        teacher.step()
        if step >= begin:
            path += 1
            with torch.no_grad():
                torch._foreach_lerp_(mean, [one.detach() for one in learned], 1 / path)
        running += (float(loss.detach()) - running) * (0.02 if step else 1)
        if step % 100 == 99:
            took = time.time() - started
            print(f"{kind}: step {step + 1} of {len(steps)}, loss {running:.3f}, {took:.0f} s", flush=True)
    with torch.no_grad():
        for one, kept in zip(learned, mean, strict=True):
            one.copy_(kept)
    return tower


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--published", type=Path, required=True)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--only", choices=tuple(PASSES))
    args = parser.parse_args()
    started = time.time()
    # Before anything is forked: a pool of threads does not survive that.
    torch.set_num_threads(1)
    weights = reading.models(args.weights)
    reader = reading.first_reader(weights)
    rows = [row for part in data.everything(args.shared, reader.lexicon) for row in part]
    lines = Lines(rows, reading.read(rows, reader, args.cache), reader.lexicon.names)
    ids: dict[str, list[list[int]]] = {
        "first": [[BEGIN, *one, END] for one in lines.tokens],
        "second": [*map(reading.second_encoder(weights).ids, lines.texts)],
    }
    print(f"{len(lines.texts)} pieces, {time.time() - started:.0f} s", flush=True)

    spare = get_context("fork").Event()
    if args.only:
        spare.set()

    def work(kind: str) -> None:
        tower = tune(kind, args.published, lines, ids[kind], PASSES[kind], spare)
        np.savez_compressed(reading.HEADS / f"prompt_{kind}_delta.npz", **tower.deltas(), **tower.voice())
        print(f"{kind}: {time.time() - started:.0f} s", flush=True)
        spare.set()

    # One core each: forked, so that what was read is there once.
    both = [get_context("fork").Process(target=work, args=(kind,)) for kind in ((args.only,) if args.only else PASSES)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    if any(one.exitcode for one in both):
        raise SystemExit("tuning broke off; see above")


if __name__ == "__main__":
    main()
