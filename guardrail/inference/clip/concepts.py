"""Concepts: what an operator described in words, as directions that pictures are compared with.

Of each concept and of each of its backgrounds there is one direction, the mean over its prompts. How much closer a
picture is to the concept than to the nearest background becomes a probability through two numbers, which are fitted
from examples; until then they are the model's own, and that is a similarity and not a probability.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from guardrail.errors import ConfigError
from guardrail.inference.clip.folder import CONCEPTS, ClipFolder, read_json
from guardrail.inference.clip.model import Vectors

FORMAT = 1
MAX_BYTES = 32 << 20
MOST = 200
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
"""A concept's name: the last part of a signal's."""


@dataclass(frozen=True)
class Concept:
    """One concept: float32 `direction` (width,) and `background` (n, width), each of length 1, and how a margin becomes
    a probability: sigmoid(margin / `temperature` + `bias`). `figures` says what fitting measured; None where it was not
    fitted. A concept of a SigLIP model may have no background (0, width).
    """

    name: str
    direction: Vectors
    background: Vectors
    temperature: float
    bias: float
    figures: Mapping[str, Any] | None = None

    @property
    def width(self) -> int:
        return len(self.direction)

    def margins(self, vectors: Vectors) -> Vectors:
        """How much closer each of `vectors` (n, width) is to the concept than to its nearest background: (n,)."""
        toward: Vectors = vectors @ self.direction
        if len(self.background):
            toward = toward - (vectors @ self.background.T).max(axis=1)
        return toward

    def probability(self, vectors: Vectors) -> float:
        """The highest of any view, in [0, 1]."""
        return sigmoid(float(self.margins(vectors).max()) / self.temperature + self.bias)


def sigmoid(logit: float) -> float:
    return 1.0 / (1.0 + math.exp(-min(max(logit, -50.0), 50.0)))


@dataclass(frozen=True)
class Concepts:
    """The concepts of an export, and the digest of the file that says them."""

    space: str
    concepts: tuple[Concept, ...]
    digest: str = ""

    @property
    def unfitted(self) -> tuple[str, ...]:
        return tuple(concept.name for concept in self.concepts if concept.figures is None)

    def __getitem__(self, name: str) -> Concept:
        """The concept of that name. Raises ConfigError."""
        for concept in self.concepts:
            if concept.name == name:
                return concept
        raise ConfigError(f"no concept named {name!r}; there are {', '.join(c.name for c in self.concepts) or 'none'}")

    def fitted(self, name: str, temperature: float, bias: float, figures: Mapping[str, Any]) -> Concepts:
        """These, with one fitted."""
        self[name]
        return replace(
            self,
            concepts=tuple(
                replace(one, temperature=temperature, bias=bias, figures=figures) if one.name == name else one
                for one in self.concepts
            ),
        )

    @classmethod
    def read(cls, folder: ClipFolder) -> Concepts:
        """The concepts that lie beside an export; none where there is no file.

        Raises ConfigError when they belong to another export or were damaged.
        """
        path = folder.path / CONCEPTS
        if not path.exists():
            return cls(folder.space, ())
        told = read_json(path, MAX_BYTES)
        again = "run `guardrail models concepts` again"
        if told.get("format") != FORMAT or told.get("space") != folder.space:
            raise ConfigError(f"{path} was made for another export or version; {again}")
        try:
            listed = tuple(_concept(name, one, int(told["width"])) for name, one in told["concepts"].items())
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConfigError(f"{path} cannot be read ({type(error).__name__}); {again}") from None
        if len(listed) > MOST:
            raise ConfigError(f"{path} has {len(listed)} concepts; at most {MOST} are judged")
        return cls(folder.space, listed, hashlib.sha256(path.read_bytes()).hexdigest())

    def write(self, folder: ClipFolder) -> Path:
        """Put them beside the export they were made for, in one step."""
        if self.space != folder.space:
            raise ConfigError(f"these concepts were made for another export than the one in {folder.path}")
        told = {
            "format": FORMAT,
            "space": self.space,
            "width": len(self.concepts[0].direction) if self.concepts else 0,
            "concepts": {one.name: _told(one) for one in self.concepts},
        }
        return write_json(folder.path / CONCEPTS, told)


def write_json(path: Path, told: Mapping[str, Any]) -> Path:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return fresh.replace(path)


def packed(vectors: Vectors) -> str:
    """float32 numbers as base64 of their little-endian bytes, exactly."""
    return base64.b64encode(np.ascontiguousarray(vectors, "<f4").tobytes()).decode()


def unpacked(text: str, shape: Sequence[int]) -> Vectors:
    """What `packed` was given. Raises ValueError when it is not of that shape, or holds what is no number."""
    vectors = np.frombuffer(base64.b64decode(text, validate=True), "<f4").reshape(tuple(shape)).astype(np.float32)
    if not np.isfinite(vectors).all():
        raise ValueError("not a number")
    return vectors


def _told(concept: Concept) -> dict[str, Any]:
    return {
        "temperature": concept.temperature,
        "bias": concept.bias,
        "fitted": concept.figures,
        "background": len(concept.background),
        "vectors": packed(np.concatenate([concept.direction[None], concept.background])),
    }


def _concept(name: str, told: Mapping[str, Any], width: int) -> Concept:
    if not NAME.fullmatch(name):
        raise ValueError(name)
    vectors = unpacked(told["vectors"], (1 + int(told["background"]), width))
    temperature, bias = float(told["temperature"]), float(told["bias"])
    if not (math.isfinite(temperature) and temperature > 0 and math.isfinite(bias)):
        raise ValueError("temperature")
    return Concept(name, vectors[0], vectors[1:], temperature, bias, told["fitted"])


def ensemble(prompts: Iterable[str], templates: Sequence[str]) -> list[str]:
    """Every prompt in every template; `{}` in a template stands for the prompt."""
    return [template.replace("{}", prompt) for prompt in prompts for template in templates]
