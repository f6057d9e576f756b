"""Damages small files of every kind for a while and decodes each, under a limit of memory; run by test_image_fuzz.

    python -m tests.inference.image.fuzz SECONDS SEED

Prints how many were decoded and refused. Anything but a picture or a CheckError ends it with a traceback.
"""

from __future__ import annotations

import random
import resource
import struct
import sys
import time
import warnings
import zlib
from pathlib import Path

from guardrail.errors import CheckError
from guardrail.inference.image.decode import Limits, decode
from tests.inference.image import phones
from tests.inference.image.pictures import (
    animation,
    chunk,
    colour_profile,
    encoded,
    of_scans,
    scene,
    tiff_tags,
    with_exif_thumbnail,
)

MEMORY = 1 << 30
TELLING = [0, 1, 2, 3, 4, 7, 8, 0x0F, 0x10, 0x7F, 0x80, 0xC0, 0xD8, 0xD9, 0xDA, 0xFE, 0xFF]


def seeds() -> list[bytes]:
    kinds = ("PNG", "JPEG", "WEBP", "GIF", "AVIF", "TIFF", "BMP")
    still = [encoded(scene(), kind) for kind in kinds]
    turned = [scene(), scene().rotate(90, expand=True).resize((96, 64))]
    moving = [animation(turned, kind) for kind in ("WEBP", "GIF", "PNG", "AVIF", "TIFF")]
    modes = [scene().convert("CMYK"), scene().convert("P"), scene().convert("1"), scene().convert("LA")]
    odd = [encoded(image, kind) for image, kind in zip(modes, ("JPEG", "PNG", "TIFF", "PNG"), strict=True)]
    packed = [encoded(scene(), "TIFF", compression=how) for how in ("tiff_lzw", "tiff_deflate", "jpeg")]
    small = encoded(scene().resize((32, 24)), "JPEG")
    named = [with_exif_thumbnail(encoded(scene(), "JPEG"), small), of_scans(12), animation(turned, "MPO")]
    gain = scene().resize((48, 32))
    named += [phones.ultra_hdr(scene(), gain), phones.iphone(scene(), gain), named[0] + phones.film(small)]
    said = phones.iso_gain_map(gain, most=2, common=True, colours=3, screens=(0, 3))
    named.append(phones.indexed(encoded(scene(), "JPEG"), said))
    named.append(encoded(scene(), "JPEG") + phones.samsung((b"Image_UTC_Data", b"17"), (b"DualShot_1", small)))
    moving.append(animation([scene().rotate(9 * at) for at in range(10)], "GIF"))
    zeros = zlib.compress(bytes(64 * 64))
    sizes = ((256, 48), (257, 48), (258, 8), (259, 8), (262, 1), (277, 1), (322, 64), (323, 64), (324, 134))
    tiled = tiff_tags(*sizes, (325, len(zeros)), data=zeros)
    inks = encoded(scene().convert("CMYK"), "JPEG")
    named.append(inks[: inks.index(b"\xff\xee")] + inks[inks.index(b"\xff\xee") + 16 :])
    named.append(encoded(scene(), "JPEG", icc_profile=colour_profile()))
    named.append(encoded(scene().convert("LA").convert("RGBA").rotate(45), "WEBP", quality=50))
    plain, turned_colours = encoded(scene(), "PNG"), (31270, 32900, 15000, 6000, 64000, 33000, 30000, 60000)
    told = chunk(b"gAMA", struct.pack(">I", 45455)) + chunk(b"cHRM", struct.pack(">8I", *turned_colours))
    named.append(plain[:33] + told + plain[33:])
    return [*still, *moving, *odd, *packed, *named, tiled, Path(__file__).with_name("scene.heic").read_bytes()]


def damaged(whole: bytes, other: bytes, chance: random.Random) -> bytes:
    """A few bytes changed, mostly near the start where headers are; a piece doubled, cut out or of another file."""
    body = bytearray(whole)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        at = min(int(chance.random() ** chance.choice((1, 3)) * len(body)), len(body) - 1)
        match chance.randrange(6):
            case 0 | 1:
                body[at] = chance.choice(TELLING)
            case 2:
                body[at] = chance.randrange(256)
            case 3:
                body[at : at + 4] = chance.choice(
                    (b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x00\x00\x40\x00", b"\x7f" * 4)
                )
            case 4:
                body[at : at + chance.randrange(64)] = b""
            case _:
                begin = chance.randrange(len(other))
                body[at:at] = other[begin : begin + chance.randrange(64)]
        if not body:
            return bytes(whole[:1])
    return bytes(body)


def tried(body: bytes) -> bool:
    """True when the file is decoded, False when it is refused. Raises whatever else it leads to."""
    try:
        found = decode(body, Limits())
    except CheckError:
        return False
    assert found.frames
    return True


def main(seconds: float, seed: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter("ignore")
    chance, files = random.Random(seed), seeds()
    decoded = refused = 0
    slowest, until = 0.0, time.monotonic() + seconds
    while time.monotonic() < until:
        body = damaged(chance.choice(files), chance.choice(files), chance)
        start = time.thread_time()
        if tried(body):
            decoded += 1
        else:
            refused += 1
        slowest = max(slowest, time.thread_time() - start)
    print(f"{decoded} decoded, {refused} refused, slowest {slowest:.1f} s")


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
