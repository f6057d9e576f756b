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


SRGB = ((0.4360, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))
DISPLAY_P3 = ((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841))
ADOBE_RGB = ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446))
PLAIN_CURVE = tuple(round(65535 * (level / 255) ** 2.2) for level in range(256))


def colour_profile(primaries: tuple[tuple[float, ...], ...] = SRGB, curve: tuple[int, ...] = PLAIN_CURVE) -> bytes:
    """An ICC profile of a screen: its three primaries, and one curve from 256 levels to light (0 to 65,535)."""

    def xyz(values: tuple[float, ...]) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    light = b"curv\0\0\0\0" + struct.pack(f">I{len(curve)}H", len(curve), *curve)
    bodies = {b"wtpt": xyz((0.9642, 1.0, 0.8249))}
    bodies |= {name: xyz(one) for name, one in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True)}
    bodies |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), light)
    table, data = struct.pack(">I", len(bodies)), b""
    first = 128 + 4 + 12 * len(bodies)
    for name, body in bodies.items():
        table += name + struct.pack(">II", first + len(data), len(body))
        data += body + b"\0" * (-len(body) % 4)
    head = struct.pack(">I4sI4s4s4s", first + len(data), b"lcms", 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">iii", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + table + data
