"""AV1: how the pictures of an AVIF say that their brightness is written, where the boxes around them do not.

A viewer that finds no such word in the boxes takes it from the sequence header at the start of the pixels; the decoder
here hands out the pixels as they are.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from itertools import islice

MOST_ITEMS = 1000
NOT_TOLD = 2  # in ITU-T H.273
_SEQUENCE_HEADER = 1
_CHUNKS = re.compile(rb"(stco|co64)\0\0\0\0(....)", re.DOTALL)
_SELECTED = 2  # what is told of each frame by itself


def transfers(data: bytes, meta: bytes, moov: bytes = b"") -> set[int]:
    """How brightness is written, as ITU-T H.273 numbers it, in every picture that two boxes name, by their content.

    `meta` names still pictures and `moov` films. Pictures that are no AV1, and headers that are broken, say nothing: no
    decoder shows them.
    """
    found = set[int]()
    for start in (*_starts(meta), *_first_samples(moov)):
        try:
            found.add(_transfer_at(data, start))
        except (IndexError, ValueError):
            continue
    return found


def _starts(meta: bytes) -> Iterator[int]:
    """Where the bytes of each item begin, by the box `iloc` (ISO/IEC 14496-12, 8.11.3)."""
    at = meta.find(b"iloc") + 4
    if at < 4:
        return
    try:
        version, sizes = meta[at], struct.unpack_from(">H", meta, at + 4)[0]
        offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
        wide = 4 if version == 2 else 2
        count, at = int.from_bytes(meta[at + 6 : at + 6 + wide]), at + 6 + wide
        for _ in range(min(count, MOST_ITEMS)):
            at += wide + (2 if version else 0) + 2
            base, at = int.from_bytes(meta[at : at + base_size]), at + base_size
            extents, at = struct.unpack_from(">H", meta, at)[0], at + 2
            before = index_size if version else 0
            if extents:
                yield base + int.from_bytes(meta[at + before : at + before + offset_size])
            at += extents * (before + offset_size + length_size)
    except (IndexError, struct.error):
        return


def _first_samples(moov: bytes) -> Iterator[int]:
    """Where the first chunk of each track begins (boxes `stco` and `co64`, 8.7.5)."""
    for found in islice(_CHUNKS.finditer(moov), MOST_ITEMS):
        if int.from_bytes(found[2]):
            yield int.from_bytes(moov[found.end() : found.end() + (4 if found[1] == b"stco" else 8)])


def _transfer_at(data: bytes, start: int) -> int:
    """The transfer of the sequence header among the first units at `start`. Raises ValueError where there is none."""
    at = start
    for _ in range(8):
        header = data[at]
        at += 2 if header & 4 else 1
        length, at = _leb128(data, at) if header & 2 else (len(data) - at, at)
        if header >> 3 & 15 == _SEQUENCE_HEADER:
            return _transfer(_Bits(data[at : at + min(length, 1024)]))
        at += length
    raise ValueError("no sequence header")


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(8):
        value |= (data[at + place] & 0x7F) << 7 * place
        if not data[at + place] & 0x80:
            return value, at + place + 1
    raise ValueError("a length without an end")


class _Bits:
    """Reads numbers of any width, the highest bit first. Raises ValueError at the end."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data)
        self._left = 8 * len(data)

    def __call__(self, width: int = 1) -> int:
        self._left -= width
        if self._left < 0:
            raise ValueError("the header ends too soon")
        return self._value >> self._left & (1 << width) - 1

    def zeros(self) -> int:
        """How many zero bits come before the next one, which is read too."""
        count = 0
        while not self():
            count += 1
        return count


def _transfer(bits: _Bits) -> int:
    """`transfer_characteristics` of a sequence header (AV1 bitstream specification, 5.5)."""
    profile = bits(3)
    bits()  # still_picture
    reduced = bits()
    if reduced:
        bits(5)
    else:
        _operating_points(bits)
    wide, high = bits(4) + 1, bits(4) + 1
    bits(wide + high)
    if not reduced and bits():
        bits(4 + 3)
    bits(3)
    if not reduced:
        _tools(bits)
    bits(3)
    deep = bits()
    if profile == 2 and deep:
        bits()
    if profile != 1:
        bits()  # mono_chrome
    if not bits():
        return NOT_TOLD
    bits(8)  # color_primaries
    return bits(8)


def _operating_points(bits: _Bits) -> None:
    delays = 0
    if bits():  # timing_info_present_flag
        bits(64)
        if bits():
            bits(bits.zeros())
        if bits():  # decoder_model_info_present_flag
            delays = bits(5) + 1
            bits(32 + 5 + 5)
    displayed = bits()
    for _ in range(bits(5) + 1):
        bits(12)
        if bits(5) > 7:
            bits()
        if delays and bits():
            bits(2 * delays + 1)
        if displayed and bits():
            bits(4)


def _tools(bits: _Bits) -> None:
    bits(4)
    ordered = bits()
    if ordered:
        bits(2)
    screen = _SELECTED if bits() else bits()
    if screen and not bits():
        bits()
    if ordered:
        bits(3)
