"""Blocks: a picture as squares of 2 x 2 pixels, sixteen bytes each, as `guardrail.inference.build.blocks` reads it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


def filled(height: int, width: int, colour: Sequence[int]) -> Pixels:
    """A canvas of one colour (R, G, B): uint8 (height, width, 4), the fourth byte 0."""
    canvas = np.empty((height, width), np.uint32)
    canvas[:] = np.array([*colour, 0], np.uint8).view(np.uint32)[0]
    return canvas.view(np.uint8).reshape(height, width, 4)


def blocks(canvas: Pixels) -> Pixels:
    """uint8 (1, H / 2, W / 2, 16) of a canvas (H, W, 4) with even sides: row by row the four pixels of each square."""
    height, width = canvas.shape[0] // 2, canvas.shape[1] // 2
    pairs = canvas.reshape(2 * height, -1).view(np.uint64).reshape(height, 2, width)
    cut = np.ascontiguousarray(pairs.transpose(0, 2, 1))
    return cut.view(np.uint8).reshape(1, height, width, 16)
