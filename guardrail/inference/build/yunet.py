"""YuNet with one head a stride: four of 1, 1, 4 and 10 channels become one of sixteen.

A processor takes sixteen channels at once and the published graph asks for them in four goes, each of which costs as
much as all. Weights and order of adding stay, so the answers do.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from guardrail.errors import ConfigError
from guardrail.inference.build import fold

PARTS, STRIDES = ("cls", "obj", "bbox", "kps"), (8, 16, 32)
WIDTHS = (1, 1, 4, 10)


def build(sources: Mapping[str, Path], out: Path) -> None:
    """Write the float graph: `input` as published, to `heads_8`, `heads_16` and `heads_32`, N x 16 x H/s x W/s each.

    Channels: the logits of the two scores, the box's four numbers, the landmarks' ten, all as published.
    """
    fold.build(sources, out)
    model = onnx.load(str(out))
    _merge(model.graph)
    out.write_bytes(model.SerializeToString(deterministic=True))


def _merge(graph: Any) -> None:
    made = {name: node for node in graph.node for name in node.output}
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    gone: set[str] = set()
    nodes, new = [], []
    for stride in STRIDES:
        pairs = [_head(made, f"{part}_{stride}", gone) for part in PARTS]
        (source,) = {near.input[0] for near, _ in pairs}
        for at, name in enumerate(("near", "far")):
            for field, index in (("weight", 1), ("bias", 2)):
                values = [tensors[pair[at].input[index]] for pair in pairs]
                if [len(value) for value in values] != list(WIDTHS):
                    raise ConfigError("yunet: the heads are of another kind than was measured")
                new.append(numpy_helper.from_array(np.concatenate(values), f"{name}_{stride}/{field}"))
        nodes += [
            helper.make_node(
                "Conv",
                [source, f"near_{stride}/weight", f"near_{stride}/bias"],
                [f"near_{stride}"],
                name=f"near_{stride}/node",
                kernel_shape=[1, 1],
            ),
            helper.make_node(
                "Conv",
                [f"near_{stride}", f"far_{stride}/weight", f"far_{stride}/bias"],
                [f"heads_{stride}"],
                name=f"far_{stride}/node",
                kernel_shape=[3, 3],
                pads=[1, 1, 1, 1],
                group=sum(WIDTHS),
            ),
        ]
    kept = [node for node in graph.node if node.output[0] not in gone] + nodes
    used = {name for node in kept for name in node.input}
    held = [tensor for tensor in graph.initializer if tensor.name in used] + new
    told = [
        helper.make_tensor_value_info(
            f"heads_{stride}", TensorProto.FLOAT, ("N", sum(WIDTHS), f"H{stride}", f"W{stride}")
        )
        for stride in STRIDES
    ]
    replaced: list[tuple[Any, list[Any]]] = [(graph.node, kept), (graph.initializer, held), (graph.output, told)]
    for field, values in replaced:
        del field[:]
        field.extend(values)


def _head(made: Mapping[str, Any], output: str, gone: set[str]) -> tuple[Any, Any]:
    """The two convolutions that lead to an output, the nearer to the picture first; all of its nodes go to `gone`."""
    found: list[Any] = []
    name = output
    while len(found) < 2:
        node = made.get(name)
        if node is None or node.op_type not in {"Conv", "Sigmoid", "Reshape", "Transpose"}:
            raise ConfigError(f"yunet: {output} is computed in another way than was measured")
        gone.add(node.output[0])
        if node.op_type == "Conv":
            found.append(node)
        name = node.input[0]
    return found[1], found[0]
