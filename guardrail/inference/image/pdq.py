"""PDQ: a picture's perceptual hash of 256 bits, which survives re-encoding, scaling and light edits.

Two pictures whose hashes differ in at most 31 bits are taken for the same (the threshold that PDQ's authors publish).
A crop, a border or a heavy edit makes another hash: a bank of hashes finds copies, not variations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from guardrail.inference.image.frame import Frame, packed
from guardrail.inference.image.pdq_bits import GRID, Floats, bits_of, grid_of, quality_of, turns_of, waves_of

Pixels = npt.NDArray[np.uint8]

BITS = 256
MATCH_BITS = 31
"""PDQ_CONFIDENT_MATCH_THRESHOLD of the reference implementation."""
MIN_QUALITY = 50
"""Below this the reference discards a hash: the picture has too little in it to be told from another."""
NATIVE_SIDE = 512
SQUARE = 256
"""A picture over NATIVE_SIDE pixels is hashed from its 64 x 64 grid, made of the square of 256 that other checks share:
the 34 ms of 1024 x 1024 become 1. The hash keeps near to that of the whole picture (`models/likeness/measure.py`)."""
THIN_SIDE = 384
"""What is longer than NATIVE_SIDE and narrower than SQUARE is shrunk to at most this. PDQ's filter is as wide as 128ths
of the picture; an odd width (384 / 128 = 3) stays centred, an even one shifts."""


@dataclass(frozen=True)
class Hash:
    """A PDQ hash: 32 bytes, and the quality 0..100 of the picture it was made from."""

    bits: bytes
    quality: int = 100

    @property
    def hex(self) -> str:
        """The hash as it is exchanged: 64 lower-case hex digits."""
        return self.bits.hex()

    @property
    def usable(self) -> bool:
        """True when the picture had enough in it for its hash to mean something."""
        return self.quality >= MIN_QUALITY


def hash_of(picture: Frame | Pixels) -> Hash:
    """The hash of a frame, or of uint8 pixels (H, W, 3), R G B. Palette, CMYK and 16-bit must be converted before."""
    grid = _brightness(*_fitted(picture))
    return Hash(bits_of(waves_of(grid)), quality_of(grid))


def turned(picture: Frame | Pixels, *, glimpse: bool = False) -> tuple[Hash, ...]:
    """The hashes of the picture in its eight positions: as it is, three turns, and the mirror images of these.

    Nearly as cheap as one: they are read off one transform. A turned copy is found by looking up all eight. A
    picture that was dimmed until it has no usable hash is hashed with its contrast stretched to the full range.
    `glimpse` says that `picture` is the square of SQUARE which is kept of a frame of whatever size.
    """
    fitted, large = _fitted(picture)
    large = large or glimpse
    grid = _brightness(fitted, large)
    if quality_of(grid) < MIN_QUALITY:
        grid = _brightness(_stretched(fitted), large)
    quality = quality_of(grid)
    return tuple(Hash(bits_of(waves), quality) for waves in turns_of(waves_of(grid)))


def _stretched(rgb: Pixels) -> Pixels:
    """Contrast stretched so that all but the darkest and lightest 1 % span the full range; flat ones stay flat."""
    cumulative = np.bincount(rgb.reshape(-1), minlength=256).cumsum()
    low = int(np.searchsorted(cumulative, 0.01 * cumulative[-1]))
    high = int(np.searchsorted(cumulative, 0.99 * cumulative[-1]))
    table = np.clip((np.arange(256) - low) * (255.0 / max(high - low, 1)), 0, 255).astype(np.uint8)
    stretched: Pixels = table[rgb]
    return stretched


def _fitted(picture: Frame | Pixels) -> tuple[Pixels, bool]:
    """The pixels that are hashed, and whether they are the square of a larger picture."""
    if isinstance(picture, Frame):
        if max(picture.width, picture.height) > NATIVE_SIDE and min(picture.width, picture.height) >= SQUARE:
            return picture.square(SQUARE, 1.0), True
        picture = picture.rgb
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or 0 in picture.shape:
        raise ValueError(f"uint8 pixels (H, W, 3) are expected, these are {picture.dtype} {picture.shape}")
    height, width = picture.shape[:2]
    if max(height, width) <= NATIVE_SIDE:
        return packed(picture), False
    large = min(height, width) >= SQUARE
    size = (SQUARE, SQUARE) if large else (min(width, THIN_SIDE), min(height, THIN_SIDE))
    # reducing_gap=1: whole factors by box filter first, at no measured loss of parity and half the cost.
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR, reducing_gap=1.0)), large


def _brightness(pixels: Pixels, large: bool) -> Floats:
    return grid_of(_grid(pixels) if large else pixels)


def _grid(square: Pixels) -> Pixels:
    """The GRID x GRID pixels of a square of SQUARE that PDQ's filter would leave; a picture of that size it keeps.

    PDQ averages twice over a 128th of the picture and takes every 64th: a triangle over a 32nd, which in pixels of the
    square are the weights 1, 3, 3, 1, down and across.
    """
    step = SQUARE // GRID
    down = packed(square).astype(np.uint16).reshape(GRID, step, SQUARE * 3)
    rows = (down[:, 0] + down[:, 3] + 3 * (down[:, 1] + down[:, 2])).reshape(GRID, GRID, step, 3)
    sums = rows[:, :, 0] + rows[:, :, 3] + 3 * (rows[:, :, 1] + rows[:, :, 2])
    return np.asarray((sums + 32) >> 6, np.uint8)
