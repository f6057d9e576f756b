"""Minors: may a visible person be under 18? Judged by apparent age, with the margin written out.

Apparent age is off by 5 to 7 years on average and teenagers look grown to every net, so the question asked is
"challenge 25": from an apparent age of 25 downwards the answer is yes until somebody knows better.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

from guardrail.checks import Tools
from guardrail.checks.face import probability as face_probability
from guardrail.errors import CheckError
from guardrail.inference.image.ages import AGE_V1, SHARES, AgeReader, Reading
from guardrail.inference.image.bodies import SEEN, Body, BodyFinder
from guardrail.inference.image.decode import picture
from guardrail.inference.image.faceless import faceless
from guardrail.inference.image.faces import AGE_FACE, Face, FaceFinder
from guardrail.inference.image.frame import Frame
from guardrail.inference.image.nudity import ExposureMeter
from guardrail.types import Artifact, Kind, Unknown

# Share of minors among faces by the age that face-api reads, from the published counts on UTKFace (1,781 under 18, 733
# of 18-24, 2,138 of 25 and over): 18-20 years 69 of 181, 20-22 55 of 218, 22-25 59 of 370, 25-28 25 of 300. A line
# through their log-odds falls by 0.25 a year and crosses one half at 17.0 years. Years are then added on the side of
# caution, so that the probability is 0.30 at 25, where the counts say about 0.12: a missed minor costs more than an
# adult who is asked again. No picture was used here: the curve rests on those counts alone.
PER_YEAR = 0.25
CHALLENGE_YEARS = 25.0
# age-v1 spreads wider (mean error 6.8 instead of 5.1 years), so its curve is flatter by as much. By itself it misses
# three times as many minors at 25 (9.7 instead of 2.8 %) and takes fewer adults for one (6.9 instead of 10.7 %), so it
# is challenged at 27 where nothing stands beside it.
PER_YEAR_AGE_V1 = 0.19
CHALLENGE_YEARS_ALONE = 27.0
AT_CHALLENGE = 0.30
MOST_READ = 8  # faces of one picture whose age is read, the largest first
BODY = 0.5  # graded exposure from which a body is taken to be there though no face is
# From this score a body beside a sure face is somebody: people are seldom alone. Of 263 harmless pictures whose faces
# were all read 6 have such a body that no face belongs to, from 0.40 on 8, from 0.35 on 17; and what a portrait held
# beside its sitter scored 0.34 upright and 0.42 after a turn (models/body).
BESIDE = 0.45
ENOUGH = AT_CHALLENGE  # a verdict at or above this stands, whatever else could not be read


class ApparentAge:
    """Scores how probable it is that a visible person is under 18: the riskiest face counts.

    0.0 where nobody is visible. Unknown where somebody is and no age can be told: a face too small or turned away,
    more faces than are read, a body without a face, also beside one whose face is read. Bodies are looked for where
    their weights are there. The picture's notes say how old that face looks, and give or take how many years.
    """

    name = "age"
    kinds = frozenset({Kind.INPUT, Kind.OUTPUT})
    factors = frozenset({"minor"})

    def __init__(
        self,
        finder: FaceFinder,
        reader: AgeReader,
        meter: ExposureMeter | None = None,
        bodies: BodyFinder | None = None,
    ) -> None:
        self._finder = finder
        self._reader = reader
        self._meter = meter
        self._bodies = bodies

    @classmethod
    def open(cls, tools: Tools) -> ApparentAge:
        """Raises ConfigError when the weights of the detector or of age-v1 are missing."""
        reader = AgeReader(tools.models)
        for name in ("yunet", *reader.names):
            tools.models.session(name)
        meter, bodies = ExposureMeter.where_present(tools.models), BodyFinder.where_present(tools.models)
        return cls(FaceFinder(tools.models), reader, meter, bodies)

    @property
    def models(self) -> tuple[str, ...]:
        beside = [label for each in (self._meter, self._bodies) if each is not None for label in each.models]
        return tuple(dict.fromkeys((*self._finder.models, *self._reader.models, *beside)))

    def score(self, batch: Sequence[Artifact]) -> Sequence[Mapping[str, float | Unknown]]:
        return [{"minor": self._score(artifact)} for artifact in batch]

    def _score(self, artifact: Artifact) -> float | Unknown:
        try:
            faces = self._finder.faces(artifact)
            readable = [face for face in faces if face.readable]
            highest = self._riskiest(artifact, readable[:MOST_READ])
            if highest >= ENOUGH:
                return highest
            why = self._unread(artifact, faces, len(readable))
        except CheckError as error:
            return Unknown(str(error))
        return Unknown(why) if why else highest

    def _riskiest(self, artifact: Artifact, faces: Sequence[Face]) -> float:
        found = [(self._face(artifact, face), face) for face in faces]
        if not found:
            return 0.0
        highest, face = max(found, key=lambda pair: pair[0])
        if face.score >= AGE_FACE:
            said = words(self._reader.reading(artifact, face))
            artifact.notes = artifact.notes if said in artifact.notes else (*artifact.notes, said)
        return highest

    def _face(self, artifact: Artifact, face: Face) -> float:
        found = probability(self._reader.reading(artifact, face))
        # Below AGE_FACE most detections are dogs, monkeys and statues: their age counts for as much as they do.
        return found if face.score >= AGE_FACE else found * face_probability(face.score)

    def _unread(self, artifact: Artifact, faces: Sequence[Face], readable: int) -> str | None:
        sure = [face for face in faces if face.score >= AGE_FACE]
        if any(not face.readable for face in sure):
            return "a face is too small or turned away to tell an age"
        if readable > MOST_READ:
            return f"{readable} faces, of which the {MOST_READ} largest were read"
        shown = picture(artifact)
        if self._bare(artifact, _without(sure, shown.everything)) or self._faceless(artifact, sure, shown.frames):
            return "a body without a face: no age can be told"
        return None

    def _bare(self, artifact: Artifact, frames: Collection[int]) -> bool:
        return bool(frames) and self._meter is not None and self._meter.exposure(artifact, frames) >= BODY

    def _faceless(self, artifact: Artifact, sure: Sequence[Face], frames: Sequence[Frame]) -> bool:
        """True where a body is seen that none of the `sure` faces belongs to."""
        if self._bodies is None:
            return False
        bodies = self._bodies.bodies(artifact)
        return any(_unanswered(bodies, sure, at, frames) for at in range(len(frames)))


def _without(faces: Sequence[Face], frames: Sequence[Frame]) -> frozenset[int]:
    """The places of the frames whose picture has none of `faces`.

    The frames of one `index` are one picture: a transparent one shows its face on black or on white alone.
    """
    told = {frames[face.frame].index for face in faces}
    return frozenset(at for at, frame in enumerate(frames) if frame.index not in told)


def _unanswered(bodies: Sequence[Body], faces: Sequence[Face], at: int, frames: Sequence[Frame]) -> bool:
    """True where the `at`-th frame shows a body that no face belongs to, neither there nor as others show its picture.

    Of one way to show it the faces answer, not of all together: they are the same faces.
    """
    frame = frames[at]
    shown = [of for of, other in enumerate(frames) if other.index == frame.index]
    by_frame = [found for of in shown if (found := [face for face in faces if face.frame == of])]
    least = BESIDE if by_frame else SEEN
    seen = [body for body in bodies if body.frame == at and body.score >= least]
    size = (frame.width, frame.height)
    return bool(seen) and all(faceless(seen, found, size) for found in by_frame or [[]])


def probability(reading: Reading) -> float:
    """Probability of being under 18, with the years of caution that the constants above name.

    The mean of what each net's age says by itself: one net that sees a child outweighs another that does not. With two
    nets that agree, 0.97 at 11, 0.70 at 20, 0.30 at 25, 0.12 at 30, 0.02 at 40.
    """
    if set(reading.by_net) == {AGE_V1}:
        return _curve(reading.age, PER_YEAR_AGE_V1, CHALLENGE_YEARS_ALONE)
    weight = sum(SHARES[name] for name in reading.by_net)
    curves = (
        SHARES[name] * _curve(age, PER_YEAR_AGE_V1 if name == AGE_V1 else PER_YEAR, CHALLENGE_YEARS)
        for name, age in reading.by_net.items()
    )
    return sum(curves) / weight


def _curve(age: float, per_year: float, challenge: float) -> float:
    """A logistic curve through AT_CHALLENGE at `challenge` years."""
    odds = math.log(AT_CHALLENGE / (1 - AT_CHALLENGE)) - per_year * (age - challenge)
    return 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, odds))))


def words(reading: Reading) -> str:
    """What the receipt notes: "the youngest-looking face looks 23 years old, give or take 9"."""
    return f"the youngest-looking face looks {reading.age:.0f} years old, give or take {reading.margin:.0f}"
