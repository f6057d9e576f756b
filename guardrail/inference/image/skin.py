"""Skin tones: where it is worth looking for a person. Never what is there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from guardrail.inference.image.align import Pixels


def skin_share(pixels: Pixels) -> float:
    """Share of R, G, B pixels (n, 3) with a skin tone, by chroma alone so that it holds for dark and light skin.

    Pixels without any colour answer 1.0: there a tone says nothing. The Cb and Cr range is that of Chai and Ngan
    1999; wood and sand fall in it too, so this can only say where it is worth looking, never what is there.
    """
    return float(skin_shares(pixels[None])[0])


def skin_shares(patches: Pixels) -> NDArray[np.float64]:
    """`skin_share` of each of n patches, (n, m, 3)."""
    cb, cr = _chroma(patches)
    away = np.maximum(np.abs(cb - 128), np.abs(cr - 128)).max(axis=1, initial=0.0)
    return np.where(away < 3, 1.0, _toned(cb, cr).mean(axis=1))


def skin_tones(pixels: Pixels) -> NDArray[np.bool_]:
    """Which of R, G, B pixels (n, 3) have a skin tone."""
    return _toned(*_chroma(pixels))


def _chroma(pixels: Pixels) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    red, green, blue = (pixels[..., colour].astype(np.float32) for colour in range(3))  # without gaps: half the time
    cb = 128 - 0.168736 * red - 0.331264 * green + 0.5 * blue
    cr = 128 + 0.5 * red - 0.418688 * green - 0.081312 * blue
    return cb, cr


def _toned(cb: NDArray[np.float32], cr: NDArray[np.float32]) -> NDArray[np.bool_]:
    return (cb >= 77) & (cb <= 127) & (cr >= 133) & (cr <= 173)
