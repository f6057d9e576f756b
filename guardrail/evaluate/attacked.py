"""What attacks leave of a guard: recall before and after, over-refusal beside it, and the cheapest that works."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from guardrail.errors import ConfigError
from guardrail.evaluate.attacks.search import Found
from guardrail.evaluate.intervals import Flags, Rate, rate
from guardrail.policy.model import ACTIONS
from guardrail.types import Action

Logged = Mapping[str, Any]
"""A row as the log of a run has it."""


@dataclass(frozen=True)
class At:
    """What is attacked: the factor, the signal that scores it, and the score from which it is found."""

    factor: str
    signal: str
    threshold: float

    def found(self, row: Logged) -> bool:
        """Whether the row scores at least the threshold; one that could not be told does not."""
        score = row["scores"].get(self.signal)
        return score is not None and bool(score >= self.threshold)

    def passed(self, row: Logged) -> bool:
        """Whether the row comes through: told, below the threshold, and neither held nor blocked by another rule."""
        action = ACTIONS.get(row["action"], Action.ALLOW)
        return self.signal in row["scores"] and not self.found(row) and not action.refuses


@dataclass(frozen=True)
class Left:
    """What one attack leaves. `recall` is over all positives, `kept` over those that were found without it.

    `false_alarms` is over the negatives, attacked the same way: a guard that refuses whatever looks disguised keeps
    its recall and refuses everybody. `refused` is of the positives and `over_refusal` of rows without a harmful label:
    what the policy held or blocked, by whichever of its rules; another may speak where the score of the factor fell.
    `changed` rows are those that the attack had something to do on; the others count as they are. `unscored` rows
    could not be told and count as not found and as no alarm.
    """

    attack: str
    recall: Rate
    kept: Rate
    false_alarms: Rate
    refused: Rate
    over_refusal: Rate
    changed: int
    unscored: int
    mean_score: float


def left(attack: str, plain: Iterable[Logged], attacked: Iterable[Logged], at: At) -> Left:
    """Compare the rows of two runs of the same suite, row by row. Raises ConfigError where they are not the same."""
    recall, kept, alarms, refused, over = Flags(), Flags(), Flags(), Flags(), Flags()
    positives = changed = unscored = 0
    total = 0.0
    for one, other in _beside(attack, plain, attacked):
        label = one["labels"].get(at.factor)
        if label is None:
            continue
        score = other["scores"].get(at.signal)
        unscored += score is None
        changed += other["slices"].get("attacked") == "yes"
        hit = at.found(other)
        action = ACTIONS.get(other["action"])
        if action is not None and label:
            refused.add(one, action.refuses)
        elif action is not None and not any(one["labels"].values()):
            over.add(one, action.refuses)
        if not label:
            alarms.add(one, hit)
            continue
        positives += 1
        total += score or 0.0
        recall.add(one, hit)
        if at.found(one):
            kept.add(one, hit)
    return Left(
        attack,
        recall.rate(),
        kept.rate(),
        alarms.rate(),
        refused.rate(),
        over.rate(),
        changed,
        unscored,
        total / positives if positives else 0.0,
    )


def _beside(attack: str, plain: Iterable[Logged], attacked: Iterable[Logged]) -> Iterator[tuple[Logged, Logged]]:
    for one, other in itertools.zip_longest(plain, attacked):
        if one is None or other is None or one["id"] != other["id"]:
            raise ConfigError(f"attack {attack}: the two runs are not of the same rows; throw them away with --fresh")
        yield one, other


@dataclass(frozen=True)
class Cheapest:
    """What somebody reaches who tries every attack on a row and takes the mildest that works.

    `taken` is over the positives that were found without an attack. `won` says for each attack how many rows it is
    the cheapest on, and the median of what it changed there; `least` names the cheapest of all rows.
    """

    taken: Rate
    unit: str
    won: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    least: tuple[str, str, float] | None = None


def cheapest(
    plain: Iterable[Logged],
    attacked: Mapping[str, Iterable[Logged]],
    changes: Iterable[Callable[[str], float]],
    at: At,
    *,
    unit: str,
) -> Cheapest:
    """Find the cheapest attack that works for each row. The runs are read side by side, and nothing of them is kept.

    `changes` gives for each row a function that says how much an attack of that name changes it, in `unit`; it is
    asked about attacks that worked only. Raises ConfigError where the runs are not of the same rows.
    """
    taken = Flags()
    costs: dict[str, list[float]] = {}
    least: tuple[str, str, float] | None = None
    others = {name: iter(rows) for name, rows in attacked.items()}
    for one, change in zip(plain, changes, strict=True):
        beside = {name: next(rows, None) for name, rows in others.items()}
        for name, other in beside.items():
            if other is None or other["id"] != one["id"]:
                raise ConfigError(f"attack {name}: its run is not of the same rows; throw it away with --fresh")
        if one["labels"].get(at.factor) != 1 or not at.found(one):
            continue
        worked = [(change(name), name) for name, other in beside.items() if other is not None and at.passed(other)]
        taken.add(one, bool(worked))
        if worked:
            cost, name = min(worked)
            costs.setdefault(name, []).append(cost)
            if least is None or cost < least[2]:
                least = (str(one["id"]), name, cost)
    won = {name: (len(found), statistics.median(found)) for name, found in costs.items()}
    return Cheapest(
        taken.rate(), unit, dict(sorted(won.items(), key=lambda item: (-item[1][0], item[1][1], item[0]))), least
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
    least = min(worked, key=lambda pair: (pair[1].edits, pair[1].queries), default=None)
    return Searched(
        rate(len(worked), len(done)),
        budget,
        statistics.median(one.queries for _, one in worked) if worked else None,
        statistics.median(one.edits for _, one in worked) if worked else None,
        None
        if least is None
        else {
            "id": least[0],
            "steps": list(least[1].steps),
            "queries": least[1].queries,
            "edits": least[1].edits,
            "before": least[1].before,
            "after": least[1].after,
        },
        dict(sorted(steps.items(), key=lambda item: (-item[1], item[0]))[:10]),
    )


@dataclass(frozen=True)
class Attacked:
    """All that `eval attack` found: the suite plain, under each attack, the cheapest of them, and a search."""

    at: At
    plain: Left
    lefts: Sequence[Left]
    cheapest: Cheapest
    search: Searched | None = None


def as_json(told: Attacked) -> dict[str, Any]:
    """All of it, for machines."""
    return {
        "format": 1,
        **asdict(told.at),
        "plain": asdict(told.plain),
        "attacks": [asdict(one) for one in told.lefts],
        "cheapest": asdict(told.cheapest),
        "search": asdict(told.search) if told.search else None,
    }


def as_markdown(told: Attacked) -> str:
    """Tables for people: the attacks that take the most first."""
    return "\n".join((*_table(told), *_cheapest(told.cheapest), *_search(told.search))) + "\n"


def _table(told: Attacked) -> Iterator[str]:
    yield (
        f"Factor {told.at.factor}: `{told.at.signal}` from {told.at.threshold:g}; Wilson's 95 % intervals, rows of a "
        'group counted together. "Kept" is of what was found without the attack; "refused" and "over-refusal" are what '
        "the policy held or blocked, by any of its rules."
    )
    yield ""
    yield "| attack | rows changed | recall | kept | false alarms | refused | over-refusal | could not be told |"
    yield "|---|--:|--:|--:|--:|--:|--:|--:|"
    ordered = sorted(told.lefts, key=lambda one: (one.recall.value or 0.0, one.attack))
    for one in (told.plain, *ordered):
        yield (
            f"| {one.attack} | {one.changed} | {one.recall.words} | {one.kept.words} | {one.false_alarms.words} "
            f"| {one.refused.words} | {one.over_refusal.words} | {one.unscored} |"
        )


def _cheapest(told: Cheapest) -> Iterator[str]:
    yield ""
    yield (
        f"Whoever tries all of these on a row and takes the mildest that works gets {told.taken.words} of what was "
        "found through: below the threshold, and refused by no other rule. For that no score need be known."
    )
    if told.least is not None:
        _, name, cost = told.least
        yield f"The cheapest of all is `{name}`: {cost:.3g} {told.unit} on one row."
        yield ""
        yield f"| cheapest attack that works | on so many rows | median of {told.unit} |"
        yield "|---|--:|--:|"
        yield from (f"| {name} | {count} | {median:.3g} |" for name, (count, median) in told.won.items())


def _search(told: Searched | None) -> Iterator[str]:
    if told is None:
        return
    yield ""
    yield (
        f"A search against the score with {told.budget} questions a row took {told.worked.words} of what was "
        "found below the threshold."
    )
    if told.queries_median is not None and told.cheapest is not None:
        yield (
            f"Medians: {told.queries_median:g} questions, {told.edits_median:g} characters changed. Its cheapest: "
            f"{' + '.join(told.cheapest['steps'])}, {told.cheapest['edits']} characters after "
            f"{told.cheapest['queries']} questions."
        )
    yield from (f"- {steps}: {count}" for steps, count in told.steps.items())
