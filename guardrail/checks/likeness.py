"""Likeness: is a face of the registry of protected persons in the picture?

Every readable face is compared with every template that is in force: exact search, on the thread that asks. A graph
index was tried (models/likeness has the figures): it costs one to three CPU seconds per thousand templates at each
start, saves a few milliseconds, and who is protected must not depend on luck. With nobody in the registry nobody is
protected; the score is then 0.0 and the receipt says `registry@0`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from guardrail.checks import Tools
from guardrail.checks.person import Templates, Vector
from guardrail.checks.registry import Registry
from guardrail.checks.store import POLL_S, Watched
from guardrail.errors import CheckError, ConfigError
from guardrail.inference.image.ages import AGE_V1, AgeReader
from guardrail.inference.image.faces import AGE_FACE, MOST_FACES, Face, FaceFinder
from guardrail.types import Artifact, Kind, Unknown

FOLDER = "registry"
KEY_PURPOSE = "registry"

FALSE_ALARMS = 0.01
"""False matches to expect per face that is compared with the whole registry: one face in a hundred."""
ADULT_TAIL = ((0.304, 1e-2), (0.376, 1e-3), (0.417, 1e-4))
"""Cosine, and the share of pairs of different adults above it: SFace on FairFace, 28,680 pairs of ages 20 to 59. Rarer
ones were not measured: the tail is carried on by ADULT_DECAY."""
ADULT_DECAY = 25.8
"""By e^25.8 per unit of cosine: how fast pairs of adults of 20 and more fall from 0.29 % at 0.363 to 0.031 % at 0.45
(64,620 pairs). Slower than the table above falls at its end (e^56). Faces of 60 and more are confused more often than
either says: with them 0.031 % of pairs lie above 0.45, not 0.004 %."""
CHILD_TAIL = ((0.363, 0.177), (0.45, 0.052), (0.50, 0.019), (0.527, 1e-2), (0.629, 1e-3), (0.699, 1e-4))
"""The same for two different children of 0 to 9 (7,140 pairs)."""
CHILD_DECAY = 32.9
"""As the table falls at its end, from 0.629 to 0.699."""
ADULT_LEAST = 0.42
"""However small the registry, no lower: 604 of 604 pairs of one person lie above 0.40 (LFW and others)."""
CHILD_LEAST = 0.65
"""The same where either face is a child's. Recognition of children at it was not measured."""
CHILD_MOST = 0.70
"""From here on a child may be the protected one. Where the registry is so large that the threshold lies higher, what is
between the two cannot be told."""
SLOPE = 40.0
"""How fast the log-odds of a match grow with the cosine. Strangers above a cosine c fall by e^25.8 per unit (adults
of 20 and more: 0.29 % at 0.363, 0.031 % at 0.45), pairs of one person grow by at least e^14 per unit (0.50 to 0.60)."""
CHILD_BELOW_YEARS = 13.0
"""Apparent age below which a face is judged by the child threshold; measured under 10, widened by the age error."""
TOO_SMALL = "a face is too small or too far turned to compare"
YOUNGER = "a face that looks like a child's is near a protected adult's: who it is cannot be told"
LIKELY = 0.5
SURE = 0.9
"""A match this probable stands, even when another face of the picture could not be read."""


class Finder(Protocol):
    """Finds faces and makes their templates; `inference.faces.FaceFinder` does."""

    @property
    def models(self) -> tuple[str, ...]: ...
    @property
    def template_model(self) -> str: ...
    def faces(self, artifact: Artifact) -> tuple[Face, ...]: ...
    def embed(self, artifact: Artifact, face: Face) -> Vector: ...


class Ages(Protocol):
    """Tells how old a face looks, in years; `inference.ages.AgeReader` does."""

    @property
    def models(self) -> tuple[str, ...]: ...
    def age(self, artifact: Artifact, face: Face) -> float: ...


def false_alarms_in(options: Mapping[str, Any]) -> float:
    """`false_alarms_per_face` of the options of this check. Raises ConfigError for what is no share, or unknown."""
    stray = sorted(set(options) - {"false_alarms_per_face"})
    if stray:
        raise ConfigError(f"checks.options.protected: no option {stray[0]!r}; there is `false_alarms_per_face`")
    given = options.get("false_alarms_per_face", FALSE_ALARMS)
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0.0 < given <= 1.0:
        raise ConfigError(
            "checks.options.protected.false_alarms_per_face: a share above 0 and up to 1 is expected, such as 0.01"
        )
    return float(given)


