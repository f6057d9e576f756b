"""Decoding: every kind that is read, upright, in eight bits, at the sizes that checks ask for."""

from __future__ import annotations

import io
import struct
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from guardrail.errors import CheckError
from guardrail.inference.image.decode import Limits, decode, picture
from guardrail.inference.image.film import GLANCES
from guardrail.types import Artifact, Kind
from tests.inference.image.pictures import animation, colour_profile, encoded, png, scene

LIMITS = Limits()
HEIC = Path(__file__).with_name("scene.heic")  # 96 x 64, the scene that is drawn for these tests
PORTRAIT = Path(__file__).parents[2] / "pictures" / "hopper.jpg"


def corners(rgb: np.ndarray) -> list[str]:
    """The strongest colour near each corner: top left, top right, bottom left, bottom right."""
    height, width = rgb.shape[:2]
    points = [(y, x) for y in (height // 8, height - 1 - height // 8) for x in (width // 8, width - 1 - width // 8)]
    return ["rgb"[int(rgb[y, x].argmax())] for y, x in points]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "AVIF", "TIFF", "BMP"])
def test_each_kind_is_decoded_to_the_same_scene(kind):
    seen = decode(encoded(scene(), kind), LIMITS)
    assert seen.kind == kind.lower()
    assert (seen.width, seen.height) == (96, 64)
    [frame] = seen.frames
    assert frame.rgb.shape == (64, 96, 3)
    assert frame.rgb.dtype == np.uint8
    assert np.abs(frame.rgb.astype(int) - np.asarray(scene()).astype(int)).mean() < 6
    assert frame.scale == 1.0


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK"])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG"])
def test_other_pixel_layouts_become_rgb(kind, mode):
    image = scene().convert(mode)
    if (kind, mode) in {("PNG", "CMYK"), ("JPEG", "P"), ("JPEG", "1")}:
        pytest.skip(f"{kind} has no {mode}")
    [frame] = decode(encoded(image, kind), LIMITS).frames
    expected = np.asarray(image.convert("RGB")).astype(int)
    assert np.abs(frame.rgb.astype(int) - expected).mean() < 4


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_and_not_clipped(kind):
    ramp = np.linspace(0, 65535, 64 * 96).reshape(64, 96).astype(np.uint16)
    [frame] = decode(encoded(Image.fromarray(ramp), kind), LIMITS).frames
    assert np.abs(frame.rgb[..., 1].astype(int) - (ramp >> 8)).max() <= 1
    assert 120 < frame.rgb.mean() < 136


def test_sixteen_bit_colour_is_scaled():
    row = b"\x00" + b"\x80\x00\x40\x00\xff\xff" * 4
    [frame] = decode(png(4, 3, row * 3, depth=16), LIMITS).frames
    assert frame.rgb[1, 1].tolist() == [0x80, 0x40, 0xFF]


def test_brightness_without_an_agreed_range_is_refused():
    with pytest.raises(CheckError, match="no agreed range"):
        decode(encoded(Image.fromarray(np.ones((8, 8), np.float32)), "TIFF"), LIMITS)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(kind, orientation):
    # What each value means is Pillow's own inverse: turn the scene the other way, then say how to turn it back.
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    stored = scene().transpose(Image.Transpose(back[orientation])) if orientation > 1 else scene()
    exif = Image.Exif()
    exif[0x0112] = orientation
    seen = decode(encoded(stored, kind, exif=exif.tobytes()), LIMITS)
    assert (seen.width, seen.height) == (96, 64)
    assert corners(seen.frames[0].rgb) == corners(np.asarray(scene()))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_a_broken_exif_turns_nothing():
    plain = encoded(scene(), "JPEG")
    broken = plain[:2] + b"\xff\xe1\x00\x10Exif\x00\x00MM\x00*\xff\xff\xff\xff" + plain[2:]
    assert decode(broken, LIMITS).frames[0].rgb.shape == (64, 96, 3)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_a_transparent_picture_is_looked_at_on_black_on_white_and_without_its_transparency(kind):
    image = scene().convert("RGBA")
    image.putalpha(Image.fromarray(np.tile(np.linspace(0, 255, 96).astype(np.uint8), (64, 1))))
    seen = decode(encoded(image, kind, lossless=True, exact=True), LIMITS)
    views = {frame.view: frame.rgb for frame in seen.frames}
    assert set(views) == {"on black", "on white", "without alpha"}
    assert views["on black"][2, 0].max() <= 3
    assert views["on white"][2, 0].min() >= 252
    assert views["without alpha"][2, 0].tolist() == list(scene().getpixel((0, 2)))
    assert any("transparent" in note for note in seen.notes)


