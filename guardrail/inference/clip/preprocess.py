"""Pixels for an image tower: open_clip's evaluation transform, with Pillow and numpy alone.

Training, fitting and judging import these same functions. The transform is a part of the model: mean, size and the way
of resizing come from the export and are never guessed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from guardrail.errors import ConfigError
from guardrail.inference.image.frame import Frame, Pixels

Input = NDArray[np.float32]

_RESAMPLING = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
_MODES = ("shortest", "longest", "squash")
MOST_EDGE = 1024  # the largest published towers read 512 pixels

# A picture longer than this is also cut into overlapping squares, as the exposure nets see it: the usual view keeps
# the middle, and what stands at either end would not be looked at.
LONG = 1.6
MOST_TILES = 6


@dataclass(frozen=True)
class Preprocess:
    """How a tower wants its pixels: `height` and `width`, the mean and deviation of each channel in [0, 1], and
    open_clip's words for the rest: `interpolation` ("bicubic", "bilinear"), `resize` ("shortest", "longest", "squash"),
    `fill`.
    """

    height: int
    width: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str = "bicubic"
    resize: str = "shortest"
    fill: int = 0

    @classmethod
    def read(cls, told: Mapping[str, Any], where: str) -> Preprocess:
        """From an export's manifest. Raises ConfigError, naming `where`, for what no tower could mean."""
        try:
            mean, std = (tuple(float(one) for one in told[name]) for name in ("mean", "std"))
            made = cls(
                height=int(told["height"]),
                width=int(told["width"]),
                mean=(mean[0], mean[1], mean[2]),
                std=(std[0], std[1], std[2]),
                interpolation=str(told["interpolation"]),
                resize=str(told["resize"]),
                fill=int(told["fill"]),
            )
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ConfigError(f"{where}: preprocess cannot be read ({type(error).__name__}); export again") from None
        fits = len(mean) == len(std) == 3 and all(math.isfinite(one) for one in (*mean, *std)) and min(std) > 0
        edges = min(made.height, made.width) >= 1 and max(made.height, made.width) <= MOST_EDGE
        if not (fits and edges and made.interpolation in _RESAMPLING and made.resize in _MODES):
            raise ConfigError(
                f"{where}: preprocess is {made.height} x {made.width}, {made.interpolation}, {made.resize}; expected "
                f"edges up to {MOST_EDGE}, bicubic or bilinear, {' or '.join(_MODES)}, and three means and "
                "deviations above 0"
            )
        return made

    def view(self, pixels: Pixels) -> Pixels:
        """One picture as the tower sees it before its numbers are scaled: uint8 (height, width, 3).

        `pixels` is uint8 (h, w, 3). Follows open_clip 3.3.0, `image_transform(is_train=False)`, to the rounding.
        """
        image = Image.fromarray(np.ascontiguousarray(pixels))
        if self.resize == "squash":
            return np.asarray(self._to(image, (self.width, self.height)))
        if self.resize == "longest":
            return self._fitted(self._to(image, self._kept_ratio(image.size, max)))
        if self.height == self.width:
            short, long = sorted(image.size)
            longer = int(self.width * long / short)
            size = (self.width, longer) if image.width <= image.height else (longer, self.width)
        else:
            size = self._kept_ratio(image.size, min)
        return self._fitted(self._to(image, size))

    def inputs(self, frame: Frame) -> list[Input]:
        """What a tower reads of one frame, float32 (1, 3, height, width) each: the usual view, then a long one's."""
        found = [self._scaled(self.view(frame.rgb))]
        longer, shorter = max(frame.width, frame.height), min(frame.width, frame.height)
        if longer > LONG * shorter:
            found += [self._scaled(tile) for tile in self._tiles(frame)]
        return found

    def _tiles(self, frame: Frame) -> list[Pixels]:
        """Overlapping squares along the longer edge, squeezed to the tower's size; they grow rather than leave gaps."""
        longer, shorter = max(frame.width, frame.height), min(frame.width, frame.height)
        count = min(MOST_TILES, math.ceil(longer / shorter))
        edge = max(shorter, math.ceil(longer / count))
        tiles = []
        for start in np.linspace(0, longer - edge, count).round().astype(int).tolist():
            cut = slice(start, start + edge)
            part = frame.rgb[:, cut] if frame.width >= frame.height else frame.rgb[cut]
            image = Image.fromarray(np.ascontiguousarray(part))
            tiles.append(np.asarray(self._to(image, (self.width, self.height))))
        return tiles

    def _to(self, image: Image.Image, size: tuple[int, int]) -> Image.Image:
        return image if image.size == size else image.resize(size, _RESAMPLING[self.interpolation])

    def _kept_ratio(self, size: tuple[int, int], edge: Any) -> tuple[int, int]:
        ratio = edge(size[1] / self.height, size[0] / self.width)
        return max(1, round(size[0] / ratio)), max(1, round(size[1] / ratio))

    def _fitted(self, image: Image.Image) -> Pixels:
        """The middle of the image, or the image in the middle of a canvas, edge by edge."""
        across, down = self.width - image.width, self.height - image.height
        if across > 0 or down > 0:
            canvas = Image.new("RGB", (max(self.width, image.width), max(self.height, image.height)), (self.fill,) * 3)
            canvas.paste(image, (max(0, across // 2), max(0, down // 2)))
            image = canvas
        left, top = round((image.width - self.width) / 2.0), round((image.height - self.height) / 2.0)
        return np.asarray(image.crop((left, top, left + self.width, top + self.height)))

    def _scaled(self, view: Pixels) -> Input:
        share = view.astype(np.float32) / np.float32(255)
        share -= np.array(self.mean, np.float32)
        share /= np.array(self.std, np.float32)
        return np.ascontiguousarray(share.transpose(2, 0, 1)[None])
