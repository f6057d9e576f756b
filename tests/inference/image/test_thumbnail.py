"""Thumbnails: one that shows something else than its picture is looked at too."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from guardrail.inference.image.decode import Limits, decode
from guardrail.inference.image.thumbnail import VIEW
from tests.inference.image.pictures import encoded, scene, with_exif_thumbnail

LIMITS = Limits()
PORTRAIT = Image.open(Path(__file__).parents[2] / "pictures" / "hopper.jpg").convert("RGB")
BOTH = "the thumbnail is not of the picture: looked at both"


def small(image: Image.Image, size: tuple[int, int] = (160, 120)) -> bytes:
    return encoded(image.resize(size), "JPEG")


def filled_up(image: Image.Image, size: tuple[int, int] = (160, 120)) -> bytes:
    """A thumbnail as cameras make it of another shape: in the middle, with bars."""
    canvas, inner = Image.new("RGB", size), image.copy()
    inner.thumbnail(size)
    canvas.paste(inner, ((size[0] - inner.width) // 2, (size[1] - inner.height) // 2))
    return encoded(canvas, "JPEG")


@pytest.mark.parametrize("turned", range(1, 9))
def test_a_thumbnail_of_something_else_is_looked_at_upright(turned):
    body = with_exif_thumbnail(encoded(scene(400, 300), "JPEG"), small(scene().rotate(180)), orientation=turned)
    seen = decode(body, LIMITS)
    assert BOTH in seen.notes
    assert [frame.view for frame in seen.frames] == ["shown", VIEW]
    assert {frame.index for frame in seen.frames} == {0, 1}
    first, other = ((frame.width > frame.height) for frame in seen.frames)
    assert first == other == (turned < 5)


@pytest.mark.parametrize("turned", [1, 6])
@pytest.mark.parametrize("made", [small, filled_up])
@pytest.mark.parametrize("image", [PORTRAIT, scene(600, 400)], ids=["portrait", "scene"])
def test_a_thumbnail_of_the_picture_costs_no_second_look(image, made, turned):
    seen = decode(with_exif_thumbnail(encoded(image, "JPEG"), made(image), orientation=turned), LIMITS)
    assert (len(seen.frames), seen.notes) == (1, ())


@pytest.mark.parametrize("turn", [Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270])
@pytest.mark.parametrize("made", [small, filled_up])
def test_a_thumbnail_that_was_left_as_it_was_when_the_picture_was_turned_costs_no_second_look(made, turn):
    body = with_exif_thumbnail(encoded(scene(600, 400).transpose(turn), "JPEG"), made(scene(600, 400)))
    assert decode(body, LIMITS).notes == ()


def test_a_part_that_was_painted_over_in_the_picture_alone_is_looked_at():
    painted = PORTRAIT.copy()
    painted.paste((250, 250, 250), (100, 300, 400, 580))
    assert BOTH in decode(with_exif_thumbnail(encoded(painted, "JPEG"), small(PORTRAIT)), LIMITS).notes


def test_a_thumbnail_that_cannot_be_read_is_said_so():
    body = with_exif_thumbnail(encoded(scene(), "JPEG"), small(scene())[:200])
    assert "the thumbnail cannot be read: not looked at" in decode(body, LIMITS).notes


def test_a_thumbnail_over_the_limit_is_not_decoded():
    body = with_exif_thumbnail(encoded(scene(), "JPEG"), small(scene(), (160, 120)))
    assert "the thumbnail cannot be read: not looked at" in decode(body, Limits(pixels=160 * 120 - 1)).notes
    assert decode(body, Limits(pixels=160 * 120)).notes == ()


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_the_exif_data_of_other_kinds_is_read_too(kind):
    donor = with_exif_thumbnail(encoded(scene(), "JPEG"), small(scene().rotate(180)))
    exif = donor[6 : 4 + int.from_bytes(donor[4:6])]
    assert exif.startswith(b"Exif")
    assert BOTH in decode(encoded(scene(400, 300), kind, exif=exif), LIMITS).notes
