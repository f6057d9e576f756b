"""The two exposure nets: what stays in float in 8 bits, how a picture goes in, which number comes out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from guardrail.inference.build import nsfwjs, open_nsfw
from guardrail.inference.image.decode import Limits, decode
from guardrail.inference.image.nudity import blocked, framed

Inputs = tuple[np.ndarray, np.ndarray]
"""What the published float graph reads of a picture, and what the 8-bit build does."""


def open_nsfw_reads(path: Path) -> Inputs:
    """float32 (1, 224, 224, 3), B, G, R minus the mean, and the same in blocks; without the JPEG round trip."""
    square = np.ascontiguousarray(decode(path.read_bytes(), Limits()).frames[0].square(256)[16:240, 16:240])
    return (square[:, :, ::-1].astype(np.float32) - np.array(open_nsfw.MEAN, np.float32))[None], framed(square)


def nsfwjs_reads(path: Path) -> Inputs:
    """float32 (1, 224, 224, 3), R, G, B from 0 to 1, and the same in blocks."""
    square = decode(path.read_bytes(), Limits()).frames[0].square(nsfwjs.SIDE)
    return (square.astype(np.float32) / 255)[None], blocked(square)


NETS = {
    "open-nsfw": (open_nsfw.FLOAT, open_nsfw_reads, lambda answer: answer[0, 1]),
    "nsfwjs": (nsfwjs.FLOAT, nsfwjs_reads, lambda answer: answer[0, 1] + answer[0, 3]),
}
