"""Opening: the header of one picture against the limits, before any decoder is given its pixels."""

from __future__ import annotations

import io
from dataclasses import dataclass
from importlib import import_module

import simplejpeg
from PIL import Image, ImageFile

from guardrail.errors import CheckError
from guardrail.inference.image import disputed, formats

_PILLOW = {
    "jpeg": ("JPEG", "MPO"),
    "png": ("PNG",),
    "webp": ("WEBP",),
    "gif": ("GIF",),
    "avif": ("AVIF",),
    "tiff": ("TIFF",),
    "bmp": ("BMP",),
}


@dataclass(frozen=True)
class Limits:
    """What is decoded at all. Everything over a limit is refused before it is decoded.

    `bytes` of the file; `pixels` of one frame; `frames` in the file, `looked_at` of them at most, and glanced at eight
    times as many; `total_pixels` of all frames together; `aspect` of the long side to the short one. Frames are shrunk
    by a whole factor while the long side stays at least `long_side` and the short one at least `short_side` pixels.
    """

    bytes: int = 50 * 1024 * 1024
    pixels: int = 50_000_000
    frames: int = 300
    looked_at: int = 8
    total_pixels: int = 250_000_000
    aspect: float = 24.0
    long_side: int = 1280
    short_side: int = 512


def header(data: bytes, kind: str, limits: Limits) -> ImageFile.ImageFile:
    """The picture with nothing but its header read. Raises CheckError for what is not decoded because of that."""
    ahead = formats.size_ahead(data, kind)
    if ahead is not None:
        check_size(ahead, limits)
    opened = open_file(data, kind)
    check_size(opened.size, limits)
    formats.check_transfer(data, kind)
    disputed.check(data, kind)
    if kind == "avif":  # the decoder of HEIC cuts for itself
        formats.check_crop(data, opened.size)
    if kind == "png" and data[24] == 16 and "transparency" in opened.info:
        # Told apart by 8 of their 16 bits, what is transparent and what is not would be one grey.
        raise CheckError("png: one colour of 16 bits is transparent, which is not read")
    return opened


def open_file(data: bytes, kind: str) -> ImageFile.ImageFile:
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


def check_size(size: tuple[int, int], limits: Limits) -> None:
    """Raises CheckError for a picture without pixels, with too many, or far too long for its width."""
    width, height = size
    if width < 1 or height < 1:
        raise CheckError("the picture has no pixels")
    if width * height > limits.pixels:
        raise CheckError(f"the picture has {width} x {height} pixels; the limit is {limits.pixels} in all")
    if max(size) > limits.aspect * min(size) and max(size) > limits.long_side:
        raise CheckError(f"the picture is {width} x {height}; the long side may be {limits.aspect:g} times the short")


def shrink(size: tuple[int, int], limits: Limits) -> int:
    """The whole factor that a picture of this width and height is shrunk by, 1 for none."""
    return max(1, min(max(size) // limits.long_side, min(size) // limits.short_side))


def check_jpeg(data: bytes) -> None:
    """Raises CheckError for a JPEG that ends too soon: Pillow paints the rest grey. Decoded small, into nothing."""
    try:
        _, _, colours, _ = simplejpeg.decode_jpeg_header(data)
        inks = "CMYK" if colours in {"CMYK", "YCCK"} else "RGB"
        simplejpeg.decode_jpeg(data, inks, min_width=1, min_height=1, min_factor=8, strict=True)
    except (ValueError, OSError) as error:
        raise CheckError("jpeg: broken or truncated") from error
