"""Bodies: where people stand in a picture, also from behind, without a head, or too far away for a face.

NanoDet-g was taught on eighty kinds of things, so it knows a person from a horse better than a net that only ever saw
people; boots, dummies and monkeys fool it all the same. It gives a box and a score, never who.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from guardrail.errors import CheckError
from guardrail.inference.image import yunet
from guardrail.inference.image.align import Pixels
from guardrail.inference.image.blocks import blocks, filled
from guardrail.inference.image.decode import picture
from guardrail.inference.image.frame import Frame
from guardrail.inference.weights import Models
from guardrail.types import Artifact

NAME = "nanodet"
SIDE = 320  # long side at which a frame is looked at
GAP = 1.5  # of 1,024 pixels the half is taken, which the search for faces has made already
TRACE = 0.3  # boxes below this are left out: of pictures without anybody one in five has one there
# From this score a body is somebody: its probability is then about 0.5 (see the check `face`).
SEEN = 0.55
MOST_BODIES = 16  # of one frame, the surest first
NMS_IOU = 0.6  # as published with NanoDet
STRIDES, BINS = (8, 16, 32), 11
# What the network was taught to see as nothing, as R, G, B: its own mean around the picture, and grey in the margin
# that fills the picture up to a multiple of 32.
NOTHING, GREY = (124, 116, 104), (114, 114, 114)
Map = NDArray[np.float32]


@dataclass(frozen=True)
class Body:
    """A person in one frame of a picture: `box` is x0, y0, x1, y1 as fractions of the frame.

    `score` is the detector's, not a probability.
    """

    frame: int
    score: float
    box: tuple[float, float, float, float]

    @property
    def area(self) -> float:
        """Share of the frame that the box covers."""
        x0, y0, x1, y1 = self.box
        return max(0.0, x1 - x0) * max(0.0, y1 - y0)


class BodyFinder:
    """Finds the people of a picture, once per picture."""

    def __init__(self, models: Models) -> None:
        self._models = models

    @classmethod
    def where_present(cls, models: Models) -> BodyFinder | None:
        """A finder where the weights are in the cache, else None: for checks that can do without."""
        return cls(models) if NAME in models.names() and models.has(NAME) else None

    @property
    def models(self) -> tuple[str, ...]:
        return (self._models.label(NAME),)

    def bodies(self, artifact: Artifact) -> tuple[Body, ...]:
        """Every person with a score of TRACE or more in every frame, the surest first.

        Raises CheckError when the picture cannot be read.
        """
        return artifact.once("bodies", lambda: self._search(artifact))

    def _search(self, artifact: Artifact) -> tuple[Body, ...]:
        session = self._models.session(NAME)
        found = [body for at, frame in enumerate(picture(artifact).frames) for body in bodies_in(session, frame, at)]
        return tuple(sorted(found, key=lambda body: -body.score))


def bodies_in(session: Any, frame: Frame, at: int = 0) -> list[Body]:
    """The people of one frame, the `at`-th, the surest first. `session` is NanoDet's."""
    view = frame.fit(SIDE, GAP, plain=True)
    height, width = view.shape[:2]
    answers = session.run([f"heads_{stride}" for stride in STRIDES], {"image": padded(view)})
    rows = np.concatenate([_decode(heads[0], stride) for heads, stride in zip(answers, STRIDES, strict=True)])
    rows = rows[np.argsort(-rows[:, 14], kind="stable")][: yunet.MOST_BEFORE_NMS]
    boxes = np.clip(rows[:, :4] / np.array([width, height, width, height], np.float32), 0.0, 1.0)
    kept = [i for i in yunet.keep(rows, NMS_IOU) if (boxes[i, 2:] > boxes[i, :2]).all()]
    return [
        Body(at, float(rows[i, 14]), (float(boxes[i, 0]), float(boxes[i, 1]), float(boxes[i, 2]), float(boxes[i, 3])))
        for i in kept[:MOST_BODIES]
    ]


def padded(view: Pixels) -> Pixels:
    """uint8 (1, H / 2 + 1, W / 2 + 1, 16): `view` in blocks that begin one pixel before it.

    Grey at the right and below, so that 32 divides H and W, and NOTHING in the one pixel around it all.
    """
    height, width = view.shape[:2]
    canvas = filled(-(-height // 32) * 32 + 2, -(-width // 32) * 32 + 2, NOTHING)
    canvas[height + 1 : -1, 1:-1, :3] = canvas[1 : height + 1, width + 1 : -1, :3] = GREY
    for colour in range(3):  # a colour at a time: a quarter of the time of all at once
        canvas[1 : height + 1, 1 : width + 1, colour] = view[..., colour]
    return blocks(canvas)


def _decode(heads: Map, stride: int) -> yunet.Found:
    """Rows of 15 as YuNet's are, without landmarks, for cells of (45, h, w) answers that reach TRACE."""
    if not np.isfinite(heads).all():
        raise CheckError("nanodet gave no finite answer: the model is damaged")
    # Few cells are left, mostly none: what they would score is worked out for those alone.
    down, across = np.nonzero(heads[0] >= math.log(TRACE / (1 - TRACE)) - 1e-3)
    score = 1.0 / (1.0 + np.exp(-np.clip(heads[0, down, across], -30, 30)))
    enough = score >= TRACE
    down, across, score = down[enough], across[enough], score[enough]
    if not len(down):
        return np.zeros((0, 15), np.float32)
    bins = heads[1:, down, across].reshape(4, BINS, -1)
    shares = np.exp(bins - bins.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    left, top, right, bottom = np.einsum("ebn,b->en", shares, np.arange(BINS, dtype=np.float32) * stride)
    x, y = (across + 0.5) * stride, (down + 0.5) * stride
    rows = np.zeros((len(x), 15), np.float32)
    rows[:, :4] = np.stack([x - left, y - top, x + right, y + bottom], axis=1)
    rows[:, 14] = score
    return rows
