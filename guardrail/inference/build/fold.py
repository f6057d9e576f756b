"""Plain float graphs from OpenCV Zoo's block-quantised ones, with free batch, height and width.

The published YuNet and SFace files keep their weights as int8 blocks behind DequantizeLinear nodes in a form that
onnxruntime 1.31 refuses. Folding those nodes away gives the float32 weights that they stand for, exactly, and costs
nothing at run time. Nor has onnxruntime a fast PRelu: the 27 of SFace took 15 of its 28 cpu-ms, so they become what it
is fast at.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from guardrail.errors import ConfigError


def build(sources: Mapping[str, Path], out: Path) -> None:
    """Fold the one source file and write it to `out`.

    In the result the first axis of every input and output is named N; height and width of a picture-shaped input are
    named H and W where the graph reaches its outputs without a fully connected layer.
    """
    (only,) = sources.values()
    model = onnx.load(str(only))
    _fold(model.graph)
    _drop_inference_noops(model.graph)
    _split_prelus(model.graph)
    _free_axes(model.graph)
    model.ir_version = 10
    out.write_bytes(model.SerializeToString(deterministic=True))


def _fold(graph: Any) -> None:
    """Compute every DequantizeLinear and Reshape of constants once, here."""
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    folded: dict[str, np.ndarray[Any, Any]] = {}
    kept = []
    for node in graph.node:
        known = all(not name or name in constants for name in node.input)
        if known and node.op_type == "DequantizeLinear":
            value = _dequantised(node, [constants[name] for name in node.input])
        elif known and node.op_type == "Reshape":
            value = constants[node.input[0]].reshape(constants[node.input[1]])
        else:
            kept.append(node)
            continue
        constants[node.output[0]] = folded[node.output[0]] = value
    used = {name for node in kept for name in node.input}
    tensors = [tensor for tensor in graph.initializer if tensor.name in used]
    tensors += [
        numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in folded.items() if name in used
    ]
    names = {tensor.name for tensor in tensors}
    # A weight that is also an input could be overridden by a caller, and keeps onnxruntime from fusing it.
    inputs = [value for value in graph.input if value.name not in names and value.name in used]
    for field, values in ((graph.node, kept), (graph.initializer, tensors), (graph.input, inputs)):
        del field[:]
        field.extend(values)
    del graph.value_info[:]


def _dequantised(node: Any, inputs: list[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """What a DequantizeLinear of constants gives: (q - zero) * scale, per tensor, per axis or per block of an axis."""
    attributes = {attribute.name: attribute.i for attribute in node.attribute}
    axis, block = attributes.get("axis", 1), attributes.get("block_size", 0)
    quantised, scale = inputs[0], inputs[1].astype(np.float32)
    zero = inputs[2] if len(inputs) > 2 else np.zeros(scale.shape, quantised.dtype)
    if scale.size == 1:
        scale, zero = scale.reshape(()), zero.reshape(())
    elif block and scale.ndim == quantised.ndim:
        length = quantised.shape[axis]
        scale, zero = (np.repeat(part, block, axis).take(range(length), axis) for part in (scale, zero))
    elif scale.ndim == 1 and scale.size == quantised.shape[axis]:
        shape = [-1 if at == axis else 1 for at in range(quantised.ndim)]
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    else:
        raise ConfigError(
            f"fold: {node.name or node.output[0]} has scales of shape {scale.shape}, which no rule covers"
        )
    value: np.ndarray[Any, Any] = (quantised.astype(np.float32) - zero.astype(np.float32)) * scale
    return value


def _drop_inference_noops(graph: Any) -> None:
    """Take out Dropout, which does nothing outside training."""
    renamed = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Dropout"}
    kept = [node for node in graph.node if node.op_type != "Dropout"]
    for node in kept:
        for index, name in enumerate(node.input):
            while name in renamed:
                name = renamed[name]  # noqa: PLW2901 - follows a chain of dropouts to its source
            node.input[index] = name
    del graph.node[:]
    graph.node.extend(kept)


def _split_prelus(graph: Any) -> None:
    """Write every PRelu that has one slope a channel as slope * x + (1 - slope) * relu(x).

    Both products are convolutions of one pixel and one channel: onnxruntime adds them up as it makes them, and need not
    leave the layout of the convolutions around them. Answers differ by rounding alone.
    """
    slopes = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    kept = []
    for node in graph.node:
        slope = slopes.get(node.input[1]) if node.op_type == "PRelu" else None
        if slope is None or slope.ndim != 3 or slope.shape[1:] != (1, 1):
            kept.append(node)
            continue
        (x, name), (y,) = node.input, node.output
        channels = slope.shape[0]
        how = {"group": channels, "kernel_shape": [1, 1]}
        for part, value in (("below", slope), ("above", np.float32(1) - slope)):
            graph.initializer.append(numpy_helper.from_array(value.reshape(channels, 1, 1, 1), f"{name}_{part}"))
        kept += [
            helper.make_node("Relu", [x], [f"{y}_relu"]),
            helper.make_node("Conv", [x, f"{name}_below"], [f"{y}_below"], **how),
            helper.make_node("Conv", [f"{y}_relu", f"{name}_above"], [f"{y}_above"], **how),
            helper.make_node("Add", [f"{y}_above", f"{y}_below"], [y]),
        ]
    used = {name for node in kept for name in node.input}
    tensors = [tensor for tensor in graph.initializer if tensor.name in used]
    for field, values in ((graph.node, kept), (graph.initializer, tensors)):
        del field[:]
        field.extend(values)


def _free_axes(graph: Any) -> None:
    """Name the batch axis N, and H and W of a fully convolutional graph's picture."""
    connected = any(node.op_type in {"Gemm", "MatMul", "Flatten"} for node in graph.node)
    for value in (*graph.input, *graph.output):
        dims = value.type.tensor_type.shape.dim
        _name(dims[0], "N")
        if value in list(graph.input) and len(dims) == 4 and not connected:
            _name(dims[2], "H")
            _name(dims[3], "W")
    for value in graph.output if not connected else ():
        _name(value.type.tensor_type.shape.dim[1], f"anchors_{value.name}")
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type != "Reshape" or node.input[1] not in tensors:
            continue
        tensor = tensors[node.input[1]]
        shape = numpy_helper.to_array(tensor).copy()
        if shape.size > 1 and shape[0] == 1 and -1 in shape[1:]:
            shape[0] = 0  # 0 keeps the batch of the reshaped tensor
            tensor.CopyFrom(numpy_helper.from_array(shape, tensor.name))


def _name(dim: Any, name: str) -> None:
    dim.ClearField("dim_value")
    dim.dim_param = name
