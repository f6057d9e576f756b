"""Gain maps: how a screen of high range shows a photograph that brings one, where that is plainly another picture.

Phones put a small grey picture behind a photograph that says how much brighter each pixel may be shown. It mostly
lifts what is bright already, and then the photograph says all that there is to see. What it adds is found by taking
away all that follows from the photograph's own colours: clouds in a white sky, or somebody else's picture.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from guardrail.inference.image.frame import Frame, Pixels, packed

SHOWN, ALONE = "on a screen of high range", "the gain map"
# Compared at EDGE pixels, block by block, in grey levels. What follows from a colour by a curve of no more than this
# slope is no other picture; steeper, what nobody can tell apart becomes dark and light.
EDGE, BLOCK, SAME, STEEP = 96, 12, 24.0, 4.0
_STOPS = 16.0  # no screen is 65,536 times as bright as its white
_APPLE = 3.0  # stops: Apple's maps say 8 times at most
_VALUE = rb"hdrgm:%s(?:\s{0,9}=\s{0,9}[\"']([^\"']{0,99})[\"']|[^>]{0,99}>(.{0,999}?)</hdrgm:%s\s{0,9}>)"
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE]-?\d+)?")

Levels = NDArray[np.float32]


class Gain(NamedTuple):
    """By what a map multiplies light: 2 to the power of `least` to `most` (stops), a number for each of R, G, B."""

    least: tuple[float, ...] = (0.0,) * 3
    most: tuple[float, ...] = (_APPLE,) * 3
    gamma: tuple[float, ...] = (1.0,) * 3
    base_offset: tuple[float, ...] = (0.0,) * 3
    other_offset: tuple[float, ...] = (0.0,) * 3

    def turned(self) -> Gain:
        """The same the other way, for a photograph that is the brighter one of the two itself."""
        least, most = (tuple(-stop for stop in stops) for stops in (self.least, self.most))
        return self._replace(least=least, most=most, base_offset=self.other_offset, other_offset=self.base_offset)


def gains(xmp: bytes, iso: bytes) -> list[Gain]:
    """All that a map says of how it is applied: viewers go by the one or the other. Apple's says little."""
    found = [gain for gain in (_of_xmp(xmp), _of_iso(iso)) if gain is not None]
    told = [gain for one in found for gain in one]
    return told or [Gain(), Gain(gamma=(1 / 2.2,) * 3)]


def beside(frame: Frame, small: Image.Image, told: list[Gain], index: int) -> tuple[tuple[Frame, ...], list[str]]:
    """What is to be looked at beside a photograph because of its gain map, and what is to be said of it.

    `frame` is the photograph and `small` the map, turned alike; frames get numbers from `index` on.
    """
    size = min(frame.width, max(small.width, EDGE)), min(frame.height, max(small.height, EDGE))
    base = _image(frame).resize(size, Image.Resampling.BOX)
    seen = _squeezed(base)
    found: list[Frame] = []
    for gain in told:
        for bright in (False, True):
            if _follows(seen, _squeezed(_shown(base, small, gain, bright))):
                continue
            shown = np.asarray(_shown(_image(frame), small, gain, bright).convert("RGBX"))
            found.append(Frame(shown, scale=frame.scale, index=index + len(found), view=SHOWN))
    if not _follows(seen, _squeezed(small)):
        scale = frame.scale * max(small.size) / max(frame.width, frame.height)
        found.append(Frame(np.asarray(small.convert("RGBX")), scale=scale, index=index + len(found), view=ALONE))
    if found:
        return tuple(found), ["the gain map shows more than the picture: looked at with and without"]
    return (), ["gain map: changes the brightness alone"]


def _image(frame: Frame) -> Image.Image:
    return Image.fromarray(packed(frame.rgb))


def _squeezed(image: Image.Image) -> Levels:
    return np.asarray(image.resize((EDGE, EDGE), Image.Resampling.BOX), np.float32)


def _shown(base: Image.Image, small: Image.Image, gain: Gain, bright: bool) -> Image.Image:
    """The photograph with the map applied. `bright` as its white is white, else dimmed so that nothing is cut off."""
    levels, light = np.asarray(base), np.empty((base.height, base.width, 3), np.float32)
    factors = np.asarray(small.resize(base.size, Image.Resampling.BILINEAR))
    for colour in range(3):
        stops = gain.least[colour] + (gain.most[colour] - gain.least[colour]) * _RAMP ** (1 / gain.gamma[colour])
        many = np.exp2(stops).astype(np.float32)
        lit = _LIGHT[levels[..., colour]] + np.float32(gain.base_offset[colour])
        light[..., colour] = lit * many[factors[..., colour]] - np.float32(gain.other_offset[colour])
    if not bright:
        light /= max(float(light.max()), 1e-6)
    return Image.fromarray(_CODE[(np.clip(light, 0, 1) * (len(_CODE) - 1)).astype(np.uint16)])


