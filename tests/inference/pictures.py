"""Pictures that tests look at: made here, harmless, and broken on purpose."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image


def scene(width: int = 96, height: int = 64) -> Image.Image:
    """Red left of green, with a soft slope down to blue: its orientation can be told from any corner."""
    across, down = np.linspace(0, 1, width)[None, :], np.linspace(0, 1, height)[:, None]
    pixels = np.zeros((height, width, 3))
    pixels[..., 0] = 230 * (across < 0.5) * (1 - down / 2)
    pixels[..., 1] = 230 * (across >= 0.5) * (1 - down / 2)
    pixels[..., 2] = 200 * down
    return Image.fromarray(pixels.astype(np.uint8))


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    body = io.BytesIO()
    image.save(body, kind, **options)
    return body.getvalue()


def animation(frames: list[Image.Image], kind: str = "WEBP", **options: Any) -> bytes:
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, rows: bytes, *, depth: int = 8, colour: int = 2) -> bytes:
    """A PNG that says what it is told to say, and holds `rows`."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body
