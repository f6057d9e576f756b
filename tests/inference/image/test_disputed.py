"""Files of which two viewers show two pictures: each is looked at in both ways, or refused."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image, ImageChops

from guardrail.errors import CheckError
from guardrail.inference.image.decode import Limits, decode
from tests.inference.image.pictures import (
    ADOBE_RGB,
    SRGB,
    chunk,
    colour_profile,
    encoded,
    png,
    scene,
    segment,
    tiff_tags,
)

SRGB_PRIMARIES = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
ADOBE_PRIMARIES = (31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)
TURNED_PRIMARIES = (31270, 32900, 15000, 6000, 64000, 33000, 30000, 60000)
"""What is stored as red is blue, as green red, as blue green."""


def refused(data: bytes) -> str:
    with pytest.raises(CheckError) as caught:
        decode(data, Limits())
    return str(caught.value)


def after_header(body: bytes, *chunks: bytes) -> bytes:
    return body[:33] + b"".join(chunks) + body[33:]


def without_segment(body: bytes, marker: int) -> bytes:
    kept, at = body[:2], 2
    while body[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(body[at + 2 : at + 4])
        kept += b"" if body[at + 1] == marker else body[at:end]
        at = end
    return kept + body[at:]


# -- PNG --------------------------------------------------------------------------------------------------------------


def palette_png(*palettes: bytes, behind: bytes = b"", highest: int = 2) -> bytes:
    body = png(6, 4, (b"\x00" + bytes([0, 1, highest] * 2)) * 4, colour=3)
    body = after_header(body, *(chunk(b"PLTE", palette) for palette in palettes))
    end = body.index(b"IEND") - 4
    return body[:end] + behind + body[end:]


PALETTE, OTHER = bytes(range(0, 90, 10)), bytes(9)


def test_a_png_with_two_palettes_is_refused():
    """The library that browsers use goes by the first, the decoder here by the last."""
    assert decode(palette_png(PALETTE), Limits()).frames
    assert "PLTE" in refused(palette_png(PALETTE, OTHER))
    assert "PLTE" in refused(palette_png(PALETTE, behind=chunk(b"PLTE", OTHER)))


def test_the_same_palette_twice_is_one():
    assert decode(palette_png(PALETTE, PALETTE), Limits()).frames


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        (b"gAMA", struct.pack(">I", 45455), struct.pack(">I", 60000)),
        (b"cHRM", struct.pack(">8I", *SRGB_PRIMARIES), struct.pack(">8I", *TURNED_PRIMARIES)),
        (b"tRNS", bytes(6), b"\0\x10\0\x20\0\x30"),
    ],
)
def test_a_png_that_says_twice_how_its_colours_are_to_be_shown_is_refused(name, one, other):
    body = encoded(scene(), "PNG")
    assert decode(after_header(body, chunk(name, one)), Limits()).frames
    assert name.decode() in refused(after_header(body, chunk(name, one), chunk(name, other)))


def test_a_png_with_two_profiles_is_refused():
    bodies = [encoded(scene(), "PNG", icc_profile=colour_profile(primaries)) for primaries in (SRGB, ADOBE_RGB)]
    profiles = []
    for body in bodies:
        at = body.index(b"iCCP") - 4
        profiles.append(body[at : at + 12 + int.from_bytes(body[at : at + 4])])
    assert "iCCP" in refused(after_header(encoded(scene(), "PNG"), *profiles))


@pytest.mark.parametrize(("highest", "is_refused"), [(2, False), (3, True), (200, True)])
def test_pixels_beyond_the_palette_are_refused(highest, is_refused):
    """Browsers show them black; the decoder here shows them grey, each by its number."""
    body = palette_png(PALETTE, highest=highest)
    if is_refused:
        assert "palette" in refused(body)
    else:
        assert decode(body, Limits()).frames


def test_primaries_that_turn_the_colours_are_looked_at_with_and_without():
    """Browsers heed them where a gamma stands beside them; who does not sees blue people."""
    shown = scene()
    red, green, blue = shown.split()
    body = encoded(Image.merge("RGB", (blue, red, green)), "PNG")
    turned = chunk(b"cHRM", struct.pack(">8I", *TURNED_PRIMARIES))
    gamma = chunk(b"gAMA", struct.pack(">I", 45455))
    frames = decode(after_header(body, gamma, turned), Limits()).frames
    off = [np.abs(frame.rgb.astype(int) - np.asarray(shown)).mean() for frame in frames]
    assert len(off) == 2
    assert off[1] < 8 < 60 < off[0]


@pytest.mark.parametrize("primaries", [SRGB_PRIMARIES, ADOBE_PRIMARIES, (0,) * 8, (31270, 0, *SRGB_PRIMARIES[2:])])
def test_primaries_of_ordinary_screens_and_of_none_cost_no_second_look(primaries):
    body = encoded(scene(), "PNG")
    chunks = chunk(b"gAMA", struct.pack(">I", 45455)), chunk(b"cHRM", struct.pack(">8I", *primaries))
    assert len(decode(after_header(body, *chunks), Limits()).frames) == 1


@pytest.mark.parametrize(("transfer", "is_refused"), [(16, True), (18, True), (13, False), (1, False)])
def test_a_profile_for_screens_of_high_range_is_refused(transfer, is_refused):
    """By the tag `cicp` of ICC.1:2022, which browsers heed and the library here does not."""
    plain = colour_profile()
    tags = int.from_bytes(plain[128:132])
    moved = b"".join(
        plain[at : at + 4] + struct.pack(">I", int.from_bytes(plain[at + 4 : at + 8]) + 12) + plain[at + 8 : at + 12]
        for at in range(132, 132 + 12 * tags, 12)
    )
    entry = b"cicp" + struct.pack(">II", len(plain) + 12, 12)
    told = plain[:128] + struct.pack(">I", tags + 1) + moved + entry + plain[132 + 12 * tags :]
    told += b"cicp\0\0\0\0" + bytes([9, transfer, 0, 1])
    body = encoded(scene(), "JPEG", icc_profile=struct.pack(">I", len(told)) + told[4:])
    if is_refused:
        assert "high range" in refused(body)
    else:
        assert decode(body, Limits()).frames


# -- JPEG -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("turned", [False, True])
def test_inks_without_adobes_mark_are_looked_at_both_ways(turned):
    """Adobe's files hold them the other way round: some viewers take all files for Adobe's, some go by its mark."""
    inks = scene().convert("CMYK")
    body = encoded(ImageChops.invert(inks) if turned else inks, "JPEG", quality=95)
    assert len(decode(body, Limits()).frames) == 1
    seen = decode(without_segment(body, 0xEE), Limits())
    away = [np.abs(frame.rgb.astype(int) - np.asarray(scene())).mean() for frame in seen.frames]
    assert len(away) == 2
    assert min(away) < 10
    assert "inks without a mark of how they stand: looked at both ways" in seen.notes


def adobes(transform: int) -> bytes:
    return segment(0xEE, b"Adobe" + struct.pack(">HHHB", 100, 0, 0, transform))


@pytest.mark.parametrize(("transform", "is_refused"), [(0, True), (1, False)])
def test_a_jpeg_that_two_marks_call_two_kinds_of_colour_is_refused(transform, is_refused):
    body = encoded(scene(), "JPEG")
    assert b"JFIF" in body
    told = body[:2] + adobes(transform) + body[2:]
    if is_refused:
        assert "colour" in refused(told)
    else:
        assert decode(told, Limits()).frames


# -- TIFF -------------------------------------------------------------------------------------------------------------

GREY = np.asarray(scene().convert("L"))


def tiff(*more: tuple[int, int], bits: int = 8, white_is_zero: bool = False, pixels: bytes = GREY.tobytes()) -> bytes:
    high, wide = GREY.shape
    sizes = ((256, wide), (257, high), (258, bits), (259, 1), (262, 0 if white_is_zero else 1), (277, 1), (278, high))
    places = ((273, 8 + 2 + 12 * (len(sizes) + 2 + len(more)) + 4), (279, len(pixels)))
    return tiff_tags(*sizes, *places, *more, data=pixels)


@pytest.mark.parametrize("bits", [8, 16])
def test_where_white_is_zero_the_picture_is_no_negative(bits):
    stored = 255 - GREY if bits == 8 else (255 - GREY.astype("<u2")) * 257
    frame = decode(tiff(bits=bits, white_is_zero=True, pixels=stored.tobytes()), Limits()).frames[0]
    assert np.abs(frame.rgb[..., 0].astype(int) - GREY).max() <= 1


def test_a_tiff_that_names_a_thing_twice_is_refused():
    """Two places of the pixels: some go by the first, some by the last."""
    assert decode(tiff(), Limits()).frames
    assert "twice" in refused(tiff((273, 9)))


def test_a_later_page_is_held_to_it_too():
    first, second = tiff(), tiff((273, 9))
    (count,) = struct.unpack_from("<H", first, 8)
    moved = bytearray(second[8:])
    both = bytearray(first) + moved
    struct.pack_into("<L", both, 10 + 12 * count, len(first))
    for at in range(len(first) + 2, len(first) + 2 + 12 * struct.unpack_from("<H", moved, 0)[0], 12):
        if struct.unpack_from("<H", both, at)[0] == 273:
            struct.pack_into("<L", both, at + 8, len(first) - 8 + struct.unpack_from("<L", both, at + 8)[0])
    assert "twice" in refused(bytes(both))


def test_a_chain_of_pages_that_bites_its_tail_ends():
    body = bytearray(tiff())
    struct.pack_into("<L", body, 10 + 12 * struct.unpack_from("<H", body, 8)[0], 8)
    assert len(decode(bytes(body), Limits()).frames) == 1


@pytest.mark.parametrize(("told", "is_refused"), [((0, 255, 128, 255, 128, 255), False), ((120, 136) * 3, True)])
def test_a_tiff_that_moves_black_and_white_is_refused(told, is_refused):
    body = encoded(scene(), "TIFF", tiffinfo={532: tuple(told)})
    if is_refused:
        assert "black and white" in refused(body)
    else:
        assert decode(body, Limits()).frames


# -- WebP -------------------------------------------------------------------------------------------------------------


def drawn_in_alpha(count: int) -> bytes:
    """White all over; what it shows is in its transparency. Of `count` frames."""
    white = Image.new("RGBA", (96, 64), (255, 255, 255, 255))
    white.putalpha(scene().convert("L"))
    more = {"save_all": True, "append_images": [white.rotate(9 * at) for at in range(1, count)]} if count > 1 else {}
    return encoded(white, "WEBP", exact=True, lossless=count > 1, quality=90, **more)


@pytest.mark.parametrize("count", [1, 2])
def test_a_webp_that_says_it_is_opaque_and_brings_transparency_is_refused(count):
    body = bytearray(drawn_in_alpha(count))
    assert body[12:16] == b"VP8X"
    assert len(decode(bytes(body), Limits()).frames) > 1
    body[20] &= ~0x10
    assert "transparen" in refused(bytes(body))


@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 80}])
def test_an_opaque_webp_with_more_than_pixels_is_read(options):
    body = encoded(scene(), "WEBP", icc_profile=colour_profile(), **options)
    assert body[12:16] == b"VP8X"
    assert len(decode(body, Limits()).frames) == 1


# -- BMP --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("space", "ends", "is_refused"),
    [
        (b"BGRs", 0, False),
        (b" niW", 0, False),
        (b"DEBM", 0, True),
        (b"KNIL", 0, True),
        (bytes(4), 0, False),
        (bytes(4), 1, True),
    ],
)
def test_a_bmp_that_brings_colours_of_its_own_is_refused(space, ends, is_refused):
    """Browsers heed them and the decoder here does not."""
    image = scene()
    rows = np.asarray(image)[::-1, :, ::-1].tobytes()
    header = struct.pack("<IiiHHIIiiII", 124, image.width, image.height, 1, 24, 0, len(rows), 0, 0, 0, 0)
    header += bytes(16) + space + struct.pack("<9i3I", *[ends] * 12) + bytes(16)
    body = b"BM" + struct.pack("<IHHI", 138 + len(rows), 0, 0, 138) + header + rows
    if is_refused:
        assert "colours of its own" in refused(body)
    else:
        assert np.array_equal(decode(body, Limits()).frames[0].rgb, np.asarray(image))
