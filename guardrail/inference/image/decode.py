"""Images: from bytes a stranger sent to the pixels that every check looks at; decoded once, shared by all.

Limits come before work: what a header says is checked before a decoder sees the file. What cannot be read whole is
refused, never half looked at. Whatever a viewer could show is looked at: every frame that differs, in every way that
it is rendered.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageFile

from guardrail.errors import CheckError
from guardrail.inference.image import colour, formats
from guardrail.inference.image.frame import Frame, Pixels
from guardrail.inference.image.renderings import HEEDED, eight_bits, renderings, turn_of
from guardrail.types import Artifact

__all__ = ["Frame", "Limits", "Picture", "Pixels", "decode", "picture"]

_PILLOW = {
    "jpeg": ("JPEG", "MPO"),
    "png": ("PNG",),
    "webp": ("WEBP",),
    "gif": ("GIF",),
    "avif": ("AVIF",),
    "tiff": ("TIFF",),
    "bmp": ("BMP",),
}
_THUMB = 32  # edge of the thumb that frames are told apart by
_HEADERS = 64 * 1024  # bytes in which a file of boxes names its pictures


@dataclass(frozen=True)
class Limits:
    """What is decoded at all. Everything over a limit is refused before it is decoded.

    `bytes` of the file; `pixels` of one frame; `frames` in the file, `looked_at` of them at most; `total_pixels` of
    all frames together; `aspect` of the long side to the short one. Frames are shrunk by a whole factor while the
    long side stays at least `long_side` and the short one at least `short_side` pixels.
    """

    bytes: int = 50 * 1024 * 1024
    pixels: int = 50_000_000
    frames: int = 300
    looked_at: int = 8
    total_pixels: int = 250_000_000
    aspect: float = 24.0
    long_side: int = 1280
    short_side: int = 512


@dataclass(frozen=True)
class Picture:
    """A decoded picture: what was looked at of it, and what a reader of the record should know.

    `width` and `height` are the original's, upright. `frames` has at least one frame; `notes` says, for instance,
    "8 of 40 frames", "colour profile ignored", "132 bytes after the end of the picture".
    """

    kind: str
    width: int
    height: int
    frames: tuple[Frame, ...]
    notes: tuple[str, ...]


def picture(artifact: Artifact, limits: Limits | None = None) -> Picture:
    """The picture in an artifact, decoded once and shared by every check that asks.

    The limits of the first call hold: the pipeline calls with the operator's, checks call without.

    Raises CheckError when it cannot be read whole, or is over a limit; that too is found out once.
    """
    kept = limits if limits is not None else Limits()

    def make() -> Picture | CheckError:
        if artifact.data is None:
            return CheckError(f"{artifact.slot} is a text, not a picture")
        try:
            return decode(artifact.data, kept)
        except CheckError as error:
            return error

    found = artifact.once("picture", make)
    if isinstance(found, CheckError):
        raise CheckError(*found.args)
    return found


def decode(data: bytes, limits: Limits) -> Picture:
    """Decode a picture. Raises CheckError when it cannot be read whole, or is over a limit."""
    if len(data) > limits.bytes:
        raise CheckError(f"the picture has {len(data)} bytes; the limit is {limits.bytes}")
    kind = formats.sniff(data)
    ahead = formats.size_ahead(data, kind)
    if ahead is not None:
        _check_size(ahead, limits)
    opened = _open(data, kind)
    _check_size(opened.size, limits)
    formats.check_transfer(data, kind)
    if kind == "png" and data[24] == 16 and "transparency" in opened.info:
        # Told apart by 8 of their 16 bits, what is transparent and what is not would be one grey.
        raise CheckError("png: one colour of 16 bits is transparent, which is not read")
    notes = _notes(opened, data, kind)
    if kind == "jpeg":
        count, finish = formats.jpegs_end(data)
    else:
        count, finish = 1, formats.end(data, kind) or len(data)
    # More than one JPEG in a row is an album, when its index says so; otherwise another picture hides behind the first.
    if kind == "jpeg" and count > 1 and not (opened.format == "MPO" and _length(opened, limits) == count):
        raise CheckError("jpeg: another picture follows the first and no index names it; two viewers may differ")
    notes += _extra(data[finish:])
    if kind == "jpeg" and opened.format == "JPEG" and opened.mode in {"L", "RGB"} and not colour.is_heeded(opened):
        frames: tuple[Frame, ...] = (_jpeg(data, opened, limits),)
    else:
        frames, more = _pillow(data, kind, limits)
        notes += more
        if kind == "avif" and formats.has_box(data, b"moov"):
            beside = _beside(data, frames, limits)
            frames += beside
            notes += ["the still picture is not of the film: looked at both"] if beside else []
    if any(frame.view.endswith(HEEDED) for frame in frames):
        notes = ["colour profile or gamma shows another picture: looked at with and without", *notes]
    scale = frames[0].scale
    width, height = round(frames[0].width / scale), round(frames[0].height / scale)
    return Picture(kind, width, height, frames, tuple(notes))


def _open(data: bytes, kind: str) -> ImageFile.ImageFile:
    """Read the header, with the one decoder that the signature calls for."""
    try:
        if kind == "heic":
            return _heic(data)
        return Image.open(io.BytesIO(data), formats=_PILLOW[kind])
    except CheckError:
        raise
    except Image.DecompressionBombError as error:
        raise CheckError(f"{kind}: more pixels than are ever decoded") from error
    except Exception as error:  # a decoder may raise anything on hostile bytes; all of it means: not read
        raise CheckError(f"{kind}: the header cannot be read") from error


def _heic(data: bytes) -> ImageFile.ImageFile:
    try:
        # Optional: its wheels carry libheif and libde265, which are under the LGPL.
        plugin = import_module("pi_heif.as_plugin")
    except ImportError as error:
        raise CheckError("heic is not read here: install pi-heif, or send PNG, JPEG, WebP or AVIF") from error
    opened: ImageFile.ImageFile = plugin.HeifImageFile(io.BytesIO(data))
    return opened


def _check_size(size: tuple[int, int], limits: Limits) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise CheckError("the picture has no pixels")
    if width * height > limits.pixels:
        raise CheckError(f"the picture has {width} x {height} pixels; the limit is {limits.pixels} in all")
    if max(size) > limits.aspect * min(size) and max(size) > limits.long_side:
        raise CheckError(f"the picture is {width} x {height}; the long side may be {limits.aspect:g} times the short")


def _notes(opened: Image.Image, data: bytes, kind: str) -> list[str]:
    notes = ["colour profile ignored"] if opened.info.get("icc_profile") else []
    if kind in {"avif", "heic"} and any(name in data[:_HEADERS] for name in (b"tmap", b"hdrgainmap")):
        notes.append("gain map not looked at")
    return notes


def _extra(extra: bytes) -> list[str]:
    """What is said of bytes after the picture's end. Raises CheckError when another picture is among them."""
    if not extra.strip(b"\x00\r\n \xff"):
        return []
    if formats.holds_picture(extra):
        raise CheckError("another picture hides after the end of this one; two viewers may differ")
    return [f"{len(extra)} bytes after the end of the picture"]


