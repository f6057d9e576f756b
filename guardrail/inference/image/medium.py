"""Medium: was it photographed or drawn? Told from how pixels lie beside each other, not from what they show.

Cameras leave grain, soft edges and many colours; drawings leave flat areas, hard edges and few. A generator that
paints grain, a drawing that was photographed and a photograph that was smoothed are all beyond this.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from guardrail.inference.image.align import Pixels
from guardrail.inference.image.frame import Frame

HEAD = "medium.json"
PATCH = 128  # edge of the four patches that are looked at without any shrinking
FEATURES = 24
MOST_SURE = 0.85  # of what held-out sources made it surest of, 0.84 was photographed: it never says more than it knows
Vector = NDArray[np.float32]


class MediumHead:
    """A standardised vector through one small hidden layer, in numpy. `label` names it in receipts."""

    def __init__(self, weights: Mapping[str, Any]) -> None:
        self.label = str(weights["label"])
        self._mean, self._scale = (np.array(weights[key], np.float32) for key in ("mean", "scale"))
        self._layers = [(np.array(w, np.float32), np.array(b, np.float32)) for w, b in weights["layers"]]

    @classmethod
    def packaged(cls) -> MediumHead:
        """The head that ships with Guardrail; how it came about is in models/medium."""
        text = files("guardrail.inference").joinpath("heads", HEAD).read_text(encoding="utf-8")
        return cls(json.loads(text))

    def probability(self, features: Vector) -> float:
        """Probability that the frame with these features was photographed, at most MOST_SURE."""
        # Beyond what was seen in training, a feature says no more than the farthest one that was.
        x = np.clip((features - self._mean) / self._scale, -4, 4)
        for weight, bias in self._layers[:-1]:
            x = np.tanh(x @ weight + bias)
        weight, bias = self._layers[-1]
        return min(MOST_SURE, float(1 / (1 + np.exp(-np.clip((x @ weight + bias)[0], -30, 30)))))


def features(frame: Frame) -> Vector:
    """What the head looks at: FEATURES numbers about flatness, edges, grain and colours of one frame.

    Four patches at full size, an average of the whole at 128 to 256 pixels, and the colours of the latter.
    """
    small = _planes(frame.shrunk(256))
    return np.concatenate([_texture(_patches(frame.rgb)), _texture(_grey(small)[None]), _colours(small)])


def _patches(rgb: Pixels) -> NDArray[np.int16]:
    """(4, h, w) luma of the patches."""
    height, width = rgb.shape[:2]
    side_y, side_x = min(PATCH, height), min(PATCH, width)
    tops = [round((height - side_y) * share) for share in (0.3, 0.7)]
    lefts = [round((width - side_x) * share) for share in (0.3, 0.7)]
    parts = (rgb[top : top + side_y, left : left + side_x] for top in tops for left in lefts)
    return np.stack([_grey(_planes(part)) for part in parts])


def _planes(rgb: Pixels) -> tuple[Pixels, Pixels, Pixels]:
    """Red, green and blue, (h, w) each and without gaps: what is done with them then takes a third of the time."""
    red, green, blue = (np.ascontiguousarray(rgb[..., channel]) for channel in range(3))
    return red, green, blue


def _grey(planes: tuple[Pixels, Pixels, Pixels]) -> NDArray[np.int16]:
    """(h, w) luma in grey levels."""
    red, green, blue = (plane.astype(np.int16) for plane in planes)
    luma: NDArray[np.int16] = (red * 5 + green * 9 + blue * 2) >> 4
    return luma


def _texture(grey: NDArray[np.int16]) -> Vector:
    """Nine numbers about how neighbouring pixels differ."""
    step = np.abs(np.diff(grey, axis=2))
    if step.size == 0:
        return np.zeros(9, np.float32)
    counts = np.bincount(step.ravel(), minlength=256)[:256].astype(np.float64)
    share = counts / counts.sum()
    up_to = np.cumsum(share)
    bend = np.abs(np.diff(grey, n=2, axis=2)) if grey.shape[2] > 2 else step
    bends = np.bincount(bend.ravel(), minlength=512)[:512] / bend.size
    mean_step = float((share * np.arange(256)).sum())
    p99 = float(np.searchsorted(up_to, 0.99))
    return np.array(
        [
            share[0],
            share[1] + share[2],
            up_to[8] - up_to[2],
            1 - up_to[32],
            np.log1p(mean_step),
            np.log1p(p99 / (mean_step + 0.1)),
            bends[0],
            bends[1:4].sum(),
            np.log1p(float((bends * np.arange(512)).sum()) / (mean_step + 0.1)),
        ],
        np.float32,
    )


def _colours(planes: tuple[Pixels, Pixels, Pixels]) -> Vector:
    """Six numbers about how many colours there are and how strong."""
    red, green, blue = (plane.ravel() for plane in planes)
    codes = (red >> 4).astype(np.int16) << 8 | (green & 0xF0).astype(np.int16) | (blue >> 4)
    share = np.sort(np.bincount(codes, minlength=4096))[::-1] / len(codes)
    used = share[share > 0]
    lowest, highest = np.minimum(np.minimum(red, green), blue), np.maximum(np.maximum(red, green), blue)
    return np.array(
        [
            used[0],
            used[:8].sum(),
            -float((used * np.log2(used)).sum()),
            np.log1p(len(used)),
            float((highest - lowest).mean()) / 255,
            float(np.mean((lowest == 0) | (highest == 255))),
        ],
        np.float32,
    )
