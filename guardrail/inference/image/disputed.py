"""Disputed: files of which two viewers show two pictures, by what they say of themselves more than once or oddly.

Where a decoder goes by the last of two palettes and a browser by the first, what was judged is not what is shown.
Such files are refused: no program that means well writes them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from guardrail.errors import CheckError
from guardrail.inference.image import formats, jpegs

# Chunks of a PNG that say how its colours are shown. Decoders go by the first of two, by the last or by none.
_ONCE = {b"IHDR", b"PLTE", b"tRNS", b"gAMA", b"cHRM", b"iCCP", b"sRGB", b"cICP"}
_HAS_ALPHA = 0x10  # a bit of the extended header of a WebP
_MOST_PAGES, _MOST_TAGS = 1000, 4096
_BLACK_AND_WHITE = 532  # a tag of TIFF: the levels that are shown as black and as white, of each colour
_NARROW, _WIDE = 32, 220  # the levels of films, 16 to 235, are black and white to nobody's surprise
_RATIONAL, _V4_HEADER = 5, 108
# Where a BMP takes its colours from, as its header spells it: a profile in it, one beside it, numbers in the header.
_EMBEDDED, _LINKED, _NUMBERS = b"DEBM", b"KNIL", bytes(4)


def check(data: bytes, kind: str) -> None:
    """Raises CheckError for a file that two viewers show as two pictures. `kind` is what `formats.sniff` says."""
    checks: dict[str, Callable[[bytes], None]] = {
        "png": _png,
        "jpeg": _jpeg,
        "webp": _webp,
        "tiff": _tiff,
        "bmp": _bmp,
    }
    if kind in checks:
        checks[kind](data)


def _png(data: bytes) -> None:
    held: dict[bytes, bytes] = {}
    for name, at, end in formats.png_chunks(data):
        if name == b"IEND":
            return
        if name in _ONCE and held.setdefault(name, data[at:end]) != data[at:end]:
            raise CheckError(f"png: two chunks {name.decode()} that differ; two viewers may differ")


def _jpeg(data: bytes) -> None:
    """By JFIF three colours are brightness and two more, by Adobe's mark they may be red, green and blue."""
    jfif, adobe, colours = False, -1, 0
    for marker, at, end in jpegs.segments(data):
        body = data[at:end]
        if marker == 0xE0 and body.startswith(b"JFIF\0"):
            jfif = True
        elif marker == 0xEE and body.startswith(b"Adobe") and len(body) >= 12:
            adobe = body[11]
        elif marker in formats.JPEG_FRAMES and len(body) >= 6:
            colours = body[5]
    if jfif and adobe == 0 and colours == 3:
        raise CheckError("jpeg: two marks name two kinds of colour; two viewers may differ")


def _webp(data: bytes) -> None:
    """By its header it has no transparency, and some decoders believe that; by a chunk of it it has."""
    if data[12:16] != b"VP8X" or int.from_bytes(data[20:21]) & _HAS_ALPHA:
        return
    for name, at, end in _webp_chunks(data, 12, len(data)):
        frame = _webp_chunks(data, at + 16, end) if name == b"ANMF" else [(name, at, end)]
        if any(_is_transparent(data, chunk, start) for chunk, start, _ in frame):
            raise CheckError("webp: it says that it is opaque and brings transparency; two viewers may differ")


def _webp_chunks(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Name of each chunk between two places, and where what it holds begins and ends."""
    for _ in range(formats.MAX_PARTS):
        if at + 8 > end:
            return
        name, length = struct.unpack_from("<4sL", data, at)
        yield name, at + 8, min(at + 8 + length, end)
        at += 8 + length + length % 2


def _is_transparent(data: bytes, name: bytes, at: int) -> bool:
    """True for a chunk of transparency, and for pixels whose header says that they have some."""
    return name == b"ALPH" or (name == b"VP8L" and bool(int.from_bytes(data[at + 1 : at + 5], "little") >> 28 & 1))


def _tiff(data: bytes) -> None:
    order = "<" if data.startswith(b"II") else ">"
    for entries in _pages(data, order):
        held: dict[int, bytes] = {}
        for entry in entries:
            (tag,) = struct.unpack_from(order + "H", entry)
            if held.setdefault(tag, entry) != entry:
                raise CheckError(f"tiff: tag {tag} stands there twice; two viewers may differ")
        if _BLACK_AND_WHITE in held and not _is_usual(data, held[_BLACK_AND_WHITE], order):
            raise CheckError("tiff: other levels than usual are black and white; two viewers may differ")


def _pages(data: bytes, order: str) -> Iterator[list[bytes]]:
    """The entries of each page, 12 bytes each; stops where there is none, or one for the second time."""
    seen = set[int]()
    at: int = struct.unpack_from(order + "L", data, 4)[0] if len(data) >= 8 else 0
    while at and at not in seen and at + 2 <= len(data) and len(seen) < _MOST_PAGES:
        seen.add(at)
        count: int = struct.unpack_from(order + "H", data, at)[0]
        end = at + 2 + 12 * count
        if count > _MOST_TAGS or end + 4 > len(data):
            return  # the decoder says what is wrong with it
        yield [data[start : start + 12] for start in range(at + 2, end, 12)]
        (at,) = struct.unpack_from(order + "L", data, end)


def _is_usual(data: bytes, entry: bytes, order: str) -> bool:
    """True where brightness goes from about 0 to about 255; the other colours of a film lie around 128."""
    _, kind, count, place = struct.unpack(order + "HHLL", entry)
    try:
        if kind == _RATIONAL:
            numbers = struct.unpack_from(f"{order}{2 * min(count, 6)}L", data, place)
            levels = [one / of for one, of in zip(numbers[::2], numbers[1::2], strict=True)]
        else:
            levels = list(struct.unpack_from(f"{order}{min(count, 6)}{'L' if kind == 4 else 'H'}", data, place))
    except (struct.error, ZeroDivisionError):
        return False
    return len(levels) >= 2 and levels[0] <= _NARROW and levels[1] >= _WIDE


def _bmp(data: bytes) -> None:
    header = data[14 : 14 + int.from_bytes(data[14:18], "little")]
    if len(header) < _V4_HEADER:
        return
    space, numbers = header[56:60], header[60:108]
    if space in {_EMBEDDED, _LINKED} or (space == _NUMBERS and any(numbers)):
        raise CheckError("bmp: it brings colours of its own, which is not read; expected sRGB")