def test_what_only_shows_without_alpha_is_looked_at():
    hidden = scene().convert("RGBA")
    hidden.putalpha(0)
    views = {frame.view: frame.rgb for frame in decode(encoded(hidden, "PNG"), LIMITS).frames}
    assert corners(views["without alpha"]) == corners(np.asarray(scene()))


def test_an_opaque_alpha_channel_is_one_view():
    image = scene().convert("RGBA")
    assert [frame.view for frame in decode(encoded(image, "PNG"), LIMITS).frames] == ["shown"]


def test_a_grey_picture_with_alpha_is_looked_at_twice():
    image = scene().convert("L").convert("LA")
    image.putalpha(Image.new("L", image.size, 90))
    views = [frame.view for frame in decode(encoded(image, "PNG"), LIMITS).frames]
    assert views[:2] == ["on black", "on white"]


def test_a_palette_with_a_transparent_colour_is_looked_at_on_black_and_on_white():
    image = scene().quantize(8)
    views = {frame.view for frame in decode(encoded(image, "PNG", transparency=0), LIMITS).frames}
    assert {"on black", "on white"} <= views


def test_a_colour_profile_is_noted():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert "colour profile ignored" in decode(encoded(scene(), "PNG", icc_profile=profile), LIMITS).notes


def naming(body: bytes, name: bytes) -> bytes:
    """A file of boxes that names something more: in twelve bytes that are kept free."""
    at = body.index(b"pict") + 4
    assert body[at : at + 12] == bytes(12)
    return body[:at] + name.ljust(12, b"\0") + body[at + 12 :]


def test_an_avif_with_a_gain_map_is_refused_and_one_with_a_thumbnail_says_so():
    """With the map any pixel may be shown as bright as somebody likes, on screens that can."""
    body = encoded(scene(), "AVIF")
    assert decode(body, LIMITS).notes == ()
    assert decode(naming(body, b"thmb"), LIMITS).notes == ("thumbnail not looked at",)
    assert decode(body + struct.pack(">I4s", 12, b"free") + b"tmap", LIMITS).notes == ()
    with pytest.raises(CheckError, match="gain map"):
        decode(naming(body, b"tmap"), LIMITS)


def moved_behind(body: bytes) -> bytes:
    """The same with 70,000 free bytes before the box that names its pictures."""
    at, gap = body.index(b"meta") - 4, struct.pack(">I4s", 70_000, b"free").ljust(70_000, b"\0")
    changed = bytearray(body[:at] + gap + body[at:])
    places = changed.index(b"iloc") + 12
    for place in range(places, places + 60):
        told = struct.unpack_from(">I", changed, place)[0]
        if told == body.index(b"mdat") + 4:
            struct.pack_into(">I", changed, place, told + len(gap))
            return bytes(changed)
    raise AssertionError("where its pixels lie was not found")


@pytest.mark.skipif(find_spec("pi_heif") is None, reason="needs pi-heif: pip install pi-heif")
@pytest.mark.parametrize("where", [lambda body: body, moved_behind], ids=["before", "behind"])
@pytest.mark.parametrize(("name", "said"), [(b"tmap", "gain map"), (b"hdrgainmap", "gain map"), (b"thmb", "thumbnail")])
def test_what_a_heic_has_beside_its_picture_is_said_not_to_be_looked_at(name, said, where):
    assert f"{said} not looked at" in decode(where(naming(HEIC.read_bytes(), name)), LIMITS).notes


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_large_picture_is_kept_at_a_size_that_is_bounded(kind):
    seen = decode(encoded(scene(4000, 3000), kind), LIMITS)
    [frame] = seen.frames
    assert LIMITS.long_side <= max(frame.rgb.shape) < 2 * LIMITS.long_side
    assert abs(seen.width - 4000) <= 2
    assert abs(seen.height - 3000) <= 3
    assert corners(frame.rgb) == corners(np.asarray(scene()))


