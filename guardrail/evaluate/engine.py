"""The engine: every row of a suite through a judge, into a log that a crash can't spoil."""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import guardrail
from guardrail.errors import ConfigError
from guardrail.evaluate import runs
from guardrail.evaluate.attacks import Attack
from guardrail.evaluate.cache import Cache, code_digest
from guardrail.evaluate.judging import DIGITS, About, Seen
from guardrail.evaluate.pools import Pool
from guardrail.evaluate.rows import Row
from guardrail.evaluate.suite import TASKS, Suite, Where, select
from guardrail.evaluate.survey import Survey, survey
from guardrail.policy import Policy, decide
from guardrail.policy.nodes import misspelt
from guardrail.types import SIGNALS, Evidence, Signal

UNSCORED = "unscored"
"""The action of a row that could not be judged at all."""
CHUNKS: Mapping[str, int] = {"prompt": 128, "image": 8, "pair": 4, "proxy": 16}
"""Rows of each task that are judged together and written together."""

Report = Callable[[int, int], None]


@dataclass(frozen=True)
class Plan:
    """What is to be run: `where` and `limit` take a part of the suite, `assume` holds for every row."""

    suite: Suite
    policy: Policy | None = None
    attack: Attack | None = None
    seed: int = 0
    where: Where = ()
    limit: int | None = None
    assume: Mapping[str, float] = field(default_factory=dict)
    only_factor: str | None = None
    """With it, only rows labelled 1 on this factor are run: what an attack is tried on."""


def run(
    plan: Plan,
    pool: Pool,
    folder: Path,
    *,
    cache: Cache | None = None,
    report: Report = lambda done, total: None,
    surveyed: Survey | None = None,
    fresh: bool = False,
    chunk: int | None = None,
) -> dict[str, Any]:
    """Run a plan and leave its folder; what `run.json` says comes back.

    A folder that holds a part of the same run is taken up where it ended; one that holds all of it is left as it is.
    `report(done, total)` is called after each chunk.

    Raises ConfigError for a suite that is wrong (before anything is scored), a factor that nothing scores, a folder
    that holds something else, and one that holds all of a run by a judge that may be another by now.
    """
    held = surveyed or survey(plan.suite)
    signals = signals_of(plan.suite, pool.about)
    _check_given(plan, pool.about)
    size = chunk or CHUNKS[plan.suite.task]
    begun = _begun(plan, held, pool, signals)
    total = sum(1 for _ in _chosen(plan)) if plan.where or plan.limit is not None or plan.only_factor else held.rows
    if not total:
        raise ConfigError(f"suite {plan.suite.id}: no row is chosen by {_words(plan)}")
    log = runs.RunLog(folder, begun, size, fresh=fresh)
    try:
        report(log.done, total)
        if log.complete and log.done == total:
            if not pool.about.settled:
                raise ConfigError(
                    f"{folder}: holds this run already, but {', '.join(pool.about.models)} may be another by now, "
                    "which cannot be told from here; --fresh asks it again, another --name keeps both"
                )
            return runs.read_run(folder)
        _score(plan, pool, log, size, cache, lambda done: report(done, total))
        written = Counter(_unscored(row, signals) for row in runs.rows(folder))
        if written.total() != total:
            log.spoiled()
            raise ConfigError(
                f"{folder}: holds {written.total()} rows of {total}; does another process write the same run? "
                "Begin anew with --fresh, one at a time"
            )
        return log.end(rows=total, unscored=written[True])
    finally:
        log.close()


def signals_of(suite: Suite, about: About) -> dict[str, str]:
    """Which signal scores each factor. Raises ConfigError for a factor that nothing here scores.

    A judge with signals of its own (a peer, a proxy) is asked about the factors it claims, and no others.
    """
    if about.claims:
        every = about.claims.get("*")
        told = {factor: about.claims.get(factor, every) for factor in suite.factors}
        claimed = {factor: signal for factor, signal in told.items() if signal is not None}
        if not claimed:
            raise ConfigError(f"suite {suite.id}: {', '.join(about.models)} says nothing of {', '.join(suite.factors)}")
        return claimed
    kind = "input" if suite.task == "image" and suite.image_as == "input" else TASKS[suite.task].value
    chosen = {factor: suite.signals.get(factor, f"{kind}.{factor}") for factor in suite.factors}
    for factor, signal in chosen.items():
        if signal not in about.signals:
            raise ConfigError(
                f"suite {suite.id}: factor {factor} is scored by {signal}, which no enabled check gives; name another "
                f"under `signals` in suite.yaml; there are: {', '.join(sorted(about.signals))}"
            )
    return chosen


def _check_given(plan: Plan, about: About) -> None:
    """Raises ConfigError for a score that the suite gives under a name that is nearly one that is read."""
    if plan.policy is None:
        return
    known = plan.policy.signals | about.signals | SIGNALS.keys()
    for kind, scores in plan.suite.assume.items():
        for signal in scores:
            if meant := misspelt(signal, known):
                raise ConfigError(
                    f"suite {plan.suite.id}: assume {kind}: {signal}: neither policy {plan.policy.name} reads it nor "
                    f"any check gives it; did you mean {meant!r}?"
                )


