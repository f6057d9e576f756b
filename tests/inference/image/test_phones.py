"""Photographs as phones write them are read; what else shows because of what they bring is looked at."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from guardrail.errors import CheckError
from guardrail.inference.image.decode import Limits, decode
from guardrail.inference.image.gainmap import ALONE, SHOWN
from tests.inference.image import phones
from tests.inference.image.pictures import animation, encoded, scene, with_exif_thumbnail

LIMITS = Limits()
PICTURES = Path(__file__).parents[2] / "pictures"
PORTRAIT = Image.open(PICTURES / "hopper.jpg").convert("RGB")
OTHER = Image.open(PICTURES / "collins.jpg").convert("RGB")
BRIGHTNESS = "gain map: changes the brightness alone"
MORE = "the gain map shows more than the picture: looked at with and without"
GREY = Image.new("RGB", (600, 480), (118, 118, 118))


def highlights(image: Image.Image) -> Image.Image:
    """A gain map as a camera makes it: what is bright is lifted, softly, at a quarter of the size."""
    small = np.asarray(image.convert("L").resize((image.width // 4, image.height // 4)), float) / 255
    lift = np.clip((small - 0.3) / 0.7, 0, 1)
    return Image.fromarray(np.rint(255 * lift * lift * (3 - 2 * lift)).astype(np.uint8))


def near(frame: object, image: Image.Image) -> bool:
    """True when a frame correlates with a picture."""
    one = np.asarray(Image.fromarray(np.ascontiguousarray(frame.rgb)).convert("L").resize((32, 32)), float)
    other = np.asarray(image.convert("L").resize((32, 32)), float)
    if one.std() < 1:
        return False
    return bool(np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.9)


WRITERS = {
    "ultra hdr": phones.ultra_hdr,
    "ultra hdr, no index": lambda picture, gain: phones.ultra_hdr(picture, gain, index=False),
    "iphone": phones.iphone,
    "iphone, little endian": lambda picture, gain: phones.iphone(picture, gain, order="<"),
}


@pytest.mark.parametrize("written", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize("image", [PORTRAIT, OTHER, scene(600, 400)], ids=["hopper", "collins", "scene"])
def test_a_photograph_with_its_gain_map_is_one_picture(image, written):
    seen = decode(written(image, highlights(image)), LIMITS)
    assert (seen.notes, len(seen.frames)) == ((BRIGHTNESS,), 1)
    assert (seen.width, seen.height) == image.size
    assert near(seen.frames[0], image)


@pytest.mark.parametrize("written", WRITERS.values(), ids=WRITERS)
def test_a_picture_that_only_the_gain_map_shows_is_looked_at(written):
    seen = decode(written(GREY, OTHER.convert("L")), LIMITS)
    assert MORE in seen.notes
    views = {frame.view for frame in seen.frames if near(frame, OTHER)}
    assert views == {SHOWN, ALONE}


def test_a_picture_in_a_map_that_changes_next_to_nothing_is_looked_at_alone():
    seen = decode(phones.ultra_hdr(PORTRAIT, OTHER.convert("L"), most="0.01"), LIMITS)
    assert [frame.view for frame in seen.frames] == ["shown", ALONE]
    assert near(seen.frames[1], OTHER)


def test_a_picture_that_neither_shows_alone_is_looked_at():
    """Noise and its complement: only the product of both is somebody."""
    chance = np.random.default_rng(3)
    edge = (480, 480)
    noise = chance.integers(0, 2, (60, 60)).repeat(8, axis=0).repeat(8, axis=1)
    want = np.asarray(OTHER.convert("L").resize(edge), float) / 255 * 0.5 + 0.25
    light = np.where(noise, 1 / 8, 1.0) * 0.12
    base = np.rint(255 * light ** (1 / 2.2)).astype(np.uint8)
    stops = np.clip(np.log2(want**2.2 / light), -6, 6)
    gain = Image.fromarray(np.rint(255 * (stops + 6) / 12).astype(np.uint8))
    body = phones.ultra_hdr(Image.fromarray(base).convert("RGB"), gain, most="6").replace(b'Min="0"', b'Min="-6"')
    pad = body.index(b'GainMapMin="-6"')
    assert pad
    # One byte longer: the segment says so too.
    start = body.rindex(b"\xff\xe1", 0, pad)
    body = body[: start + 2] + (int.from_bytes(body[start + 2 : start + 4]) + 1).to_bytes(2) + body[start + 4 :]
    assert any(frame.view == SHOWN and near(frame, OTHER) for frame in decode(body, LIMITS).frames)


def test_two_greys_that_nobody_tells_apart_are_no_reason_for_what_the_map_shows():
    pattern = np.asarray(OTHER.convert("L").resize((600, 480))) > 110
    base = Image.fromarray(np.where(pattern, 131, 125).astype(np.uint8)).convert("RGB")
    seen = decode(phones.ultra_hdr(base, Image.fromarray((255 * pattern).astype(np.uint8))), LIMITS)
    assert MORE in seen.notes


@pytest.mark.parametrize("common", [False, True])
@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("screens", [(0, 3), (3, 0)])
def test_the_numbers_of_the_standard_are_read(common, colours, screens):
    gain = OTHER.convert("L") if colours == 1 else OTHER
    said = {"most": 5.0, "common": common, "colours": colours, "screens": screens}
    strong = decode(phones.indexed(encoded(GREY, "JPEG"), phones.iso_gain_map(gain, **said)), LIMITS)
    assert SHOWN in {frame.view for frame in strong.frames}
    weak = phones.iso_gain_map(gain, **(said | {"most": 0.001}))
    assert {frame.view for frame in decode(phones.indexed(encoded(GREY, "JPEG"), weak), LIMITS).frames} == {
        "shown",
        ALONE,
    }


def test_numbers_of_a_map_that_no_viewer_can_apply_stop_nothing():
    for most in ("nan", "1e999", "", "9" * 98, "-1e30"):
        assert decode(phones.ultra_hdr(PORTRAIT, highlights(PORTRAIT), most=most), LIMITS).frames


@pytest.mark.parametrize("turned", range(1, 9))
def test_a_gain_map_lies_as_its_picture_does(turned):
    picture = with_exif_thumbnail(encoded(PORTRAIT, "JPEG"), b"", orientation=turned)
    small = phones.iphone(PORTRAIT, highlights(PORTRAIT))
    small = small[small.index(b"\xff\xd8\xff", 4) :]
    assert decode(phones.indexed(picture, small), LIMITS).notes == (BRIGHTNESS,)


def test_another_picture_behind_a_photograph_with_a_gain_map_is_looked_at_when_the_index_names_it():
    first = phones.ultra_hdr(PORTRAIT, highlights(PORTRAIT), index=False)
    cut = first.index(b"\xff\xd8\xff", 4)
    other = encoded(OTHER, "JPEG")
    seen = decode(phones.indexed(first[:cut], first[cut:], other), LIMITS)
    assert [near(frame, OTHER) for frame in seen.frames] == [False, True]
    assert {frame.index for frame in seen.frames} == {0, 1}
    with pytest.raises(CheckError, match="its index names other pictures"):
        decode(first + other, LIMITS)


def test_a_picture_that_says_it_has_a_gain_map_and_brings_another_one_is_looked_at_whole():
    """Pillow shows the first alone of a file that says so."""
    first = phones.ultra_hdr(PORTRAIT, highlights(PORTRAIT), index=False)
    first = first[: first.index(b"\xff\xd8\xff", 4)]
    seen = decode(phones.indexed(first, encoded(OTHER, "JPEG")), LIMITS)
    assert [near(frame, OTHER) for frame in seen.frames] == [False, True]


def test_an_index_that_names_a_picture_inside_the_first_is_refused():
    hidden = phones.segment(0xEE, encoded(OTHER.resize((64, 64)), "JPEG"))
    first = phones.ultra_hdr(PORTRAIT, highlights(PORTRAIT), index=False)
    cut = first.index(b"\xff\xd8\xff", 4)
    body = phones.indexed(phones.with_segments(first[:cut], hidden), first[cut:])
    place = body.index(b"\xff\xd8\xff", 4)
    offset = body.index(b"MPF\0") + 4 + 50 + 16 + 8
    with pytest.raises(CheckError, match="its index names other pictures"):
        decode(body[:offset] + struct.pack(">L", place - 10) + body[offset + 4 :], LIMITS)


@pytest.mark.parametrize("order", ["<", ">"])
def test_an_index_of_pictures_that_were_stripped_stops_nothing(order):
    seen = decode(phones.indexed(encoded(PORTRAIT, "JPEG"), order=order, lost=1), LIMITS)
    assert (len(seen.frames), seen.notes) == (1, ("the index names pictures that are not there",))


def test_two_views_are_still_looked_at_as_two_pictures():
    seen = decode(animation([PORTRAIT, OTHER], "MPO"), LIMITS)
    assert [frame.index for frame in seen.frames] == [0, 1]
    assert "2 of 2 frames" in seen.notes


def test_a_gain_map_cut_short_or_over_a_limit_is_refused():
    body = phones.ultra_hdr(PORTRAIT, highlights(PORTRAIT))
    with pytest.raises(CheckError, match="truncated"):
        decode(body[:-300], LIMITS)
    with pytest.raises(CheckError, match="broken or truncated"):
        decode(body[:-300] + b"\xff\xd9", LIMITS)
    pixels = PORTRAIT.width * PORTRAIT.height
    with pytest.raises(CheckError, match="pixels together"):
        decode(body, Limits(total_pixels=pixels + 10))


@pytest.mark.parametrize("behind", [phones.film(), phones.samsung((b"MotionPhoto_Data", phones.film()))])
@pytest.mark.parametrize("body", [encoded(PORTRAIT, "JPEG"), phones.ultra_hdr(PORTRAIT, highlights(PORTRAIT))])
def test_a_motion_photo_is_read_and_its_film_said_not_to_be_looked_at(body, behind):
    seen = decode(body + behind, LIMITS)
    assert "a film follows the picture: not looked at" in seen.notes
    assert [frame.view for frame in seen.frames] == ["shown"]


def test_bytes_of_a_film_that_begin_as_a_picture_does_by_chance_are_no_picture():
    """A film of 5 MB has the first four bytes of a JPEG in it three times in a hundred."""
    chance = random.Random(4)
    for start in (b"\xff\xd8\xff\xe0", b"\xff\xd8\xff\xdb\x00\x43", b"II*\0", b"MM\0*"):
        body = encoded(PORTRAIT, "JPEG") + phones.film(chance.randbytes(2000) + start + chance.randbytes(2000))
        assert "a film follows the picture: not looked at" in decode(body, LIMITS).notes


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "AVIF", "TIFF"])
def test_a_whole_picture_in_a_film_is_refused(kind):
    body = encoded(PORTRAIT, "JPEG") + phones.film(bytes(100) + encoded(OTHER, kind) + bytes(100))
    with pytest.raises(CheckError, match="another picture hides"):
        decode(body, LIMITS)


def test_the_trailer_of_a_samsung_phone_is_read_over():
    notes = decode(encoded(PORTRAIT, "JPEG") + phones.samsung((b"Image_UTC_Data", b"1700000000000")), LIMITS).notes
    assert len(notes) == 1
    assert "bytes after the end of the picture" in notes[0]


SECOND = "the phone wrote another picture behind this one: looked at both"


@pytest.mark.parametrize("body", [encoded(PORTRAIT, "JPEG"), phones.ultra_hdr(PORTRAIT, highlights(PORTRAIT))])
@pytest.mark.parametrize("padded", [b"", bytes(7)])
def test_a_second_photograph_in_the_trailer_of_a_samsung_phone_is_looked_at_too(body, padded):
    trailer = phones.samsung(
        (b"Image_UTC_Data", b"1700000000000"),
        (b"DualShot_1", encoded(OTHER, "JPEG") + padded),
        (b"DualShot_Extra_Info", bytes(90)),
    )
    seen = decode(body + trailer, LIMITS)
    assert [near(frame, OTHER) for frame in seen.frames] == [False, True]
    assert [frame.index for frame in seen.frames] == [0, 1]
    assert SECOND in seen.notes
    assert (seen.width, seen.height) == PORTRAIT.size


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF"])
def test_a_picture_of_another_kind_in_such_a_trailer_is_refused(kind):
    with pytest.raises(CheckError, match="another picture hides"):
        decode(encoded(PORTRAIT, "JPEG") + phones.samsung((b"DualShot_1", encoded(OTHER, kind))), LIMITS)


@pytest.mark.parametrize("place", ["before", "between", "behind", "within"])
def test_a_picture_that_the_trailers_index_does_not_name_is_refused(place):
    hidden, named = encoded(OTHER, "JPEG"), encoded(PORTRAIT, "JPEG")
    body = encoded(PORTRAIT, "JPEG")
    trailers = {
        "before": b"\1\2\3" + hidden + phones.samsung((b"DualShot_1", named)),
        "between": phones.samsung((b"DualShot_1", named), (b"Image_UTC_Data", b"17" + hidden)),
        "behind": phones.samsung((b"DualShot_1", named)) + hidden,
        "within": phones.samsung((b"DualShot_1", named + bytes(9) + hidden)),
    }
    with pytest.raises(CheckError, match="another picture hides"):
        decode(body + trailers[place], LIMITS)


@pytest.mark.parametrize(
    "damage",
    [
        lambda trailer: trailer[:-12] + b"\xff\xff\xff\xff" + trailer[-8:],
        lambda trailer: trailer[:-8] + struct.pack("<L", 7) + b"SEFT",
        lambda trailer: trailer[:-8] + struct.pack("<L", 1 << 31) + b"SEFT",
        lambda trailer: trailer[:-1],
        lambda trailer: trailer.replace(b"SEFH", b"SEFX"),
        lambda trailer: trailer.replace(struct.pack("<LL", 106, 1), struct.pack("<LL", 106, 1 << 30)),
        lambda trailer: trailer[1:],
    ],
)
def test_a_trailer_whose_index_is_broken_names_nothing_so_its_picture_is_refused(damage):
    trailer = damage(phones.samsung((b"DualShot_1", encoded(OTHER, "JPEG"))))
    with pytest.raises(CheckError, match="another picture hides"):
        decode(encoded(PORTRAIT, "JPEG") + trailer, LIMITS)


def test_a_second_photograph_that_is_cut_short_or_over_a_limit_is_refused():
    whole, body = encoded(OTHER, "JPEG"), encoded(PORTRAIT, "JPEG")
    with pytest.raises(CheckError):
        decode(body + phones.samsung((b"DualShot_1", whole[:-400])), LIMITS)
    pixels = PORTRAIT.width * PORTRAIT.height
    with pytest.raises(CheckError, match="pixels together"):
        decode(body + phones.samsung((b"DualShot_1", whole)), Limits(total_pixels=pixels + 10))
    with pytest.raises(CheckError, match="2 pictures in a file, of which 1 at most"):
        decode(body + phones.samsung((b"DualShot_1", whole)), Limits(looked_at=1))


def test_a_trailer_in_a_trailer_is_no_way_down():
    """A picture in a trailer ends where it ends: a trailer of its own is no part of it."""
    inner = encoded(OTHER, "JPEG") + phones.samsung((b"DualShot_1", encoded(GREY, "JPEG")))
    with pytest.raises(CheckError, match="another picture hides"):
        decode(encoded(PORTRAIT, "JPEG") + phones.samsung((b"DualShot_1", inner)), LIMITS)
