"""YuNet: from a picture to face boxes, landmarks and scores.

The graph answers for every cell of three grids; what is here turns that into boxes in pixels of the picture.
Wu et al. 2023, "YuNet: A Tiny Millisecond-level Face Detector"; decoding as in OpenCV's FaceDetectorYN.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from guardrail.errors import CheckError
from guardrail.inference.image.align import Pixels

STRIDES = (8, 16, 32)
MOST_BEFORE_NMS = 400  # boxes looked at for overlaps: bounds the work on a picture made of faces
NMS_IOU = 0.3  # OpenCV's default for this model

Found = NDArray[np.float32]
"""Rows of 15: x0, y0, x1, y1, five (x, y) landmarks, score; pixels of the picture given."""


def detect(session: Any, view: Pixels, at_least: float, scale: float = 1.0) -> Found:
    """Faces of `view` with a score of `at_least`, best first, overlaps removed.

    `view` is uint8 (h, w, 3), already of the size to search at; `at_least` lies between 0 and 1. Returns float32
    (n, 15) in pixels of `view` times `scale`. Boxes may reach a little beyond the picture.
    """
    rows = boxes(session, view, at_least, scale)
    return rows[keep(rows)]


def boxes(session: Any, view: Pixels, at_least: float, scale: float = 1.0) -> Found:
    """What `detect` answers with overlaps left in, at most MOST_BEFORE_NMS.

    Raises CheckError where an answer is no number: it is neither above nor below a score, so nobody would be found.
    """
    height, width = view.shape[:2]
    padded = np.empty((1, 3, _up32(height), _up32(width)), np.float32)
    padded[:, :, height:] = padded[:, :, :, width:] = 0.0
    for at in range(3):  # the graph reads B, G, R; a colour at a time is faster than all at once
        padded[0, at, :height, :width] = view[:, :, 2 - at]
    answers = session.run([f"heads_{stride}" for stride in STRIDES], {session.get_inputs()[0].name: padded})
    rows = np.concatenate([_decode(heads[0], stride, at_least) for heads, stride in zip(answers, STRIDES, strict=True)])
    rows = rows[np.argsort(-rows[:, 14], kind="stable")][:MOST_BEFORE_NMS]
    rows[:, :14] *= scale
    return rows


def keep(rows: Found, iou: float = NMS_IOU) -> list[int]:
    """Which rows stay when of overlapping ones only the best does; `rows` come best first."""
    areas = (rows[:, 2] - rows[:, 0]) * (rows[:, 3] - rows[:, 1])
    kept: list[int] = []
    alive = np.ones(len(rows), bool)
    for i in range(len(rows)):
        if not alive[i]:
            continue
        kept.append(i)
        wide = np.minimum(rows[i, 2], rows[:, 2]) - np.maximum(rows[i, 0], rows[:, 0])
        high = np.minimum(rows[i, 3], rows[:, 3]) - np.maximum(rows[i, 1], rows[:, 1])
        shared = np.maximum(wide, 0) * np.maximum(high, 0)
        alive &= shared <= iou * (areas + areas[i] - shared)
    return kept


def _decode(heads: NDArray[np.float32], stride: int, at_least: float) -> Found:
    """Faces among the cells of one grid, (16, h, w): two logits, the box, the landmarks."""
    if not np.isfinite(heads).all():
        raise CheckError("yunet gave no finite answer: the model is damaged")
    # The score is the root of a product of two probabilities, so neither lies below its square: few cells are left.
    down, across = np.nonzero(np.minimum(heads[0], heads[1]) >= math.log(at_least**2 / (1 - at_least**2)) - 1e-3)
    if not len(down):
        return np.zeros((0, 15), np.float32)
    sure, there = 1.0 / (1.0 + np.exp(-np.clip(heads[:2, down, across], -30, 30)))
    score = np.sqrt(sure * there)
    enough = score >= at_least
    down, across, score = down[enough], across[enough], score[enough]
    found = heads[2:, down, across].T
    cell = np.stack([across, down], axis=1).astype(np.float32)
    centre = (cell + found[:, :2]) * stride
    half = np.exp(np.clip(found[:, 2:4], -10, 6)) * (stride / 2)
    landmarks = (found[:, 4:].reshape(-1, 5, 2) + cell[:, None]) * stride
    return np.concatenate(
        [centre - half, centre + half, landmarks.reshape(-1, 10), score[:, None]], axis=1, dtype=np.float32
    )


def _up32(edge: int) -> int:
    return max(32, -(-edge // 32) * 32)
