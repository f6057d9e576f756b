"""Trailers: what a Samsung phone writes behind a photograph, with an index of its own at the end.

Among dates and depths there may be a second photograph of the same moment, through the other lens, which the phone's
gallery offers in place of the first. Its maker publishes no description; it is read as others who took it apart do.
"""

from __future__ import annotations

import struct

_INDEX, _END = b"SEFH", b"SEFT"
_MOST_PARTS = 256
_JPEG = b"\xff\xd8\xff"


def photographs(extra: bytes) -> list[int]:
    """Where the JPEGs begin that the index at the end of `extra`, what follows a picture, names; in order.

    None where there is no such index or it is broken: nobody would find a picture by it.
    """
    try:
        return sorted(_named(extra))
    except struct.error:
        return []


def _named(extra: bytes) -> set[int]:
    if not extra.endswith(_END):
        return set()
    (length,) = struct.unpack_from("<L", extra, len(extra) - 8)
    index = len(extra) - 8 - length
    if index < 0 or not extra.startswith(_INDEX, index):
        return set()
    (count,) = struct.unpack_from("<L", extra, index + 8)
    if count > _MOST_PARTS or 12 + 12 * count > length:
        return set()
    found = set[int]()
    for part in range(count):
        kind, back, size = struct.unpack_from("<4sLL", extra, index + 12 + 12 * part)
        start = index - back
        if start < 0 or not 8 <= size <= back or extra[start : start + 4] != kind:
            continue  # a part that holds something else, or nothing
        (name,) = struct.unpack_from("<L", extra, start + 4)
        body = start + 8 + name
        if body + len(_JPEG) <= start + size and extra.startswith(_JPEG, body):
            found.add(body)
    return found
