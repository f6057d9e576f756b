"""Pictures that strangers send: broken, oversized, two in one, or in an uncommon form. All of them harmless to see."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from guardrail.cli.generator import paint
from tests.inference.image.pictures import animation, png


def painted(side: int = 256) -> Image.Image:
    return Image.open(io.BytesIO(paint("hills"))).resize((side, side))


def encoded(image: Image.Image, kind: str, **how: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **how)
    return out.getvalue()


def rotated(portrait: bytes) -> bytes:
    """A portrait that lies on its side and says so: upright to every viewer."""
    image = Image.open(io.BytesIO(portrait)).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(image.transpose(Image.Transpose.ROTATE_90), "JPEG", quality=92, exif=exif)


def animated(bad: Image.Image, count: int = 12) -> bytes:
    """An animated WebP of hills, one frame of which is another picture."""
    hills = painted(320)
    frames = [hills.copy() for _ in range(count)]
    frames[7] = bad.convert("RGB").resize(hills.size)
    return animation(frames, "WEBP", duration=100, quality=80)


def with_a_broken_frame(webp: bytes) -> bytes:
    """The same animation, whose last frame no longer says that it is a VP8 key frame."""
    at = webp.rindex(b"\x9d\x01\x2a")
    return webp[:at] + b"\x00\x00\x00" + webp[at + 3 :]


def polyglot() -> bytes:
    """Two JPEGs in a row; which one is seen depends on who looks."""
    return encoded(painted(), "JPEG") + encoded(painted().rotate(180), "JPEG")


def sixteen_bits() -> bytes:
    grey = np.asarray(painted().convert("L"), np.uint16) * 257
    return encoded(Image.fromarray(grey), "PNG")


def broken() -> dict[str, bytes]:
    """What nobody can read whole."""
    jpeg = encoded(painted(), "JPEG")
    bomb = png(60_000, 60_000, bytes(10_000_000))
    return {
        "bomb": bomb,
        "truncated jpeg": jpeg[: len(jpeg) // 2],
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>',
        "polyglot": polyglot(),
        "webp with a broken frame": with_a_broken_frame(animated(painted().rotate(90))),
        "not a picture": b"GIF89 is what this is not" * 40,
        "html": b"<html><body>It works</body></html>",
        "zip": b"PK\x03\x04" + bytes(400),
    }


def uncommon() -> dict[str, bytes]:
    """What is unusual and can be read."""
    hills = painted()
    return {
        "cmyk": encoded(hills.convert("CMYK"), "JPEG"),
        "16 bit": sixteen_bits(),
        "palette": encoded(hills.convert("P"), "PNG"),
        "1x1": encoded(Image.new("RGB", (1, 1), (9, 90, 9)), "PNG"),
        "gif": encoded(hills, "GIF"),
        "bytes behind the end": encoded(hills, "JPEG") + b"notes" * 20,
    }


BROKEN = tuple(broken())
UNCOMMON = tuple(uncommon())
