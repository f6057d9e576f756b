"""Exposure: how much bare skin a picture shows, from open_nsfw's score to a graded scale.

open_nsfw sees a square of 224 pixels. What a picture's shape or a margin could hide from that square gets a look of
its own. The score is made once per artifact, however many checks ask.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from guardrail.inference.align import Pixels
from guardrail.inference.frame import Frame
from guardrail.inference.image import picture
from guardrail.inference.skin import skin_share
from guardrail.inference.weights import Models
from guardrail.types import Artifact

SQUARE, CROP = 256, 224  # Yahoo's order: squash to 256, JPEG, take the middle 224
MEAN_BGR = np.array([104, 117, 123], np.float32)
JPEG_QUALITY = 75

# A picture longer than this is also cut into overlapping squares: squashed, a standing figure in it would be a line.
LONG = 1.6
MOST_TILES = 6
# The outer sixteenth falls to the crop. It gets a look when this share of it has a skin tone.
EDGE_SKIN = 0.25

# From open_nsfw's score to the graded scale: 0 none, 0.33 suggestive or swimwear, 0.66 partly nude, 1 explicit.
# Of 1,975 harmless pictures 5 % score above 0.085, 1.9 % above 0.2, 1.2 % above 0.3, 1 % above 0.325 and 0.5 % above
# 0.5: the curve keeps those where a rule at 0.20, 0.33 or 0.50 meets them with just that rate. No picture of nudity
# was used, so the upper end is the net's own scale and not a measured recall.
CURVE_SCORE = (0.0, 0.085, 0.2, 0.325, 0.5, 0.65, 0.9, 1.0)
CURVE_GRADE = (0.0, 0.06, 0.2, 0.33, 0.52, 0.66, 0.94, 1.0)


class ExposureMeter:
    """Reads the exposure of a picture, once per artifact."""

    def __init__(self, models: Models) -> None:
        self._models = models

    @classmethod
    def where_present(cls, models: Models) -> ExposureMeter | None:
        """A meter where the weights are in the cache, else None: for checks that can do without."""
        return cls(models) if models.has("open-nsfw") else None

    @property
    def models(self) -> tuple[str, ...]:
        return (self._models.label("open-nsfw"),)

    def exposure(self, artifact: Artifact) -> float:
        """The graded exposure of the most exposed view of any frame, in [0, 1].

        Raises CheckError when the picture cannot be read.
        """
        return grade(self.score(artifact))

    def score(self, artifact: Artifact) -> float:
        """open_nsfw's own score of the most exposed view of any frame, in [0, 1]."""
        return artifact.once("open-nsfw", lambda: self._measure(artifact))

    def _measure(self, artifact: Artifact) -> float:
        session = self._models.session("open-nsfw")
        return max(open_nsfw(session, view) for frame in picture(artifact).frames for view in views(frame))


def grade(score: float) -> float:
    """open_nsfw's score on the graded scale: monotone, piecewise linear through CURVE_SCORE and CURVE_GRADE."""
    return float(np.interp(score, CURVE_SCORE, CURVE_GRADE))


def open_nsfw(session: Any, view: Pixels) -> float:
    """The net's probability of "not safe for work" for one view: uint8 (224, 224, 3) R, G, B."""
    batch = (view[:, :, ::-1].astype(np.float32) - MEAN_BGR)[None]
    (answer,) = session.run(None, {session.get_inputs()[0].name: np.ascontiguousarray(batch)})
    return float(np.asarray(answer)[0, 1])


def views(frame: Frame) -> list[Pixels]:
    """The squares of a frame that are judged: the usual one first, then what it would miss.

    Each is uint8 (224, 224, 3), after the JPEG round trip that the net was taught on. At most 2 + MOST_TILES.
    """
    # The fastest reduction: on 258 harmless pictures it moved the score by 0.0014 on average, 0.057 at most.
    usual, margin = frame.square(SQUARE, 1.0), (SQUARE - CROP) // 2
    looks = [usual[margin:-margin, margin:-margin]]
    edge = [usual[:margin], usual[-margin:], usual[:, :margin], usual[:, -margin:]]
    if skin_share(np.concatenate([strip.reshape(-1, 3) for strip in edge])) >= EDGE_SKIN:
        looks.append(
            np.asarray(Image.fromarray(np.ascontiguousarray(usual)).resize((CROP, CROP), Image.Resampling.BILINEAR))
        )
    if max(frame.width, frame.height) > LONG * min(frame.width, frame.height):
        looks.extend(_tiles(frame))
    return [_jpeg(look) for look in looks]


def _tiles(frame: Frame) -> list[Pixels]:
    """Overlapping squares along the longer edge, each uint8 (224, 224, 3); they grow rather than leave gaps."""
    longer, shorter = max(frame.width, frame.height), min(frame.width, frame.height)
    small = Image.fromarray(np.ascontiguousarray(frame.fit(math.ceil(CROP * longer / shorter))))
    length, short = max(small.size), min(small.size)
    count = min(MOST_TILES, math.ceil(length / short))
    edge = max(short, math.ceil(length / count))
    tiles = []
    for start in np.linspace(0, length - edge, count).round().astype(int).tolist():
        cut = (start, 0, start + edge, short) if small.width >= small.height else (0, start, short, start + edge)
        tiles.append(np.asarray(small.crop(cut).resize((CROP, CROP), Image.Resampling.BILINEAR)))
    return tiles


def _jpeg(view: Pixels) -> Pixels:
    encoded = simplejpeg.encode_jpeg(np.ascontiguousarray(view), quality=JPEG_QUALITY, colorsubsampling="420")
    decoded: NDArray[np.uint8] = simplejpeg.decode_jpeg(encoded)
    return decoded
