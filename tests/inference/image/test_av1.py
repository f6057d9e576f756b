"""AV1: what a picture says of its brightness is found where the boxes around it say nothing."""

from __future__ import annotations

import struct

import pytest

from guardrail.errors import CheckError
from guardrail.inference.image import formats
from guardrail.inference.image.av1 import transfers
from guardrail.inference.image.decode import Limits, decode
from tests.inference.image.pictures import animation, encoded, scene

SRGB, PQ, LINEAR = 13, 16, 8


def told(body: bytes) -> set[int]:
    return transfers(body, formats.box(body, b"meta") or b"")


def saying(transfer: int, *, around: bool) -> bytes:
    """An AVIF whose pixels begin with a header that names this transfer; `around` keeps what the boxes say."""
    body = encoded(scene(), "AVIF")
    assert told(body) == {SRGB}
    pixels = body.index(b"mdat")
    at = body.index(bytes([1, SRGB, 6]), pixels) + 1
    changed = body[:at] + bytes([transfer]) + body[at + 1 :]
    return changed if around else changed.replace(b"colrnclx", b"colrnone")


@pytest.mark.parametrize("size", [(16, 16), (33, 47), (257, 511), (1000, 20)])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_the_header_is_read_whatever_the_picture(size, mode):
    assert told(encoded(scene(*size).convert(mode), "AVIF")) == {SRGB}
    assert told(encoded(scene(*size).convert(mode), "AVIF", subsampling="4:4:4", quality=100)) == {SRGB}


def test_the_longer_header_of_a_film_is_read_too():
    assert told(animation([scene(), scene().rotate(180)], "AVIF", duration=100)) == {SRGB}


@pytest.mark.parametrize("name", [b"stco", b"co64"])
def test_a_film_whose_pixels_are_for_screens_of_high_range_is_refused(name):
    """What the boxes say of its still picture is not of the film."""
    body = animation([scene(), scene().rotate(180)], "AVIF", duration=100)
    moov = formats.box(body, b"moov")
    if name == b"co64":
        at = moov.index(b"stco") + 8
        moov = moov[: at - 8] + b"co64" + moov[at - 4 : at + 4] + moov[at + 4 : at + 8].rjust(8, b"\0") + moov[at + 8 :]
    assert transfers(body, b"", moov) == {SRGB}
    assert transfers(body, b"", moov.replace(name, b"none")) == set()
    at = body.index(bytes([1, SRGB, 6]), body.index(b"mdat")) + 1
    assert transfers(body[:at] + bytes([PQ]) + body[at + 1 :], b"", moov) == {PQ}
    with pytest.raises(CheckError, match="high range"):
        decode((body[:at] + bytes([PQ]) + body[at + 1 :]).replace(b"colrnclx", b"colrnone"), Limits())


@pytest.mark.parametrize("around", [True, False])
@pytest.mark.parametrize(
    ("transfer", "is_refused"), [(PQ, True), (LINEAR, True), (SRGB, False), (1, False), (2, False)]
)
def test_an_avif_whose_pixels_are_for_screens_of_high_range_is_refused(transfer, is_refused, around):
    body = saying(transfer, around=around)
    assert told(body) == {transfer}
    if is_refused:
        with pytest.raises(CheckError, match="high range"):
            decode(body, Limits())
    else:
        assert decode(body, Limits()).frames


def test_what_is_broken_says_nothing_and_raises_nothing():
    body = encoded(scene(), "AVIF")
    meta = formats.box(body, b"meta")
    for end in range(len(meta)):
        assert transfers(body, meta[:end]) <= {SRGB}
    for end in range(body.index(b"mdat"), len(body)):
        assert transfers(body[:end], meta) <= {SRGB}
    assert transfers(b"", b"") == set()
    many = b"iloc" + struct.pack(">I", 0) + bytes([0x44, 0]) + b"\xff\xff" + bytes(2_000_000)
    assert transfers(bytes(100), many) == set()
