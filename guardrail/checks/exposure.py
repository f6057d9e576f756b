"""Exposure: bare skin and nudity of a picture on the graded scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from guardrail.checks import Tools
from guardrail.errors import CheckError
from guardrail.inference.image.nudity import ExposureMeter
from guardrail.types import Artifact, Kind, Unknown


class Exposure:
    """Scores bare skin: 0 none, 0.33 suggestive or swimwear, 0.66 partly nude, 1 explicit; the most exposed view."""

    name = "exposure"
    kinds = frozenset({Kind.INPUT, Kind.OUTPUT})
    factors = frozenset({"exposure"})

    def __init__(self, meter: ExposureMeter) -> None:
        self._meter = meter

    @classmethod
    def open(cls, tools: Tools) -> Exposure:
        """Raises ConfigError when the weights of open_nsfw are missing, or others that are there are damaged."""
        meter = ExposureMeter(tools.models)
        for name in meter.names:
            tools.models.session(name)
        return cls(meter)

    @property
    def models(self) -> tuple[str, ...]:
        return self._meter.models

    def score(self, batch: Sequence[Artifact]) -> Sequence[Mapping[str, float | Unknown]]:
        return [{"exposure": self._score(artifact)} for artifact in batch]

    def _score(self, artifact: Artifact) -> float | Unknown:
        try:
            return self._meter.exposure(artifact)
        except CheckError as error:
            return Unknown(str(error))
