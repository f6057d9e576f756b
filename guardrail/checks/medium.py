"""Medium: photographic or drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from guardrail.checks import Tools
from guardrail.errors import CheckError
from guardrail.inference.image.decode import picture
from guardrail.inference.image.medium import MediumHead, features
from guardrail.types import Artifact, Kind, Unknown


class Medium:
    """Scores how probable it is that a picture is photographic, not drawn; its most photographic frame counts."""

    name = "medium"
    kinds = frozenset({Kind.INPUT, Kind.OUTPUT})
    factors = frozenset({"photo"})

    def __init__(self, head: MediumHead) -> None:
        self._head = head

    @classmethod
    def open(cls, tools: Tools) -> Medium:
        """Needs nothing but what the package carries."""
        return cls(MediumHead.packaged())

    @property
    def models(self) -> tuple[str, ...]:
        return (self._head.label,)

    def score(self, batch: Sequence[Artifact]) -> Sequence[Mapping[str, float | Unknown]]:
        return [{"photo": self._score(artifact)} for artifact in batch]

    def _score(self, artifact: Artifact) -> float | Unknown:
        try:
            return max(self._head.probability(features(frame)) for frame in picture(artifact).frames)
        except CheckError as error:
            return Unknown(str(error))
