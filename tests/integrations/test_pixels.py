"""Pixels reach the checks as they stand, and what is no picture is said to be none."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from guardrail.errors import BadRequest
from guardrail.inference.image.decode import Limits, decode
from guardrail.integrations.pixels import SLACK, blackened, encode, encoded


def shown(value, **how):
    return [np.asarray(Image.open(io.BytesIO(data))) for _, _, data in encoded(value, "image", **how)]


@pytest.fixture
def noise():
    return np.random.default_rng(5).integers(0, 256, (24, 40, 3), np.uint8)


def test_a_picture_is_a_file_that_the_checks_can_read_without_loss(noise):
    data = encode(Image.fromarray(noise))
    assert data == encode(noise)
    picture = decode(data, Limits())
    assert np.array_equal(picture.frames[0].rgb, noise)


def test_a_large_picture_is_compressed_to_stay_below_the_guards_limit():
    large = encode(np.zeros((4200, 4200, 3), np.uint8))
    assert len(large) < Limits().bytes < 4200 * 4200 * 3
    assert decode(large, Limits()).width == 4200


def test_exif_and_text_stay_behind(noise):
    picture = Image.fromarray(noise)
    picture.info["comment"] = "says something"
    picture.getexif()[0x0112] = 3
    assert encode(picture) == encode(noise)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK"])
def test_modes_without_transparency_become_rgb(noise, mode):
    assert Image.open(io.BytesIO(encode(Image.fromarray(noise).convert(mode)))).mode == "RGB"


def test_transparency_is_kept_for_the_checks_to_look_behind(noise):
    picture = Image.fromarray(noise)
    picture.putalpha(0)
    kept = Image.open(io.BytesIO(encode(picture)))
    assert kept.mode == "RGBA"
    assert np.array_equal(np.asarray(kept)[..., :3], noise)


@pytest.mark.parametrize("mode", ["F", "I"])
def test_modes_without_a_range_are_refused(mode):
    with pytest.raises(BadRequest, match="convert it to RGB"):
        encode(Image.new(mode, (8, 8)))


@pytest.mark.parametrize(
    ("shape", "count"), [((8, 9, 3), 1), ((2, 8, 9, 3), 2), ((2, 3, 8, 9, 1), 6), ((8, 9), 1), ((8, 9, 1), 1)]
)
def test_arrays_have_their_channels_last(shape, count):
    found = shown(np.zeros(shape, np.float32))
    assert len(found) == count
    assert {one.shape[:2] for one in found} == {shape[-3:-1] if len(shape) > 2 else shape}


@pytest.mark.parametrize("shape", [(1, 4, 8, 8), (8, 9, 4), (8, 9, 2), (0, 8, 8, 3), (1,) * 6])
def test_what_may_be_latents_is_no_picture(shape):
    with pytest.raises(BadRequest):
        shown(np.zeros(shape, np.float32))


def test_a_stack_of_masks_is_grey_pictures():
    assert [one.shape for one in shown(np.zeros((4, 8, 9), np.float32), mask=True)] == [(8, 9)] * 4


def test_floats_are_scaled_and_both_readings_of_negative_ones_are_shown():
    assert shown(np.full((4, 4, 3), 0.5, np.float32))[0].max() == 128
    signed = np.full((4, 4, 3), 0.5, np.float32)
    signed[0, 0] = -0.5
    both = list(encoded(signed, "image"))
    assert [(at, slot) for at, slot, _ in both] == [(0, "image"), (0, "image as it is")]
    halved, clipped = shown(signed)
    assert (halved.max(), halved.min()) == (191, 64)
    assert (clipped.max(), clipped.min()) == (128, 0)
    assert len(shown(signed, signed=True)) == 1


@pytest.mark.parametrize("value", [1 + 2 * SLACK, -1 - 2 * SLACK, np.nan, np.inf, 255.0])
def test_floats_beyond_their_range_are_refused(value):
    array = np.zeros((4, 4, 3), np.float32)
    array[1, 1, 1] = value
    with pytest.raises(BadRequest):
        shown(array)


def test_floats_barely_beyond_their_range_are_clipped():
    assert shown(np.full((4, 4, 3), 1 + SLACK / 2, np.float32))[0].max() == 255


@pytest.mark.parametrize(("value", "fine"), [(255, True), (256, False), (-1, False)])
def test_integers_are_bytes(value, fine):
    array = np.full((4, 4, 3), value, np.int64)
    if fine:
        assert shown(array)[0].max() == 255
    else:
        with pytest.raises(BadRequest):
            shown(array)


def test_blackening_touches_what_was_named_and_a_copy_only():
    array = np.ones((3, 4, 4, 3), np.float32)
    black = blackened(array, frozenset({1}))
    assert [one.max() for one in black] == [1, 0, 1]
    assert array.min() == 1
    assert blackened(np.ones((4, 4, 3)), frozenset({0})).max() == 0
    assert blackened(Image.new("RGB", (4, 4), "white"), frozenset({0})).getextrema() == ((0, 0),) * 3
