"""Persons: is anybody visible? A sure face says yes; where there is none, a body is looked for.

Most pictures of people have a sure face, and cost nothing more. Without the weights of the body detector a clothed
figure whose head is out of the frame or turned away scores 0.0; the receipt names what looked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from guardrail.checks import Tools
from guardrail.errors import CheckError
from guardrail.inference.image.bodies import BodyFinder
from guardrail.inference.image.faces import FaceFinder
from guardrail.inference.image.nudity import ExposureMeter
from guardrail.types import Artifact, Kind, Unknown

# From YuNet's score to the probability that it is a human face. On 500 hard negatives with 106 true faces, by band of
# score (true / false): 0.5-0.6 1/34, 0.6-0.7 4/23, 0.7-0.9 47/22, above 0.9 49/0. Half of those pictures are animals
# and objects that look back; the false ones are halved here for traffic where a quarter or less are. That halving is
# an assumption, the counts are not. A probability of 0.5 is reached at a score of 0.71.
SCORE = (0.50, 0.55, 0.65, 0.80, 0.95)
PROBABILITY = (0.0, 0.08, 0.28, 0.81, 0.99)
# From NanoDet's score to the probability that somebody is there, where no face was found: of 468 such pictures, most of
# things, animals and places, counted by eye (somebody / nobody): 0.3-0.4 8/28, 0.4-0.5 6/12, 0.5-0.6 6/6, 0.6-0.65 4/3,
# above 7/2. A probability of 0.5 is reached at a score of 0.55.
BODY_SCORE = (0.29, 0.35, 0.45, 0.55, 0.65, 0.80)
BODY_PROBABILITY = (0.0, 0.20, 0.33, 0.50, 0.75, 0.95)
MOST_FROM_BODY = 0.9
SURE = 0.9  # a face this probable settles it, and no body is looked for


class FacePresence:
    """Scores how probable it is that a person is visible: the surest face, or a body.

    A body is looked for where no face is SURE and the detector's weights are there. Where the exposure model is loaded,
    a picture's graded exposure counts as the probability that an uncovered body is there, up to MOST_FROM_BODY: its
    nets fire on little else (0.5 % of harmless pictures exceed 0.52).
    """

    name = "face"
    kinds = frozenset({Kind.INPUT, Kind.OUTPUT})
    factors = frozenset({"person"})

    def __init__(
        self, finder: FaceFinder, meter: ExposureMeter | None = None, bodies: BodyFinder | None = None
    ) -> None:
        self._finder = finder
        self._meter = meter
        self._bodies = bodies

    @classmethod
    def open(cls, tools: Tools) -> FacePresence:
        """Raises ConfigError when the detector's weights are missing."""
        tools.models.session("yunet")
        return cls(
            FaceFinder(tools.models), ExposureMeter.where_present(tools.models), BodyFinder.where_present(tools.models)
        )

    @property
    def models(self) -> tuple[str, ...]:
        beside = [each.models for each in (self._meter, self._bodies) if each is not None]
        return (*self._finder.models, *(label for labels in beside for label in labels))

    def score(self, batch: Sequence[Artifact]) -> Sequence[Mapping[str, float | Unknown]]:
        return [{"person": self._score(artifact)} for artifact in batch]

    def _score(self, artifact: Artifact) -> float | Unknown:
        try:
            found = max((probability(face.score) for face in self._finder.faces(artifact)), default=0.0)
            if found < SURE and self._bodies is not None:
                found = max([found, *(body_probability(body.score) for body in self._bodies.bodies(artifact))])
            bare = self._meter.exposure(artifact) if self._meter else 0.0
        except CheckError as error:
            return Unknown(str(error))
        return max(found, min(bare, MOST_FROM_BODY))


def probability(score: float) -> float:
    """Probability that a detection with this score is a human face; monotone, through SCORE and PROBABILITY."""
    return float(np.interp(score, SCORE, PROBABILITY))


def body_probability(score: float) -> float:
    """Probability that a body found with this score is a person; monotone, through BODY_SCORE and BODY_PROBABILITY."""
    return float(np.interp(score, BODY_SCORE, BODY_PROBABILITY))
