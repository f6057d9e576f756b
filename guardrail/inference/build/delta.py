"""Deltas: what tuning changed in published weights, packaged small and added before a graph is built.

A delta is a matrix of whole numbers, or the product of two thin ones, with one scale per output. Sums of whole numbers
are exact in any order, so the same sources give the same bytes on every machine; products of fractions would not.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt

from guardrail.errors import ConfigError

Array = npt.NDArray[Any]
# Codes of a whole matrix and of the first of two reach from -127 to 127, of the second from -32767 to 32767: with fewer
# than a million columns between the two, float64 holds every sum exactly.
FIRST, SECOND = 127, 32767


class Deltas:
    """Changes by the name of the weight that they belong to.

    `arrays` holds for each name "NAME.scale", float32 (outputs,), and either "NAME.whole", int8 (outputs, inputs), or
    "NAME.in", int8 (rank, inputs), with "NAME.out", int16 (outputs, rank).
    """

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        self._arrays = arrays

    def added(self, name: str, weight: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """A weight (outputs, inputs) with its change, or as it is where it has none.

        Raises ConfigError when the change is of another shape.
        """
        scale = self._arrays.get(f"{name}.scale")
        if scale is None:
            return weight
        whole = self._arrays.get(f"{name}.whole")
        if whole is None:
            first, second = self._arrays[f"{name}.in"], self._arrays[f"{name}.out"]
            whole = second.astype(np.float64) @ first.astype(np.float64)
        if (*whole.shape, len(scale)) != (*weight.shape, len(weight)):
            raise ConfigError(
                f"{name}: a change of shape {whole.shape} for a weight of shape {weight.shape}; reinstall Guardrail"
            )
        out: npt.NDArray[np.float32] = weight + whole.astype(np.float32) * scale[:, None]
        return out


def coded(change: Array) -> dict[str, Array]:
    """The arrays of a delta from fractions (outputs, inputs)."""
    scale = np.maximum(np.abs(change).max(axis=1), np.finfo(np.float32).tiny) / FIRST
    return {"whole": np.rint(change / scale[:, None]).astype(np.int8), "scale": scale.astype(np.float32)}


def factors(first: Array, second: Array) -> dict[str, Array]:
    """The arrays of a delta from fractions: the product of `second` (outputs, rank) and `first` (rank, inputs)."""
    reach = np.maximum(np.abs(first).max(axis=1), np.finfo(np.float32).tiny) / FIRST
    moved = second * reach
    scale = np.maximum(np.abs(moved).max(axis=1), np.finfo(np.float32).tiny) / SECOND
    return {
        "in": np.rint(first / reach[:, None]).astype(np.int8),
        "out": np.rint(moved / scale[:, None]).astype(np.int16),
        "scale": scale.astype(np.float32),
    }


def packaged(name: str) -> Deltas:
    """The delta `heads/NAME.npz` of the package. Raises ConfigError when the file cannot be read."""
    body = files("guardrail.inference").joinpath(f"heads/{name}.npz").read_bytes()
    try:
        with np.load(io.BytesIO(body), allow_pickle=False) as archive:
            return Deltas({part: archive[part] for part in archive.files})
    except (ValueError, OSError) as error:
        raise ConfigError(f"{name}.npz is no file of deltas ({error}); reinstall Guardrail") from error
