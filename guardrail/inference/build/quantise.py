"""Graphs in 8 bits: about half the time of the published float graph, for scores that hardly move.

The ranges of the activations are measured beforehand on harmless pictures, so that no picture is needed here and the
same sources give the same bytes everywhere. A score depends on its own picture alone: nothing is scaled by what else
is in the batch.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from guardrail.errors import ConfigError
from guardrail.inference.build.graph import replace_nodes

# Operators that work in 8 bits; between two of them nothing returns to float.
QUANTISED = frozenset({"Conv", "Add", "LeakyRelu", "Concat", "MaxPool", "Resize", "GlobalAveragePool"})
# What these give is within what they read, so both share one scale and no number is scaled again.
MOVES = frozenset({"Concat", "MaxPool", "Resize"})
# Ranges come from harmless pictures, and what they never set off must not be cut off: they are widened by this
# factor. On harmless pictures 1.5 costs 0.0006 of mean difference.
HEADROOM = 1.5
# Weights use 7 of their 8 bits: processors without VNNI add two products in 16 bits, which 8-bit weights overflow,
# and a score must not depend on the processor.
WEIGHT_STEPS = 63
# What they add is two neighbours in the depth of what is read, so two weights of one sign may have this together (255
# times it fits 16 bits) and a lone one all of its 8 bits: see `paired`.
PAIR_STEPS, LONE_STEPS = 128, 127
FINEST = 150  # steps that the largest weight would have on the finest scale that is tried

Array = NDArray[Any]
Ranges = Mapping[str, tuple[float, float]]
Stored = tuple[str, Array, Array]
"""What a tensor is for, its whole numbers, and the step of each channel."""


def observed(graph: Any, keep: Sequence[str]) -> list[str]:
    """Names of the activations whose ranges are needed: all that a quantised operator reads.

    What a convolution gives to a Relu is not among them: the two become one, and what counts is what the Relu gives.
    Nodes with a tensor whose name contains one of `keep` stay in float.
    """
    constants = {tensor.name for tensor in graph.initializer}
    read = (name for node in graph.node if _is_quantised(node, constants, keep) for name in node.input)
    return [name for name in dict.fromkeys(read) if name not in constants]


def _is_quantised(node: Any, constants: Collection[str], keep: Sequence[str]) -> bool:
    if node.op_type not in QUANTISED or any(part in name for part in keep for name in (*node.input, *node.output)):
        return False
    # The classifier's own bias is an Add too; it and everything after the last convolution stays in float.
    return node.op_type in {"Conv", "Resize"} or not any(name in constants for name in node.input)


def quantised(
    model: Any,
    ranges: Ranges,
    *,
    keep: Sequence[str],
    where: str,
    fit: bool = False,
    means: Mapping[str, Sequence[float]] | None = None,
) -> Any:
    """Put QuantizeLinear and DequantizeLinear around every quantised operator of `model`, which is used up.

    Activations: uint8, one scale per tensor. Weights: int8, one scale per output channel, symmetric, the widest or with
    `fit` the best fitting one (see `fitted`). Biases: int32. With `means`, those of each channel of what convolutions
    read, weights have the steps of `paired`, and what rounding them moves in the mean is given back by the bias.
    Raises ConfigError, naming `where`, for an activation without a range or mean.
    """
    graph = model.graph
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    bounded = {node.output[0]: float(tensors[node.input[2]]) for node in graph.node if node.op_type == "Clip"}
    shared = _shared(graph, {name: (0.0, most) for name, most in bounded.items()} | dict(ranges), tensors, keep)
    missing = [name for name in observed(graph, keep) if name not in shared]
    if missing:
        raise ConfigError(f"{where}: no range for {missing[0]} and {len(missing) - 1} more; calibrate again")
    scales = {name: _activation(*shared[name], bounded.get(name)) for name in observed(graph, keep)}
    nodes: list[Any] = []
    new: list[tuple[str, Array]] = []
    twins: dict[str, str] = {}

    def twin(name: str) -> str:
        """The 8-bit stand-in of an activation, made where it is first read."""
        if name not in twins:
            scale, zero = scales[name]
            new.extend([(f"{name}/scale", scale), (f"{name}/zero", zero)])
            pair = [f"{name}/scale", f"{name}/zero"]
            nodes.append(helper.make_node("QuantizeLinear", [name, *pair], [f"{name}/q"], name=f"{name}/Quantize"))
            nodes.append(
                helper.make_node("DequantizeLinear", [f"{name}/q", *pair], [f"{name}/dq"], name=f"{name}/Dequantize")
            )
            twins[name] = f"{name}/dq"
        return twins[name]

    for node in graph.node:
        if not _is_quantised(node, tensors, keep):
            nodes.append(node)
            continue
        if node.op_type == "Conv":
            activation = node.input[0]
            weight, bias = tensors[node.input[1]], tensors[node.input[2]]
            node.input[0] = twin(activation)
            if means is not None and len(means.get(activation, ())) != weight.shape[1]:
                raise ConfigError(f"{where}: no mean for each channel of {activation}; calibrate again")
            mean = None if means is None else np.asarray(means[activation], np.float64)
            nodes += _conv_weights(node, weight, bias, scales[activation][0], new, fit, mean)
        else:
            for index, name in enumerate(list(node.input)):
                node.input[index] = name if name in tensors else twin(name)
        nodes.append(node)
    replace_nodes(graph, nodes, new)
    del graph.value_info[:]
    inputs = [value for value in graph.input if value.name not in tensors]
    del graph.input[:]
    graph.input.extend(inputs)
    model.ir_version = 8
    del model.opset_import[:]
    # Opset 13 is the first with one scale per channel; nothing else in this graph changed its meaning since 9.
    model.opset_import.append(helper.make_opsetid("", 13))
    return model


def _shared(graph: Any, ranges: Ranges, constants: Collection[str], keep: Sequence[str]) -> Ranges:
    """The ranges, with one that holds them all for what an operator of MOVES reads and makes."""
    groups: dict[str, set[str]] = {}
    for node in graph.node:
        if node.op_type in MOVES and _is_quantised(node, constants, keep):
            names = [name for name in (*node.input, *node.output) if name not in constants]
            members = set().union(*(groups.get(name, {name}) for name in names))
            groups.update(dict.fromkeys(members, members))
    wide = dict(ranges)
    for name, members in groups.items():
        known = [ranges[member] for member in sorted(members) if member in ranges]
        if known:
            wide[name] = min(low for low, _ in known), max(high for _, high in known)
    return wide


def _activation(low: float, high: float, most: float | None = None) -> tuple[Array, Array]:
    """Scale and zero point that spread [low, high], widened by HEADROOM and to hold 0, over 0..255.

    `most` is the largest value that can occur at all; within it, the clipping is left to the 8 bits themselves.
    """
    low, high = HEADROOM * min(low, 0.0), HEADROOM * max(high, 0.0)
    high = min(high, most) if most is not None else high
    scale = np.float32(max(high - low, 1e-6) / 255)
    return np.asarray(scale, np.float32), np.asarray(np.clip(np.rint(-low / scale), 0, 255), np.uint8)


def _conv_weights(
    node: Any,
    weight: Array,
    bias: Array,
    scale_in: Array,
    new: list[tuple[str, Array]],
    fit: bool,
    mean: Array | None,
) -> list[Any]:
    """Quantise a convolution's weight and bias, and point the node at them. Returns the dequantising nodes."""
    rows = weight.reshape(len(weight), -1)
    largest = spanned(rows, bias, scale_in)
    bias = bias.astype(np.float64)
    if mean is not None:
        steps, scale = paired(weight.astype(np.float64), largest.astype(np.float64))
        lost = weight - steps * scale.astype(np.float64).reshape(-1, 1, 1, 1)
        bias = bias + (lost.sum(axis=(2, 3)) * mean).sum(axis=1)
    elif fit:
        steps, scale = fitted(rows.astype(np.float64), largest.astype(np.float64))
        steps = steps.reshape(weight.shape)
    else:
        scale = (largest / WEIGHT_STEPS).astype(np.float32)
        steps = np.rint(weight / scale.reshape(-1, 1, 1, 1)).astype(np.int8)
    both = (scale_in * scale).astype(np.float32)
    limits = np.iinfo(np.int32)
    biases = np.clip(np.rint(bias / both), limits.min, limits.max).astype(np.int32)
    return dequantised(node, ("weight", steps, scale), ("bias", biases, both), new)


