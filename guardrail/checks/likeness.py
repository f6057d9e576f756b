"""Likeness: is a face of the registry of protected persons in the picture?

Every readable face is compared with every template that is in force: exact search, on the thread that asks. With nobody
in the registry nobody is protected; the score is then 0.0 and the receipt says `registry@0`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np

from guardrail.checks import Tools
from guardrail.checks.registry import Registry, Templates, Vector
from guardrail.checks.store import POLL_S, Watched
from guardrail.errors import CheckError
from guardrail.inference.ages import AGE_V1, AgeReader
from guardrail.inference.faces import AGE_FACE, MOST_FACES, Face, FaceFinder
from guardrail.types import Artifact, Kind, Unknown

FOLDER = "registry"
KEY_PURPOSE = "registry"

ADULT_BY_SIZE = ((100, 0.42), (1_000, 0.50), (10_000, 0.55))
"""Cosine at which a match is as likely as not, by templates in force; between them straight in log10, flat outside.

SFace on FairFace strangers: of adults of 20 to 59, 1 pair in 10,000 (28,680 pairs) lies above 0.417, so a face that
is compared with 100 templates meets a false one in about 1 % of cases at 0.42. Of 604 pairs of one person (LFW and
others) 99.7 % lie above 0.45, 98.2 % above 0.50, 95.2 % above 0.55, which is why it goes no further up.
"""
CHILD_BY_SIZE = ((100, 0.65), (1_000, 0.70))
"""The same where either face is a child's: of 7,140 pairs of different children of 0 to 9, 18 % lie above 0.363,
5.2 % above 0.45, 1 in 1,000 above 0.629 and 1 in 10,000 above 0.699. A child is therefore recognised less often."""
SLOPE = 40.0
"""How fast the log-odds of a match grow with the cosine. Strangers above a cosine c fall by e^25.8 per unit (adults
of 20 and more: 0.29 % at 0.363, 0.031 % at 0.45), pairs of one person grow by at least e^14 per unit (0.50 to 0.60)."""
CHILD_BELOW_YEARS = 13.0
"""Apparent age below which a face is judged by the child threshold; measured under 10, widened by the age error."""
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


def threshold(templates: int, *, child: bool = False) -> float:
    """The cosine at which a match has probability 0.5, for a registry with this many templates in force."""
    points = CHILD_BY_SIZE if child else ADULT_BY_SIZE
    sizes, cosines = zip(*points, strict=True)
    return float(np.interp(math.log10(max(templates, 1)), np.log10(sizes), cosines))


def probability(cosine: float, templates: int, *, child: bool = False) -> float:
    """Probability that two faces at this cosine are one person's, given how many templates were compared with."""
    odds = SLOPE * (cosine - threshold(templates, child=child))
    return 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, odds))))


def best_match(vector: Vector, templates: Templates, *, child: bool = False) -> float:
    """The highest probability that `vector`, a unit template, is one of `templates`; 0.0 when there are none.

    `child` says that the face in the picture looks like a child's; a template that is a child's is judged by the
    child threshold either way. Raises CheckError for numbers that are not finite.
    """
    if not len(templates):
        return 0.0
    # Not `@`: on busy cores its worker threads wait for each other, 35 ms and 8 CPU-ms where this takes 0.4.
    cosines = np.vecdot(templates.vectors, vector)
    if not np.isfinite(cosines).all():
        raise CheckError("a face template is not finite: the registry or the likeness model is damaged")
    count = len(templates)
    if child:
        return probability(float(cosines.max()), count, child=True)
    if not templates.has_children:
        return probability(float(cosines.max()), count)
    children = probability(float(cosines[templates.child].max()), count, child=True)
    adults = cosines[~templates.child]
    return max(children, probability(float(adults.max()), count) if len(adults) else 0.0)


class Protected:
    """Scores how probable it is that a face of the registry is in the picture: the likeliest face counts.

    A face that is there but cannot be compared (too small, in profile, too many in one frame) makes the factor
    unknown, unless another face matches with probability SURE or more.
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
        every_s: float = POLL_S,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._finder = finder
        self._ages = ages
        self._now = now
        self._templates = Watched(registry.file, registry.templates, Templates.none(), every_s=every_s, clock=clock)

    @classmethod
    def open(cls, tools: Tools) -> Protected:
        """Raises ConfigError when weights are missing or the registry cannot be opened with the operator's key."""
        finder = FaceFinder(tools.models)
        registry = Registry(tools.home / FOLDER, tools.key(KEY_PURPOSE), model=finder.template_model)
        # Without an age model the template's own flag decides alone; no weights are demanded for a hint.
        return cls(finder, registry, ages=AgeReader(tools.models) if tools.models.has(AGE_V1) else None)

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
            if not face.readable:
                unread = "a face is too small or too far turned to compare"
                continue
            best = max(best, self._match(artifact, face, templates))
            if best >= SURE:
                return best
        if not unread and _crowded(faces):
            unread = f"over {MOST_FACES} faces in one frame, not all compared"
        return Unknown(unread) if unread else best

    def _match(self, artifact: Artifact, face: Face, templates: Templates) -> float:
        vector = self._finder.embed(artifact, face)
        found = best_match(vector, templates)
        if found < 0.01:
            return found  # no age makes a match more likely, so none is asked for
        child = self._ages is not None and face.score >= AGE_FACE and self._ages.age(artifact, face) < CHILD_BELOW_YEARS
        return best_match(vector, templates, child=True) if child else found

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
