"""JPEG files of several pictures: what phones and cameras write behind the first one, and what says so.

A gain map behind a photograph says how much brighter each pixel may be shown on screens that can. An index in the
first picture (CIPA DC-007) names what follows; a tool that strips the pictures may leave the index behind.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator

from guardrail.inference.image.formats import MAX_PARTS

_MPF, _ENTRIES = b"MPF\x00", 0xB002
_XMP = b"http://ns.adobe.com/xap/1.0/\x00"
ISO_GAIN_MAP = b"urn:iso:std:iso:ts:21496:-1\x00"
# How a gain map names itself: as Android, as Apple, and as ISO 21496-1 has it.
_SAYS_GAIN_MAP = (b"hdrgm:Version", b"hdrgm:GainMapMax", b"HDRGainMapVersion", b"aux:hdrgainmap")


def segments(data: bytes, start: int = 0) -> Iterator[tuple[int, int, int]]:
    """Marker, first byte and end of what each segment holds of the JPEG at `start`, up to its pixels."""
    at = start + 2
    for _ in range(MAX_PARTS):
        if at + 4 > len(data) or data[at] != 0xFF:
            return
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        length = int.from_bytes(data[at + 2 : at + 4])
        if marker == 0xD9 or length < 2:
            return
        yield marker, at + 4, min(at + 2 + length, len(data))
        if marker == 0xDA:
            return
        at += 2 + length


def xmp(data: bytes, start: int = 0) -> bytes:
    """What the JPEG at `start` says of itself in XMP; empty where it says nothing."""
    found = (data[at:end] for marker, at, end in segments(data, start) if marker == 0xE1)
    return b"".join(body for body in found if body.startswith(_XMP))


def iso_gain_map(data: bytes, start: int = 0) -> bytes:
    """What the JPEG at `start` says of itself as a gain map by ISO 21496-1; empty where it is none."""
    for marker, at, end in segments(data, start):
        if marker == 0xE2 and data.startswith(ISO_GAIN_MAP, at):
            return data[at + len(ISO_GAIN_MAP) : end]
    return b""


def is_gain_map(data: bytes, start: int) -> bool:
    """True for a picture behind the first that says it is a gain map."""
    told = xmp(data, start)
    return any(words in told for words in _SAYS_GAIN_MAP) or bool(iso_gain_map(data, start))


def indexed(data: bytes) -> list[int]:
    """Where the pictures begin that the index of the first one names, in order and without the first; [] without one.

    An index that is broken names nothing that a viewer could find.
    """
    found = set[int]()
    for marker, at, end in segments(data):
        if marker == 0xE2 and data.startswith(_MPF, at):
            with contextlib.suppress(struct.error):
                found |= _entries(data[at + 4 : end], at + 4)
    return sorted(found)


def _entries(index: bytes, base: int) -> set[int]:
    order = ">" if index.startswith(b"MM") else "<"
    first = struct.unpack_from(order + "L", index, 4)[0]
    count = struct.unpack_from(order + "H", index, first)[0]
    for entry in range(count):
        tag, _, length, place = struct.unpack_from(order + "HHLL", index, first + 2 + 12 * entry)
        if tag == _ENTRIES:
            offsets = [
                struct.unpack_from(order + "L", index, at + 8)[0] for at in range(place, place + length - 15, 16)
            ]
            return {base + offset for offset in offsets[1:] if offset}
    return set()
