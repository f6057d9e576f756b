"""TensorFlow.js: its weight files as arrays, and ONNX nodes that compute what its operators do.

Pictures go in as N x H x W x C, as TensorFlow.js has them; inside, everything is N x C x H x W, as ONNX wants it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from guardrail.errors import ConfigError

Array = NDArray[Any]
_STORED: dict[str, type[np.generic]] = {
    "uint8": np.uint8,
    "uint16": np.uint16,
    "float16": np.float16,
    "float32": np.float32,
    "int32": np.int32,
}
OPSET, IR = 13, 8


def weights(groups: Iterable[Mapping[str, Any]], body: bytes, where: str) -> dict[str, Array]:
    """Every weight of a manifest by name, as float32, from the shards one after the other.

    Quantised numbers are multiplied out: q * scale + min; halves and whole numbers become float32. Raises ConfigError
    when the manifest names other types, or when the shards are longer or shorter than it says.
    """
    found: dict[str, Array] = {}
    at = 0
    for entry in (entry for group in groups for entry in group["weights"]):
        name, shape, quantised = str(entry["name"]), [int(side) for side in entry["shape"]], entry.get("quantization")
        halved = bool(quantised) and quantised["dtype"] == "float16"
        stored = _STORED.get(quantised["dtype"] if quantised else entry["dtype"])
        if stored is None or (quantised and entry["dtype"] != "float32") or min(shape, default=1) < 0:
            raise ConfigError(f"{where}: weight {name} is of a type that is not read")
        count = math.prod(shape)
        end = at + count * np.dtype(stored).itemsize
        if end > len(body):
            raise ConfigError(f"{where}: the shards end inside weight {name}")
        raw = np.frombuffer(body, np.dtype(stored).newbyteorder("<"), count, at).astype(np.float32)
        if quantised and not halved:
            raw = raw * np.float32(quantised["scale"]) + np.float32(quantised["min"])
        found[name], at = raw.reshape(shape), end
    if at != len(body):
        raise ConfigError(f"{where}: the shards hold {len(body)} bytes, the manifest accounts for {at}")
    return found


class Graph:
    """An ONNX graph in the making. Every method adds nodes and returns the name of what they compute."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._tensors: list[Any] = []

    def constant(self, value: Array) -> str:
        name = f"constant_{len(self._tensors)}"
        self._tensors.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def add(self, kind: str, inputs: Sequence[str], out: str | None = None, **attributes: Any) -> str:
        """One node. Its output is named after its kind and place, or `out`."""
        name = out if out is not None else f"{kind.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], name=f"{name}/node", **attributes))
        return name

    def picture(self, name: str) -> str:
        """The input `name`, N x H x W x C, as N x C x H x W."""
        return self.add("Transpose", [name], perm=[0, 3, 1, 2])

    def conv(self, x: str, kernel: Array, bias: Array | None = None, *, stride: int = 1) -> str:
        """A convolution with TensorFlow's padding SAME; `kernel` is height x width x in x out."""
        return self._conv(x, kernel.transpose(3, 2, 0, 1), bias, stride, 1)

    def depthwise(self, x: str, kernel: Array, bias: Array | None = None, *, stride: int = 1) -> str:
        """A convolution of each channel alone; `kernel` is height x width x channels x 1."""
        high, wide, channels, times = kernel.shape
        return self._conv(
            x, kernel.transpose(2, 3, 0, 1).reshape(channels * times, 1, high, wide), bias, stride, channels
        )

    def _conv(self, x: str, kernel: Array, bias: Array | None, stride: int, group: int) -> str:
        bias = np.zeros(len(kernel), np.float32) if bias is None else bias.reshape(-1)
        return self.add(
            "Conv",
            [x, self.constant(kernel), self.constant(bias)],
            auto_pad="SAME_UPPER",
            strides=[stride, stride],
            group=group,
            kernel_shape=list(kernel.shape[2:]),
        )

    def clip(self, x: str, low: float, high: float) -> str:
        return self.add(
            "Clip", [x, self.constant(np.array(low, np.float32)), self.constant(np.array(high, np.float32))]
        )

    def write(self, out: Path, inputs: Mapping[str, Sequence[Any]], outputs: Mapping[str, Sequence[Any]]) -> None:
        """Check the graph and write it. Shapes may name axes: ["N", 112, 112, 3]."""
        out.write_bytes(self.model(inputs, outputs).SerializeToString(deterministic=True))

    def model(self, inputs: Mapping[str, Sequence[Any]], outputs: Mapping[str, Sequence[Any]]) -> Any:
        told, given = (
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)) for name, shape in values.items()]
            for values in (inputs, outputs)
        )
        made = helper.make_graph(self._nodes, "guardrail", told, given, self._tensors)
        model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
        onnx.checker.check_model(model)
        return model
