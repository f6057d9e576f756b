"""What looking a face up in the registry and a picture up in the bank costs, and why neither uses a library's index.

    OPENBLAS_NUM_THREADS=1 python models/likeness/bench.py [--full]

Times are CPU milliseconds of this process on one core, the median of many runs. `--full` adds a million templates and a
bank file of a million hashes (minutes, 2 GB of memory). What an index would save and miss is in indexes.py.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np

from guardrail.checks.bank import Bank, Entry
from guardrail.checks.hashes import Hashes
from guardrail.checks.likeness import best_match, share_above, threshold
from guardrail.checks.person import Template, Templates
from guardrail.checks.registry import Registry
from guardrail.inference.image import pdq

SPREAD = np.sqrt(np.exp(-np.arange(128) / 45.0))
"""Of made-up templates: strangers' 99th and 99.99th percentile become 0.26 and 0.40; SFace's are 0.30 and 0.42."""


def cost_ms(work: Callable[[], object], runs: int = 50) -> float:
    work()
    took = []
    for _ in range(runs):
        began = time.process_time()
        work()
        took.append((time.process_time() - began) * 1000)
    return statistics.median(took)


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def faces(count: int) -> np.ndarray:
    rows = np.random.default_rng(0).normal(size=(count, 128)).astype(np.float32) * SPREAD.astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def thresholds() -> None:
    print("templates  cosine (adults)  false matches per face  cosine (children)  false matches per face")
    for size in (10, 1_000, 100_000):
        adult, child = threshold(size), threshold(size, child=True)
        print(
            f"{size:9,}  {adult:15.3f}  {size * share_above(adult):22.4f}  {child:17.3f}"
            f"  {size * share_above(child, child=True):22.4f}"
        )


def registry(sizes: list[int]) -> None:
    for size in sizes:
        rows = faces(size)
        held = Templates(rows, np.zeros(size, np.bool_), np.full(size, np.inf), people=size, revision=1)
        print(f"comparing a face with {size:9,} templates: {cost_ms(partial(best_match, rows[0], held), 20):.3f} ms")
    with tempfile.TemporaryDirectory() as folder:
        store = Registry(Path(folder), bytes(32), model="bench@1")
        for start in range(0, 2_000, 20):
            templates = [Template(row) for row in rows[start : start + 20]]
            last = store.enrol(templates, label="x", now=datetime.now(UTC))
        print(f"opening 2,000 sealed templates: {cost_ms(store.templates, 5):.1f} ms")
        print(f"asking whether the file changed: {cost_ms(store.file.revision):.3f} ms")
        print(f"sealing them anew: {cost_ms(lambda: store.rekey(bytes(32)), 3):.0f} ms")
        began = time.perf_counter()
        store.remove([last.id])
        print(f"removing one of 100 persons: {(time.perf_counter() - began) * 1000:.0f} ms of wall time")


def bank(sizes: list[int], *, full: bool) -> None:
    chance = np.random.default_rng(0)
    for size in sizes:
        before = resident_mb()
        words = np.frombuffer(chance.bytes(32 * size), np.uint64).reshape(-1, 4)
        began = time.process_time()
        hashes = Hashes(words, np.empty(0, "S32"), 1).ready()
        built = time.process_time() - began
        memory = resident_mb() - before
        queries = [chance.bytes(32) for _ in range(8)]
        one, eight = (cost_ms(lambda some=some, h=hashes: h.nearest(*some)) for some in (queries[:1], queries))
        print(
            f"{size:9,} hashes: one look-up {one:.3f} ms, the eight of a frame {eight:.3f} ms;"
            f" made ready in {built:.2f} s, {memory:.0f} MB"
        )
    shared = words.copy()
    shared[:, 0] &= np.uint64(0xFFFFFFFFFFFF0000)  # all hashes share a chunk: the worst list there is
    worst = Hashes(shared, np.empty(0, "S32"), 1).ready()
    flat = (shared[7] ^ np.uint64(1)).tobytes()
    print(f"{sizes[-1]:9,} hashes made to share a chunk: one look-up {cost_ms(lambda: worst.nearest(flat), 20):.2f} ms")
    rows = 1_000_000 if full else 100_000
    with tempfile.TemporaryDirectory() as folder:
        store = Bank(Path(folder))
        began = time.perf_counter()
        store.add((Entry(pdq=chance.bytes(32).hex()) for _ in range(rows)), now=datetime.now(UTC))
        print(f"adding {rows:,} hashes to the file: {time.perf_counter() - began:.1f} s of wall time")
        print(f"reading them anew: {cost_ms(store.hashes, 3):.0f} ms")
    for side in (512, 1024):
        pixels = chance.integers(0, 256, (side, side, 3), dtype=np.uint8)
        print(f"eight PDQ hashes of {side} x {side}: {cost_ms(lambda p=pixels: pdq.turned(p), 20):.2f} ms")


if __name__ == "__main__":
    asked = argparse.ArgumentParser()
    asked.add_argument("--full", action="store_true")
    given = asked.parse_args()
    thresholds()
    registry([100, 1_000, 20_000, 100_000, *([1_000_000] if given.full else [])])
    bank([1_000, 10_000, 100_000, 1_000_000], full=given.full)
