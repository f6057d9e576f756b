"""nsfwjs' MobileNetV2 ("mid") in 8 bits, from the JavaScript modules that it is published in.

The modules are read as literals and never run. The ranges of the activations, and what rounding takes from the first
and the last convolution, were measured on harmless pictures by scripts of `models/exposure` and lie beside this module.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from guardrail.errors import ConfigError
from guardrail.inference.build.blocks import in_blocks
from guardrail.inference.build.literal import exported
from guardrail.inference.build.quantise import quantised, shifted
from guardrail.inference.build.tfjs import Array, Graph, weights

MODEL, SHARDS = "model.min.js", ("group1-shard1of2.min.js", "group1-shard2of2.min.js")
RANGES, SHIFTS = "nsfwjs_ranges.json", "nsfwjs_shifts.json"
CLASSES = ("drawing", "hentai", "neutral", "porn", "sexy")
SIDE = 224
LEVEL = 127.5  # the network reads pixels less this, by this
# What stays in float, by what the names of its tensors contain: the first convolution, which `in_blocks` replaces.
FLOAT = ("sub_2",)


def build(sources: Mapping[str, Path], out: Path) -> None:
    """Write the 8-bit graph: `image`, N x 113 x 113 x 16, to `shares`, N x 5 in the order of CLASSES.

    The picture comes in blocks (`guardrail.inference.build.blocks`) that begin with it and end two pixels after it.
    """
    told, shifts = (
        json.loads(files("guardrail.inference.build").joinpath(name).read_text("utf-8")) for name in (RANGES, SHIFTS)
    )
    ranges = {name: (low, high) for name, (low, high) in told["ranges"].items()}
    model = quantised(published(sources), ranges, keep=FLOAT, where="nsfwjs", fit=True)
    in_blocks(model, mean=(LEVEL,) * 3, spread=(LEVEL,) * 3, where="nsfwjs")
    shifted(model, shifts["shifts"], where="nsfwjs")
    out.write_bytes(model.SerializeToString(deterministic=True))


def published(sources: Mapping[str, Path]) -> Any:
    """The float graph as it is published: an ONNX model with the same input and output.

    Raises ConfigError when a module is not a literal, or holds another network.
    """
    told = exported(sources[MODEL].read_text("utf-8"), MODEL)
    try:
        body = b"".join(base64.b64decode(exported(sources[s].read_text("ascii"), s), validate=True) for s in SHARDS)
        found = weights(told["weightsManifest"], body, MODEL)
        return _Reader(found).model(told["modelTopology"]["node"])
    except (KeyError, TypeError, IndexError, binascii.Error, UnicodeDecodeError) as error:
        raise ConfigError(f"{MODEL} is not the network that was measured: {type(error).__name__} {error}") from error


class _Reader:
    """Walks the nodes of a TensorFlow.js graph, each after those that it reads."""

    def __init__(self, found: Mapping[str, Array]) -> None:
        self._constants = found
        self._graph = Graph()
        self._made: dict[str, str] = {}

    def model(self, nodes: list[dict[str, Any]]) -> Any:
        for node in nodes:
            if node["op"] != "Const":
                self._made[node["name"]] = self._node(node)
        self._graph.add("Identity", [self._made["Identity"]], out="shares")
        return self._graph.model({"image": ["N", SIDE, SIDE, 3]}, {"shares": ["N", len(CLASSES)]})

    def _node(self, node: Mapping[str, Any]) -> str:
        graph, kind = self._graph, node["op"]
        names = [str(name).partition(":")[0] for name in node.get("input", ())]
        made = [self._made[name] for name in names if name in self._made]
        known = [self._constants[name] for name in names if name in self._constants]
        if len(made) + len(known) != len(names):
            raise ConfigError(f"{MODEL}: {node['name']} reads what no node before it computes")
        match kind:
            case "Placeholder":
                out = graph.picture("image")
            case "_FusedConv2D" | "FusedDepthwiseConv2dNative":
                out = self._convolution(node, made[0], known)
            case "AddV2":
                out = graph.add("Add", made)
            case "Mul" | "Sub":
                out = graph.add(kind, [*made, graph.constant(known[0].reshape(-1)[:1])])
            case "AvgPool":  # 7 x 7, over all that is left of the picture
                out = graph.add("GlobalAveragePool", made)
            case "Squeeze":  # takes height and width off the pooled 1 x 1
                out = graph.add("Flatten", made, axis=1)
            case "_FusedMatMul":
                out = graph.add("Gemm", [*made, graph.constant(known[0]), graph.constant(known[1])])
            case "Softmax":
                out = graph.add("Softmax", made, axis=-1)
            case "Identity":
                out = made[0]
            case _:
                raise ConfigError(f"{MODEL}: operator {kind} is not part of the network that was measured")
        return out

    def _convolution(self, node: Mapping[str, Any], x: str, known: list[Array]) -> str:
        attributes = node["attr"]
        fused = [base64.b64decode(word).decode("ascii") for word in attributes["fused_ops"]["list"]["s"]]
        strides = [int(step) for step in attributes["strides"]["list"]["i"]]
        padding = base64.b64decode(attributes["padding"]["s"])
        if padding != b"SAME" or fused not in (["BiasAdd"], ["BiasAdd", "Relu6"]) or strides[1] != strides[2]:
            raise ConfigError(f"{MODEL}: {node['name']} is a convolution of another kind than was measured")
        make = self._graph.conv if node["op"] == "_FusedConv2D" else self._graph.depthwise
        x = make(x, known[0], known[1], stride=strides[1])
        return self._graph.clip(x, 0.0, 6.0) if "Relu6" in fused else x