def _shrink(size: tuple[int, int], limits: Limits) -> int:
    return max(1, min(max(size) // limits.long_side, min(size) // limits.short_side))


def _jpeg(data: bytes, opened: ImageFile.ImageFile, limits: Limits) -> Frame:
    """Decode a grey or colour JPEG straight to the size that is kept."""
    factor = _shrink(opened.size, limits)
    least = {"min_width": opened.width // factor, "min_height": opened.height // factor} if factor > 1 else {}
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
        if (width, height) != opened.size:
            raise CheckError("jpeg: two decoders read two different sizes; two viewers may differ")
        pixels = simplejpeg.decode_jpeg(data, "RGBX", min_factor=2, strict=True, **least)
    except (ValueError, OSError) as error:
        raise CheckError("jpeg: broken or truncated") from error
    turn = turn_of(opened)
    if turn is not None:
        flat = Image.frombuffer("RGBX", (pixels.shape[1], pixels.shape[0]), pixels, "raw", "RGBX", 0, 1)
        pixels = np.asarray(flat.transpose(turn))
    return Frame(pixels, scale=max(pixels.shape[:2]) / max(opened.size))


def _pillow(data: bytes, kind: str, limits: Limits) -> tuple[tuple[Frame, ...], list[str]]:
    """Decode with Pillow: one picture, or every frame of several, of which those that differ most are kept."""
    notes: list[str] = []
    if not _has_more(_open(data, kind)):
        image = next(_walk(data, kind, limits))
        if kind == "png" and (image.info.get("interlace") or _last_row_is_empty(image)):
            _check_png(data)
        return tuple(renderings(image, 0, _shrink(image.size, limits), notes)), notes
    if kind == "png":
        _check_png(data)
    # Two walks: keeping the frames of the first one would take a hundred times the memory of keeping their thumbs.
    thumbs = [_thumb(image) for image in _walk(data, kind, limits)]
    chosen = _most_different(thumbs, limits.looked_at)
    frames: list[Frame] = []
    for index, image in enumerate(_walk(data, kind, limits)):
        if index in chosen:
            frames += renderings(image, index, _shrink(image.size, limits), notes)
        if index == max(chosen):
            break
    return tuple(frames), [*dict.fromkeys(notes), f"{len(chosen)} of {len(thumbs)} frames"]


def _beside(data: bytes, frames: Sequence[Frame], limits: Limits) -> tuple[Frame, ...]:
    """Frames of an AVIF that has a film and a picture which is not of the film: viewers show the one or the other.

    The first brand of the file says which of them is decoded. Raises CheckError when the other cannot be.
    """
    brand = b"avif" if data[8:12] == b"avis" else b"avis"
    others, _ = _pillow(data[:8] + brand + data[12:], "avif", limits)
    return tuple(other for other in others if not any(np.array_equal(other.rgb, frame.rgb) for frame in frames))


def _check_png(data: bytes) -> None:
    try:
        whole = formats.png_is_whole(data)
    except struct.error as error:
        raise CheckError("png: truncated") from error
    if not whole:
        raise CheckError("png: the pixels end before the picture does")


def _last_row_is_empty(image: Image.Image) -> bool:
    """True when the last row is all zero, as the memory is that a decoder has not reached."""
    row = image.crop((0, image.height - 1, image.width, image.height))
    return not np.asarray(row).any()


def _has_more(opened: ImageFile.ImageFile) -> bool:
    try:
        opened.seek(1)
    except EOFError:
        return False
    except Exception:  # there is a second frame, and it is broken: walking says so
        return True
    return True


def _length(opened: ImageFile.ImageFile, limits: Limits) -> int:
    """How many pictures an album's index names."""
    return min(int(getattr(opened, "n_frames", 1)), limits.frames + 1)


def _walk(data: bytes, kind: str, limits: Limits) -> Iterator[Image.Image]:
    """Every frame in order, decoded whole. Raises CheckError for the first that is not, or is over a limit."""
    opened, pixels = _open(data, kind), 0
    for index in range(limits.frames + 1):
        try:
            opened.seek(index)
        except EOFError:
            return
        except Exception as error:
            raise CheckError(f"{kind}: frame {index} cannot be read") from error
        if index == limits.frames:
            raise CheckError(f"{kind}: more than {limits.frames} frames")
        _check_size(opened.size, limits)
        pixels += opened.width * opened.height
        if pixels > limits.total_pixels:
            raise CheckError(f"{kind}: the frames have more than {limits.total_pixels} pixels together")
        try:
            opened.load()
        except Exception as error:
            raise CheckError(f"{kind}: frame {index} is broken or truncated") from error
        _check_size(opened.size, limits)  # a few decoders find out only now
        yield opened


def _thumb(image: Image.Image) -> NDArray[np.float32]:
    """A tiny picture with its transparency, to tell frames apart by."""
    small = eight_bits(image).convert("RGBA").resize((_THUMB, _THUMB), Image.Resampling.BOX)
    return np.asarray(small, np.float32)


def _most_different(thumbs: Sequence[NDArray[np.float32]], count: int) -> frozenset[int]:
    """The first frame, and then, one by one, the frame that is farthest from all that are chosen; at most `count`.

    Distance is the greatest mean difference over 4 x 4 blocks of the thumb: a small part that changes counts as
    much as a whole frame. Frames that differ from a chosen one by less than 2 grey levels anywhere are left out.
    """
    blocks = np.stack(thumbs).reshape(len(thumbs), 8, _THUMB // 8, 8, _THUMB // 8, 4).mean(axis=(2, 4))
    blocks = blocks.reshape(len(thumbs), -1)
    chosen = [0]
    nearest = np.abs(blocks - blocks[0]).max(axis=1)
    while len(chosen) < count and nearest.max() >= 2.0:
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.abs(blocks - blocks[chosen[-1]]).max(axis=1))
    return frozenset(chosen)
