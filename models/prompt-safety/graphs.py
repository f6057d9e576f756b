"""The graphs that ship, and the check over them, beside the same arithmetic in torch.

The first graph rounds nothing, so it gives what torch gives. The second rounds in each of its twelve layers, and how
one layer rounds decides how the next does: a difference in the seventh digit grows until it is as large as what
rounding itself does. So each layer is compared by itself, from what the graph gave the layer before; and the whole may
lie no further from torch than the same rounding, done in torch, lies from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import data
import numpy as np
import numpy.typing as npt
import reading
import reference
import report
from towers import Second

from guardrail.checks.prompt import PromptSafety
from guardrail.inference.text import second
from guardrail.inference.text.encoder import WIDTH, WINDOW, TextEncoder
from guardrail.inference.text.prompts import SPREAD, PromptReader, packaged_heads, packaged_lexicon
from guardrail.inference.text.second import SecondEncoder, packaged_second
from guardrail.inference.weights import Models
from guardrail.types import Artifact, Kind, Unknown

Array = npt.NDArray[Any]
# 1 - cosine and score by which the first graph and torch may differ on any text: what float32 rounds.
EXACT = 1e-6, 1e-3
# A layer of the second graph is the same as that rounding in torch where its states differ by this share of them or
# less. So many are expected to be the same, and all together to differ by so much of what rounding does, or less: where
# a number lies in the middle between two steps, its seventh digit decides.
SAME, MOST, OTHERWISE = 1e-5, 0.3, 0.1
# How many times as far from torch as the same rounding in torch the second graph, and the check over it, may lie in the
# mean.
AS_FAR = 1.5


@dataclass(frozen=True)
class Said:
    """What is said of texts: embeddings (texts, width), where there are any, and scores (texts, factors)."""

    scores: Array
    embeddings: Array | None = None


class Way:
    """Both encoders and the check, over a session of each: of onnxruntime, or in torch."""

    def __init__(self, weights: Models, one: Any, two: Any) -> None:
        self.first = TextEncoder(one, weights.path(reading.FIRST, reading.TOKENISER[reading.FIRST]))
        self.second = SecondEncoder(two, weights.path(reading.SECOND, reading.TOKENISER[reading.SECOND]))
        self.opinion = packaged_second(self.second)
        self.reader = PromptReader(self.first, packaged_lexicon())
        self.check = PromptSafety(self.reader, packaged_heads(), "use-multilingual@given", second=self.opinion)

    def says_first(self, pieces: list[str], features: Array) -> Said:
        """The first encoder and its heads, of pieces whose features hold the words that were found in them."""
        seen = self.first.embed([self.first.tokens(piece)[: WINDOW - 2] for piece in pieces])
        return Said(_odds(packaged_heads().logits(np.concatenate([seen * SPREAD, features[:, WIDTH:]], axis=1))), seen)

    def says_second(self, pieces: list[str], features: Array) -> Said:
        """The second encoder and its heads, of every piece, beside the same features of the first."""
        seen = self.second.embed(pieces)
        joined = np.concatenate([features, seen * second.SPREAD], axis=1)
        return Said(_odds(self.opinion.heads.logits(joined)), seen)

    def says(self, texts: list[str]) -> Said:
        """The check as a whole, which asks the second where the first is not sure."""
        found = self.check.score([Artifact(Kind.PROMPT, "prompt", text=text) for text in texts])
        scores = [[np.nan if isinstance(one[f], Unknown) else one[f] for f in data.FACTORS] for one in found]
        return Said(np.array(scores, float))


@dataclass(frozen=True)
class Apart:
    """How far two ways lie apart: 1 - cosine by text, scores by text and factor, and the share of verdicts."""

    angles: Array
    scores: Array
    verdicts: float

    @classmethod
    def of(cls, name: str, one: Said, two: Said) -> Apart:
        angles = np.zeros(1)
        if one.embeddings is not None and two.embeddings is not None:
            a, b = (said / np.linalg.norm(said, axis=1, keepdims=True) for said in _double(one, two))
            angles = 1 - (a * b).sum(axis=1)
        scores = np.abs(one.scores - two.scores)
        if not np.array_equal(np.isnan(one.scores), np.isnan(two.scores)):
            scores = np.ones(1)  # read by one alone
        points = np.array([report.POINTS[factor] for factor in data.FACTORS])
        verdicts = (one.scores >= points) != (two.scores >= points)
        found = cls(angles, np.nan_to_num(scores), float(verdicts.mean()))
        shown = "" if one.embeddings is None else f"1 - cosine {angles.max():.1e}, {angles.mean():.1e}; "
        print(
            f"  {name}: {shown}scores {found.scores.max():.1e}, {found.scores.mean():.1e}; "
            f"{found.verdicts:.2%} of verdicts differ",
            flush=True,
        )
        return found

    def as_near_as(self, other: Apart) -> bool:
        return bool(
            self.angles.mean() <= AS_FAR * other.angles.mean() and self.scores.mean() <= AS_FAR * other.scores.mean()
        )


def agree(weights: Models, published: Path, texts: list[str]) -> bool:
    """Print how far graphs and torch lie apart on texts. True where rounding explains it."""
    graph = Way(weights, weights.session(reading.FIRST), weights.session(reading.SECOND))
    one, two = reference.first(published), reference.second(published)
    rounded = reference.rounded(reference.second(published))
    torch = Way(weights, one, reference.Session(two))
    steps = Way(weights, one, reference.Session(rounded))
    read = [found for found in graph.reader.read(texts) if found.texts]
    given = [found.texts[0] for found in read], np.stack([found.features[0] for found in read])
    good = True

    def expect(told: bool, what: str) -> None:
        nonlocal good
        good &= told
        if not told:
            print(f"  FAILED: {what}")

    print(f"\ngraphs beside torch on {len(texts)} texts: largest and mean difference")
    apart = Apart.of("first graph beside torch", graph.says_first(*given), torch.says_first(*given))
    exact = bool(apart.angles.max() <= EXACT[0] and apart.scores.max() <= EXACT[1])
    expect(exact, f"the first graph rounds nothing; expected at most {EXACT[0]} and {EXACT[1]}")

    layers = reference.Layers(weights.path(reading.SECOND))
    same = _layers(layers, two, rounded, [graph.second.ids(piece) for piece in given[0]])
    expect(same, f"expected at least {MOST:.0%}, and at most {OTHERWISE} of what rounding does in the mean")

    said = [way.says_second(*given) for way in (graph, torch, steps)]
    apart = Apart.of("second graph beside torch", said[0], said[1])
    bound = Apart.of("torch that rounds as the second graph does, beside torch", said[2], said[1])
    Apart.of("second graph beside torch that rounds as it does", said[0], said[2])
    expect(apart.as_near_as(bound), f"the second graph lies further from torch than {AS_FAR} times what rounding does")

    said = [way.says(texts) for way in (graph, torch, steps)]
    apart = Apart.of("the check over graphs beside the check over torch", said[0], said[1])
    bound = Apart.of("the check over torch that rounds beside the check over torch", said[2], said[1])
    expect(apart.as_near_as(bound), f"the check lies further from torch than {AS_FAR} times what rounding does")
    return good


def _layers(graph: reference.Layers, two: Second, rounded: Second, sequences: Sequence[Sequence[int]]) -> bool:
    """Print by what share of their states layers differ from the same rounding in torch; true where that is little."""
    gaps = []
    for ids in sequences:
        states = graph.states(ids)
        for number, (before, after) in enumerate(pairwise(states)):
            made = [reference.layer(tower, before, number) for tower in (rounded, two)]
            gaps.append([float((one - after).norm() / after.norm()) for one in made])
    ours, rounding = np.array(gaps).T
    same, share = (ours <= SAME).mean(), ours.mean() / rounding.mean()
    print(
        f"  {len(gaps)} layers of the second graph, each from what the one before gave: {same:.1%} are the same "
        f"rounding in torch, and all differ by {ours.max():.1e}, {ours.mean():.1e} of their states, where rounding "
        f"itself does {rounding.max():.1e}, {rounding.mean():.1e}"
    )
    return bool(same >= MOST and share <= OTHERWISE)


def _odds(logits: Array) -> Array:
    return 1 / (1 + np.exp(-logits.astype(np.float64)))


def _double(*said: Said) -> list[Array]:
    return [one.embeddings.astype(np.float64) for one in said if one.embeddings is not None]
