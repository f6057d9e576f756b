"""`guardrail eval attack`: what is left of the guard when every row of a suite is disguised, and by how little."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.markdown import Markdown
from rich.table import Table

from guardrail.cli.common import console, print_table, progress, settings
from guardrail.cli.eval_build import execute, open_pool, open_suite, pairs_of, reporting, workers_for
from guardrail.errors import ConfigError
from guardrail.evaluate import attacks, runs
from guardrail.evaluate.attacked import At, Attacked, as_json, as_markdown, cheapest, left, searched
from guardrail.evaluate.attacks import Attack
from guardrail.evaluate.attacks import change as changes
from guardrail.evaluate.attacks.search import Found, search
from guardrail.evaluate.engine import Plan, signals_of
from guardrail.evaluate.pools import Pool
from guardrail.evaluate.rows import Row
from guardrail.evaluate.suite import Suite, select
from guardrail.evaluate.survey import survey
from guardrail.policy import Policy, load
from guardrail.types import Action


def register(app: typer.Typer) -> None:
    """Add the commands about attacks."""
    app.command("attack")(attack_suite)
    app.command("attacks")(list_attacks)


def list_attacks() -> None:
    """Every attack, with a line about it."""
    table = Table("attack", "on", "what it does", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for one in attacks.ATTACKS.values():
        table.add_row(one.name, one.kind, one.says)
    print_table(table)


def attack_suite(
    ctx: typer.Context,
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="A suite by name or its folder.")],
    factor: Annotated[str | None, typer.Option(help="The factor to attack; else the suite's first.")] = None,
    attack: Annotated[
        list[str] | None, typer.Option(help="Only this one (or several joined with +); may be repeated.")
    ] = None,
    threshold: Annotated[float | None, typer.Option(help="Found from this score; else the policy's highest.")] = None,
    policy: Annotated[str | None, typer.Option(help="Name or path of the policy whose threshold holds.")] = None,
    source: Annotated[Path | None, typer.Option(help="Where the rows of a public benchmark lie.")] = None,
    where: Annotated[list[str] | None, typer.Option(metavar="SLICE=VALUE", help="Only these rows.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many rows.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of all attacks.")] = 0,
    budget: Annotated[int, typer.Option(min=0, help="Questions a row for the search; 0 leaves it out.")] = 60,
    searches: Annotated[int, typer.Option(min=0, help="Rows that are searched.")] = 50,
    name: Annotated[str | None, typer.Option(help="Name of the runs; else that of the suite.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes that judge; 0 is one a core.")] = 0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Throw away earlier runs of these names.")] = False,
) -> None:
    """Run a suite plain and under each attack; print recall kept, with intervals, and the cheapest that works."""
    configuration = settings(ctx)
    chosen = open_suite(configuration, suite, source=source)
    surveyed = survey(chosen)
    decides = load(policy or configuration.settings.policy.default)
    attacked = factor or chosen.factors[0]
    if attacked not in chosen.factors:
        raise ConfigError(f"--factor {attacked}: the suite's factors are {', '.join(chosen.factors)}")
    tried = [attacks.find(one) for one in attack] if attack else attacks.for_task(chosen.task)
    plan = Plan(chosen, policy=decides, seed=seed, where=tuple(pairs_of("--where", where).items()), limit=limit)
    base = runs.checked(name or chosen.id)
    home = runs.runs_folder(configuration.home)
    with ExitStack() as closing:
        pool = open_pool(configuration, chosen.kinds, workers_for(workers, surveyed, limit, plan.where))
        closing.callback(pool.close)
        signal = signals_of(chosen, pool.about)[attacked]
        limit_at = threshold if threshold is not None else refusing(decides, signal)
        at = At(attacked, signal, limit_at)
        execute(configuration, plan, pool, base, surveyed=surveyed, fresh=fresh)
        plain = left("none", runs.rows(home / base), runs.rows(home / base), at)
        lefts = []
        for one in tried:
            under = f"{base}--{one.name}"
            execute(configuration, replace(plan, attack=one), pool, under, surveyed=surveyed, fresh=fresh)
            lefts.append(left(one.name, runs.rows(home / base), runs.rows(home / under), at))
        summed = None
        if budget and searches and chosen.task == "prompt":
            with reporting("search") as report:
                found = list(_found(chosen, plan, home / base, attacked, signal, limit_at, searches))
                count = iter(range(1, len(found) + 1))
                jobs = [(row.id, _searching(pool, row, signal, limit_at, budget, seed)) for row in found]
                summed = searched(jobs, budget, lambda: report(next(count), len(found)))
    least = cheapest(
        runs.rows(home / base),
        {one.name: runs.rows(home / f"{base}--{one.name}") for one in tried},
        _changes(chosen, plan, {one.name: one for one in tried}),
        at,
        unit="characters changed" if tried[0].kind == "text" else "levels a pixel, of 255",
    )
    told = Attacked(at, plain, lefts, least, summed)
    (home / base / "attacks.json").write_text(json.dumps(as_json(told), indent=2, sort_keys=True) + "\n", "utf-8")
    (home / base / "attacks.md").write_text(as_markdown(told), "utf-8")
    if console.is_terminal:
        console.print(Markdown(as_markdown(told)))
    else:
        console.print(as_markdown(told), soft_wrap=True, markup=False)
    progress.print(f"written to {home / base}/attacks.json and attacks.md", soft_wrap=True)


def refusing(policy: Policy, signal: str) -> float:
    """The highest score that a refusing rule asks of this signal: lower ones stand beside other, graver conditions.

    Raises ConfigError where no rule refuses for it.
    """
    found = [
        condition.at_least
        for rule in policy.rules
        if rule.action >= Action.HOLD
        for condition in rule.when
        if signal in condition.signals
    ]
    if not found:
        raise ConfigError(f"policy {policy.name} refuses nothing for {signal}: say from which score with --threshold")
    return max(found)


def _changes(suite: Suite, plan: Plan, tried: Mapping[str, Attack]) -> Iterator[Callable[[str], float]]:
    """For each row of the runs, how much an attack changes it."""
    for row in select(suite.rows(), plan.where, plan.limit):
        yield partial(_change, row, tried, plan.seed)


def _change(row: Row, tried: Mapping[str, Attack], seed: int, name: str) -> float:
    return changes.of(row, tried[name].row(row, seed))


def _found(
    suite: Suite, plan: Plan, folder: Path, factor: str, signal: str, threshold: float, most: int
) -> Iterator[Row]:
    """The positives that are found without an attack, at most `most` of them, spread over the suite."""
    at = At(factor, signal, threshold)
    places = [place for place, row in enumerate(runs.rows(folder)) if row["labels"].get(factor) == 1 and at.found(row)]
    chosen = frozenset(places[:: max(1, len(places) // most)][:most])
    rows = select(suite.rows(), plan.where, plan.limit)
    yield from (row for place, row in enumerate(rows) if place in chosen and len(row.texts) == 1)


def _searching(pool: Pool, row: Row, signal: str, threshold: float, budget: int, seed: int) -> Callable[[], Found]:
    def ask(texts: Sequence[str]) -> list[float | None]:
        rows = [replace(row, texts=(text,)) for text in texts]
        (seen,) = pool.map([rows])
        return [one.scores.get(signal) for one in seen]

    return lambda: search(ask, row.texts[0], threshold, budget=budget, seed=seed)
