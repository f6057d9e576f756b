"""Minors: may a visible person be under 18? Judged by apparent age, with the margin written out.

Apparent age is off by 5 to 7 years on average and teenagers look grown to every net, so the question asked is
"challenge 25": from an apparent age of 25 downwards the answer is yes until somebody knows better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from guardrail.checks import Tools
from guardrail.checks.face import probability as face_probability
from guardrail.errors import CheckError
from guardrail.inference.ages import AgeReader
from guardrail.inference.faces import AGE_FACE, Face, FaceFinder
from guardrail.inference.nudity import ExposureMeter
from guardrail.types import Artifact, Kind, Unknown

# Share of minors among faces by predicted age, from the published counts on UTKFace (1,781 under 18, 733 of 18-24,
# 2,138 of 25 and over; face-api): 18-20 years 69 of 181, 20-22 55 of 218, 22-25 59 of 370, 25-28 25 of 300. A line
# through their log-odds falls by 0.25 a year and crosses one half at 17.0 years.
HALF_YEARS = 17.0
PER_YEAR = 0.25
# Added on the side of caution, so that the probability is 0.30 at an apparent age of 25 where the counts say about
# 0.12: a missed minor costs more than an adult who is asked again.
MARGIN_YEARS = 25.0 - HALF_YEARS + math.log(0.30 / 0.70) / PER_YEAR
MOST_READ = 8  # faces of one picture whose age is read, the largest first
BODY = 0.5  # graded exposure from which a body is taken to be there though no face is
ENOUGH = 0.30  # a verdict at or above this stands, whatever else could not be read


class ApparentAge:
    """Scores how probable it is that a visible person is under 18: the youngest-looking face counts.

    0.0 where nobody is visible. Unknown where somebody is and no age can be told: a face too small or turned away,
    more faces than are read, an uncovered body without a face.
    """

    name = "age"
    kinds = frozenset({Kind.INPUT, Kind.OUTPUT})
    factors = frozenset({"minor"})

    def __init__(self, finder: FaceFinder, reader: AgeReader, meter: ExposureMeter | None = None) -> None:
        self._finder = finder
        self._reader = reader
        self._meter = meter

    @classmethod
    def open(cls, tools: Tools) -> ApparentAge:
        """Raises ConfigError when the weights of the detector or of age-v1 are missing."""
        reader = AgeReader(tools.models)
        for name in ("yunet", *reader.names):
            tools.models.session(name)
        return cls(FaceFinder(tools.models), reader, ExposureMeter.where_present(tools.models))

    @property
    def models(self) -> tuple[str, ...]:
        return (*self._finder.models, *self._reader.models, *(self._meter.models if self._meter else ()))

    def score(self, batch: Sequence[Artifact]) -> Sequence[Mapping[str, float | Unknown]]:
        return [{"minor": self._score(artifact)} for artifact in batch]

    def _score(self, artifact: Artifact) -> float | Unknown:
        try:
            faces = self._finder.faces(artifact)
            readable = [face for face in faces if face.readable]
            highest = max((self._face(artifact, face) for face in readable[:MOST_READ]), default=0.0)
            if highest >= ENOUGH:
                return highest
            why = self._unread(artifact, faces, len(readable))
        except CheckError as error:
            return Unknown(str(error))
        return Unknown(why) if why else highest

    def _face(self, artifact: Artifact, face: Face) -> float:
        found = probability(self._reader.age(artifact, face))
        # Below AGE_FACE most detections are dogs, monkeys and statues: their age counts for as much as they do.
        return found if face.score >= AGE_FACE else found * face_probability(face.score)

    def _unread(self, artifact: Artifact, faces: Sequence[Face], readable: int) -> str | None:
        sure = [face for face in faces if face.score >= AGE_FACE]
        if any(not face.readable for face in sure):
            return "a face is too small or turned away to tell an age"
        if readable > MOST_READ:
            return f"{readable} faces, of which the {MOST_READ} largest were read"
        if not sure and self._meter is not None and self._meter.exposure(artifact) >= BODY:
            return "a body without a face: no age can be told"
        return None


def probability(age: float) -> float:
    """Probability of being under 18 at an apparent age in years, with MARGIN_YEARS on the side of caution.

    0.97 at 8, 0.71 at 18, 0.30 at 25, 0.11 at 30, 0.01 at 40.
    """
    return 1.0 / (1.0 + math.exp(min(60.0, PER_YEAR * (age - HALF_YEARS - MARGIN_YEARS))))
