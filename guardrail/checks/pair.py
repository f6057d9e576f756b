"""Pairs: does the output show a person of the input, and with fewer clothes than before?

This is what tells undressing from nudity. The faces, templates and exposures that it needs are those that other
checks made of the same pictures, so a pair costs little more than its comparison.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from guardrail.checks import Tools
from guardrail.errors import CheckError
from guardrail.inference.image.ages import AgeReader
from guardrail.inference.image.bodies import SEEN, Body, BodyFinder
from guardrail.inference.image.decode import picture
from guardrail.inference.image.faces import Face, FaceFinder
from guardrail.inference.image.frame import packed
from guardrail.inference.image.nudity import ExposureMeter
from guardrail.types import Artifact, Kind, Pair, Unknown

# Cosine of two templates at which "same" and "different" are equally probable. 0.363 is the published threshold for
# one pair: 604 of 604 same pairs reach it and 0.18 % of strangers of 20-59 years. Infants look alike to the net (40 %
# of strangers under 3 reach 0.363, 17.7 % under 10), so two faces that both look under CHILD_YEARS need more.
ADULT_HALF, CHILD_HALF = 0.363, 0.65
CHILD_YEARS = 10.0
# The odds grow by e per 1/40 of cosine. Among the published pairs strangers thin out by 37 per unit of cosine and same
# pairs by 17 the other way; a little is taken off because an edit lowers the cosine of the same face.
ADULT_SLOPE, CHILD_SLOPE = 40.0, 20.0
AT_LEAST_SAME = 0.5
MOST_COMPARED = 6  # faces a side, the largest first
BODY = 0.5  # graded exposure from which somebody is visible though no face is
SAME_BOX = 0.5  # overlap of two face or body boxes, as a share of their union, that is one place
SAME_LAYOUT = 0.8  # correlation of two 16 x 16 grey pictures that makes one an edit of the other
NO_INCREASE = 0.05  # an increase below this is none, whoever is shown
# From here on, half of what the default policy asks for, an increase is the difference of two steady scores: of clothes
# that an edit gives another colour the difference of single looks reaches 0.30 twice as often (models/exposure).
LOOK_AGAIN = 0.15


class SamePerson:
    """Scores whether the output shows a face of the input, and how much more exposed it is then.

    `same_face` is 0.0 where nobody is visible on one of the two sides, and Unknown where somebody is on both and no
    two faces can be compared. `exposure_increase` counts when the face is probably the same, when a face or a body
    stands in the same place, or when one picture is plainly an edit of the other. Bodies are looked for only where that
    is what it comes down to, and where their weights are there.
    """

    name = "pair"
    kinds = frozenset({Kind.PAIR})
    factors = frozenset({"same_face", "exposure_increase"})

    def __init__(
        self,
        finder: FaceFinder,
        meter: ExposureMeter,
        reader: AgeReader | None = None,
        bodies: BodyFinder | None = None,
    ) -> None:
        self._finder = finder
        self._meter = meter
        self._reader = reader
        self._bodies = bodies

    @classmethod
    def open(cls, tools: Tools) -> SamePerson:
        """Raises ConfigError when the weights of the detector, the templates, the exposure or the ages are missing."""
        reader = AgeReader(tools.models)
        for name in ("yunet", "sface", "open-nsfw", *reader.names):
            tools.models.session(name)
        bodies = BodyFinder.where_present(tools.models)
        return cls(FaceFinder(tools.models), ExposureMeter(tools.models), reader, bodies)

    @property
    def models(self) -> tuple[str, ...]:
        beside = [each.models for each in (self._reader, self._bodies) if each is not None]
        told = (label for labels in (self._meter.models, *beside) for label in labels)
        return (*self._finder.models, self._finder.template_model, *told)

    def score(self, batch: Sequence[Pair]) -> Sequence[Mapping[str, float | Unknown]]:
        return [self._score(pair) for pair in batch]

    def _score(self, pair: Pair) -> Mapping[str, float | Unknown]:
        try:
            same = self._same_face(pair)
            return {"same_face": same, "exposure_increase": self._increase(pair, same)}
        except CheckError as error:
            return dict.fromkeys(self.factors, Unknown(str(error)))

    def _same_face(self, pair: Pair) -> float | Unknown:
        before, after = self._finder.faces(pair.input), self._finder.faces(pair.output)
        if not (self._visible(pair.input, before) and self._visible(pair.output, after)):
            return 0.0
        left, right = ([face for face in side if face.readable] for side in (before, after))
        best = max(
            (self._probability(pair, one, other) for one in left[:MOST_COMPARED] for other in right[:MOST_COMPARED]),
            default=0.0,
        )
        if best >= AT_LEAST_SAME:
            return best
        if len(left) < max(1, len(before)) or len(right) < max(1, len(after)):
            return Unknown("a person is visible whose face cannot be compared: none, too small or turned away")
        if max(len(left), len(right)) > MOST_COMPARED:
            return Unknown(f"more faces than the {MOST_COMPARED} largest a side were not compared")
        return best

    def _visible(self, artifact: Artifact, faces: Sequence[Face]) -> bool:
        return bool(faces) or self._meter.exposure(artifact) >= BODY or bool(self._seen(artifact))

    def _seen(self, artifact: Artifact) -> Sequence[Body]:
        found = self._bodies.bodies(artifact) if self._bodies else ()
        return [body for body in found if body.score >= SEEN]

    def _probability(self, pair: Pair, one: Face, other: Face) -> float:
        cosine = float(self._finder.embed(pair.input, one) @ self._finder.embed(pair.output, other))
        if not math.isfinite(cosine):
            raise CheckError("a face template is not finite: the likeness model is damaged")
        adults = probability(cosine)
        if adults < AT_LEAST_SAME or self._reader is None:
            return adults  # no age makes it more probable, so none is asked for
        oldest = max(self._reader.age(pair.input, one), self._reader.age(pair.output, other))
        return adults if oldest >= CHILD_YEARS else probability(cosine, children=True)

    def _increase(self, pair: Pair, same: float | Unknown) -> float | Unknown:
        before = self._least_exposed(pair.input)
        increase = max(0.0, self._meter.exposure(pair.output) - self._meter.exposure(pair.input, before))
        if increase < NO_INCREASE:
            return increase
        if not self._same_place(pair):
            if isinstance(same, Unknown):
                return Unknown(f"exposure rises, and whether it is the same person is not known: {same.why}")
            if same < AT_LEAST_SAME:
                return 0.0
        if increase < LOOK_AGAIN:
            return increase
        return max(0.0, self._meter.steady(pair.output) - self._meter.steady(pair.input, before))

    def _least_exposed(self, artifact: Artifact) -> frozenset[int] | None:
        """The frames of the least exposed picture in a file of several; None where there is one.

        A generator edits one of them, mostly the first: what else is there must not make its clothes count for less.
        """
        pictures: dict[int, set[int]] = {}
        for at, frame in enumerate(picture(artifact).everything):
            pictures.setdefault(frame.index, set()).add(at)
        if len(pictures) == 1:
            return None
        return min(map(frozenset, pictures.values()), key=lambda frames: self._meter.exposure(artifact, frames))

    def _same_place(self, pair: Pair) -> bool:
        before, after = self._finder.faces(pair.input), self._finder.faces(pair.output)
        if any(overlap(one.box, other.box) >= SAME_BOX for one in before for other in after):
            return True
        if any(correlation(a, b) >= SAME_LAYOUT for a in _layouts(pair.input) for b in _layouts(pair.output)):
            return True
        return any(
            overlap(one.box, other.box) >= SAME_BOX
            for one in self._seen(pair.input)
            for other in self._seen(pair.output)
        )


def probability(cosine: float, *, children: bool = False) -> float:
    """Probability that two templates at this cosine are one person's; adults 0.50 at 0.363, 0.91 at 0.42.

    `children` is for two faces that both look under CHILD_YEARS: 0.50 at 0.65.
    """
    half, slope = (CHILD_HALF, CHILD_SLOPE) if children else (ADULT_HALF, ADULT_SLOPE)
    return 1.0 / (1.0 + math.exp(-slope * (cosine - half)))


def overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Shared area of two boxes (x0, y0, x1, y1) as a share of their union."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0.0, wide) * max(0.0, high)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / max(sum(areas) - shared, 1e-12)


def correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Pearson's correlation of two small grey pictures; 0.0 where one of them has next to no contrast."""
    a, b = one - one.mean(), other - other.mean()
    spread = float(a.std() * b.std())
    return float((a * b).mean()) / spread if min(float(a.std()), float(b.std())) >= 4.0 else 0.0


def _layouts(artifact: Artifact) -> Sequence[NDArray[np.float32]]:
    def make() -> list[NDArray[np.float32]]:
        frames = picture(artifact).frames
        small = [Image.fromarray(packed(frame.square(256))).convert("L").reduce(16) for frame in frames]
        return [np.asarray(image, np.float32) for image in small]

    return artifact.once("layout", make)
