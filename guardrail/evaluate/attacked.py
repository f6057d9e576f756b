"""What attacks leave of a guard: recall before and after, over-refusal beside it, and the cheapest that works."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from guardrail.errors import ConfigError
from guardrail.evaluate.attacks.search import Found
from guardrail.evaluate.intervals import Rate, rate


@dataclass(frozen=True)
class At:
    """What is attacked: the factor, the signal that scores it, and the score from which it is found."""

    factor: str
    signal: str
    threshold: float


@dataclass(frozen=True)
class Left:
    """What one attack leaves. `recall` is over all positives, `kept` over those that were found without it.

    `false_alarms` is over the negatives, attacked the same way: a guard that refuses whatever looks disguised keeps
    its recall and refuses everybody. `changed` rows are those that the attack had something to do on; the others count
    as they are. `unscored` rows could not be told and count as not found and as no alarm.
    """

    attack: str
    recall: Rate
    kept: Rate
    false_alarms: Rate
    changed: int
    unscored: int
    mean_score: float


def left(attack: str, plain: Iterable[Mapping[str, Any]], attacked: Iterable[Mapping[str, Any]], at: At) -> Left:
    """Compare the rows of two runs of the same suite, row by row. Raises ConfigError where they are not the same."""
    found = kept = before = positives = negatives = alarms = changed = unscored = 0
    total = 0.0
    for one, other in zip(plain, attacked, strict=False):
        if one["id"] != other["id"]:
            raise ConfigError(f"attack {attack}: the two runs are not of the same rows; throw them away with --fresh")
        label = one["labels"].get(at.factor)
        if label is None:
            continue
        score = other["scores"].get(at.signal)
        unscored += score is None
        changed += other["slices"].get("attacked") == "yes"
        hit = score is not None and score >= at.threshold
        if not label:
            negatives += 1
            alarms += hit
            continue
        positives += 1
        found += hit
        total += score or 0.0
        if one["scores"].get(at.signal, 0.0) >= at.threshold:
            before += 1
            kept += hit
    return Left(
        attack,
        rate(found, positives),
        rate(kept, before),
        rate(alarms, negatives),
        changed,
        unscored,
        total / positives if positives else 0.0,
    )


@dataclass(frozen=True)
class Searched:
    """What a search against the score came to over several rows."""

    worked: Rate
    budget: int
    queries_median: float | None
    edits_median: float | None
    cheapest: Mapping[str, Any] | None
    steps: Mapping[str, int]


def searched(
    rows: Iterable[tuple[str, Callable[[], Found]]], budget: int, heard: Callable[[], None] = lambda: None
) -> Searched:
    """Sum up searches, each over one row that was found without an attack. No text is kept."""
    done: list[tuple[str, Found]] = []
    for name, find in rows:
        done.append((name, find()))
        heard()
    worked = [(name, one) for name, one in done if one.worked]
    steps: dict[str, int] = {}
    for _, one in worked:
        last = " + ".join(one.steps)
        steps[last] = steps.get(last, 0) + 1
    cheapest = min(worked, key=lambda pair: (pair[1].edits, pair[1].queries), default=None)
    return Searched(
        rate(len(worked), len(done)),
        budget,
        statistics.median(one.queries for _, one in worked) if worked else None,
        statistics.median(one.edits for _, one in worked) if worked else None,
        None
        if cheapest is None
        else {
            "id": cheapest[0],
            "steps": list(cheapest[1].steps),
            "queries": cheapest[1].queries,
            "edits": cheapest[1].edits,
            "before": cheapest[1].before,
            "after": cheapest[1].after,
        },
        dict(sorted(steps.items(), key=lambda item: (-item[1], item[0]))[:10]),
    )


def as_json(plain: Left, lefts: Sequence[Left], search: Searched | None, at: At) -> dict[str, Any]:
    """All of it, for machines."""
    return {
        "format": 1,
        **asdict(at),
        "plain": asdict(plain),
        "attacks": [asdict(one) for one in lefts],
        "search": asdict(search) if search else None,
    }


def as_markdown(plain: Left, lefts: Sequence[Left], search: Searched | None, at: At) -> str:
    """A table for people: the attacks that take the most first."""
    return "\n".join(_lines(plain, lefts, search, at)) + "\n"


def _lines(plain: Left, lefts: Sequence[Left], search: Searched | None, at: At) -> Iterator[str]:
    yield (
        f"Factor {at.factor}: `{at.signal}` from {at.threshold:g}; Wilson's 95 % intervals. "
        '"Kept" is of what was found without the attack.'
    )
    yield ""
    yield "| attack | rows changed | recall | kept | false alarms | could not be told |"
    yield "|---|--:|--:|--:|--:|--:|"
    ordered = sorted(lefts, key=lambda one: (one.recall.value or 0.0, one.attack))
    for one in (plain, *ordered):
        yield (
            f"| {one.attack} | {one.changed} | {one.recall.words} | {one.kept.words} | {one.false_alarms.words} "
            f"| {one.unscored} |"
        )
    if search is not None:
        yield ""
        yield (
            f"A search against the score with {search.budget} questions a row took {search.worked.words} of what was "
            "found below the threshold."
        )
        if search.queries_median is not None:
            yield f"Medians: {search.queries_median:g} questions, {search.edits_median:g} characters changed."
        for steps, count in search.steps.items():
            yield f"- {steps}: {count}"
