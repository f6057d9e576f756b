"""Pictures that were made to get past: each is refused or said to be odd, and costs next to nothing."""

from __future__ import annotations

import contextlib
import io
import random
import struct
import tracemalloc
import warnings
import zipfile
import zlib

import pytest
from PIL import Image

from guardrail.errors import CheckError
from guardrail.inference.image.decode import Limits, decode
from guardrail.inference.image.formats import MAX_SCANS
from tests.inference.image.pictures import (
    animation,
    chunk,
    colour_profile,
    encoded,
    of_scans,
    png,
    scene,
    segment,
    tiff_tags,
    with_avif_property,
)
from tests.timing import best_s

LIMITS = Limits()
STEEP = colour_profile(curve=tuple(65535 * (level > 128) for level in range(256)))


def refused(data: bytes, limits: Limits = LIMITS) -> str:
    with pytest.raises(CheckError) as caught:
        decode(data, limits)
    return str(caught.value)


def zipped() -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("notes.txt", "nothing of interest " * 50)
    return body.getvalue()


@pytest.mark.parametrize("edge", [60_000, 8_000])
def test_a_bomb_is_refused_by_its_header(edge):
    rows = b"\x00" * 10_000_000  # compresses to 10 kB
    bomb = png(edge, edge, rows)
    tracemalloc.start()
    said = refused(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert f"{edge} x {edge}" in said
    assert best_s(lambda: refused(bomb)) < 0.5
    assert peak < 1_000_000


def test_a_webp_that_says_it_is_huge_is_refused_before_its_canvas_is_made():
    body = bytearray(animation([scene(), scene().rotate(180)], "WEBP"))
    assert body[12:16] == b"VP8X"
    body[24:27] = body[27:30] = (16382).to_bytes(3, "little")
    assert "16383 x 16383" in refused(bytes(body))


@pytest.mark.parametrize(("pixels", "is_refused"), [(96 * 64, False), (96 * 64 - 1, True)])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "AVIF", "TIFF", "BMP"])
def test_the_limit_of_pixels_holds_for_each_kind(kind, pixels, is_refused):
    body, limits = encoded(scene(), kind), Limits(pixels=pixels)
    if is_refused:
        assert "96 x 64" in refused(body, limits)
    else:
        assert decode(body, limits).frames


def test_the_limit_of_bytes_holds():
    body = encoded(scene(), "PNG")
    assert decode(body, Limits(bytes=len(body))).frames
    assert "bytes; the limit" in refused(body, Limits(bytes=len(body) - 1))


