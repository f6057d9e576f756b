"""Alignment: from five landmarks to the square chip that a face model was taught on.

Every model has a template: where the eyes, nose and mouth corners lie in its chip, as fractions of the chip's edge.
A chip cut by another template is another picture to the model, so the templates are here, once, with their sources.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from guardrail.inference.image.frame import Frame, cut, size_of

Pixels = NDArray[np.uint8]
Points = NDArray[np.float32]

# Order of the five points everywhere: right eye (on the left of the picture), left eye, nose, right and left mouth
# corner. ARCFACE: the 112-pixel template published with InsightFace, which SFace was trained on. DLIB: the 64-pixel
# chip with padding 0.2 that age-v1 expects, as the median of these landmarks over 103 dlib chips.
ARCFACE: Points = np.array(
    [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)], np.float32
) / np.float32(112)
DLIB: Points = np.array(
    [(0.2924, 0.2942), (0.6913, 0.2938), (0.4914, 0.5365), (0.3151, 0.7187), (0.6719, 0.7162)], np.float32
)


def similarity(source: Points, target: Points) -> NDArray[np.float64]:
    """The rotation, uniform scale and shift that bring `source` nearest to `target` (least squares).

    Both are (n, 2) points, n >= 2, not all equal. Returns a (2, 3) matrix: `target ~ source @ M[:, :2].T + M[:, 2]`.
    Mirroring is never used. Umeyama 1991, for two dimensions in closed form.
    """
    a, b = source.astype(np.float64), target.astype(np.float64)
    centre_a, centre_b = a.mean(axis=0), b.mean(axis=0)
    a, b = a - centre_a, b - centre_b
    spread = float((a * a).sum())
    if spread <= 1e-12:
        raise ValueError("similarity: all source points are equal; expected landmarks of a face")
    along = float((a * b).sum()) / spread
    across = float((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()) / spread
    turn = np.array([[along, -across], [across, along]])
    return np.column_stack([turn, centre_b - turn @ centre_a])


def chip(source: Frame | Pixels, landmarks: Points, template: Points, side: int) -> Pixels:
    """Cut the square of `side` pixels out of `source` in which `landmarks` lie as in `template`.

    `source` is a frame, or uint8 (H, W, 3); `landmarks` are (5, 2) pixels of it. What lies outside the picture is
    black. Only the part that is needed is touched; it is shrunk by a whole factor first, so that a large face is
    averaged and not sampled. Returns uint8 (side, side, 3).
    """
    to_picture = _inverse(similarity(landmarks, template * side))
    corners = np.array([(0, 0), (side, 0), (0, side), (side, side)], np.float64)
    covered = corners @ to_picture[:, :2].T + to_picture[:, 2]
    width, height = size_of(source)
    scale = math.hypot(to_picture[0, 0], to_picture[1, 0])
    margin = 2 * max(1, math.floor(scale))
    left = int(np.clip(math.floor(covered[:, 0].min()) - margin, 0, width - 1))
    top = int(np.clip(math.floor(covered[:, 1].min()) - margin, 0, height - 1))
    right = int(np.clip(math.ceil(covered[:, 0].max()) + margin, left + 1, width))
    bottom = int(np.clip(math.ceil(covered[:, 1].max()) + margin, top + 1, height))
    part, factor, left, top = cut(source, (left, top, right, bottom), scale)
    shifted = to_picture.copy()
    shifted[:, 2] -= (left, top)
    shifted /= factor
    seen = part.transform((side, side), Image.Transform.AFFINE, tuple(shifted.ravel()), Image.Resampling.BILINEAR)
    return np.asarray(seen)


def _inverse(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    turn = np.linalg.inv(matrix[:, :2])
    return np.column_stack([turn, -turn @ matrix[:, 2]])