def test_a_long_picture_keeps_its_short_side():
    seen = decode(encoded(scene(6000, 400), "PNG"), LIMITS)
    assert seen.frames[0].height == 400


def test_sizes_are_made_once_and_shared():
    [frame] = decode(encoded(scene(1000, 600), "PNG"), LIMITS).frames
    assert frame.shrunk(640).shape == (300, 500, 3)
    assert frame.shrink_factor(640) == 2
    assert frame.shrunk(2000).shape == (600, 1000, 3)
    assert frame.fit(320).shape == (192, 320, 3)
    assert frame.fit(320) is frame.fit(320)
    assert frame.square(224).shape == (224, 224, 3)
    box = frame.letterbox(320, fill=7)
    assert box.shape == (320, 320, 3)
    assert (box[192:] == 7).all()
    assert corners(box[:192]) == corners(np.asarray(scene()))


def test_pixels_cannot_be_written_by_a_check():
    [frame] = decode(encoded(scene(), "PNG"), LIMITS).frames
    with pytest.raises(ValueError, match="read-only"):
        frame.rgb[0, 0] = 0


def test_every_check_gets_the_same_decoded_picture():
    artifact = Artifact(Kind.INPUT, "image[0]", data=encoded(scene(), "PNG"))
    assert picture(artifact) is picture(artifact)


def test_the_limits_of_the_first_call_hold():
    artifact = Artifact(Kind.INPUT, "image[0]", data=encoded(scene(), "PNG"))
    with pytest.raises(CheckError, match="the limit is 10"):
        picture(artifact, Limits(pixels=10))
    with pytest.raises(CheckError, match="the limit is 10"):
        picture(artifact)


def test_a_refused_picture_is_refused_again_without_decoding_it_again():
    artifact = Artifact(Kind.INPUT, "image[0]", data=b"\x89PNG\r\n\x1a\nnothing")
    for _ in range(2):
        with pytest.raises(CheckError):
            picture(artifact)
    assert len(artifact._memo) == 1


def test_a_text_is_no_picture():
    with pytest.raises(CheckError, match="text"):
        picture(Artifact(Kind.PROMPT, "prompt", text="a boat"))


def shade(level: int) -> Image.Image:
    return Image.new("RGB", (96, 64), (level, 255 - level, 40))


@pytest.mark.parametrize("kind", ["WEBP", "GIF", "PNG", "AVIF", "TIFF"])
def test_every_frame_that_differs_is_looked_at_up_to_a_cap(kind):
    frames = [shade(20 * index) for index in range(12)]
    seen = decode(animation(frames, kind), LIMITS)
    assert len(seen.frames) == 8
    assert "8 of 12 frames" in seen.notes
    assert {0, 11} <= {frame.index for frame in seen.frames}


def test_one_odd_frame_among_many_alike_is_looked_at():
    frames = [shade(100) for _ in range(40)]
    odd = shade(100)
    odd.paste((255, 255, 255), (40, 20, 52, 30))
    frames[23] = odd
    seen = decode(animation(frames, "WEBP", lossless=True, minimize_size=False), LIMITS)
    assert any((frame.rgb[24, 46] > 240).all() for frame in seen.frames)


@pytest.mark.parametrize("coarse", [4, 8, 32, 64])
@pytest.mark.parametrize("kind", ["WEBP", "PNG", "TIFF"])
def test_a_picture_is_looked_at_beside_its_own_mosaic(kind, coarse):
    """Block by block both have one mean, and only one of them shows who it is."""
    sharp = Image.open(PORTRAIT).convert("RGB").resize((512, 512))
    mosaic = sharp.resize((coarse, coarse), Image.Resampling.BOX).resize(sharp.size, Image.Resampling.NEAREST)
    options = {"lossless": True} if kind == "WEBP" else {}
    seen = decode(animation([mosaic, sharp], kind, **options), LIMITS)
    assert any(np.abs(frame.rgb.astype(int) - np.asarray(sharp, int)).max() <= 1 for frame in seen.frames)


