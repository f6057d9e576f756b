"""Frames: the pixels of one rendering of a picture, and the smaller sizes of it that checks ask for.

Four checks that each shrink a picture for themselves pay more than its decoding did, so sizes are made once. A whole
factor is by far the cheapest way down.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


class Frame:
    """One rendering of a picture, upright, and the smaller sizes of it that checks ask for, each made once.

    `scale` is the size of these pixels relative to the original's; `index` the frame in the file; `view` says how it
    was rendered: "shown", "on black", "on white" or "without alpha", each perhaps with ", in its own colours"; or "the
    thumbnail", which the file carries of itself and is one more picture.
    """

    def __init__(self, pixels: Pixels, *, scale: float, index: int = 0, view: str = "shown") -> None:
        """`pixels` is uint8 (H, W, 4): red, green, blue and one byte that means nothing."""
        pixels.setflags(write=False)
        self._pixels = pixels
        self.scale = scale
        self.index = index
        self.view = view
        # Two threads may make the same size at once; both make the same, and one is kept.
        self._reductions: dict[int, Image.Image] = {}
        self._shrunk: dict[int, Pixels] = {}
        self._sizes: dict[tuple[int, int, float, bool], Pixels] = {}

    @property
    def height(self) -> int:
        return int(self._pixels.shape[0])

    @property
    def width(self) -> int:
        return int(self._pixels.shape[1])

    @property
    def rgb(self) -> Pixels:
        """uint8 (H, W, 3), read-only; a view whose pixels lie four bytes apart."""
        return self._pixels[..., :3]

    def averaged(self, factor: int) -> Pixels:
        """The frame averaged down by a whole factor: uint8 (h, w, 3)."""
        if factor <= 1:
            return self.rgb
        if factor not in self._shrunk:
            self._shrunk[factor] = _rgb(self._reduced(factor))
        return self._shrunk[factor]

    def shrunk(self, side: int) -> Pixels:
        """The frame averaged down by the smallest whole factor that makes its long side at most `side` pixels.

        The cheapest way to a smaller picture, by far. Returns uint8 (h, w, 3); `shrink_factor(side)` is the factor.
        """
        return self.averaged(self.shrink_factor(side))

    def shrink_factor(self, side: int) -> int:
        return -(-max(self.width, self.height) // side)

    def fit(self, side: int, gap: float = 2.0, *, plain: bool = False) -> Pixels:
        """The frame with its long side at most `side` pixels, proportions kept, never enlarged: uint8 (h, w, 3).

        `gap` is that of `square`. `plain` takes the mean of the pixels that one becomes and no more around it, at two
        thirds of the cost.
        """
        longest = max(self.width, self.height)
        if longest <= side:
            return self.rgb
        size = max(1, round(self.width * side / longest)), max(1, round(self.height * side / longest))
        return self._resized(size, gap, plain)

    def letterbox(self, side: int, fill: int = 0) -> Pixels:
        """`fit(side)` in the top left corner of a square of `side` pixels, the rest `fill`: uint8 (side, side, 3)."""
        small = self.fit(side)
        canvas = np.full((side, side, 3), fill, np.uint8)
        canvas[: small.shape[0], : small.shape[1]] = small
        return canvas

    def square(self, side: int, gap: float = 2.0) -> Pixels:
        """The whole frame stretched or squeezed onto a square: uint8 (side, side, 3), bilinear.

        Before that it is averaged down by a whole factor that leaves at least `gap` times the pixels: 2.0 is hard to
        tell from a plain bilinear resize, 1.0 is the fastest.
        """
        return self._resized((side, side), gap)

    def holds(self, box: NDArray[np.float32]) -> bool:
        """True when a box (x0, y0, x1, y1), in pixels, lies within the frame."""
        return bool(box[0] >= 0 and box[1] >= 0 and box[2] <= self.width and box[3] <= self.height)

    def enlarged(self, box: NDArray[np.float32], side: int) -> Pixels:
        """What the frame shows in the square `box`, which it `holds`: uint8 (side, side, 3), bilinear.

        0.44 of the time of `sampled`, which reads the same but for one grey level.
        """
        x0, y0, x1, y1 = (float(edge) for edge in box)
        return _rgb(self._image().resize((side, side), Image.Resampling.BILINEAR, (x0, y0, x1, y1)))

    def sampled(self, affine: NDArray[np.float64], side: int, factor: int) -> Pixels:
        """The square whose pixel (x, y) is that at `affine` (2, 3) of (x, y, 1) in the frame, averaged by `factor`.

        uint8 (side, side, 3), bilinear; black beyond the frame.
        """
        how, where = Image.Resampling.BILINEAR, tuple((affine / factor).ravel())
        return _rgb(self._reduced(factor).transform((side, side), Image.Transform.AFFINE, where, how))

    @cached_property
    def steepest(self) -> float:
        """How strong its strongest edge is: the largest Laplacian of its grey levels at about 128 pixels.

        190 or more in sharp portraits, 31 in the most blurred one whose face was found, 13 in a gradient with grain,
        and 40 or more in 193 pictures of nobody (models/faces/pictures.tsv).
        """
        small = self.shrunk(256)
        height, width = (edge // 2 * 2 for edge in small.shape[:2])
        if min(height, width) < 6:
            return math.inf
        grey = np.add(small[:height, :width, 0], small[:height, :width, 1], dtype=np.uint16)
        grey += small[:height, :width, 2]
        quarter = (grey[::2, ::2] + grey[1::2, ::2] + grey[::2, 1::2] + grey[1::2, 1::2]) / np.float32(12)
        around = quarter[:-2, 1:-1] + quarter[2:, 1:-1] + quarter[1:-1, :-2] + quarter[1:-1, 2:]
        return float(np.abs(4 * quarter[1:-1, 1:-1] - around).max())

    def _image(self) -> Image.Image:
        # RGBX is the one layout of three colours that Pillow takes over without copying.
        return Image.frombuffer("RGBX", (self.width, self.height), self._pixels, "raw", "RGBX", 0, 1)

    def _reduced(self, factor: int) -> Image.Image:
        if factor <= 1:
            return self._image()
        if factor not in self._reductions:
            # 4 is made of 2, which somebody asks for as well: together they cost little more than either.
            half = self._reduced(factor // 2) if factor % 2 == 0 else None
            self._reductions[factor] = half.reduce(2) if half is not None else self._image().reduce(factor)
        return self._reductions[factor]

    def _resized(self, size: tuple[int, int], gap: float, plain: bool = False) -> Pixels:
        key = (*size, gap, plain)
        if key not in self._sizes:
            factor = max(1, int(min(self.width / size[0], self.height / size[1]) / gap))
            small = self._reduced(factor)
            if small.size == size:
                return self.averaged(factor)
            how = Image.Resampling.BOX if plain else Image.Resampling.BILINEAR
            self._sizes[key] = _rgb(small.resize(size, how))
        return self._sizes[key]

    def __repr__(self) -> str:  # never the content
        return f"Frame({self.width}x{self.height}, {self.view}, frame {self.index})"


def renumber(more: Sequence[Frame], held: Sequence[Frame]) -> None:
    """Gives the pictures of `more` numbers after those of `held`: a number stands for one picture."""
    first = 1 + max((frame.index for frame in held), default=-1)
    least = min((frame.index for frame in more), default=0)
    for frame in more:
        frame.index += first - least


def cut(source: Frame | Pixels, box: tuple[int, int, int, int], scale: float) -> tuple[Image.Image, int, int, int]:
    """The part of a frame or of R, G, B pixels inside `box` (x0, y0, x1, y1), to be shrunk by `scale` at least.

    Returns it averaged down by a whole factor, that factor, and the pixel of the source (x, y) at which it begins: at
    the box's corner or a little before it. Of a frame, what others averaged before is used.
    """
    whole = max(1, math.floor(scale))
    factor = whole - 1 if whole > 4 and whole % 2 else whole
    x0, y0, x1, y1 = box
    if not isinstance(source, Frame):
        return Image.fromarray(packed(source[y0:y1, x0:x1])).reduce(factor), factor, x0, y0
    made = factor & -factor  # the largest power of two in it: those sizes lie ready
    left, top = x0 // made, y0 // made
    part = source.averaged(made)[top : -(-y1 // made), left : -(-x1 // made)]
    return Image.fromarray(packed(part)).reduce(factor // made), factor, left * made, top * made


def packed(pixels: Pixels) -> Pixels:
    """The pixels beside each other, uint8 (h, w, 3), in new memory where they are not yet."""
    if pixels.flags.c_contiguous:
        return pixels
    beside = np.empty(pixels.shape, np.uint8)
    for colour in range(3):  # a colour at a time: a quarter of the time that numpy takes over all at once
        beside[..., colour] = pixels[..., colour]
    return beside


def size_of(source: Frame | Pixels) -> tuple[int, int]:
    """Width and height of a frame, or of R, G, B pixels."""
    return (source.width, source.height) if isinstance(source, Frame) else (source.shape[1], source.shape[0])


def _rgb(image: Image.Image) -> Pixels:
    """The three colours of an RGBX image, read-only uint8 (h, w, 3)."""
    return np.asarray(image)[..., :3]
