"""Formats: what a stranger's bytes are, by their first bytes, and where the picture in them ends.

Names and content types are never believed. A picture that ends before its bytes do may be two files in one: another
program may show the other one. What is truncated is found here, before a decoder paints the missing half grey.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Literal

from guardrail.errors import CheckError
from guardrail.inference.image.av1 import transfers

READ = "PNG, JPEG, WebP, GIF, AVIF, TIFF and BMP, and HEIC where pi-heif is installed"

# A file may have this many chunks, segments or blocks: 50 MB of the smallest ones would keep a core busy for seconds.
MAX_PARTS = 250_000
# Encoders write ten scans for a progressive JPEG. The format allows thousands of a few bytes each, and every one is a
# walk over all pixels: 1.3 seconds for 113 scans of 7,000 x 7,000 pixels in 104 kB.
MAX_SCANS = 100

_SIGNATURES = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"BM", "bmp"),
)
_NOT_READ = (
    (b"\xff\x0a", "jpeg xl"),
    (b"\x00\x00\x00\x0cJXL ", "jpeg xl"),
    (b"\x00\x00\x00\x0cjP  ", "jpeg 2000"),
    (b"8BPS", "psd"),
    (b"%PDF", "pdf"),
    (b"PK\x03\x04", "zip"),
    (b"\x1f\x8b", "gzip"),
    (b"\x00\x00\x01\x00", "ico"),
    (b"II+\x00", "bigtiff"),
    (b"MM\x00+", "bigtiff"),
)
_AVIF = {b"avif", b"avis"}
# How brightness is written, as ITU-T H.273 numbers it: what ordinary screens take about alike (BT.709 and its kin, not
# told, gamma 2.2, sRGB). Viewers that heed the others (linear light, PQ, HLG) show another picture than is decoded.
ORDINARY_TRANSFER = {1, 2, 4, 6, 11, 12, 13, 14, 15}
_HEIC = {b"heic", b"heix", b"heim", b"heis"}
_HEIF_SEQUENCE = {b"hevc", b"hevx", b"hevm", b"hevs", b"msf1"}
# A marker inside entropy-coded data that is no stuffed zero, restart or fill byte.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
# The part of a picture in a file of boxes that is to be shown: its width and height, a fraction each.
_CROP = re.compile(rb"\x00\x00\x00\x28clap(.{16})", re.DOTALL)
CROPPED = 0.9  # encoders cut off the few pixels that fill up an odd size
# The colours of a file of boxes: primaries, and the number of how brightness is written.
_NCLX = re.compile(rb"colrnclx..(..)", re.DOTALL)
_PICTURE_WITHIN = re.compile(
    rb"\xff\xd8\xff[\xc0\xc2\xdb\xe0-\xef\xfe]|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF.{4}WEBP|ftyp(?:avi[fs]|hei[cx]|mif1)|<svg"
    rb"|II\*\x00|MM\x00\*",
    re.DOTALL,
)
_FILM_BOXES = {b"ftyp", b"mdat", b"moov", b"free", b"skip", b"wide", b"uuid", b"meta", b"udta"}
MOST_CHANCES = 16  # 50 MB of a film have less than one that begins as a JPEG by chance
JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers of a JPEG that say its size
_FILM_WITHIN = re.compile(rb"....ftyp[ -~]{4}|\x1aE\xdf\xa3|RIFF.{4}AVI ", re.DOTALL)


def sniff(data: bytes) -> str:
    """Say what `data` is: "png", "jpeg", "webp", "gif", "avif", "heic", "tiff" or "bmp".

    Raises CheckError for everything else, naming it where it is known.
    """
    for signature, name in _SIGNATURES:
        if data.startswith(signature):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[4:8] == b"ftyp":
        return _brand(data)
    for signature, name in _NOT_READ:
        if data.startswith(signature):
            raise CheckError(f"{name} is not read: expected {READ}")
    head = data[:4096].replace(b"\x00", b"").lower()  # UTF-16 too
    if b"<svg" in head or head.lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n").startswith(b"<?xml"):
        raise CheckError("svg is not rendered: refused")
    raise CheckError(f"not a picture: expected {READ}")


def _brand(data: bytes) -> str:
    """What a file of boxes says it is: "avif" or "heic". Raises CheckError for films, which HEIC can hold too."""
    brand, length = data[8:12], int.from_bytes(data[:4])
    if brand in _AVIF:
        return "avif"
    others = {data[at : at + 4] for at in range(16, min(length, 256, len(data)), 4)}
    if brand in _HEIF_SEQUENCE or (brand in _HEIC | {b"mif1"} and others & _HEIF_SEQUENCE):
        raise CheckError(f"a film in heic is not read: expected {READ}")
    if brand in _HEIC or (brand == b"mif1" and others & _HEIC):
        return "heic"
    raise CheckError(f"this mp4-like format is not read: expected {READ}")


def size_ahead(data: bytes, kind: str) -> tuple[int, int] | None:
    """Width and height as the header says, for kinds whose decoder would set memory aside before saying them."""
    if kind == "webp":
        chunk = data[12:16]
        if chunk == b"VP8X" and len(data) >= 30:
            return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
        if chunk == b"VP8L" and len(data) >= 25:
            bits = int.from_bytes(data[21:25], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        if chunk == b"VP8 " and len(data) >= 30:
            width, height = struct.unpack_from("<HH", data, 26)
            return width & 0x3FFF, height & 0x3FFF
        raise CheckError("webp: the header cannot be read")
    if kind == "png":
        if data[12:16] != b"IHDR" or len(data) < 33:
            raise CheckError("png: the header cannot be read")
        width, height = struct.unpack_from(">II", data, 16)
        return width, height
    return None


def end(data: bytes, kind: str, start: int = 0) -> int | None:
    """Offset of the first byte after the picture that begins at `start`; None where the format does not say (TIFF).

    Raises CheckError when the picture goes on after the bytes end, or its structure is broken.
    """
    finders: dict[str, Callable[[bytes, int], int]] = {
        "jpeg": _jpeg_end,
        "png": _png_end,
        "gif": _gif_end,
        "webp": _webp_end,
        "avif": partial(_boxes_end, kind="avif"),
        "heic": partial(_boxes_end, kind="heic"),
    }
    finder = finders.get(kind)
    if finder is None:
        return _bmp_end(data) if kind == "bmp" else None
    try:
        return finder(data, start)
    except (IndexError, struct.error) as error:
        raise CheckError(f"{kind}: truncated") from error


def jpegs_end(data: bytes) -> tuple[list[int], int]:
    """Where each of the JPEG pictures begins that follow each other from the start of `data`, and where the last ends.

    Cameras and phones append a preview or a gain map this way; between two there may be zero bytes.
    """
    starts, at = list[int](), 0
    while True:
        starts.append(at)
        at = end(data, "jpeg", at) or len(data)
        following = at
        while data[following : following + 1] == b"\x00" and following < at + 65536:
            following += 1
        if data[following : following + 3] != b"\xff\xd8\xff" or len(starts) >= 16:
            return starts, at
        at = following


def box(data: bytes, name: bytes) -> bytes | None:
    """One of the outermost boxes of a file of boxes, from its name on: "moov" holds a film, "meta" names pictures."""
    at = 0
    for _ in range(MAX_PARTS):
        if at + 8 > len(data):
            return None
        length: int = struct.unpack_from(">I", data, at)[0]
        if length == 1 and at + 16 <= len(data):
            length = struct.unpack_from(">Q", data, at + 8)[0]
        if data[at + 4 : at + 8] == name:
            return data[at + 4 : at + length] if length >= 8 else data[at + 4 :]
        if length < 8:
            return None
        at += length
    return None


def check_transfer(data: bytes, kind: str) -> None:
    """Raises CheckError when a PNG, AVIF or HEIC says that its brightness is written in no ordinary way.

    An AVIF may say so around its pixels or at their start, or bring a map of how much brighter each pixel may be shown.
    """
    said: set[int] = set()
    if kind == "png":
        said = {data[at + 1] for name, at in _before_pixels(data) if name == b"cICP"}
    elif kind in {"avif", "heic"}:
        said = {int.from_bytes(found[1]) for found in _NCLX.finditer(data)}
    if kind == "avif":
        meta = box(data, b"meta") or b""
        said |= transfers(data, meta, box(data, b"moov") or b"")
        if b"tmap" in meta:
            raise CheckError("avif: a gain map makes another picture of it on screens of high range")
    if said - ORDINARY_TRANSFER:
        raise CheckError(f"{kind}: brightness is written for screens of high range, which two viewers show differently")


def check_crop(data: bytes, size: tuple[int, int]) -> None:
    """Raises CheckError when an AVIF of this size says that only a part of it is to be shown, as some viewers do."""
    for found in _CROP.finditer(data):
        wide, by, high, of = struct.unpack(">4I", found[1])
        if wide < CROPPED * size[0] * by or high < CROPPED * size[1] * of:
            raise CheckError("avif: only a part of the picture is to be shown; two viewers may differ")


def png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name of each chunk of a PNG, and where what it holds begins and ends. Stops where they cannot be read."""
    at = 8
    for _ in range(MAX_PARTS):
        if at + 12 > len(data):
            return
        length, name = struct.unpack_from(">I4s", data, at)
        yield name, at + 8, at + 8 + length
        at += 12 + length