def test_frames_that_differ_in_what_transparency_hides_are_looked_at():
    frames = [Image.new("RGBA", (96, 64), (level, level, level, 0)) for level in (100, 200)]
    seen = decode(animation(frames, "TIFF"), LIMITS)
    assert {round(float(frame.rgb.mean())) for frame in seen.frames if frame.view == "without alpha"} == {100, 200}


def test_frames_that_differ_in_the_colours_of_their_profile_are_looked_at():
    """A curve that brings out single levels makes two pictures of two greys that nobody can tell apart."""
    profile = colour_profile(curve=tuple(65535 * (level > 128) for level in range(256)))
    frames = [Image.new("RGB", (96, 64), (level, level, level)) for level in (128, 129)]
    seen = decode(animation(frames, "TIFF", icc_profile=profile), LIMITS)
    assert {frame.index for frame in seen.frames} == {0, 1}


@pytest.mark.parametrize("kind", ["WEBP", "GIF", "PNG"])
@pytest.mark.parametrize("held", [5, 19])
def test_the_frame_that_is_shown_longest_and_the_last_one_are_looked_at_whatever_the_others_show(kind, held):
    chance = np.random.default_rng(1)
    decoys = [
        Image.fromarray(np.kron(chance.integers(0, 2, (8, 8, 3)) * 255, np.ones((8, 8, 1))).astype(np.uint8))
        for _ in range(20)
    ]
    odd = Image.new("RGB", (64, 64), (120, 130, 140))
    frames = [*decoys[:held], odd, *decoys[held + 1 :]]
    durations = [20] * 20 if held == 19 else [60_000 if at == held else 20 for at in range(20)]
    options = {"lossless": True, "minimize_size": False} if kind == "WEBP" else {}
    seen = decode(animation(frames, kind, duration=durations, **options), LIMITS)
    assert len({frame.index for frame in seen.frames}) == LIMITS.looked_at
    assert any(np.abs(frame.rgb.astype(int) - (120, 130, 140)).max() <= 8 for frame in seen.frames)


GLANCED = GLANCES * LIMITS.looked_at


def patchwork(seed: int, low: int = 0, high: int = 255) -> Image.Image:
    """64 squares of one of two levels in each colour: two of these differ by far more than two plain pictures."""
    squares = np.random.default_rng(seed).integers(0, 2, (8, 8, 3)) * (high - low) + low
    return Image.fromarray(np.kron(squares, np.ones((8, 8, 1))).astype(np.uint8))


@pytest.mark.parametrize("kind", ["WEBP", "PNG", "TIFF"])
def test_a_frame_that_hides_behind_others_that_differ_more_is_seen_at_a_glance(kind):
    odd = Image.new("RGB", (64, 64), (120, 130, 140))
    frames = [*(patchwork(seed) for seed in range(11)), odd, *(patchwork(seed) for seed in range(11, 20))]
    options = {"WEBP": {"lossless": True, "minimize_size": False}, "PNG": {}, "TIFF": {}}[kind]
    seen = decode(animation(frames, kind, **options), LIMITS)
    assert 11 not in {frame.index for frame in seen.frames}
    assert {frame.index for frame in seen.everything} == set(range(21))
    (glimpse,) = (frame for frame in seen.glimpses if frame.index == 11)
    assert glimpse.rgb.shape == (256, 256, 3)
    assert (np.abs(glimpse.rgb.astype(int) - (120, 130, 140)) <= 8).all()
    assert "8 of 21 frames" in seen.notes
    assert "13 more frames at a glance" in seen.notes


@pytest.mark.parametrize(("count", "missed"), [(8 + GLANCED, 0), (8 + GLANCED + 5, 5)])
def test_at_a_glance_no_more_than_so_many_are_seen(count, missed):
    seen = decode(animation([patchwork(seed) for seed in range(count)], "TIFF"), LIMITS)
    assert len(seen.glimpses) == GLANCED
    assert len({frame.index for frame in seen.everything}) == count - missed


