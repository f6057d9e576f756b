"""The mean of two changes of each encoder: those just tuned, and those that shipped before. Written into the package.

    python models/prompt-safety/mean.py --before FOLDER

FOLDER holds prompt_first_delta.npz and prompt_second_delta.npz of the version before, as the history of this repository
has them. Both began from the published weights and end near enough to one another for their mean to judge better than
either: what lines that both were taught have in common stays, what one learned of their wording alone is halved.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import reading

from guardrail.inference.build import delta

Array = npt.NDArray[Any]
# Side by side two changes of rank 32 have 64; of their squares 0.3 % lie beyond this many.
RANK = 44


def mean(one: Mapping[str, Array], two: Mapping[str, Array]) -> dict[str, Array]:
    """The arrays of a packaged change, head included, from those of two."""
    out = {name: ((one[name] + two[name]) / 2).astype(np.float32) for name in ("head.weight", "head.bias")}
    for name in (key.removesuffix(".scale") for key in one if key.endswith(".scale")):
        if f"{name}.whole" in one:
            whole = sum(part[f"{name}.whole"] * part[f"{name}.scale"][:, None] for part in (one, two)) / 2
            made = delta.coded(whole)
        else:
            first = np.concatenate([part[f"{name}.in"].astype(float) for part in (one, two)])
            halves = [part[f"{name}.out"].astype(float) / 2 * part[f"{name}.scale"][:, None] for part in (one, two)]
            made = delta.factors(*_thinner(first, np.concatenate(halves, axis=1)))
        out |= {f"{name}.{key}": array for key, array in made.items()}
    return out


def _thinner(first: Array, second: Array) -> tuple[Array, Array]:
    """The product of `second` (outputs, n) and `first` (n, inputs) as nearly as rank RANK can, its roots in both."""
    inner, corner = np.linalg.qr(first.T)
    outer, other = np.linalg.qr(second)
    left, sizes, right = np.linalg.svd(other @ corner.T)
    root = np.sqrt(sizes[:RANK])
    thin = root[:, None] * (right[:RANK] @ inner.T), (outer @ left[:, :RANK]) * root
    return thin[0].astype(np.float32), thin[1].astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, required=True)
    args = parser.parse_args()
    for kind in ("first", "second"):
        name = f"prompt_{kind}_delta.npz"
        with np.load(args.before / name) as one, np.load(reading.HEADS / name) as two:
            made = mean(dict(one), dict(two))
        np.savez_compressed(reading.HEADS / name, **made)


if __name__ == "__main__":
    main()
