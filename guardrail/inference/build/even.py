"""Channels of like size: a float graph that gives the same answers and loses less in 8 bits.

All channels of an activation share one scale, and the largest of them decides it. What a Relu leaves may be divided by
any positive number, channel by channel, if what makes it is too and what reads it multiplies by that number. Nagel et
al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", with measured sizes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import numpy_helper

from guardrail.errors import ConfigError

# What leaves channels apart, and gives of something smaller just that much less.
KEEPS = frozenset({"Relu", "MaxPool", "Add", "AveragePool", "Reshape"})
# A channel is divided by 2 to the power of a whole number of quarters. They are written out: machines raise to a power
# each in their own way, and the same sources shall give the same bytes.
OCTAVE = 0.25
POWERS = (1.0, 1.189207115002721, 1.4142135623730951, 1.681792830507429)


@dataclass
class Group:
    """Activations that are added up or handed on, so that a channel of one is that of all: who makes and reads them."""

    tensors: set[str] = field(default_factory=set)
    makers: list[Any] = field(default_factory=list)
    readers: list[Any] = field(default_factory=list)

    @property
    def name(self) -> str:
        """That of what the first of the makers gives."""
        return str(self.makers[0].output[0])


def groups(graph: Any) -> list[Group]:
    """The groups that convolutions make, in the order of the graph."""
    constants = {tensor.name for tensor in graph.initializer}
    of: dict[str, Group] = {}

    def joined(names: Sequence[str]) -> Group:
        first, *others = (of.setdefault(name, Group({name})) for name in names)
        for other in others:
            if other is not first:
                for part in ("makers", "readers"):
                    getattr(first, part).extend(getattr(other, part))
                first.tensors |= other.tensors
        of.update(dict.fromkeys(first.tensors, first))
        return first

    for node in graph.node:
        names = [name for name in (*node.input, *node.output) if name not in constants]
        if node.op_type in KEEPS and len(names) > len(node.output):
            joined(names)
        if node.op_type in {"Conv", "MatMul"}:
            joined(node.input[:1]).readers.append(node)
        if node.op_type == "Conv":
            joined(node.output[:1]).makers.append(node)
    found = {id(group): group for node in graph.node for group in [of.get(node.output[0])] if group and group.makers}
    return list(found.values())


def evened(model: Any, octaves: Mapping[str, Sequence[int]], *, where: str) -> Any:
    """Divide the channels of each group by 2 to the power of OCTAVE times its number in `octaves`; `model` is changed.

    Raises ConfigError, naming `where`, for a group that `octaves` has no number for each channel of.
    """
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}

    def times(name: str, by: Any) -> None:
        value = (numpy_helper.to_array(tensors[name]) * by).astype(np.float32)
        tensors[name].CopyFrom(numpy_helper.from_array(value, name))

    for group in groups(model.graph):
        channels = tensors[group.makers[0].input[1]].dims[0]
        told = octaves.get(group.name, ())
        if len(told) != channels:
            raise ConfigError(
                f"{where}: {len(told)} numbers for the {channels} channels of {group.name}; calibrate again"
            )
        steps = np.asarray(told, np.int64)
        size = np.ldexp(np.array(POWERS)[steps % 4], steps // 4)
        for node in group.makers:
            times(node.input[1], 1 / size.reshape(-1, 1, 1, 1))
            times(node.input[2], 1 / size)
        for node in group.readers:
            times(node.input[1], size.reshape((1, -1, 1, 1) if node.op_type == "Conv" else (-1, 1)))
    return model
