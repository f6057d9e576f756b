"""Pixels: pictures as programs hold them (PIL, NumPy, tensors), as the files that checks look at, and blackened.

Nothing is lost on the way: PNG without compression, every pixel as it stands. Nothing here imports PyTorch; a tensor is
known by what it can do.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from guardrail.errors import BadRequest

_ALPHA = frozenset({"RGBA", "LA", "PA", "La", "RGBa"})
_PLAIN = frozenset({"1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr"})
# How far beyond its range a float may lie: what resizing and half precision leave.
SLACK = 0.05
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOURS = {(): 0, (3,): 2, (4,): 6}  # PNG's numbers for grey, RGB and RGBA
# Bytes of pixels up to which a PNG is not compressed: 50 million are the most that a file may have.
_BARE = 48_000_000


def is_array(value: object) -> bool:
    """True for a NumPy array and for a tensor."""
    return isinstance(value, np.ndarray) or (hasattr(value, "detach") and hasattr(value, "cpu"))


def is_picture(value: object) -> bool:
    """True for a PIL picture."""
    return isinstance(value, Image.Image)


def encode(picture: Image.Image | NDArray[np.uint8]) -> bytes:
    """A picture as a PNG file, without loss; the digest in a receipt is of these bytes.

    An array is uint8 of shape (height, width, 3) or (height, width). Raises BadRequest for a PIL mode that has no
    agreed range of brightness (32-bit integers and floats).
    """
    array = _plain(picture) if isinstance(picture, Image.Image) else picture
    height, width, *channels = array.shape
    # By hand: Pillow tries filters on each row even where nothing is compressed, which takes eight times as long.
    rows = np.zeros((height, array.size // height + 1), np.uint8)
    rows[:, 1:] = array.reshape(height, -1)
    head = struct.pack(">IIBBBBB", width, height, 8, _COLOURS[tuple(channels)], 0, 0, 0)
    body = zlib.compress(rows.data, 0 if rows.size <= _BARE else 1)
    return _SIGNATURE + _chunk(b"IHDR", head) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def encoded(value: Any, slot: str, *, mask: bool = False, signed: bool = False) -> Iterator[tuple[int, str, bytes]]:
    """Every picture in a value, as (place, slot, PNG): one for PIL, one for each along the leading axes of an array.

    Arrays have their channels last, tensors first; 1 or 3 of them; with `mask`, anything of three dimensions or more is
    a stack of grey pictures. Floats lie in [0, 1]. Where some are below 0 the range is [-1, 1] to most pipelines and
    clipped at 0 by others, so both renderings are given, the second as "<slot> as it is", both of one place. With
    `signed` the range is [-1, 1] whatever the values are, and what lies beyond is clipped.

    Raises BadRequest for what is no picture: other shapes (latents), other ranges, values that are no numbers.
    """
    if isinstance(value, Image.Image):
        yield 0, slot, encode(value)
        return
    stack = _stack(value, slot, mask)
    for at, one in enumerate(stack):
        name = slot if len(stack) == 1 else f"{slot}[{at}]"
        for suffix, view in _eight_bits(one, name, signed):
            yield at, name + suffix, encode(view[..., 0] if view.shape[-1] == 1 else view)


def blackened(value: Any, which: frozenset[int]) -> Any:
    """The value with the pictures at these places black; places count as in `encoded`. The value itself stays."""
    if isinstance(value, Image.Image):
        return Image.new(value.mode, value.size) if which else value
    copy = value.copy() if isinstance(value, np.ndarray) else value.clone()
    flat = copy.reshape(-1, *copy.shape[-3:]) if copy.ndim > 3 else copy[None]
    for at in which:
        flat[at] = 0
    return flat.reshape(copy.shape)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(name)))


def _plain(picture: Image.Image) -> NDArray[np.uint8]:
    """The pixels alone: no Exif, which pipelines don't heed, no profile, no text."""
    if picture.mode in _ALPHA or "transparency" in picture.info:
        mode = "RGBA"
    elif picture.mode in _PLAIN:
        mode = "RGB"
    else:
        raise BadRequest(
            f"a picture of PIL mode {picture.mode} cannot be read; convert it to RGB", code="invalid_image"
        )
    return np.asarray(picture.convert(mode))


def _stack(value: Any, slot: str, mask: bool) -> NDArray[Any]:
    """The pictures of an array, as (count, height, width, channels)."""
    first = not isinstance(value, np.ndarray)
    array = _numpy(value)
    shape = "x".join(map(str, array.shape))
    if array.size == 0 or array.ndim > 5:
        raise BadRequest(f"{slot}: an array of shape {shape} is no picture", param=slot, code="invalid_image")
    channel = -3 if first else -1
    if array.ndim >= 3 and array.shape[channel] in (1, 3):
        last = np.moveaxis(array, channel, -1)
        return last.reshape(-1, *last.shape[-3:])
    if array.ndim == 2 or (array.ndim > 2 and mask):
        return array.reshape(-1, *array.shape[-2:], 1)
    raise BadRequest(
        f"{slot}: an array of shape {shape} is no picture of 1 or 3 channels; latents cannot be looked at",
        param=slot,
        code="invalid_image",
    )


def _numpy(value: Any) -> NDArray[Any]:
    if isinstance(value, np.ndarray):
        return value
    whole = value.detach().cpu()
    array: NDArray[Any] = (whole.float() if whole.is_floating_point() else whole).numpy()
    return array


def _eight_bits(one: NDArray[Any], slot: str, signed: bool) -> list[tuple[str, NDArray[np.uint8]]]:
    if one.dtype == np.uint8:
        return [("", one)]
    if one.dtype == np.bool_:
        return [("", one.astype(np.uint8) * np.uint8(255))]
    low, high = float(one.min()), float(one.max())
    if not (np.isfinite(low) and np.isfinite(high)):  # the least and the most of what holds a NaN is NaN
        raise BadRequest(f"{slot}: some of its values are no numbers", param=slot, code="invalid_image")
    if np.issubdtype(one.dtype, np.integer):
        if low < 0 or high > 255:
            raise BadRequest(f"{slot}: integers from 0 to 255 are expected", param=slot, code="invalid_image")
        return [("", one.astype(np.uint8))]
    if signed:
        return [("", _bytes(one / 2 + 0.5))]
    if low < -1 - SLACK or high > 1 + SLACK:
        raise BadRequest(f"{slot}: floats in [0, 1] or [-1, 1] are expected", param=slot, code="invalid_image")
    return [("", _bytes(one))] if low >= 0 else [("", _bytes(one / 2 + 0.5)), (" as it is", _bytes(one))]


def _bytes(one: NDArray[Any]) -> NDArray[np.uint8]:
    return (one.clip(0.0, 1.0) * 255.0).round().astype(np.uint8)
