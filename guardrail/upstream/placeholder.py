"""A grey picture in place of one that was refused, for clients that open whatever stands where pictures do."""

from __future__ import annotations

import io

import pybase64
from PIL import Image

_SIDE = 512  # pixels, where the size of a refused picture cannot be told
_LONGEST_SIDE = 4096
_GREY = 128


def placeholder(refused: bytes) -> bytes:
    """A grey PNG of the size of the picture that was refused, in base64."""
    size = (_SIDE, _SIDE)
    try:
        with Image.open(io.BytesIO(refused)) as picture:
            size = picture.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        pass  # no picture that could be read; some size has to do
    out = io.BytesIO()
    Image.new("L", (min(size[0], _LONGEST_SIDE), min(size[1], _LONGEST_SIDE)), _GREY).save(out, "PNG")
    return pybase64.b64encode(out.getvalue())
