"""A colour profile or a gamma chunk that makes another picture of the same pixels is looked at both ways."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from guardrail.errors import CheckError
from guardrail.inference.image import colour
from guardrail.inference.image.decode import Limits, decode
from tests.inference.image.pictures import (
    ADOBE_RGB,
    DISPLAY_P3,
    PLAIN_CURVE,
    SRGB,
    colour_profile,
    encoded,
    scene,
)

CLIFF = tuple(0 if level < 128 else 65535 for level in range(256))
"""All that is below the middle is black, all above it white."""


def hidden(side: int = 64) -> Image.Image:
    """One grey to the eye: 126 on the left, 130 on the right."""
    pixels = np.full((side, side, 3), 126, np.uint8)
    pixels[:, side // 2 :] = 130
    return Image.fromarray(pixels)


def contrasts(data: bytes) -> list[int]:
    """How far apart left and right are, in each rendering that is looked at."""
    frames = decode(data, Limits()).frames
    return [int(frame.rgb[:, -1].mean()) - int(frame.rgb[:, 0].mean()) for frame in frames]


def with_gamma(image: Image.Image, gamma: float) -> bytes:
    chunks = PngInfo()
    chunks.add(b"gAMA", struct.pack(">I", round(gamma * 100_000)))
    return encoded(image, "PNG", pnginfo=chunks)


@pytest.mark.parametrize(
    "options", [("PNG", {}), ("JPEG", {"quality": 100, "subsampling": 0}), ("WEBP", {"lossless": True})]
)
def test_a_profile_that_brings_out_a_hidden_picture_is_looked_at_with_and_without(options):
    kind, more = options
    plain, heeded = contrasts(encoded(hidden(), kind, icc_profile=colour_profile(SRGB, CLIFF), **more))
    assert plain < 10
    assert heeded > 200


def test_a_profile_over_transparency_is_looked_at_as_well():
    image = hidden().convert("RGBA")
    image.putalpha(Image.fromarray(np.full((64, 64), 200, np.uint8)))
    data = encoded(image, "PNG", icc_profile=colour_profile(SRGB, CLIFF))
    assert max(contrasts(data)) > 200
    assert "colour profile or gamma shows another picture: looked at with and without" in decode(data, Limits()).notes


def test_a_gamma_that_brings_out_a_hidden_picture_is_looked_at_with_and_without():
    plain, heeded = contrasts(with_gamma(hidden(), 0.01 * 100 / 64))
    assert plain < 10
    assert heeded == 0, "all of it is black then"
    bright = Image.fromarray(np.where(np.asarray(hidden()) == 126, 240, 255).astype(np.uint8))
    plain, heeded = contrasts(with_gamma(bright, 0.02))
    assert plain < 20
    assert heeded > 150


@pytest.mark.parametrize("gamma", [0.0, 0.45455, 0.5, 0.55556])
def test_an_ordinary_gamma_is_left_alone(gamma):
    assert len(contrasts(with_gamma(scene(), gamma))) == 1


@pytest.mark.parametrize("primaries", [SRGB, DISPLAY_P3, ADOBE_RGB])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_profiles_of_ordinary_screens_cost_no_second_look(primaries, kind):
    assert len(contrasts(encoded(scene(), kind, icc_profile=colour_profile(primaries)))) == 1


def test_curves_are_told_apart_by_how_steep_they_are():
    def heeds(rise: int) -> bool:
        curve = [level + (rise if level >= 128 else 0) for level in range(256)]
        image = Image.new("RGB", (1, 1))
        image.info["icc_profile"] = colour_profile(SRGB, tuple(PLAIN_CURVE[min(level, 255)] for level in curve))
        return colour.is_heeded(image)

    assert not heeds(10)
    assert heeds(40)


def test_a_profile_that_is_broken_or_of_another_kind_of_colour_changes_nothing():
    broken = colour_profile(SRGB, CLIFF)[:200]
    assert len(contrasts(encoded(scene(), "PNG", icc_profile=broken))) == 1
    assert len(contrasts(encoded(scene(), "PNG", icc_profile=b"no profile"))) == 1


def test_a_profile_that_names_its_kind_of_colour_in_no_letters_changes_nothing():
    """Found by the fuzzer: what it names is read as ASCII, and raised what no viewer of pictures raises."""
    strange = colour_profile(SRGB, CLIFF).replace(b"mntrRGB ", b"mntrRG\xe3 ")
    assert len(contrasts(encoded(scene(), "JPEG", icc_profile=strange))) == 1


def test_a_profile_over_the_limit_is_refused():
    image = Image.new("RGB", (1, 1))
    image.info["icc_profile"] = b"\0" * colour.MAX_PROFILE
    assert not colour.is_heeded(image)
    image.info["icc_profile"] += b"\0"
    with pytest.raises(CheckError, match="colour profile"):
        colour.is_heeded(image)


def test_beside_a_profile_of_another_kind_of_colour_the_gamma_counts():
    """A viewer that cannot use the profile goes by the gamma, as it does where there is none."""
    lab = colour_profile().replace(b"mntrRGB ", b"mntrLab ")
    bright = Image.fromarray(np.where(np.asarray(hidden()) == 126, 240, 255).astype(np.uint8)).convert("RGB")
    bright.info |= {"gamma": 0.02}
    assert colour.is_heeded(bright)
    bright.info |= {"icc_profile": lab}
    assert colour.is_heeded(bright)
    assert colour.heeded(bright, bright) is not None
    bright.info |= {"gamma": 0.45455}
    assert not colour.is_heeded(bright)