def _begun(plan: Plan, held: Survey, pool: Pool, signals: Mapping[str, str]) -> dict[str, Any]:
    suite, policy = plan.suite, plan.policy
    used = frozenset(signals.values()) | pool.about.signals
    thresholds: dict[str, set[float]] = {name: set(values) for name, values in pool.about.thresholds.items()}
    for rule in policy.rules if policy else ():
        for condition in rule.when:
            for name in condition.signals:
                if name in used:
                    thresholds.setdefault(name, set()).add(condition.at_least)
    told = {
        "id": suite.id,
        "version": suite.version,
        "digest": held.digest,
        "task": suite.task,
        "factors": list(suite.factors),
        "licence": suite.licence,
        "misses": list(suite.misses),
        "columns_verified": suite.columns_verified,
        "where": [list(pair) for pair in plan.where],
        "limit": plan.limit,
        "only_factor": plan.only_factor,
    }
    return {
        "format": runs.FORMAT,
        "guardrail": guardrail.__version__,
        "suite": told,
        "signals": dict(signals),
        "models": sorted(pool.about.models),
        "settings": dict(pool.about.settings),
        "code": code_digest(run=True),
        "policy": {"name": policy.name, "digest": policy.digest} if policy else None,
        "thresholds": {name: sorted(values) for name, values in sorted(thresholds.items())},
        "assume": {**{kind: dict(scores) for kind, scores in suite.assume.items()}, "*": dict(plan.assume)},
        "attack": {"name": plan.attack.name, "seed": plan.seed} if plan.attack is not None else None,
    }


def _words(plan: Plan) -> str:
    parts = [f"{name}={value}" for name, value in plan.where]
    parts += [f"{plan.only_factor}=1"] if plan.only_factor else []
    return " and ".join(parts) or "--limit"


def _chosen(plan: Plan) -> Iterator[Row]:
    rows: Iterator[tuple[str, Row]] = plan.suite.rows()
    factor = plan.only_factor
    if factor is not None:
        rows = ((place, row) for place, row in rows if row.labels.get(factor) == 1)
    return select(rows, plan.where, plan.limit)


def _score(
    plan: Plan, pool: Pool, log: runs.RunLog, size: int, cache: Cache | None, report: Callable[[int], None]
) -> None:
    chosen = itertools.islice(_chosen(plan), log.done, None)
    waiting: deque[tuple[list[Row], list[Row], list[Seen | None]]] = deque()

    def feed() -> Iterator[list[Row]]:
        while original := list(itertools.islice(chosen, size)):
            rows = [_attacked(row, plan) for row in original]
            known: list[Seen | None] = [_fault(row, pool.about.signals) for row in rows]
            if cache is not None:
                asked = [at for at, seen in enumerate(known) if seen is None]
                for at, hit in zip(asked, cache.look([rows[at] for at in asked]), strict=True):
                    known[at] = hit
            waiting.append((original, rows, known))
            yield [row for row, seen in zip(rows, known, strict=True) if seen is None]

    done = log.done
    for fresh in pool.map(feed()):
        original, rows, known = waiting.popleft()
        if cache is not None and fresh:
            cache.keep([row for row, seen in zip(rows, known, strict=True) if seen is None], fresh)
        answers = iter(fresh)
        seen_all = [seen if seen is not None else next(answers) for seen in known]
        entries = [_entry(row, made, seen, plan) for row, made, seen in zip(original, rows, seen_all, strict=True)]
        times = [{"id": row.id, "took_ms": round(seen.took_ms, 3)} for row, seen in zip(rows, seen_all, strict=True)]
        log.append(b"".join(map(runs.line, entries)), b"".join(map(runs.line, times)))
        done += len(rows)
        report(done)


def _attacked(row: Row, plan: Plan) -> Row:
    return plan.attack.row(row, plan.seed) if plan.attack is not None and row.fault is None else row


def _fault(row: Row, signals: frozenset[str]) -> Seen | None:
    if row.fault is None:
        return None
    return Seen({}, dict.fromkeys(sorted(signals), row.fault), 0.0, action=UNSCORED)


def _entry(row: Row, made: Row, seen: Seen, plan: Plan) -> dict[str, Any]:
    """The line of a row; `made` is what an attack made of it. Some say nothing to a row: `attacked` says which."""
    action, rules = seen.action, seen.rules
    attacked = {} if plan.attack is None else {"attacked": "no" if made == row else "yes"}
    if action is None and plan.policy is not None:
        # From the rounded scores that the log keeps, so that whoever replays the log finds the same.
        given = {**plan.suite.assume.get(row.slices.get("kind", ""), {}), **plan.assume}
        decision = decide(plan.policy, evidence_of(seen.scores, seen.errors, given))
        action, rules = decision.action.word, decision.rules if decision.action else ()
    return {
        "id": row.id,
        "labels": dict(row.labels),
        "slices": {**row.slices, **attacked},
        "group": row.group,
        "scores": {name: round(score, DIGITS) for name, score in seen.scores.items()},
        "errors": dict(seen.errors),
        "action": action or "",
        "rules": list(rules),
    }


def evidence_of(
    scores: Mapping[str, float], errors: Mapping[str, str], assume: Mapping[str, float] | None = None
) -> Evidence:
    """Evidence that a policy decides on as it would on the signals a log was made of: it reads the highest of each."""
    given = {name: score for name, score in (assume or {}).items() if name not in scores}
    return Evidence(
        (
            *(Signal(name, "row", "log", score=score) for name, score in {**scores, **given}.items()),
            *(Signal(name, "row", "log", error=why) for name, why in errors.items()),
        )
    )


def _unscored(row: Mapping[str, Any], signals: Mapping[str, str]) -> bool:
    return any(signal not in row["scores"] for signal in signals.values())
