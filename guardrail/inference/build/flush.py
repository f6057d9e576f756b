"""The published graph with its vanishing weights set to zero.

Training leaves weights so small that a processor computes them in a slow path (subnormals, below 1.2e-38) or that
products with them end there. Of age-v1 they were 13,019; with them at zero the answers are the same to the bit, and a
batch of 4 faces takes 3.6 instead of 34.5 cpu-ms.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

VANISHING = 1e-20


def build(sources: Mapping[str, Path], out: Path) -> None:
    """Copy the one source graph, float32 weights of magnitude below `VANISHING` as 0."""
    (only,) = sources.values()
    model = onnx.load(only)
    for tensor in model.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT:
            continue
        weights = numpy_helper.to_array(tensor).copy()
        weights[np.abs(weights) < VANISHING] = 0.0
        tensor.CopyFrom(numpy_helper.from_array(weights, tensor.name))
    out.write_bytes(model.SerializeToString(deterministic=True))