@pytest.mark.parametrize(("width", "is_refused"), [(24 * 60, False), (24 * 60 + 1, True)])
def test_a_picture_too_long_to_be_judged_is_refused(width, is_refused):
    body = encoded(scene(width, 60), "PNG")
    if is_refused:
        assert "long side" in refused(body)
    else:
        assert decode(body, LIMITS).frames


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "AVIF", "TIFF", "BMP"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.8, 0.97])
def test_a_truncated_file_is_never_half_a_picture(kind, share):
    body = encoded(scene(200, 160), kind)
    assert refused(body[: int(len(body) * share)])


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_a_file_that_lacks_its_last_bytes_is_refused(kind):
    body = encoded(scene(200, 160), kind)
    assert refused(body[:-3])


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"icc_profile": STEEP}])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_cut_short_and_closed_again_is_refused(mode, options):
    body = encoded(scene(200, 160).convert(mode), "JPEG", **options)
    assert decode(body, LIMITS).frames
    assert "broken or truncated" in refused(body[: len(body) * 3 // 4] + b"\xff\xd9")


def test_an_album_with_a_picture_cut_short_is_refused():
    body = io.BytesIO()
    scene(200, 160).save(body, "MPO", save_all=True, append_images=[scene(200, 160).rotate(180)])
    cut = body.getvalue()[:-400] + b"\xff\xd9"
    assert "broken or truncated" in refused(cut)


def test_a_progressive_jpeg_is_read_to_its_end():
    assert decode(encoded(scene(200, 160), "JPEG", progressive=True), LIMITS).notes == ()


def test_a_png_whose_pixels_stop_early_is_refused():
    full = b"".join(b"\x00" + b"\x10\x20\x30" * 40 for _ in range(30))
    assert decode(png(40, 30, full), LIMITS).frames
    assert "pixels end" in refused(png(40, 30, full[: len(full) // 2]))
    assert "pixels end" in refused(png(40, 30, full[:-121]))


def test_a_png_whose_last_row_is_black_is_whole():
    row = b"\x00" + b"\x10\x20\x30" * 40
    assert decode(png(40, 2, row + bytes(121)), LIMITS).frames


def test_an_interlaced_png_whose_pixels_stop_early_is_refused():
    def interlaced(share: float) -> bytes:
        sizes = [(1, 1), (1, 1), (2, 1), (2, 2), (4, 2), (4, 4), (8, 4)]
        rows = b"".join((b"\x00" + b"\x90" * columns) * count for columns, count in sizes)
        body = png(8, 8, rows[: int(len(rows) * share)], colour=0)
        header = body[16:28] + b"\x01"
        return body[:8] + chunk(b"IHDR", header) + body[33:]

    assert decode(interlaced(1.0), LIMITS).frames[0].rgb.min() == 0x90
    assert refused(interlaced(0.9))


@pytest.mark.parametrize(("depth", "is_refused"), [(16, True), (8, False)])
@pytest.mark.parametrize("channels", [1, 3])
def test_one_transparent_colour_of_16_bits_is_refused(depth, is_refused, channels):
    """Two greys that differ in their lower bits are one to a decoder of 8, and dots on a page to a viewer."""
    value = b"\x80" if depth == 8 else b"\x80\x01"
    body = png(8, 8, (b"\x00" + value * channels * 8) * 8, depth=depth, colour=0 if channels == 1 else 2)
    seen_through = body[:33] + chunk(b"tRNS", value.rjust(2, b"\x00") * channels) + body[33:]
    assert decode(body, LIMITS).frames
    if is_refused:
        assert "16 bits" in refused(seen_through)
    else:
        assert len(decode(seen_through, LIMITS).frames) == 3


@pytest.mark.parametrize(("transfer", "is_refused"), [(8, True), (16, True), (18, True), (13, False), (1, False)])
@pytest.mark.parametrize("before", [b"", chunk(b"tEXt", b"a\x00IDAT")])
def test_a_png_for_screens_of_high_range_is_refused(transfer, is_refused, before):
    body = png(8, 8, (b"\x00" + b"\x10\x20\x30" * 8) * 8)
    said = body[:33] + before + chunk(b"cICP", bytes([9, transfer, 0, 1])) + body[33:]
    if is_refused:
        assert "high range" in refused(said)
    else:
        assert decode(said, LIMITS).frames


@pytest.mark.parametrize(("transfer", "is_refused"), [(16, True), (18, True), (13, False), (2, False)])
def test_an_avif_for_screens_of_high_range_is_refused(transfer, is_refused):
    body = encoded(scene(64, 64), "AVIF")
    at = body.index(b"colrnclx") + 10
    said = body[:at] + transfer.to_bytes(2) + body[at + 2 :]
    if is_refused:
        assert "high range" in refused(said)
    else:
        assert decode(said, LIMITS).frames


@pytest.mark.parametrize("brand", [b"avis", b"avif"])
def test_an_avif_whose_still_picture_is_not_of_its_film_is_looked_at_both_ways(brand):
    """Viewers show the one or the other; the decoder goes by the first brand alone."""
    dark, light = Image.new("RGB", (64, 64), (20, 20, 20)), Image.new("RGB", (64, 64), (220, 220, 220))
    film = encoded(dark, "AVIF", save_all=True, append_images=[Image.new("RGB", (64, 64), (90, 20, 20))], duration=100)
    still = encoded(light, "AVIF")
    hidden = still[still.index(b"mdat") + 4 :]
    places = film.index(b"iloc") + 4 + 4 + 2 + 2 + 2 + 2 + 2  # version, widths, count, item, file, extents
    moved = film[:places] + struct.pack(">II", len(film) + 8, len(hidden)) + film[places + 8 :]
    both = moved[:8] + brand + moved[12:] + struct.pack(">I4s", len(hidden) + 8, b"mdat") + hidden
    seen = decode(both, LIMITS)
    assert sorted(int(frame.rgb.mean()) // 20 for frame in seen.frames) == [1, 2, 11]
    assert "the still picture is not of the film: looked at both" in seen.notes
    assert decode(film, LIMITS).notes == ("2 of 2 frames",)


def test_the_frames_of_a_film_behind_a_still_picture_are_seen_as_those_of_any_film():
    pages = [Image.new("RGB", (64, 64), (20 * at, 255 - 20 * at, 40)) for at in range(12)]
    film = encoded(pages[0], "AVIF", save_all=True, append_images=pages[1:], duration=100)
    still = encoded(Image.new("RGB", (64, 64), (0, 0, 255)), "AVIF")
    hidden = still[still.index(b"mdat") + 4 :]
    places = film.index(b"iloc") + 4 + 4 + 2 + 2 + 2 + 2 + 2
    moved = film[:places] + struct.pack(">II", len(film) + 8, len(hidden)) + film[places + 8 :]
    both = moved[:8] + b"avif" + moved[12:] + struct.pack(">I4s", len(hidden) + 8, b"mdat") + hidden
    seen = decode(both, LIMITS)
    assert len(seen.frames) == 9
    assert len({frame.index for frame in seen.everything}) == 13


def test_an_avif_whose_still_picture_cannot_be_read_is_refused():
    film = encoded(scene(64, 64), "AVIF", save_all=True, append_images=[scene(64, 64).rotate(180)], duration=100)
    places = film.index(b"iloc") + 4 + 4 + 2 + 2 + 2 + 2 + 2
    assert "avif" in refused(film[:places] + struct.pack(">II", len(film) - 8, 8) + film[places + 8 :])


def test_an_animated_png_with_a_frame_cut_short_is_refused():
    body = animation([scene(), scene().rotate(180)], "PNG", disposal=1)
    assert "2 of 2 frames" in decode(body, LIMITS).notes
    at = body.index(b"fdAT") - 4
    length = struct.unpack_from(">I", body, at)[0]
    pixels = zlib.decompress(body[at + 12 : at + 8 + length])
    short = chunk(b"fdAT", body[at + 8 : at + 12] + zlib.compress(pixels[: len(pixels) // 2]))
    assert refused(body[:at] + short + body[at + 12 + length :])


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "svg is not rendered"),
        (b'\xef\xbb\xbf<?xml version="1.0"?><!-- x --><svg/>', "svg is not rendered"),
        ('<?xml version="1.0" encoding="utf-16"?><svg/>'.encode("utf-16"), "svg is not rendered"),
        (b"\x00\x00\x00\x18ftyphevc\x00\x00\x00\x00mif1heic", "a film in heic"),
        (b"\x00\x00\x00\x18ftypisom\x00\x00\x00\x00mp42isom", "mp4-like"),
        (b"\xff\x0a\x00", "jpeg xl is not read"),
        (b"%PDF-1.7\n", "pdf is not read"),
        (b"8BPS\x00\x01", "psd is not read"),
        (b"\x00\x00\x01\x00\x01\x00", "ico is not read"),
        (b"GIF90a", "not a picture"),
        (b"", "not a picture"),
        (b"hello", "not a picture"),
    ],
)
def test_what_is_not_read_is_named(data, names):
    assert names in refused(data)


def test_a_signature_alone_is_no_picture():
    for signature in (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\x04\x00\x00\x00WEBP", b"BM", b"II*\x00"):
        assert refused(signature)
        assert refused(signature + b"\x00" * 64)


def test_a_kind_is_told_by_its_bytes_and_decoded_by_that_decoder_alone():
    disguised = b"BM" + encoded(scene(), "PNG")[2:]
    assert refused(disguised).startswith("bmp")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "AVIF"])
def test_an_archive_behind_a_picture_is_noted(kind):
    archive = zipped()
    seen = decode(encoded(scene(), kind) + archive, LIMITS)
    assert f"{len(archive)} bytes after the end of the picture" in seen.notes


@pytest.mark.parametrize("behind", ["PNG", "JPEG", "WEBP", "GIF", "AVIF", "TIFF"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "AVIF", "BMP"])
def test_a_second_picture_behind_the_first_is_refused(kind, behind):
    hidden = encoded(scene().rotate(180), behind)
    between = b"" if kind == "JPEG" else b"\x00\x01gap"
    assert refused(encoded(scene(), kind) + between + hidden)


def test_padding_behind_a_picture_is_nothing():
    assert decode(encoded(scene(), "JPEG") + b"\x00" * 500, LIMITS).notes == ()


def test_one_bad_frame_refuses_the_whole_animation():
    frames = [scene().rotate(9 * index) for index in range(6)]
    body = bytearray(animation(frames, "WEBP", lossless=True))
    at = [index for index in range(len(body) - 4) if body[index : index + 4] == b"ANMF"][3]
    body[at + 40 : at + 200] = b"\xa5" * 160
    assert refused(bytes(body)).startswith("webp")


def test_a_gif_frame_larger_than_its_screen_counts_in_full():
    body = bytearray(animation([scene(), scene().rotate(180)], "GIF"))
    at = body.rindex(b"\x2c\x00\x00\x00\x00" + struct.pack("<HH", 96, 64))
    body[at + 5 : at + 9] = struct.pack("<HH", 60_000, 60_000)
    assert refused(bytes(body))


def test_a_gif_of_a_million_tiny_blocks_is_refused_quickly():
    comments = (b"\x21\xfe" + b"\x01a\x00") * 300_000
    plain = encoded(scene(), "GIF")
    assert best_s(lambda: refused(plain[:-1] + comments + b"\x3b")) < 3


def test_a_jpeg_of_a_million_tiny_segments_is_refused_quickly():
    plain = encoded(scene(), "JPEG")
    body = plain[:2] + b"\xff\xfe\x00\x02" * 1_000_000 + plain[2:]
    assert "segments" in refused(body)
    assert best_s(lambda: refused(body)) < 3


def test_a_jpeg_that_never_ends_is_scanned_in_linear_time():
    plain = encoded(scene(), "JPEG")
    body = plain[:-2] + b"\xff\x00" * 10_000_000
    assert "truncated" in refused(body)
    assert best_s(lambda: refused(body)) < 3


def test_a_compressed_text_in_a_png_does_not_unfold_without_bound():
    import zlib

    text = chunk(b"zTXt", b"note\x00\x00" + zlib.compress(b"a" * 200_000_000, 9))
    plain = encoded(scene(), "PNG")
    tracemalloc.start()
    with contextlib.suppress(CheckError):
        decode(plain[:33] + text + plain[33:], LIMITS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000


def test_an_error_never_quotes_the_picture():
    secret = b"PRIVATE-BYTES"
    plain = encoded(scene(200, 160), "JPEG", comment=secret)
    assert "PRIVATE" not in refused(plain[: len(plain) - 40])


@pytest.mark.filterwarnings("ignore")
def test_damaged_files_are_decoded_or_refused_and_nothing_else():
    chance = random.Random(5)
    whole = [encoded(scene(), kind) for kind in ("PNG", "JPEG", "WEBP", "GIF", "AVIF", "TIFF", "BMP")]
    turning = [scene().rotate(9 * index) for index in range(4)]
    whole += [animation(turning, kind) for kind in ("PNG", "WEBP", "GIF", "AVIF", "TIFF")]
    whole.append(encoded(scene().convert("CMYK"), "JPEG"))
    outcomes = {"decoded": 0, "refused": 0}
    for _ in range(600):
        body = bytearray(chance.choice(whole))
        for _ in range(chance.choice([1, 2, 8])):
            at = chance.randrange(chance.choice([len(body), min(len(body), 120)]))
            if chance.random() < 0.6:
                body[at] = chance.randrange(256)
            elif chance.random() < 0.5:
                del body[at : min(at + chance.randrange(1, 40), len(body) - 1)]
            else:
                body[at:at] = chance.randbytes(chance.randrange(1, 20))
        try:
            assert decode(bytes(body), LIMITS).frames
            outcomes["decoded"] += 1
        except CheckError:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 50


def moving(*colours: tuple[int, int, int]) -> bytes:
    return animation([Image.new("RGB", (96, 64), colour) for colour in colours], "PNG")


@pytest.mark.parametrize("said", [(1,), (2,), (3, 3), (0,), ()])
def test_a_png_that_holds_more_frames_than_it_says_is_refused(said):
    """Who counts the frames shows them all; the decoder here believes the number, or that it is no film at all."""
    body = moving((10, 10, 10), (120, 0, 0), (0, 220, 0))
    at = body.index(b"acTL") - 4
    assert "3 of 3 frames" in decode(body, LIMITS).notes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of a number that it does not believe
        chunks = b"".join(chunk(b"acTL", struct.pack(">II", count, 0)) for count in said)
        assert "holds 3 frames" in refused(body[:at] + chunks + body[at + 20 :])


def test_a_png_whose_first_picture_is_not_of_its_film_is_looked_at_whole():
    shades = [Image.new("RGB", (96, 64), colour) for colour in ((10, 10, 10), (120, 0, 0), (0, 220, 0))]
    body = encoded(shades[0], "PNG", save_all=True, append_images=shades[1:], default_image=True)
    assert len(decode(body, LIMITS).frames) == 3


def album() -> tuple[bytes, int]:
    """An album of two pictures, and where its index says that the second one begins."""
    written = io.BytesIO()
    Image.new("RGB", (96, 64), (10, 200, 40)).save(
        written, "MPO", save_all=True, append_images=[Image.new("RGB", (96, 64), (200, 0, 0))]
    )
    body = written.getvalue()
    base = body.index(b"MPF\0") + 4
    second = struct.pack("<L", body.index(b"\xff\xd8\xff", base) - base)
    return body, body.index(second, base)


def test_an_album_whose_index_names_a_picture_within_the_first_is_refused():
    """The number of pictures is right, and the second of those that follow each other is not among them."""
    body, named = album()
    assert len(decode(body, LIMITS).frames) == 2
    base = body.index(b"MPF\0") + 4
    after = base - 8 + 2 + int.from_bytes(body[base - 6 : base - 4])
    inner = encoded(Image.new("RGB", (96, 64), (10, 200, 40)), "JPEG")
    changed = bytearray(body[:after] + segment(0xFE, inner) + body[after:])
    struct.pack_into("<L", changed, named, after + 4 - base)
    assert "no index names it" in refused(bytes(changed))


@pytest.mark.parametrize(("count", "is_refused"), [(MAX_SCANS, False), (MAX_SCANS + 1, True)])
def test_a_jpeg_of_many_scans_is_refused(count, is_refused):
    """Each is a few bytes of the file and a walk over all pixels of the picture."""
    body = of_scans(count)
    if is_refused:
        assert "scans" in refused(body)
    else:
        assert decode(body, LIMITS).frames


@pytest.mark.parametrize(("edge", "is_refused"), [(1024, False), (16_384, True), (40_000, True)])
def test_a_tiff_of_huge_tiles_is_refused_before_one_is_unpacked(edge, is_refused):
    packed = zlib.compress(bytes(1024 * 1024 if not is_refused else 1000))
    sizes = ((256, 64), (257, 64), (258, 8), (259, 8), (262, 1), (277, 1), (322, edge), (323, edge))
    body = tiff_tags(*sizes, (324, 8 + 2 + 12 * 10 + 4), (325, len(packed)), data=packed)
    if is_refused:
        assert "tiles" in refused(body)
    else:
        assert decode(body, LIMITS).width == 64


@pytest.mark.parametrize("tag", [330, 50706])
def test_a_tiff_with_another_picture_below_its_own_is_refused(tag):
    """A camera's raw picture: what is decoded is a preview, and editors show the picture below it."""
    raw = bytes(8 * 8)
    sizes = ((256, 8), (257, 8), (258, 8), (259, 1), (262, 1), (277, 1), (278, 8))
    for more, is_refused in (((), False), (((tag, 8),), True)):
        places = ((273, 8 + 2 + 12 * (len(sizes) + 2 + len(more)) + 4), (279, len(raw)))
        body = tiff_tags(*sizes, *places, *more, data=raw)
        if is_refused:
            assert "filed below" in refused(body)
        else:
            assert decode(body, LIMITS).width == 8


@pytest.mark.parametrize(
    ("wide", "high", "is_refused"), [(96, 64, False), (90, 60, False), (20, 20, True), (96, 20, True)]
)
def test_an_avif_of_which_a_part_is_to_be_shown_is_refused(wide, high, is_refused):
    """Some viewers cut it out, and then show large what is judged as a small part of something else."""
    crop = struct.pack(">I4s8I", 40, b"clap", wide, 1, high, 1, 0, 1, 0, 1)
    body = with_avif_property(encoded(scene(), "AVIF"), crop)
    if is_refused:
        assert "only a part" in refused(body)
    else:
        assert decode(body, LIMITS).width == 96


@pytest.mark.parametrize("film", [b"\0\0\0\x18ftypmp42" + bytes(400), b"\x1aE\xdf\xa3" + bytes(400)])
def test_a_film_behind_a_picture_is_said_not_to_be_looked_at(film):
    assert "a film follows the picture: not looked at" in decode(encoded(scene(), "JPEG") + film, LIMITS).notes
    assert not any("film" in note for note in decode(encoded(scene(), "JPEG") + zipped(), LIMITS).notes)


@pytest.mark.parametrize("profile", [None, STEEP])
def test_a_film_in_many_renderings_is_kept_within_bounds(profile):
    """39 kB of transparent pages, each shown in six ways, had more than a gigabyte of pixels."""
    chance = random.Random(1)
    pages = []
    for _ in range(9):
        spots = Image.frombytes("RGBA", (4, 4), chance.randbytes(64))
        pages.append(spots.resize((1500, 1500), Image.Resampling.NEAREST))
    options = {"icc_profile": profile} if profile else {}
    seen = decode(animation(pages, "WEBP", lossless=True, **options), LIMITS)
    assert len(seen.frames) == (48 if profile else 24)
    assert sum(frame.width * frame.height for frame in seen.frames) <= 32_000_000
    assert (seen.width, seen.height) == (1500, 1500)


def test_pages_that_fit_are_kept_as_large_as_a_single_picture():
    pages = [scene(1500, 1100), scene(1500, 1100).rotate(180)]
    assert [frame.width for frame in decode(animation(pages, "TIFF"), LIMITS).frames] == [1500, 1500]
