"""Pictures in blocks: a graph's first convolution for the bytes of a picture as they are, 2 x 2 pixels at a time.

A network that starts with a convolution of stride 2 over three colours is slow at just that: three values lie beside
each other where a processor would take sixteen. Four neighbouring pixels of four bytes are sixteen, the stride becomes
1, and what normalised the picture moves into the weights. `guardrail.inference.image.blocks` cuts the pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from guardrail.errors import ConfigError
from guardrail.inference.build.graph import replace_nodes
from guardrail.inference.build.quantise import Array, dequantised, fitted, paired, spanned

INPUT = "image"
DEEP = 16  # bytes of one block: 2 x 2 pixels of red, green, blue and one that counts for nothing


def in_blocks(model: Any, *, mean: Sequence[float], spread: Sequence[float], where: str, pairs: bool = False) -> None:
    """Replace all up to the first convolution of `model` by one in 8 bits that reads N x H x W x DEEP, uint8.

    The convolution has stride 2, three colours (R, G, B less `mean`, by `spread`) and P pixels of padding before
    each axis. Block 0 then begins P pixels before the picture; whoever cuts the blocks puts `mean` around it. Its
    weights are `fitted`, with `pairs` they are `paired`.
    Raises ConfigError, naming `where`, when the first convolution is of another kind.
    """
    graph = model.graph
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    at = next(index for index, node in enumerate(graph.node) if node.op_type == "Conv")
    old = graph.node[at]
    weight, bias = tensors[old.input[1]], tensors[old.input[2]]
    if weight.shape[1] != 3 or weight.shape[2] != weight.shape[3] or _ints(old, "strides") != [2, 2]:
        raise ConfigError(f"{where}: the first convolution is of another kind than was measured")
    cut = _blocks_of(weight.astype(np.float64) / np.array(spread).reshape(1, 3, 1, 1))
    rows = cut.reshape(len(cut), -1)
    largest = spanned(rows, bias, np.ones(()))
    steps, scale = paired(cut, largest) if pairs else fitted(rows, largest)
    steps = steps.reshape(cut.shape)
    # The mean is taken off with the weights as they are stored, so that a picture of the mean alone stays exactly that.
    level = np.tile(np.append(np.array(mean, np.float64), 0.0), 4).reshape(1, DEEP, 1, 1)
    taken = (steps.astype(np.float64) * scale.astype(np.float64).reshape(-1, 1, 1, 1) * level).sum(axis=(1, 2, 3))
    limits = np.iinfo(np.int32)
    biases = np.clip(np.rint((bias.astype(np.float64) - taken) / scale), limits.min, limits.max).astype(np.int32)
    side = cut.shape[2]
    how: dict[str, Any] = {"kernel_shape": [side, side], "strides": [1, 1], "pads": [0, 0, 0, 0]}
    first = helper.make_node("Conv", [f"{INPUT}/dq", "", ""], list(old.output), name=old.name, **how)
    new: list[tuple[str, Array]] = [
        (f"{INPUT}/scale", np.asarray(1, np.float32)),
        (f"{INPUT}/zero", np.asarray(0, np.uint8)),
    ]
    nodes = [
        helper.make_node("Transpose", [INPUT], [f"{INPUT}/t"], name=f"{INPUT}/Turn", perm=[0, 3, 1, 2]),
        helper.make_node(
            "DequantizeLinear", [f"{INPUT}/t", new[0][0], new[1][0]], [f"{INPUT}/dq"], name=f"{INPUT}/Dequantize"
        ),
        *dequantised(first, ("weight", steps, scale), ("bias", biases, scale), new),
        first,
        *list(graph.node)[at + 1 :],
    ]
    replace_nodes(graph, nodes, new)
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info(INPUT, TensorProto.UINT8, ["N", "H2", "W2", DEEP]))


def _blocks_of(weight: Array) -> Array:
    """A kernel (out, 3, k, k) of stride 2 as one (out, DEEP, m, m) of stride 1 over blocks, m half of k rounded up."""
    out, _, side, _ = weight.shape
    half = (side + 1) // 2
    even = np.zeros((out, 4, 2 * half, 2 * half))
    even[:, :3, :side, :side] = weight
    apart = even.reshape(out, 4, half, 2, half, 2)
    return np.ascontiguousarray(apart.transpose(0, 3, 5, 1, 2, 4).reshape(out, DEEP, half, half))


def _ints(node: Any, name: str) -> list[int]:
    return next((list(each.ints) for each in node.attribute if each.name == name), [])