def shifted(model: Any, shifts: Mapping[str, Sequence[float]], *, where: str) -> None:
    """Add to the biases of 8-bit convolutions, by the name of what they make, one number a channel.

    It is what the published graph gives more there, in the mean over harmless pictures: rounding moves each channel a
    little, always the same way. Raises ConfigError, naming `where`, for a name that no such convolution has.
    """
    made = {node.output[0]: node for node in model.graph.node}
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for name, by in shifts.items():
        bias = made.get(made[name].input[2]) if name in made and made[name].op_type == "Conv" else None
        if bias is None or bias.op_type != "DequantizeLinear":
            raise ConfigError(f"{where}: {name} is no convolution in 8 bits; measure the shifts again")
        value, step = (numpy_helper.to_array(tensors[part]) for part in bias.input[:2])
        if len(by) != len(value):
            raise ConfigError(f"{where}: {len(by)} shifts for the {len(value)} channels of {name}; measure them again")
        limits = np.iinfo(np.int32)
        moved = np.clip(value + np.rint(np.asarray(by, np.float64) / step), limits.min, limits.max).astype(np.int32)
        tensors[bias.input[0]].CopyFrom(numpy_helper.from_array(moved, bias.input[0]))


def spanned(rows: Array, bias: Array, scale_in: Array) -> Array:
    """The largest weight of each row of (channels, n), never so small that the channel's bias would not fit int32.

    A channel that a network stopped using has weights of next to nothing, and what it always gives in its bias: 20 of
    the first 48 of nsfwjs.
    """
    least = WEIGHT_STEPS * np.abs(bias) / (scale_in * 2.0**30)
    largest: Array = np.maximum(np.abs(rows).max(axis=1), np.maximum(least, 1e-8).astype(rows.dtype))
    return largest


