"""A SentencePiece model file from pieces and scores: the tokeniser beside a graph.

Written by hand in the wire format of sentencepiece_model.proto, so that no package for it is needed. Texts are taken as
they are (the fold has brought them to NFKC), but for white space: runs become one, and a text begins with one.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

# Of sentencepiece_model.proto: the types of a piece, and the model type of a unigram.
_UNKNOWN, _CONTROL = 2, 3
_UNIGRAM = 1


def model(pieces: Sequence[str], scores: Sequence[float], *, unknown: int, control: Sequence[int]) -> bytes:
    """The file's bytes. `unknown` and `control` are indices of pieces that no text matches."""
    kinds = {unknown: _UNKNOWN, **dict.fromkeys(control, _CONTROL)}
    out = []
    for i, (piece, score) in enumerate(zip(pieces, scores, strict=True)):
        entry = _bytes(1, piece.encode()) + _varint(2 << 3 | 5) + struct.pack("<f", score)
        if i in kinds:
            entry += _number(3, kinds[i])
        out.append(_bytes(1, entry))
    # Ids of begin, end and padding are set to none: the caller puts the marks on.
    trainer = _number(3, _UNIGRAM) + _number(40, unknown) + b"".join(_number(field, -1) for field in (41, 42, 43))
    normaliser = _bytes(1, b"identity") + b"".join(_number(field, 1) for field in (3, 4, 5))
    return b"".join(out) + _bytes(2, trainer) + _bytes(3, normaliser)


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value