def _before_pixels(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Name and offset of what each chunk of a PNG holds, up to its pixels."""
    for name, at, _ in png_chunks(data):
        if name == b"IDAT":
            return
        yield name, at


def holds_picture(extra: bytes) -> bool:
    """True when what follows a picture looks like another picture.

    Among the pixels of a film any few bytes come by chance, so what begins there as a picture has to go on as one.
    """
    pixels = list(_pixels_of_films(extra))
    for chances, found in enumerate(_PICTURE_WITHIN.finditer(extra)):
        at = found.start()
        if chances >= MOST_CHANCES or not any(first <= at < last for first, last in pixels) or _goes_on(extra, at):
            return True
    return False


def _pixels_of_films(extra: bytes) -> Iterator[tuple[int, int]]:
    """Where the pixels of a film begin and end that is whole: its boxes follow each other, `moov` among them."""
    found = _FILM_WITHIN.search(extra)
    if found is None or extra[found.start() + 4 : found.start() + 8] != b"ftyp":
        return
    names, pixels, at = set[bytes](), list[tuple[int, int]](), found.start()
    for _ in range(1000):
        length, name = int.from_bytes(extra[at : at + 4]), extra[at + 4 : at + 8]
        if length == 1:
            length = int.from_bytes(extra[at + 8 : at + 16])
        if length < 8 or at + length > len(extra) or name not in _FILM_BOXES:
            break
        names.add(name)
        if name == b"mdat":
            pixels.append((at + 8, at + length))
        at += length
    if b"moov" in names:
        yield from pixels


def _goes_on(extra: bytes, at: int) -> bool:
    """True when the picture whose first bytes are at `at` has a header: of the kinds that few bytes begin."""
    if extra.startswith(b"\xff\xd8", at):
        return _has_frame(extra, at)
    if extra.startswith((b"II*", b"MM\0*"), at):
        order: Literal["little", "big"] = "little" if extra[at : at + 1] == b"I" else "big"
        entries = at + int.from_bytes(extra[at + 4 : at + 8], order)
        count = int.from_bytes(extra[entries : entries + 2], order)
        kind = int.from_bytes(extra[entries + 4 : entries + 6], order)
        return 0 < count <= 4096 and 0 < kind <= 18
    return True


def _has_frame(data: bytes, start: int) -> bool:
    """True when the segments of a JPEG at `start` lead to its size."""
    at = start + 2
    for _ in range(1000):
        if data[at : at + 1] != b"\xff":
            return False
        marker = data[at + 1] if at + 1 < len(data) else 0
        if marker in JPEG_FRAMES:
            return True
        at += 1 if marker == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4])
    return True


def holds_film(extra: bytes) -> bool:
    """True when what follows a picture looks like a film: phones append the seconds around a photograph so."""
    return _FILM_WITHIN.search(extra) is not None


def png_frames(data: bytes) -> int:
    """How many frames a PNG holds, whatever it says of their number; 1 for one that does not move.

    Decoders that believe the number show fewer than those that count.
    """
    frames, before = 0, False
    for name, _, _ in png_chunks(data):
        if name == b"fcTL":
            frames += 1
        elif name == b"IDAT" and not before:
            before = True
            frames = max(frames, 1)  # a picture before the first frame is one of its own
    return frames


def png_is_whole(data: bytes) -> bool:
    """True when every frame of a PNG holds all the pixels that its header promises.

    Pillow paints the rest of a stream that ends too soon black. Unpacks the pixels once more, into nothing: worth
    it only where the last row is empty, or where rows come interlaced or in frames.
    """
    width, height, depth, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colour, 4)
    return all(
        _unpacks_to(parts, _png_size(size[0], size[1], bits, bool(interlaced)))
        for size, parts in _png_streams(data, (width, height))
    )


def _png_streams(data: bytes, size: tuple[int, int]) -> Iterator[tuple[tuple[int, int], list[bytes]]]:
    """The compressed pixels of each frame, with the frame's size."""
    at, parts, offset = 8, list[bytes](), 0
    for _ in range(MAX_PARTS):
        length, name = struct.unpack_from(">I4s", data, at)
        if name in {b"fcTL", b"IEND"} and parts:
            yield size, parts
            parts = []
        if name == b"IEND":
            return
        if name == b"fcTL":
            size = struct.unpack_from(">II", data, at + 12)
        if name in {b"IDAT", b"fdAT"}:
            offset = 4 if name == b"fdAT" else 0
            parts.append(data[at + 8 + offset : at + 8 + length])
        at += 12 + length


def _png_size(width: int, height: int, bits: int, interlaced: bool) -> int:
    """Bytes of the unpacked rows, each with its filter byte; seven smaller pictures when interlaced (Adam7)."""
    passes = [(width, height)]
    if interlaced:
        starts = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
        passes = [((width - x + dx - 1) // dx, (height - y + dy - 1) // dy) for x, y, dx, dy in starts]
    return sum(rows * (1 + (columns * bits + 7) // 8) for columns, rows in passes if columns > 0 and rows > 0)


def _unpacks_to(parts: list[bytes], expected: int) -> bool:
    stream, got = zlib.decompressobj(), 0
    try:
        for part in parts:
            rest = part
            while rest and got < expected:
                got += len(stream.decompress(rest, 1 << 20))
                rest = stream.unconsumed_tail
    except zlib.error:
        return False
    return got >= expected


def _jpeg_end(data: bytes, start: int) -> int:
    at: int = start + 2
    scans = 0
    for _ in range(MAX_PARTS):
        if data[at] != 0xFF:
            raise CheckError("jpeg: broken between two segments")
        while data[at] == 0xFF:
            at += 1
        marker = data[at]
        at += 1
        if marker == 0xD9:
            return at
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:
            continue
        at += int.from_bytes(data[at : at + 2])
        if marker == 0xDA:
            scans += 1
            if scans > MAX_SCANS:
                raise CheckError(f"jpeg: more than {MAX_SCANS} scans")
            found = _JPEG_MARKER.search(data, at)
            if found is None:
                raise CheckError("jpeg: truncated")
            at = found.start()
    raise CheckError(f"jpeg: more than {MAX_PARTS} segments")


def _png_end(data: bytes, start: int) -> int:
    at: int = start + 8
    for _ in range(MAX_PARTS):
        length, name = struct.unpack_from(">I4s", data, at)
        at += 12 + length
        if at > len(data):
            raise CheckError("png: truncated")
        if name == b"IEND":
            return at
    raise CheckError(f"png: more than {MAX_PARTS} chunks")


def _gif_end(data: bytes, start: int) -> int:
    at = start + 13 + _colours(data[start + 10])
    for _ in range(MAX_PARTS):
        block = data[at]
        if block == 0x3B:
            return at + 1
        if block == 0x2C:
            at += 11 + _colours(data[at + 9])
        elif block == 0x21:
            at += 2
        else:
            raise CheckError("gif: broken between two blocks")
        for _ in range(MAX_PARTS):
            length = data[at]
            at += 1 + length
            if length == 0:
                break
        else:
            raise CheckError(f"gif: more than {MAX_PARTS} blocks")
    raise CheckError(f"gif: more than {MAX_PARTS} blocks")


def _colours(flags: int) -> int:
    return 3 * (2 << (flags & 7)) if flags & 0x80 else 0


def _webp_end(data: bytes, start: int) -> int:
    length: int = struct.unpack_from("<I", data, start + 4)[0]
    at = start + 8 + length
    if at > len(data):
        raise CheckError("webp: truncated")
    return at


def _boxes_end(data: bytes, start: int, kind: str) -> int:
    """End of the last whole box; what follows without being a box is no part of the picture."""
    at = start
    for _ in range(MAX_PARTS):
        if at + 8 > len(data) or not all(0x20 <= byte < 0x7F for byte in data[at + 4 : at + 8]):
            return at
        length: int = struct.unpack_from(">I", data, at)[0]
        if length == 1:
            length = struct.unpack_from(">Q", data, at + 8)[0]
        if length == 0:
            return len(data)
        if length < 8 or at + length > len(data):
            raise CheckError(f"{kind}: truncated")
        at += length
    raise CheckError(f"{kind}: more than {MAX_PARTS} boxes")


def _bmp_end(data: bytes) -> int | None:
    declared: int = struct.unpack_from("<I", data, 2)[0] if len(data) >= 6 else 0
    return declared if 26 <= declared <= len(data) else None
