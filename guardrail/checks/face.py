"""Persons: is anybody visible? A face says yes; of bodies without a face only the uncovered ones are seen.

A clothed figure whose head is out of the frame or turned away is not found by anything here, and scores 0.0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from guardrail.checks import Tools
from guardrail.errors import CheckError
from guardrail.inference.faces import FaceFinder
from guardrail.inference.nudity import ExposureMeter
from guardrail.types import Artifact, Kind, Unknown

# From YuNet's score to the probability that it is a human face. On 500 hard negatives with 106 true faces, by band of
# score (true / false): 0.5-0.6 1/34, 0.6-0.7 4/23, 0.7-0.9 47/22, above 0.9 49/0. Half of those pictures are animals
# and objects that look back; the false ones are halved here for traffic where a quarter or less are. That halving is
# an assumption, the counts are not. A probability of 0.5 is reached at a score of 0.71.
SCORE = (0.50, 0.55, 0.65, 0.80, 0.95)
PROBABILITY = (0.0, 0.08, 0.28, 0.81, 0.99)
MOST_FROM_BODY = 0.9


class FacePresence:
    """Scores how probable it is that a person is visible: the surest face, or an uncovered body.

    Where the exposure model is loaded, a picture's graded exposure counts as the probability that a body is there, up
    to MOST_FROM_BODY: that net fires on little else (0.5 % of harmless pictures exceed 0.52).
    """

    name = "face"
    kinds = frozenset({Kind.INPUT, Kind.OUTPUT})
    factors = frozenset({"person"})

    def __init__(self, finder: FaceFinder, meter: ExposureMeter | None = None) -> None:
        self._finder = finder
        self._meter = meter

    @classmethod
    def open(cls, tools: Tools) -> FacePresence:
        """Raises ConfigError when the detector's weights are missing."""
        tools.models.session("yunet")
        return cls(FaceFinder(tools.models), ExposureMeter.where_present(tools.models))

    @property
    def models(self) -> tuple[str, ...]:
        return (*self._finder.models, *(self._meter.models if self._meter else ()))

    def score(self, batch: Sequence[Artifact]) -> Sequence[Mapping[str, float | Unknown]]:
        return [{"person": self._score(artifact)} for artifact in batch]

    def _score(self, artifact: Artifact) -> float | Unknown:
        try:
            faces = self._finder.faces(artifact)
            body = self._meter.exposure(artifact) if self._meter else 0.0
        except CheckError as error:
            return Unknown(str(error))
        return max([min(body, MOST_FROM_BODY), *(probability(face.score) for face in faces)])


def probability(score: float) -> float:
    """Probability that a detection with this score is a human face; monotone, through SCORE and PROBABILITY."""
    return float(np.interp(score, SCORE, PROBABILITY))