def test_what_is_not_seen_at_all_is_nearer_to_a_frame_that_is_than_any_two_of_these_are():
    """So it can only hide as the copy of one, or behind that many that all differ more."""
    levels = np.random.default_rng(5).permutation(256)[:100].tolist()
    frames = [Image.new("RGB", (32, 32), (level, 255 - level, 40)) for level in levels]
    seen = decode(animation(frames, "TIFF"), LIMITS)
    shown = [levels[frame.index] for frame in seen.everything]
    assert len(shown) == 8 + GLANCED
    farthest = max(min(abs(level - one) for one in shown) for level in levels)
    nearest = min(abs(one - other) for at, one in enumerate(shown) for other in shown[:at])
    assert farthest <= max(nearest, 2)


def test_the_glimpses_of_transparent_frames_are_bounded_too():
    frames = []
    for seed in range(40):
        image = patchwork(seed).convert("RGBA")
        image.putalpha(128)
        frames.append(image)
    seen = decode(animation(frames, "TIFF"), LIMITS)
    assert {frame.view for frame in seen.glimpses} == {"on black", "on white", "without alpha"}
    assert GLANCED - 3 < len(seen.glimpses) <= GLANCED


def test_a_film_of_few_frames_and_a_still_picture_have_no_glimpses():
    assert decode(animation([patchwork(seed) for seed in range(8)], "TIFF"), LIMITS).glimpses == ()
    assert decode(encoded(patchwork(1), "PNG"), LIMITS).glimpses == ()


def test_an_animation_of_equal_frames_is_one_frame():
    # TIFF keeps equal pages apart; the other writers merge them.
    seen = decode(animation([shade(100)] * 5, "TIFF"), LIMITS)
    assert [frame.index for frame in seen.frames] == [0]
    assert "1 of 5 frames" in seen.notes


@pytest.mark.parametrize(("count", "refused"), [(20, False), (21, True)])
def test_more_frames_than_the_limit_are_refused(count, refused):
    body = animation([shade(10 * index) for index in range(count)], "GIF")
    limits = Limits(frames=20)
    if refused:
        with pytest.raises(CheckError, match="more than 20 frames"):
            decode(body, limits)
    else:
        assert "8 of 20 frames" in decode(body, limits).notes


def test_frames_share_a_limit_of_pixels():
    body = animation([shade(10 * index) for index in range(5)], "GIF")
    assert decode(body, Limits(total_pixels=5 * 96 * 64)).frames
    with pytest.raises(CheckError, match="together"):
        decode(body, Limits(total_pixels=5 * 96 * 64 - 1))


def test_an_album_of_jpegs_is_looked_at_whole():
    body = io.BytesIO()
    shade(10).save(body, "MPO", save_all=True, append_images=[shade(200)])
    seen = decode(body.getvalue(), LIMITS)
    assert {frame.index for frame in seen.frames} == {0, 1}


def test_a_heic_is_read_where_its_decoder_is_installed_and_refused_by_name_elsewhere():
    body = HEIC.read_bytes()
    if find_spec("pi_heif") is None:
        with pytest.raises(CheckError, match="install pi-heif"):
            decode(body, LIMITS)
        return
    seen = decode(body, LIMITS)
    assert (seen.kind, seen.width, seen.height) == ("heic", 96, 64)
    assert np.abs(seen.frames[0].rgb.astype(int) - np.asarray(scene(), int)).mean() < 6
    with pytest.raises(CheckError, match="limit"):
        decode(body, Limits(pixels=96 * 64 - 1))
    for share in (0.1, 0.5, 0.9):
        with pytest.raises(CheckError):
            decode(body[: int(len(body) * share)], LIMITS)


@pytest.mark.parametrize(
    ("brand", "others", "says"),
    [(b"hevc", b"mif1", "film"), (b"heic", b"msf1", "film"), (b"mif1", b"avif", "mp4-like"), (b"isom", b"mp42", "mp4")],
)
def test_a_film_or_something_else_in_boxes_is_no_heic(brand, others, says):
    with pytest.raises(CheckError, match=says):
        decode(b"\x00\x00\x00\x14ftyp" + brand + b"\x00\x00\x00\x00" + others, LIMITS)