def dequantised(node: Any, weight: Stored, bias: Stored, new: list[tuple[str, Array]]) -> list[Any]:
    """Point a convolution at whole numbers: the nodes that turn them into its weight and bias. Adds them to `new`."""
    name = node.name or node.output[0]
    made = []
    for part, value, step in (weight, bias):
        names = [f"{name}/{part}", f"{name}/{part}/scale", f"{name}/{part}/zero"]
        new.extend([(names[0], value), (names[1], step), (names[2], np.zeros(step.shape, value.dtype))])
        made.append(helper.make_node("DequantizeLinear", names, [f"{name}/{part}/dq"], name=f"{name}/{part}/D", axis=0))
    node.input[1], node.input[2] = (made_node.output[0] for made_node in made)
    return made


def fitted(weight: Array, largest: Array) -> tuple[Array, Array]:
    """Steps and scale of each row of `weight` (channels, n): the scale with the least squared error, the sum kept.

    Weights that lie close together beside one that does not are lost on the widest scale. And what rounding adds up to
    in one channel moves everything behind it, because activations after a Relu are never negative: so those that were
    rounded with the largest error are rounded the other way until the sum is right.
    """
    least = np.full(len(weight), np.inf)
    scale = largest / WEIGHT_STEPS
    for share in np.linspace(0.6, 1.0, 21):
        tried = largest * share / WEIGHT_STEPS
        steps = np.clip(np.rint(weight / tried[:, None]), -WEIGHT_STEPS, WEIGHT_STEPS)
        error = ((steps * tried[:, None] - weight) ** 2).sum(axis=1)
        scale, least = np.where(error < least, tried, scale), np.minimum(error, least)
    scale = scale.astype(np.float32)
    exact = weight / scale[:, None]
    steps = np.clip(np.rint(exact), -WEIGHT_STEPS, WEIGHT_STEPS)
    for row, missing in enumerate(exact - steps):
        off = int(np.rint(missing.sum()))
        if off:
            nearest = np.argsort(-missing * np.sign(off), kind="stable")[: abs(off)]
            steps[row, nearest] = np.clip(steps[row, nearest] + np.sign(off), -WEIGHT_STEPS, WEIGHT_STEPS)
    return steps.astype(np.int8), scale


def paired(weight: Array, largest: Array) -> tuple[Array, Array]:
    """Steps and scale of each output of `weight` (out, depth, h, w), whose largest one is `largest`: half as coarse.

    A processor without VNNI adds the products of two neighbours in depth, from an even one on, in 16 bits. Few of
    them are both large and of one sign; such a pair is made smaller, and the scale is that of the least squared error.
    """
    if weight.shape[1] % 2:
        raise ConfigError(f"a depth of {weight.shape[1]} has no pairs; expected an even one")
    rows = weight.transpose(0, 2, 3, 1).reshape(len(weight), -1)
    least, scale = np.full(len(rows), np.inf), largest / WEIGHT_STEPS
    for finest in np.linspace(WEIGHT_STEPS, FINEST, 45):
        tried = largest / finest
        error = ((_pair_steps(rows / tried[:, None]) * tried[:, None] - rows) ** 2).sum(axis=1)
        scale, least = np.where(error < least, tried, scale), np.minimum(error, least)
    scale = scale.astype(np.float32)
    out, depth, high, wide = weight.shape
    steps = _pair_steps(rows / scale[:, None].astype(np.float64)).reshape(out, high, wide, depth)
    return np.ascontiguousarray(steps.transpose(0, 3, 1, 2)).astype(np.int8), scale


def _pair_steps(exact: Array) -> Array:
    """Whole numbers near to `exact` (n, even), of which no pair of one sign goes beyond PAIR_STEPS."""
    steps = np.clip(np.rint(exact), -LONE_STEPS, LONE_STEPS).reshape(len(exact), -1, 2)
    beyond = np.abs(steps.sum(axis=2)) - PAIR_STEPS
    less = np.ceil(np.maximum(beyond, 0) / 2)[..., None]
    whole: Array = (steps - np.sign(steps) * less).reshape(exact.shape)
    return whole
