"""Graphs: one in the making, collecting nodes and constants and handing out names; and new nodes for one that is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

Array = npt.NDArray[Any]


def replace_nodes(graph: onnx.GraphProto, nodes: Sequence[onnx.NodeProto], new: Iterable[tuple[str, Array]]) -> None:
    """Put `nodes` in the place of those that a graph has, with the constants that they still read and `new` ones."""
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in new)


class Graph:
    """Nodes in the order in which they were added, and constants by name."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def constant(self, name: str, value: Array) -> str:
        """Keep a constant under a name; the first value of a name stays. Returns the name."""
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def ints(self, *values: int) -> str:
        """Name of a constant of whole numbers, int64 of shape (values,)."""
        return self.constant("i_" + "_".join(str(v) for v in values), np.array(values, np.int64))

    def add(self, op: str, *inputs: str, outputs: int = 1, **attributes: Any) -> list[str]:
        """Add a node. Returns the names of its outputs."""
        names = [f"{op.lower()}_{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, **attributes))
        return names

    def one(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Add a node of one output. Returns its name."""
        return self.add(op, *inputs, **attributes)[0]
