"""Tune both encoders on the lines that teach, and write what changed into the package.

    python models/prompt-safety/tune.py --lines FILE --published FOLDER [--device cuda] [--only KIND]

Needs torch (the extra `export`). `lines.py` makes the file; `--published` has weights.npz and e5-small-q4.bin as the
packages carry them. An eighth of the families written here and some public sets are kept from it, for `train.py` to
hold out. Seeded; sums on a graphics card have no fixed order, so another tuning is not the same to the byte.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
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
PASSES = {"first": 10, "second": 12}
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


def loss_of(tower: towers.Tower, pooled: Tensor, step: tuple[Tensor, ...], pairs: tuple[Tensor, Tensor]) -> Tensor:
    """How wrong the step's texts are judged: each by itself, the twins against each other, and mixed in pairs."""
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
    return loss + (mixed * known).sum() / len(y)


def pairs_of(y: npt.NDArray[np.float32], chance: np.random.Generator) -> tuple[Array, Array]:
    """Texts to be mixed: half of them what is about a minor with what asks for something, the rest anything."""
    minor, asking = np.flatnonzero(y[:, MINOR] == 1), np.flatnonzero((y[:, :ASKING] == 1).any(axis=1))
    count = max(2, int(MIXED * len(y)))
    one, two = chance.integers(len(y), size=count), chance.integers(len(y), size=count)
    half = count // 2
    if len(minor) and len(asking):
        one[:half], two[:half] = chance.choice(minor, half), chance.choice(asking, half)
    return one, two


def tune(kind: str, published: Path, lines: Lines, device: str = "cpu") -> towers.Tower:
    """Train one encoder's changes. Prints the loss as it goes."""
    torch.manual_seed(SEED)
    chance = np.random.default_rng([SEED, 0])
    ids = lines.ids(kind)
    lengths = np.array([len(one) for one in ids])
    tower = MAKERS[kind](published / PUBLISHED[kind], FACTORS, seed=SEED).to(device)
    told = [torch.from_numpy(array).to(device) for array in (lines.y, lines.weights, lines.own)]

    def states(batch: Array) -> tuple[Tensor, Tensor]:
        rows: Sequence[Sequence[int]] = [ids[i] for i in batch]
        tokens, mask = towers.padded(rows, min(LONGEST, padded_to(lengths[batch])), FILLER[kind])
        return tower.states(tokens.to(device, non_blocking=True)), mask.to(device, non_blocking=True)

    started = time.time()
    tower.eval()
    with torch.no_grad():
        drawn = np.random.default_rng(SEED).choice(len(ids), min(2000, len(ids)), replace=False)
        some = batches(kind, lengths, drawn)
        seen = torch.cat([tower.embed(tower.pool(*states(batch))) for batch in some])
    tower.mean.copy_(seen.mean(0))
    tower.spread.copy_(seen.std(0))
    steps = [batch for _ in range(PASSES[kind]) for batch in batches(kind, lengths, lines.draw(chance), chance)]
    body, head = towers.parameters(tower)
    learned, path, begin = [*body, *head], 0, int(len(steps) * (1 - AVERAGED))
    mean = [torch.zeros_like(one) for one in learned]
    teacher = torch.optim.AdamW(
        [{"params": body, "weight_decay": 0.05}, {"params": head, "weight_decay": 0.01}], betas=(0.9, 0.98)
    )
    tower.train()
    running = torch.zeros((), device=device)
    for step, batch in enumerate(steps):
        share = min(1.0, (step + 1) / (WARM * len(steps))) * (1 - (1 - AT_END) * step / len(steps))
        for group, rate in zip(teacher.param_groups, (RATE[kind], HEAD_RATE), strict=True):
            group["lr"] = rate * share
        where = torch.from_numpy(batch).to(device)
        one, two = (torch.from_numpy(part).to(device) for part in pairs_of(lines.y[batch], chance))
        loss = loss_of(tower, tower.pool(*states(batch)), tuple(array[where] for array in told), (one, two))
        teacher.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(body, 1.0)
        teacher.step()
        if step >= begin:
            path += 1
            with torch.no_grad():
                torch._foreach_lerp_(mean, [one.detach() for one in learned], 1 / path)
        running.lerp_(loss.detach(), 0.02 if step else 1.0)
        if step % 500 == 499:
            took = time.time() - started
            print(f"{kind}: step {step + 1} of {len(steps)}, loss {float(running):.3f}, {took:.0f} s", flush=True)
    with torch.no_grad():
        for one, kept in zip(learned, mean, strict=True):
            one.copy_(kept)
    return tower


def work(job: tuple[str, Path, Path, str, Path]) -> None:
    """Tune one encoder and write its change."""
    kind, file, published, device, out = job
    torch.set_num_threads(1)
    tower = tune(kind, published, Lines.load(file), device).to("cpu")
    np.savez_compressed(out / f"prompt_{kind}_delta.npz", **tower.deltas(), **tower.voice())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=Path, required=True)
    parser.add_argument("--published", type=Path, required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=HEADS)
    parser.add_argument("--only", choices=KINDS)
    args = parser.parse_args()
    started = time.time()
    kinds = (args.only,) if args.only else KINDS
    jobs = [(kind, args.lines, args.published, args.device, args.out) for kind in kinds]
    # CUDA cannot be used in a process that was forked: each encoder begins afresh, on a core of its own.
    with get_context("spawn").Pool(len(jobs)) as pool:
        pool.map(work, jobs, chunksize=1)
    print(f"{time.time() - started:.0f} s")


if __name__ == "__main__":
    main()
