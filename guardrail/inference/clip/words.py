"""Words to directions: what an operator wrote of a concept, through the text tower of an export.

Needs the `export` extra for the model's tokenizer. It is done once, and what comes of it are vectors: a running guard
has neither tokenizer nor text tower.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from guardrail.errors import ConfigError
from guardrail.inference.clip.concepts import Concept, Concepts, ensemble
from guardrail.inference.clip.folder import PRECISIONS, ClipFolder
from guardrail.inference.clip.model import Vectors, normalised
from guardrail.inference.session import open_session

Tokenise = Callable[[Sequence[str]], NDArray[np.int64]]


@dataclass(frozen=True)
class Described:
    """A concept in words: what shows it, and what it is told from. `templates` hold `{}` where the words go."""

    name: str
    prompts: tuple[str, ...]
    background: tuple[str, ...]
    templates: tuple[str, ...]


def embedded(described: Sequence[Described], folder: ClipFolder, tokenise: Tokenise) -> Concepts:
    """The concepts as directions in the space of an export. One whose words did not change keeps its fit.

    Raises ConfigError when the export has no text tower, or a concept has no background and the model needs one.
    """
    tower = _TextTower(folder, tokenise)
    before = {concept.name: concept for concept in Concepts.read(folder).concepts}
    made = []
    for one in described:
        concept = _concept(one, tower, folder)
        old = before.get(one.name)
        if old is not None and _same(old, concept):
            concept = replace(concept, temperature=old.temperature, bias=old.bias, figures=old.figures)
        made.append(concept)
    return Concepts(folder.space, tuple(made))


def _concept(one: Described, tower: _TextTower, folder: ClipFolder) -> Concept:
    if not one.background and folder.logit_bias is None:
        raise ConfigError(
            f"concept {one.name}: {folder.model} only tells what is closer; name what it is told from under background"
        )
    direction = tower.mean(ensemble(one.prompts, one.templates))
    background = [tower.mean(ensemble([words], one.templates)) for words in one.background]
    against = np.stack(background) if background else np.zeros((0, len(direction)), np.float32)
    # Without examples, the model's own numbers: CLIP's softmax of two, SigLIP's sigmoid.
    bias = 0.0 if background else float(folder.logit_bias or 0.0)
    return Concept(one.name, direction, against, 1.0 / folder.logit_scale, bias)


def _same(one: Concept, other: Concept) -> bool:
    pairs = ((one.direction, other.direction), (one.background, other.background))
    return all(a.shape == b.shape and np.allclose(a, b, atol=1e-5) for a, b in pairs)


class _TextTower:
    """The most exact text tower that an export has."""

    def __init__(self, folder: ClipFolder, tokenise: Tokenise) -> None:
        there = folder.precisions("text")
        chosen = next(precision for precision in PRECISIONS if precision in there)
        self._session: Any = open_session(folder.graph("text", chosen), cautious=chosen == "fp16")
        self._input = self._session.get_inputs()[0].name
        self._tokenise = tokenise

    def mean(self, texts: Sequence[str]) -> Vectors:
        """The direction between those of several texts, float32 (width,)."""
        tokens = self._tokenise(texts)
        # One at a time in 8 bits, for the same reason as pictures; the few texts of a concept take no time.
        found = [self._session.run(None, {self._input: row[None]})[0] for row in tokens]
        vectors = normalised(np.concatenate(found).astype(np.float32))
        middle: Vectors = normalised(vectors.mean(axis=0, dtype=np.float32)[None])[0]
        return middle