def share_above(cosine: float, *, child: bool = False) -> float:
    """The share of pairs of strangers above a cosine: measured down to 1 in 10,000, carried on beyond that.

    `child` is for two children, else for two adults.
    """
    tail, decay = (CHILD_TAIL, CHILD_DECAY) if child else (ADULT_TAIL, ADULT_DECAY)
    cosines, shares = zip(*tail, strict=True)
    beyond = max(0.0, cosine - cosines[-1])
    return float(np.exp(np.interp(cosine, cosines, np.log(shares)) - decay * beyond))


def threshold(templates: int, *, child: bool = False, false_alarms: float = FALSE_ALARMS) -> float:
    """The cosine at which a match has probability 0.5, for a registry with this many templates in force.

    As high as it takes for `templates` comparisons with strangers to make `false_alarms` false matches, but not below
    ADULT_LEAST or CHILD_LEAST.
    """
    tail, decay = (CHILD_TAIL, CHILD_DECAY) if child else (ADULT_TAIL, ADULT_DECAY)
    cosines, shares = zip(*tail, strict=True)
    wanted = math.log(false_alarms / max(templates, 1))
    measured = float(np.interp(-wanted, -np.log(shares), cosines))
    beyond = max(0.0, math.log(shares[-1]) - wanted) / decay
    return max(CHILD_LEAST if child else ADULT_LEAST, min(measured + beyond, 1.0))


def probability(
    cosine: float, templates: int, *, child: bool = False, false_alarms: float = FALSE_ALARMS
) -> float | Unknown:
    """Probability that two faces at this cosine are one person's, given how many templates were compared with.

    Unknown for a child's face that is near enough to be one child's, in a registry too large to tell.
    """
    middle = threshold(templates, child=child, false_alarms=false_alarms)
    if child and CHILD_MOST <= cosine < middle:
        return Unknown("a child's face is near a protected child's, but too many children look alike to tell")
    return 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, SLOPE * (cosine - middle)))))


def best_match(
    vector: Vector, templates: Templates, *, child: bool = False, false_alarms: float = FALSE_ALARMS
) -> float | Unknown:
    """The highest probability that `vector`, a unit template, is one of `templates`; 0.0 when there are none.

    `child` says that the face in the picture looks like a child's; a template that is a child's is judged by the
    child threshold either way. Unknown where such a face is as near to an adult's template as an adult's has to be.
    Exact, whatever the size. Raises CheckError for numbers that are not finite.
    """
    if not len(templates):
        return 0.0
    # Not `@`: on busy cores its worker threads wait for each other, 35 ms and 8 CPU-ms where this takes 0.4.
    cosines = np.vecdot(templates.vectors, vector)
    if not np.isfinite(cosines).all():
        raise CheckError("a face template is not finite: the registry or the likeness model is damaged")
    # A child's face is taken for an adult's no more often than another adult's is: only children add to the risk.
    count = int(templates.child.sum()) if templates.has_children else 0
    if child:
        found = probability(float(cosines.max()), count, child=True, false_alarms=false_alarms)
        grown = cosines[~templates.child] if count else cosines
        near = probability(float(grown.max()), len(grown), false_alarms=false_alarms) if len(grown) else 0.0
        # Children are taken for an adult no more often than adults are, so this is rarely chance: an adult whose age
        # was misread, or who was made younger.
        told = isinstance(found, Unknown) or found >= LIKELY
        return found if told or isinstance(near, Unknown) or near < LIKELY else Unknown(YOUNGER)
    if not count:
        return probability(float(cosines.max()), len(cosines), false_alarms=false_alarms)
    children = probability(float(cosines[templates.child].max()), count, child=True, false_alarms=false_alarms)
    adults = cosines[~templates.child]
    of_adults = probability(float(adults.max()), len(adults), false_alarms=false_alarms) if len(adults) else 0.0
    return likelier(children, of_adults)


