"""PDQ's arithmetic: from pixels over 64 x 64 of brightness and 16 x 16 waves to 256 bits and a quality.

After "The TMK+PDQF video-hashing algorithm and the PDQ image-hashing algorithm" (Facebook, 2019) and its reference
implementation, bit for bit but where a wave is nothing but rounding.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

GRID, WAVES = 64, 16
LEAST_SIDE = 5
"""Pixels; the reference gives a smaller picture no hash: no bits, quality 0."""
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# The picture is averaged twice over a 128th of each side.
_WINDOWS = 2 * GRID
# Steps of brightness from pixel to pixel, in hundredths of the full range, that make a point of quality, and the most.
_STEPS, _BEST = 90, 100
_COSINES = (
    np.sqrt(2 / GRID) * np.cos(np.pi / (2 * GRID) * np.outer(np.arange(1, WAVES + 1), 2 * np.arange(GRID) + 1))
).astype(np.float32)
# What a mirror image does to the waves along one side.
_MIRROR = ((-1.0) ** np.arange(1, WAVES + 1)).astype(np.float32)


def grid_of(rgb: npt.NDArray[np.uint8]) -> Floats:
    """Brightness 0..255 of the picture (H, W, 3), averaged and taken at 64 x 64 places; zeros for one too small."""
    height, width = rgb.shape[:2]
    if min(height, width) < LEAST_SIDE:
        return np.zeros((GRID, GRID), np.float32)
    down, across = (((np.arange(GRID) + 0.5) * side / GRID).astype(int) for side in (height, width))
    seen: Floats = rgb @ _LUMA
    seen = _averaged(_averaged(seen.T, width).T, height)
    # Of the second time only what is taken is worked out.
    return _averaged(_averaged(seen.T, width, across).T, height, down)


def quality_of(grid: Floats) -> int:
    """How much there is in a picture to be told by, 0..100: the sum of its steps of brightness."""
    steps = sum(int(np.abs((np.diff(grid, axis=axis) * 100 / 255).astype(int)).sum()) for axis in (0, 1))
    return min(_BEST, steps // _STEPS)


def waves_of(grid: Floats) -> Floats:
    """The 16 x 16 lowest coefficients of the cosine transform, without the constant ones."""
    waves: Floats = _COSINES @ grid @ _COSINES.T
    return waves


def turns_of(waves: Floats) -> tuple[Floats, ...]:
    """The waves of the picture in its eight positions, itself first: a turn swaps sides, a mirror changes signs."""
    down, across = _MIRROR[:, None], _MIRROR[None]
    return tuple(way * sign for way in (waves, waves.T) for sign in (np.float32(1), across, down, down * across))


def bits_of(waves: Floats) -> bytes:
    """The hash, 32 bytes: a bit for each wave above the median, the last wave first."""
    return np.packbits((waves > np.sort(waves, axis=None)[waves.size // 2 - 1]).ravel()[::-1]).tobytes()


def _averaged(seen: Floats, side: int, taken: npt.NDArray[np.int_] | slice = slice(None)) -> Floats:
    """The rows `taken` of the running mean down the columns over a 128th of `side`, which is cut off at the edges."""
    window = -(-side // _WINDOWS)
    if window == 1:
        return seen[taken]
    count, after = len(seen), (window + 2) // 2
    at = np.arange(count)[taken]
    first, last = np.maximum(0, at - (window - after)), np.minimum(count, at + after)
    seen = np.ascontiguousarray(seen)
    # Row by row: all at once numpy takes three times as long, most of it for memory that it asks the system for.
    sums, mean = np.zeros((count + 1, seen.shape[1])), np.empty((len(at), seen.shape[1]), np.float32)
    for row in range(count):
        np.add(sums[row], seen[row], out=sums[row + 1])
    for row, (low, high) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
        mean[row] = (sums[high] - sums[low]) / (high - low)
    return mean
