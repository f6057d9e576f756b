"""Judges: whoever says of a row what it sees, the guard's own checks, a running proxy or a peer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from guardrail.checks import installed
from guardrail.evaluate.rows import Picture, Row
from guardrail.pipeline import Guard
from guardrail.types import Artifact, Evidence, Kind, Pair, Subject
from guardrail.upstream.gather import together
from guardrail.upstream.limits import Limits

DIGITS = 6
"""Digits of a score that a log keeps: more than any threshold has, fewer than differ with the size of a batch."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of a row: the highest score of each signal, and why a signal could not be told.

    `action` and `rules` are set by a judge that decides itself; where it doesn't, the engine asks the policy.
    """

    scores: Mapping[str, float]
    errors: Mapping[str, str]
    took_ms: float
    action: str | None = None
    rules: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class About:
    """What a judge says of itself: the models it judges with and the signals it gives.

    `label` tells its scores from those of any other judge, for the cache; "" where they must not be remembered.
    `claims` says which signal scores which factor ("*": every one), for a judge whose signals are not the guard's;
    a factor that it does not claim is not held against it. `thresholds` are its own, where no policy has any.
    `settings` say what else its answers depend on, by name, in a word or a digest. It is not `settled` where more
    stands behind it than it can tell, as behind an address: asked again, it may be another.
    """

    models: tuple[str, ...]
    signals: frozenset[str]
    label: str = ""
    claims: Mapping[str, str] = field(default_factory=dict)
    thresholds: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    settled: bool = True


class Judge(Protocol):
    """Says of rows what it sees. A row's scores must not depend on the others."""

    @property
    def about(self) -> About: ...
    def judge(self, rows: Sequence[Row]) -> list[Seen]: ...


class GuardJudge:
    """The checks of a guard, without its policy and its record. `settings` are what `About` says of them."""

    def __init__(self, guard: Guard, settings: Mapping[str, str] | None = None) -> None:
        self._looker = guard.looker
        models, signals = tuple(sorted(guard.looker.models)), guard.looker.signals
        self.about = About(models, signals, " ".join((*models, *sorted(signals))), settings=settings or {})

    def judge(self, rows: Sequence[Row]) -> list[Seen]:
        """Look at all rows at once: texts in batches, pictures on the guard's workers."""
        began = time.perf_counter()
        faults = [_unread(row) for row in rows]
        subjects = [[] if fault else _subjects(row) for row, fault in zip(rows, faults, strict=True)]
        looked = iter(asyncio.run(self._looker.look([one for of_row in subjects for one in of_row])))
        evidence = [Evidence(tuple(s for _ in of_row for s in next(looked))) for of_row in subjects]
        took_ms = (time.perf_counter() - began) * 1000.0 / max(1, len(rows))
        return [
            Seen({}, dict.fromkeys(sorted(self.about.signals), fault), 0.0)
            if fault
            else Seen(
                {name: round(score, DIGITS) for name, score in sorted(one.scores().items())},
                dict(sorted(one.errors().items())),
                took_ms,
            )
            for one, fault in zip(evidence, faults, strict=True)
        ]


def _unread(row: Row) -> str | None:
    """Why the pictures of a row can't be had: a file may go between the survey and the run."""
    for one in (*row.inputs, *row.outputs):
        if isinstance(one, Path) and not one.is_file():
            return f"the picture {one.name} is missing"
    return None


def _subjects(row: Row) -> list[Subject]:
    texts = [Artifact(Kind.PROMPT, f"prompt[{at}]", text=text) for at, text in enumerate(row.texts)]
    texts += together(row.texts, Limits().prompt_chars)
    inputs = [Artifact(Kind.INPUT, f"image[{at}]", data=content(one)) for at, one in enumerate(row.inputs)]
    outputs = [Artifact(Kind.OUTPUT, f"data[{at}]", data=content(one)) for at, one in enumerate(row.outputs)]
    return [*texts, *inputs, *outputs, *(Pair(one, other) for one in inputs for other in outputs)]


def content(picture: Picture) -> bytes:
    """The bytes of a picture."""
    return picture if isinstance(picture, bytes) else picture.read_bytes()


def checks_for(kinds: frozenset[Kind], enabled: Sequence[str]) -> tuple[str, ...]:
    """Those of the enabled checks that look at one of `kinds`; a class that doesn't say so itself is kept."""
    known = installed()

    def wanted(name: str) -> bool:
        own = getattr(known[name](), "kinds", None) if name in known else None
        return not isinstance(own, frozenset) or bool(own & kinds)

    return tuple(name for name in enabled if wanted(name))