def likelier(one: float | Unknown, other: float | Unknown) -> float | Unknown:
    """The higher of two scores; unknown beside one that is not SURE stays unknown."""
    for first, second in ((one, other), (other, one)):
        if isinstance(first, Unknown):
            return second if not isinstance(second, Unknown) and second >= SURE else first
    return max(one, other)  # type: ignore[type-var]


class Protected:
    """Scores how probable it is that a face of the registry is in the picture: the likeliest face counts.

    A face that is there but cannot be compared (too small, in profile, too many in one frame) makes the factor
    unknown, unless another face matches with probability SURE or more. What is doubtful counts only if it matches.
    """

    name = "protected"
    kinds = frozenset({Kind.INPUT, Kind.OUTPUT})
    factors = frozenset({"protected"})

    def __init__(
        self,
        finder: Finder,
        registry: Registry,
        *,
        ages: Ages | None = None,
        false_alarms: float = FALSE_ALARMS,
        every_s: float = POLL_S,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._finder = finder
        self._ages = ages
        self._false_alarms = false_alarms
        self._now = now
        self._templates = Watched(registry.file, registry.templates, Templates.none(), every_s=every_s, clock=clock)

    @classmethod
    def open(cls, tools: Tools) -> Protected:
        """`checks.options.protected.false_alarms_per_face` sets how strictly faces are compared.

        Raises ConfigError when weights are missing, the registry cannot be opened with the operator's key, or an
        option is wrong.
        """
        false_alarms = false_alarms_in(tools.options)
        finder = FaceFinder(tools.models)
        registry = Registry(tools.home / FOLDER, tools.key(KEY_PURPOSE), model=finder.template_model)
        # Without an age model the template's own flag decides alone; no weights are demanded for a hint.
        ages = AgeReader(tools.models) if tools.models.has(AGE_V1) else None
        return cls(finder, registry, ages=ages, false_alarms=false_alarms)

    @property
    def models(self) -> tuple[str, ...]:
        """Detector, template and age model, and "registry@7.12": revision 7 with 12 templates in force.

        The last changes with every change and every expiry, so a verdict is never remembered past one.
        """
        ages = self._ages.models if self._ages else ()
        return (*self._finder.models, self._finder.template_model, *ages, self._label())

    def score(self, batch: Sequence[Artifact]) -> Sequence[Mapping[str, float | Unknown]]:
        """Raises CheckError when the registry can no longer be read."""
        templates = self._templates.get().at(self._now())
        return [{"protected": self._score(artifact, templates)} for artifact in batch]

    def _score(self, artifact: Artifact, templates: Templates) -> float | Unknown:
        if not len(templates):
            return 0.0
        try:
            faces = self._finder.faces(artifact)
        except CheckError as error:
            return Unknown(str(error))
        best, unread = 0.0, ""
        for face in faces:
            if face.doubtful and not face.readable:
                continue  # an elbow or a paw, mostly: 5 of 191 pictures of nobody could not be told for these
            found = self._match(artifact, face, templates) if face.readable else Unknown(TOO_SMALL)
            if isinstance(found, Unknown):
                unread = found.why
                continue
            best = max(best, found)
            if best >= SURE:
                return best
        if not unread and _crowded(faces):
            unread = f"over {MOST_FACES} faces in one frame, not all compared"
        return Unknown(unread) if unread else best

    def _match(self, artifact: Artifact, face: Face, templates: Templates) -> float | Unknown:
        vector = self._finder.embed(artifact, face)
        found = best_match(vector, templates, false_alarms=self._false_alarms)
        if isinstance(found, Unknown) or found < 0.01:
            return found  # no age makes a match more likely, so none is asked for
        child = self._ages is not None and face.score >= AGE_FACE and self._ages.age(artifact, face) < CHILD_BELOW_YEARS
        return best_match(vector, templates, child=True, false_alarms=self._false_alarms) if child else found

    def _label(self) -> str:
        try:
            templates = self._templates.get().at(self._now())
        except CheckError:
            return "registry@unreadable"
        return f"registry@{templates.revision}.{len(templates)}" if len(templates) else "registry@0"


def _crowded(faces: Sequence[Face]) -> bool:
    per_frame: dict[int, int] = {}
    for face in faces:
        per_frame[face.frame] = per_frame.get(face.frame, 0) + 1
    return any(count >= MOST_FACES for count in per_frame.values())
