"""NanoDet-g's person head from the TensorFlow.js graph that it is published in.

The graph came from ONNX, so it turns its tensors back and forth around every convolution; here they stay N x C x H x W
throughout. Of the eighty things that the heads tell only "person" is kept, and the picture may have any size that 32
divides.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from guardrail.errors import ConfigError
from guardrail.inference.build.blocks import in_blocks
from guardrail.inference.build.quantise import quantised
from guardrail.inference.build.tfjs import Array, Graph, weights

MODEL, BODY = "nanodet.json", "nanodet.bin"
RANGES = "nanodet_ranges.json"
PUBLISHED_EDGE = 416  # what the published graph reads; its resizes name their sizes for that
CLASSES, BINS = 80, 11
# What the network was taught with, as R, G, B (config/legacy_v0.x_configs/nanodet-g.yml).
MEAN, SPREAD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
# What stays in float, by what the names of its tensors contain: the first convolution, which `in_blocks` replaces.
FLOAT = ("transpose_0",)
_HEADS = {8: "PartitionedCall/Add_29", 16: "PartitionedCall/Add_33", 32: "PartitionedCall/Add_37"}


def build(sources: Mapping[str, Path], out: Path) -> None:
    """Write the 8-bit graph: `image`, N x (H/2 + 1) x (W/2 + 1) x 16, to `heads_8`, `heads_16` and `heads_32`.

    The picture comes in blocks (`guardrail.inference.build.blocks`) that begin one pixel before it. Each answer is
    N x 45 x H/s x W/s: the logit of "person", and 11 numbers for each of left, top, right and bottom whose softmax says
    how many strides the edge is away.
    """
    told = json.loads(files("guardrail.inference.build").joinpath(RANGES).read_text("utf-8"))
    ranges = {name: (low, high) for name, (low, high) in told["ranges"].items()}
    model = published(sources)
    _pool_first(model.graph)
    model = quantised(model, ranges, keep=FLOAT, where="nanodet", fit=True)
    in_blocks(model, mean=MEAN, spread=SPREAD, where="nanodet")
    out.write_bytes(model.SerializeToString(deterministic=True))


def published(sources: Mapping[str, Path]) -> Any:
    """The float graph: an ONNX model with the same input and outputs. Raises ConfigError for another network."""
    try:
        told = json.loads(sources[MODEL].read_text("utf-8"))
        found = weights(told["weightsManifest"], sources[BODY].read_bytes(), MODEL)
        return _Reader(told["modelTopology"]["node"], found).model()
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise ConfigError(f"{MODEL} is not the network that was measured: {type(error).__name__} {error}") from error


def _pool_first(graph: Any) -> None:
    """Let the first LeakyRelu come after the MaxPool that follows it: the same numbers from a quarter of the work."""
    at = next(index for index, node in enumerate(graph.node) if node.op_type == "MaxPool")
    leaky, pool = graph.node[at - 1], graph.node[at]
    before, between, after = leaky.input[0], "pooled", pool.output[0]
    pool.input[0], pool.output[0], leaky.input[0], leaky.output[0] = before, between, between, after
    nodes = list(graph.node)
    nodes[at - 1 : at + 1] = [pool, leaky]
    del graph.node[:]
    graph.node.extend(nodes)


class _Reader:
    """Makes what the heads need of a TensorFlow.js graph, whose nodes come each after those that it reads."""

    def __init__(self, nodes: list[dict[str, Any]], found: Mapping[str, Array]) -> None:
        self._nodes = [node for node in nodes if node["op"] != "Const"]
        self._constants = found
        self._graph = Graph()
        self._made: dict[str, tuple[str, int]] = {}  # what a node computes, and the edge it has at PUBLISHED_EDGE
        self._pads: dict[str, list[int]] = {}
        self._unbiased: dict[str, tuple[Array, dict[str, Any]]] = {}  # convolutions that wait for their bias

    def model(self) -> Any:
        for node in self._nodes:
            self._take(node)
        for stride, head in _HEADS.items():
            self._graph.add("Identity", [self._made[head][0]], out=f"heads_{stride}")
        maps = {f"heads_{stride}": ["N", 1 + 4 * BINS, f"H{stride}", f"W{stride}"] for stride in _HEADS}
        return self._graph.model({"image": ["N", "H", "W", 3]}, maps)

    def _take(self, node: Mapping[str, Any]) -> None:
        name, kind = str(node["name"]), node["op"]
        read = [str(each).partition(":")[0] for each in node.get("input", ())]
        if kind != "Placeholder" and not any(each in self._made for each in read):
            return  # works out the shape of an answer
        made = [self._made[each] for each in read if each in self._made]
        known = [self._constants[each] for each in read if each in self._constants]
        if kind in {"Pad", "PadV2"}:
            self._pads[name] = [int(edge) for edge in known[0].reshape(-1)]
            self._made[name] = made[0]
        elif kind == "Transpose":
            if read[0] in self._pads:
                self._pads[name] = self._pads[read[0]]
            self._made[name] = made[0]
        elif kind in {"SplitV", "Sigmoid", "Reshape", "Identity"}:
            return  # beyond the heads
        else:
            pads = self._pads.get(read[0], [0] * 8) if read else []
            self._made[name] = self._node(node, made, known, pads)

    def _node(
        self, node: Mapping[str, Any], made: list[tuple[str, int]], known: list[Array], pads: list[int]
    ) -> tuple[str, int]:
        graph, kind = self._graph, node["op"]
        x, edge = made[0] if made else ("", PUBLISHED_EDGE)
        match kind:
            case "Placeholder":
                x = graph.picture("image")
            case "Conv2D":
                x, edge = self._convolution(node, x, edge, known[0], pads)
            case "Add" if known:
                kernel, how = self._unbiased.pop(str(node["input"][0]))
                x = graph.add("Conv", [x, graph.constant(kernel), graph.constant(_kept(known[0]))], **how)
            case "Add":
                x = graph.add("Add", [name for name, _ in made])
            case "LeakyRelu":
                x = graph.add("LeakyRelu", [x], alpha=float(node["attr"]["alpha"]["f"]))
            case "MaxPool":
                size, step = (int(node["attr"][key]["list"]["i"][1]) for key in ("ksize", "strides"))
                x = graph.add("MaxPool", [x], kernel_shape=[size, size], strides=[step, step], pads=_edges(pads))
                edge //= step
            case "ConcatV2":
                x = graph.add("Concat", [name for name, _ in made], axis=1)
            case "ResizeBilinear":
                x, edge = self._resized(node, x, edge, int(known[0].reshape(-1)[0]))
            case _:
                raise ConfigError(f"{MODEL}: operator {kind} is not part of the network that was measured")
        return x, edge

    def _convolution(
        self, node: Mapping[str, Any], x: str, edge: int, kernel: Array, pads: list[int]
    ) -> tuple[str, int]:
        step = int(node["attr"]["strides"]["list"]["i"][1])
        if base64.b64decode(node["attr"]["padding"]["s"]) != b"VALID":
            raise ConfigError(f"{MODEL}: {node['name']} is a convolution of another kind than was measured")
        if kernel.shape[2] == 3:  # the first one: R, G, B here, B, G, R there
            kernel = kernel[:, :, ::-1]
        how = {"strides": [step, step], "pads": _edges(pads), "kernel_shape": list(kernel.shape[:2])}
        self._unbiased[str(node["name"])] = _kept(kernel.transpose(3, 2, 0, 1)), how
        return x, edge // step

    def _resized(self, node: Mapping[str, Any], x: str, edge: int, to: int) -> tuple[str, int]:
        graph, halves = self._graph, bool(node["attr"].get("half_pixel_centers", {}).get("b"))
        scale = graph.constant(np.array([1, 1, to / edge, to / edge], np.float32))
        mode = "half_pixel" if halves else "asymmetric"
        how = {"mode": "linear", "coordinate_transformation_mode": mode}
        return graph.add("Resize", [x, graph.constant(np.array([], np.float32)), scale], **how), to


def _kept(values: Array) -> Array:
    """Of what belongs to a head's outputs, along the first axis, that of "person" and of the edges."""
    return np.concatenate([values[:1], values[CLASSES:]]) if len(values) == CLASSES + 4 * BINS else values


def _edges(pads: list[int]) -> list[int]:
    """TensorFlow's padding, before and after of each axis, as ONNX writes it for height and width."""
    return [pads[4], pads[6], pads[5], pads[7]]
