"""Concepts: what an operator described in words, or taught with pictures, on top of a CLIP model of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from guardrail.checks import Tools
from guardrail.errors import CheckError, ConfigError
from guardrail.inference.clip.concepts import Concept, Concepts
from guardrail.inference.clip.folder import CONCEPTS, PRECISIONS, ClipFolder
from guardrail.inference.clip.model import ClipModel
from guardrail.inference.clip.probes import Probe, read_probes
from guardrail.types import Artifact, Kind, Unknown

FOLDER = "clip"
"""Where an export lies in the folder of weights, unless the settings name another."""
OPTIONS = frozenset({"folder", "precision"})


class Clip:
    """Scores `concept.<name>` for each concept and probe: the highest of every view of every frame."""

    name = "clip"
    kinds = frozenset({Kind.INPUT, Kind.OUTPUT})
    # Which ones there are is known once an export is open.
    factors: frozenset[str] = frozenset()

    def __init__(self, model: ClipModel, concepts: Concepts, probes: Sequence[Probe] = ()) -> None:
        """Raises ConfigError where there is nothing to score, a name stands for two, or one is of another export."""
        self._model = model
        self._scorers: tuple[Concept | Probe, ...] = (*concepts.concepts, *probes)
        names = [one.name for one in self._scorers]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ConfigError(f"clip: {twice[0]} is both a concept and a probe; remove one")
        if not names:
            raise ConfigError("clip: there is no concept and no probe, so nothing would be looked for; "
                              "`guardrail models concepts FILE` makes concepts of words")  # fmt: skip
        if any(space != model.space for space in (concepts.space, *(probe.space for probe in probes))):
            raise ConfigError("clip: a concept or probe was made for another export than the one that is open")
        for one in self._scorers:
            if one.width != model.width:
                raise ConfigError(f"clip: {one.name} has {one.width} numbers a picture, the model gives {model.width}")
        self.factors = frozenset(f"concept.{name}" for name in names)
        unfitted = ",".join(concepts.unfitted)
        self.models: tuple[str, ...] = (
            model.label,
            *((f"concepts@{concepts.digest[:8]}",) if concepts.concepts else ()),
            *((f"concepts-not-fitted:{unfitted}",) if unfitted else ()),
            *(f"probe-{probe.name}@{probe.digest[:8]}" for probe in probes),
        )

    @classmethod
    def open(cls, tools: Tools) -> Clip:
        """Open the export in `folder` (default: `clip` among the weights), with its concepts and probes.

        Raises ConfigError when there is none, a file was changed, or its weights are chance.
        """
        stray = sorted(set(tools.options) - OPTIONS)
        if stray:
            raise ConfigError(f"checks.options.clip: there is no {stray[0]!r}; there are {', '.join(sorted(OPTIONS))}")
        precision = tools.options.get("precision")
        if precision is not None and precision not in PRECISIONS:
            raise ConfigError(f"checks.options.clip.precision is {precision!r}; expected {', '.join(PRECISIONS)}")
        given = tools.options.get("folder")
        path = Path(str(given)).expanduser() if given else tools.models.cache / FOLDER
        folder = ClipFolder.read(path)
        if folder.random:
            raise ConfigError(
                f"{path} was exported with weights of chance, which judge nothing; export a trained model"
            )
        concepts, probes = Concepts.read(folder), read_probes(folder)
        if not concepts.concepts and not probes:
            raise ConfigError(f"{path} has no {CONCEPTS} and no probes; `guardrail models concepts FILE` makes them")
        return cls(ClipModel.open(path, precision=precision), concepts, probes)

    def score(self, batch: Sequence[Artifact]) -> Sequence[Mapping[str, float | Unknown]]:
        return [self._score(artifact) for artifact in batch]

    def _score(self, artifact: Artifact) -> Mapping[str, float | Unknown]:
        try:
            frames = self._model.views(artifact)
        except CheckError as error:
            return dict.fromkeys(self.factors, Unknown(str(error)))
        return {f"concept.{one.name}": max(one.probability(views) for views in frames) for one in self._scorers}