def _follows(seen: Levels, other: Levels) -> bool:
    """True when what the one shows follows from the colours of the other, by a curve that is not steep."""
    apart, steepest = _measured(seen, other)
    # Where all is of about one colour no slope is told; what differs there is bounded by SAME.
    return apart <= SAME and (steepest <= STEEP or float(np.ptp(other)) <= SAME)


def _measured(seen: Levels, other: Levels) -> tuple[float, float]:
    """By how many grey levels `other` is not what a curve makes of `seen` in the worst block, and the curve's slope.

    The curve is one of the third degree in the brightness, with a share of each colour beside it.
    """
    flat = seen.reshape(-1, 3) / np.float32(255)
    grey = flat.mean(axis=1)
    terms = np.column_stack([np.ones_like(grey), grey, grey**2, grey**3, flat[:, 0] - grey, flat[:, 1] - grey])
    curves = np.linalg.lstsq(terms, other.reshape(-1, 3), rcond=1e-4)[0]
    apart = np.abs(terms @ curves - other.reshape(-1, 3))
    blocks = apart.reshape(EDGE // BLOCK, BLOCK, EDGE // BLOCK, BLOCK, 3).mean(axis=(1, 3))
    ramp = np.linspace(float(grey.min()), float(grey.max()), 64)[:, None]
    slopes = curves[1] + 2 * curves[2] * ramp + 3 * curves[3] * ramp**2
    return float(blocks.max()), float(max(np.abs(slopes).max(), np.abs(curves[4:]).max())) / 255


def _of_xmp(told: bytes) -> list[Gain] | None:
    """As Android's Ultra HDR images say it (hdrgm 1.0)."""
    if b"hdrgm:" not in told:
        return None
    numbers = {
        name: _three(_numbers(told, name), missing)
        for name, missing in (
            (b"GainMapMin", 0.0),
            (b"GainMapMax", 1.0),
            (b"Gamma", 1.0),
            (b"OffsetSDR", 1 / 64),
            (b"OffsetHDR", 1 / 64),
        )
    }
    gain = _checked(*numbers.values())
    if gain is None:
        return None
    return [gain, gain.turned()] if b"BaseRenditionIsHDR" in told else [gain]


def _numbers(told: bytes, name: bytes) -> list[float]:
    found = re.search(_VALUE % (name, name), told, re.DOTALL)
    if found is None:
        return []
    body = re.sub(rb"<[^>]*>", b" ", found[1] if found[1] is not None else found[2])
    return [float(number) for number in _NUMBER.findall(body)][:3]


def _of_iso(told: bytes) -> list[Gain] | None:
    """As ISO 21496-1 packs it: numerators of 32 bits, each with a denominator, and for every colour the same five."""
    try:
        least_version, _, flags = struct.unpack_from(">HHB", told)
        if least_version:
            return None
        base, other, *rest = _fractions(told, 3 if flags & 0x80 else 1, common=bool(flags & 0x08))
    except (struct.error, ZeroDivisionError):
        return None
    # Five numbers a colour: least, most, gamma, offset of the base and of the other.
    gain = _checked(*(_three(rest[place::5], 0.0) for place in range(5)))
    if gain is None:
        return None
    return [gain, gain.turned()] if base > other else [gain]


def _fractions(told: bytes, colours: int, *, common: bool) -> Iterator[float]:
    """The numbers of a gain map by ISO 21496-1 in their order: two of its screens, then five of each colour."""
    if common:
        below = struct.unpack_from(">I", told, 5)[0]
        yield from (number / below for number in struct.unpack_from(">II" + "iiIii" * colours, told, 9))
        return
    numbers = struct.unpack_from(">IIII" + "iIiIIIiIiI" * colours, told, 5)
    yield from (numbers[at] / numbers[at + 1] for at in range(0, len(numbers), 2))


def _three(numbers: list[float], missing: float) -> tuple[float, ...]:
    if len(numbers) == 3:
        return tuple(numbers)
    return (numbers[0] if numbers else missing,) * 3


def _checked(*five: tuple[float, ...]) -> Gain | None:
    """None for numbers that no viewer can apply."""
    least, most, gamma, base_offset, other_offset = five
    if not all(math.isfinite(number) for numbers in five for number in numbers) or min(gamma) <= 0:
        return None
    stops = [tuple(min(max(number, -_STOPS), _STOPS) for number in numbers) for numbers in (least, most)]
    curve = tuple(min(max(number, 0.01), 100.0) for number in gamma)
    moved = [tuple(min(max(number, -1.0), 1.0) for number in numbers) for numbers in (base_offset, other_offset)]
    return Gain(stops[0], stops[1], curve, moved[0], moved[1])


def _of_light(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """How sRGB writes light in [0, 1], in [0, 1]."""
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)


_RAMP = np.arange(256) / 255.0
_LIGHT = np.where(_RAMP <= 0.04045, _RAMP / 12.92, ((_RAMP + 0.055) / 1.055) ** 2.4).astype(np.float32)
_CODE: Pixels = np.rint(255 * _of_light(np.linspace(0, 1, 16384))).astype(np.uint8)
