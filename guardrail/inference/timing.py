"""Timing: how long one run of a graph takes, by batch and threads, on what chance makes of its inputs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from guardrail.errors import ConfigError
from guardrail.inference.session import CPU, open_session

# What stands for a length that a graph leaves open: the detector's usual edge in pixels, and a prompt's tokens.
PIXELS, TOKENS = 640, 16
WARM_UP = 2


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one run with `batch` items on `threads`: the median and the least of `runs`."""

    batch: int
    threads: int
    runs: int
    median_ms: float
    least_ms: float


def time_graph(
    path: Path,
    *,
    batches: tuple[int, ...] = (1, 8),
    threads: tuple[int, ...] = (1, 2),
    runs: int = 20,
    cautious: bool = False,
    providers: Sequence[str] = CPU,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Timing]:
    """Time a graph for each number of threads and each batch; a batch that its graph does not take is left out.

    Raises ConfigError when the graph cannot be opened or run, or `runs` is below 1.
    """
    if runs < 1:
        raise ConfigError(f"runs is {runs}; expected 1 or more")
    found = []
    for count in threads:
        session = open_session(path, threads=count, cautious=cautious, providers=providers)
        for batch in batches:
            inputs = sample_inputs(session, batch)
            if inputs is None:
                continue
            taken = []
            for number in range(WARM_UP + runs):
                began = clock()
                try:
                    session.run(None, inputs)
                except Exception as error:  # onnxruntime raises classes of its own that share no public base
                    raise ConfigError(
                        f"{path.name} cannot be run with a batch of {batch}: {type(error).__name__}"
                    ) from error
                if number >= WARM_UP:
                    taken.append((clock() - began) * 1000.0)
            found.append(Timing(batch, count, runs, median(taken), min(taken)))
    return found


def sample_inputs(session: Any, batch: int) -> dict[str, Any] | None:
    """Inputs of a graph that chance makes, by name; None where the graph has a batch of its own."""
    chance = np.random.default_rng(0)
    made: dict[str, Any] = {}
    for one in session.get_inputs():
        first, *rest = one.shape
        if isinstance(first, int) and first != batch:
            return None
        whole = "int64" in one.type or "int32" in one.type
        edges = (size if isinstance(size, int) else TOKENS if whole else _pixels(size) for size in rest)
        shape = (batch, *edges)
        if "uint8" in one.type:
            made[one.name] = chance.integers(0, 256, shape, np.uint8)
        elif whole:
            kind = np.int32 if "int32" in one.type else np.int64
            made[one.name] = np.ones(shape, kind) if "mask" in one.name else chance.integers(1, 1000, shape, kind)
        else:
            made[one.name] = chance.random(shape, np.float32)
    return made


def _pixels(name: str | None) -> int:
    """The length of an edge; one that is called "H2" counts blocks of two pixels, the first and last half empty."""
    return PIXELS // 2 + 1 if (name or "").endswith("2") else PIXELS
