"""Films: which frames of a picture that moves, or of an album, are looked at, and which at a glance.

Not all can be looked at: each costs what a picture does. The first and the last always are, and the one that is shown
longest, as a film may stay at any of them; of the others those that differ most. One could hide behind a few that
differ more, so those that differ next are glanced at: kept small, for what asks little of a picture. What is left then
is nearer to a frame that was seen than any two of these are to each other. The receipt says how many of how many.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from guardrail.inference.image import colour
from guardrail.inference.image.frame import Frame, Pixels, packed
from guardrail.inference.image.renderings import eight_bits

# Frames are told apart by thumbs of this edge, block by block of BLOCKS x BLOCKS. What models read has 224 pixels and
# more: a frame that differs from another in finer detail alone is coarse itself.
_THUMB, _BLOCKS = 96, 8
_EDGE = _THUMB // _BLOCKS
_PLANE = _BLOCKS * _BLOCKS  # blocks of one channel
# For each frame that may be looked at so many are glanced at, in all their renderings, and kept with this edge: what
# exposure is judged by and known pictures are hashed from. A glance takes a third of a look (models/exposure).
GLANCES, _GLIMPSE = 8, 256
_ANOTHER = 2.0  # grey levels by which some block of two frames differs that are two pictures


class Seen(NamedTuple):
    """What is kept of a frame until it is known which are looked at: `pixels` is how many it has."""

    thumb: Pixels
    shown_ms: float
    pixels: int

    @property
    def views(self) -> int:
        """How many renderings it may have: on black, on white and without alpha, and each in its own colours."""
        transparent = int(self.thumb[3 * _PLANE : 4 * _PLANE].min()) < 255
        return (3 if transparent else 1) * (2 if len(self.thumb) > 4 * _PLANE else 1)


def seen(image: Image.Image) -> Seen:
    return Seen(thumb(image), _shown_ms(image), image.width * image.height)


def shrink(chosen: Sequence[Seen], most: int) -> int:
    """The least whole factor by which frames are shrunk so that all their renderings have `most` pixels together."""
    return max(1, math.ceil(math.sqrt(sum(one.pixels * one.views for one in chosen) / most)))


def glanced(film: Sequence[Seen], ordered: Sequence[int], most: int) -> frozenset[int]:
    """The first of the frames at `ordered` that have `most` renderings together at most."""
    upto = np.cumsum([film[at].views for at in ordered])
    return frozenset(ordered[: int(np.searchsorted(upto, most, side="right"))])


def glimpse_factor(size: tuple[int, int]) -> int:
    """By which whole factor a frame of this size may be shrunk before glimpses are made of it."""
    return max(1, min(size) // _GLIMPSE)


def glimpse(frame: Frame) -> Frame:
    """A rendering of a frame as it is kept for a glance: stretched or squeezed onto a square."""
    small = np.asarray(Image.fromarray(packed(frame.square(_GLIMPSE, 1.0))).convert("RGBX"))
    scale = frame.scale * _GLIMPSE / max(frame.width, frame.height)
    return Frame(small, scale=scale, index=frame.index, view=frame.view)


def thumb(image: Image.Image) -> Pixels:
    """A tiny picture to tell frames apart by: uint8 (channels times blocks, pixels of a block).

    Its three colours, its transparency, and its colours as a viewer shows them that heeds its profile, where these are
    others: two frames may be one in either and two in another.
    """
    flat = eight_bits(image)
    bare = _tiny(flat if flat.mode == "RGB" else flat.convert("RGB"))
    alpha = _tiny(flat.getchannel("A")) if flat.mode == "RGBA" else np.full_like(bare[:_PLANE], 255)
    shown = colour.heeded(image, flat)
    return np.concatenate([bare, alpha] if shown is None else [bare, alpha, _tiny(shown.convert("RGB"))])


def _tiny(image: Image.Image) -> Pixels:
    """The pixels of each block beside each other, channel by channel."""
    small = np.asarray(image.resize((_THUMB, _THUMB), Image.Resampling.BOX))
    blocks = small.reshape(_BLOCKS, _EDGE, _BLOCKS, _EDGE, -1)
    return np.ascontiguousarray(blocks.transpose(4, 0, 2, 1, 3)).reshape(-1, _EDGE * _EDGE)


def _shown_ms(image: Image.Image) -> float:
    """For how many milliseconds a frame is shown; 0 where its file does not say."""
    told = image.info.get("duration", 0)
    return float(told) if isinstance(told, int | float) and told > 0 else 0.0


def most_different(film: Sequence[Seen], count: int) -> tuple[int, ...]:
    """The first frame, the last, the one that is shown longest, and then, one by one, the one farthest from all chosen.

    At most `count`. Distance is the greatest mean difference over the blocks of two thumbs: a small part that changes
    counts as much as a whole frame. Frames that are nearer to a chosen one than _ANOTHER are left out. A film may stay
    at its last frame, or at any other, for as long as somebody looks.
    """
    thumbs = [one.thumb for one in film]
    most = max(map(len, thumbs))
    # A frame without colours of its own kind shows its plain ones to who would heed them.
    stack = np.stack([one if len(one) == most else np.concatenate([one, one[: 3 * _PLANE]]) for one in thumbs])
    chosen = [0]
    nearest = _away(stack, stack[0])
    for wanted in (len(stack) - 1, int(np.argmax([one.shown_ms for one in film])), None):
        while len(chosen) < count:
            at = int(nearest.argmax()) if wanted is None else wanted
            if nearest[at] < _ANOTHER:
                break
            chosen.append(at)
            nearest = np.minimum(nearest, _away(stack, stack[at]))
    return tuple(chosen)


def _away(stack: Pixels, one: Pixels) -> NDArray[np.float32]:
    """How far each thumb of a stack is from one of them, in grey levels."""
    apart = np.maximum(stack, one) - np.minimum(stack, one)
    sums = apart.sum(axis=2, dtype=np.uint16)  # of 144 pixels at most 36,720
    away: NDArray[np.float32] = sums.max(axis=1) / np.float32(_EDGE * _EDGE)
    return away
