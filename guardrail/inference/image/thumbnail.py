"""Thumbnails: the small picture that a file carries of itself, which may be of something else.

Cameras write one into the Exif data, and galleries, mail programs and file managers show it in place of the picture.
Who crops or paints over a photograph may leave the old one there, and who wants something passed on may put it there.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import ExifTags, Image, ImageFile

from guardrail.inference.image.frame import Frame, Pixels
from guardrail.inference.image.renderings import eight_bits, turn_of

VIEW = "the thumbnail"
# Both are compared at EDGE pixels, block by block: a thumbnail whose blocks all lie within SAME grey levels shows the
# same. Of 135 files with one, of 1,737 JPEGs in packages, 124 do; the median of all is 14, for two ways of shrinking.
EDGE, BLOCK, SAME = 32, 4, 24.0
_QUARTERS = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270)
_OFFSET, _LENGTH = 0x0201, 0x0202  # of the thumbnail's JPEG, from the start of the Exif data


def thumbnail(opened: ImageFile.ImageFile, frames: Sequence[Frame], pixels: int) -> tuple[tuple[Frame, ...], list[str]]:
    """The thumbnail of a picture as a frame to look at, where it shows something else; and what is to be said of it.

    `opened` has the Exif data, `frames` is what was decoded, `pixels` how many a thumbnail may have at most.
    """
    encoded = _encoded(opened)
    if encoded is None:
        return (), []
    try:
        small = Image.open(io.BytesIO(encoded), formats=("JPEG",))
        if small.width * small.height > pixels:
            raise ValueError("more pixels than are decoded")
        flat = eight_bits(small).convert("RGB")
    except Exception:  # a stranger's bytes; a viewer that cannot read them shows the picture itself
        return (), ["the thumbnail cannot be read: not looked at"]
    turn = turn_of(opened)
    upright = flat.transpose(turn) if turn is not None else flat
    # Editors turn the picture and leave the thumbnail as it was: it shows the same.
    turns = (upright.transpose(turn) for turn in _QUARTERS)
    if any(_alike(frame, seen) for seen in (upright, *turns) for frame in frames):
        return (), []
    shown = Frame(np.asarray(upright.convert("RGBX")), scale=1.0, index=frames[-1].index + 1, view=VIEW)
    return (shown,), ["the thumbnail is not of the picture: looked at both"]


def _encoded(opened: ImageFile.ImageFile) -> bytes | None:
    """The file of the thumbnail; None where there is none that can be found."""
    raw = opened.info.get("exif")
    if not isinstance(raw, bytes):
        return None
    try:
        exif = Image.Exif()
        exif.load(raw)
        filed = exif.get_ifd(ExifTags.IFD.IFD1)
        start, length = int(filed[_OFFSET]), int(filed[_LENGTH])
    except Exception:  # none, or a stranger's TIFF that is broken: nobody finds a thumbnail in it
        return None
    body = raw.removeprefix(b"Exif\x00\x00")
    return body[start : start + length] or None


def _alike(frame: Frame, small: Image.Image) -> bool:
    """True when a thumbnail shows what the frame does; cameras fill up one of another shape with bars."""
    seen = frame.square(EDGE)
    wide, high = small.size
    inner_high = min(high, round(wide * frame.height / frame.width))
    inner_wide = min(wide, round(high * frame.width / frame.height))
    left, top = (wide - inner_wide) // 2, (high - inner_high) // 2
    whole, inner = (0, 0, wide, high), (left, top, left + inner_wide, top + inner_high)
    return any(
        _apart(seen, _squeezed(small, box)) <= SAME for box in {whole, inner} if box[2] > box[0] and box[3] > box[1]
    )


def _squeezed(image: Image.Image, box: tuple[int, int, int, int]) -> Pixels:
    return np.asarray(image.resize((EDGE, EDGE), Image.Resampling.BOX, box))


def _apart(one: Pixels, other: Pixels) -> float:
    """The greatest mean difference over the blocks of two squares, in grey levels."""
    difference = np.abs(one.astype(np.int16) - other)
    count = EDGE // BLOCK
    return float(difference.reshape(count, BLOCK, count, BLOCK, 3).mean(axis=(1, 3)).max())
