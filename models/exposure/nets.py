"""The two exposure nets: what stays in float in 8 bits, how a picture goes in, which number comes out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from guardrail.inference.build import nsfwjs, open_nsfw
from guardrail.inference.image.decode import Limits, decode

MEAN_BGR = np.array([104, 117, 123], np.float32)


def open_nsfw_reads(path: Path) -> np.ndarray:
    """float32 (1, 224, 224, 3), B, G, R minus the mean. The JPEG round trip is left out: both graphs read the same."""
    frame = decode(path.read_bytes(), Limits()).frames[0]
    return (frame.square(256)[16:240, 16:240, ::-1].astype(np.float32) - MEAN_BGR)[None]


def nsfwjs_reads(path: Path) -> np.ndarray:
    """float32 (1, 224, 224, 3), R, G, B from 0 to 1."""
    frame = decode(path.read_bytes(), Limits()).frames[0]
    return (frame.square(nsfwjs.SIDE).astype(np.float32) / 255)[None]


NETS = {
    "open-nsfw": (open_nsfw.FLOAT, open_nsfw_reads, lambda answer: answer[0, 1]),
    "nsfwjs": (nsfwjs.FLOAT, nsfwjs_reads, lambda answer: answer[0, 1] + answer[0, 3]),
}
