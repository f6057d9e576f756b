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


def segment(marker: int, body: bytes) -> bytes:
    """A segment of a JPEG."""
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body


def of_scans(count: int, edge: int = 136) -> bytes:
    """A grey progressive JPEG of this many scans, each of which says that nothing changes. 2 to 883 scans."""

    def packed(values: list[tuple[int, int]]) -> bytes:
        digits = "".join(f"{value:0{width}b}" for value, width in values)
        return (
            int(digits.ljust(-(-len(digits) // 8) * 8, "1"), 2)
            .to_bytes(-(-len(digits) // 8))
            .replace(b"\xff", b"\xff\0")
        )

    blocks = (edge // 8) ** 2
    assert 256 <= blocks < 512  # one run of 256 and more blocks that end at once: symbol 0x80 and 8 bits
    body = b"\xff\xd8" + segment(0xDB, b"\0" + bytes([1] * 64))
    body += segment(0xC2, struct.pack(">BHHB", 8, edge, edge, 1) + b"\1\x11\0")
    body += segment(0xC4, b"\0" + bytes([1, *[0] * 15]) + b"\0") + segment(
        0xC4, b"\x10" + bytes([1, *[0] * 15]) + b"\x80"
    )
    body += segment(0xDA, b"\1\1\0\0\0\0") + packed([(0, 1)] * blocks)
    steps = [(wave, low, low + 1 if low < 13 else 0) for wave in range(1, 64) for low in range(13, -1, -1)]
    for wave, low, high in steps[: count - 1]:
        body += segment(0xDA, bytes([1, 1, 0, wave, wave, high << 4 | low])) + packed([(0, 1), (blocks - 256, 8)])
    return body + b"\xff\xd9"


def tiff_tags(*tags: tuple[int, int], data: bytes = b"") -> bytes:
    """A little-endian TIFF of one page with these tags, each one number of 32 bits, and `data` right after them."""
    body = b"II*\0" + struct.pack("<LH", 8, len(tags))
    body += b"".join(struct.pack("<HHLL", tag, 4, 1, value) for tag, value in sorted(tags))
    return body + struct.pack("<L", 0) + data


def with_exif_thumbnail(body: bytes, thumbnail: bytes, *, orientation: int = 1) -> bytes:
    """A JPEG with a thumbnail in its Exif data, as cameras file one."""
    first = struct.pack("<HHHLL", 1, 0x0112, 3, 1, orientation) + struct.pack("<L", 26)
    second = (
        struct.pack("<H", 2)
        + struct.pack("<HHLL", 0x0201, 4, 1, 56)
        + struct.pack("<HHLL", 0x0202, 4, 1, len(thumbnail))
    )
    exif = b"Exif\0\0II*\0" + struct.pack("<L", 8) + first + second + struct.pack("<L", 0) + thumbnail
    return body[:2] + segment(0xE1, exif) + body[2:]


def with_avif_property(body: bytes, box: bytes) -> bytes:
    """An AVIF as Pillow writes it of one picture, whose picture has this property more."""
    changed, grown = bytearray(body), len(box) + 1
    at = {name: body.index(name) - 4 for name in (b"meta", b"iprp", b"ipco", b"ipma", b"iloc")}

    def grow(place: int, by: int) -> None:
        struct.pack_into(">I", changed, place, struct.unpack_from(">I", changed, place)[0] + by)

    grow(at[b"iloc"] + 16 + 6, grown)  # where the pixels of the first item lie
    for name, by in ((b"meta", grown), (b"iprp", grown), (b"ipco", len(box)), (b"ipma", 1)):
        grow(at[name], by)
    end, place, properties = at[b"ipco"] + struct.unpack_from(">I", body, at[b"ipco"])[0], at[b"ipco"] + 8, 0
    while place < end:
        place += struct.unpack_from(">I", body, place)[0]
        properties += 1
    count = at[b"ipma"] + 18
    changed[count] += 1
    changed.insert(count + changed[count], 0x80 | (properties + 1))
    changed[end:end] = box
    return bytes(changed)
