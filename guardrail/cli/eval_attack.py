"""`guardrail eval attack`: what is left of the guard when every row of a suite is disguised, and by how little."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.markdown import Markdown
from rich.table import Table

from guardrail.cli.common import console, print_table, progress, settings
from guardrail.cli.eval_build import execute, open_pool, open_suite, reporting, workers_for
from guardrail.cli.eval_options import Chosen, Source, Workers
from guardrail.cli.options import grouped
from guardrail.errors import ConfigError
from guardrail.evaluate import attacks, runs
from guardrail.evaluate.attacked import At, Attacked, Searched, as_json, as_markdown, cheapest, left, searched
from guardrail.evaluate.attacks import Attack
from guardrail.evaluate.attacks import change as changes
from guardrail.evaluate.attacks.search import Found, search
from guardrail.evaluate.engine import Plan, signals_of
from guardrail.evaluate.pools import Pool
from guardrail.evaluate.rows import Row
from guardrail.evaluate.suite import select
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


@dataclass(frozen=True)
class Searching:
    """How the least change that works is searched for, row by row."""

    budget: Annotated[int, typer.Option("--budget", min=0, help="Questions a row for the search; 0 leaves it out.")] = (
        60
    )
    searches: Annotated[int, typer.Option("--searches", min=0, help="Rows that are searched.")] = 50

    def run(self, pool: Pool, plan: Plan, folder: Path, at: At) -> Searched | None:
        """What it comes to on the positives of the plain run in `folder`; None where there is nothing to search."""
        if not (self.budget and self.searches and plan.suite.task == "prompt"):
            return None
        with reporting("search") as report:
            found = list(_found(plan, folder, at, self.searches))
            count = iter(range(1, len(found) + 1))
            jobs = [(row.id, _search_of(pool, row, at, self.budget, plan.seed)) for row in found]
            return searched(jobs, self.budget, lambda: report(next(count), len(found)))


@grouped
def attack_suite(
    ctx: typer.Context,
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="A suite by name or its folder.")],
    chosen: Chosen,
    searching: Searching,
    factor: Annotated[str | None, typer.Option(help="The factor to attack; else the suite's first.")] = None,
    attack: Annotated[
        list[str] | None, typer.Option(help="Only this one (or several joined with +); may be repeated.")
    ] = None,
    threshold: Annotated[float | None, typer.Option(help="Found from this score; else the policy's highest.")] = None,
    policy: Annotated[str | None, typer.Option(help="Name or path of the policy whose threshold holds.")] = None,
    source: Source = None,
    seed: Annotated[int, typer.Option(help="Seed of all attacks.")] = 0,
    name: Annotated[str | None, typer.Option(help="Name of the runs; else that of the suite.")] = None,
    workers: Workers = 0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Throw away earlier runs of these names.")] = False,
) -> None:
    """Run a suite plain and under each attack; print recall kept, with intervals, and the cheapest that works."""
    configuration = settings(ctx)
    opened = open_suite(configuration, suite, source=source)
    surveyed = survey(opened)
    decides = load(policy or configuration.settings.policy.default)
    attacked = factor or opened.factors[0]
    if attacked not in opened.factors:
        raise ConfigError(f"--factor {attacked}: the suite's factors are {', '.join(opened.factors)}")
    tried = [attacks.find(one) for one in attack] if attack else attacks.for_task(opened.task)
    plan = Plan(opened, policy=decides, seed=seed, where=chosen.pairs, limit=chosen.limit)
    base = runs.checked(name or opened.id)
    folder = runs.runs_folder(configuration.home) / base
    with ExitStack() as closing:
        pool = open_pool(configuration, opened.kinds, workers_for(workers, surveyed, plan.limit, plan.where))
        closing.callback(pool.close)
        signal = signals_of(opened, pool.about)[attacked]
        at = At(attacked, signal, threshold if threshold is not None else refusing(decides, signal))
        execute(configuration, plan, pool, base, surveyed=surveyed, fresh=fresh)
        for one in tried:
            under = f"{base}--{one.name}"
            execute(configuration, replace(plan, attack=one), pool, under, surveyed=surveyed, fresh=fresh)
        summed = searching.run(pool, plan, folder, at)
    _tell(_told(plan, folder, tried, at, summed), folder)


def _told(plan: Plan, folder: Path, tried: Sequence[Attack], at: At, summed: Searched | None) -> Attacked:
    """What the runs come to: the plain one in `folder`, the others beside it."""
    under = {one.name: folder.with_name(f"{folder.name}--{one.name}") for one in tried}
    least = cheapest(
        runs.rows(folder),
        {name: runs.rows(run) for name, run in under.items()},
        _changes(plan, {one.name: one for one in tried}),
        at,
        unit="characters changed" if tried[0].kind == "text" else "levels a pixel, of 255",
    )
    plain = left("none", runs.rows(folder), runs.rows(folder), at)
    return Attacked(
        at, plain, [left(name, runs.rows(folder), runs.rows(run), at) for name, run in under.items()], least, summed
    )


def _tell(told: Attacked, folder: Path) -> None:
    """Write what the attacks came to beside the plain run, and print it."""
    (folder / "attacks.json").write_text(json.dumps(as_json(told), indent=2, sort_keys=True) + "\n", "utf-8")
    (folder / "attacks.md").write_text(as_markdown(told), "utf-8")
    if console.is_terminal:
        console.print(Markdown(as_markdown(told)))
    else:
        console.print(as_markdown(told), soft_wrap=True, markup=False)
    progress.print(f"written to {folder}/attacks.json and attacks.md", soft_wrap=True)


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


def _changes(plan: Plan, tried: Mapping[str, Attack]) -> Iterator[Callable[[str], float]]:
    """For each row of the runs, how much an attack changes it."""
    for row in select(plan.suite.rows(), plan.where, plan.limit):
        yield partial(_change, row, tried, plan.seed)


def _change(row: Row, tried: Mapping[str, Attack], seed: int, name: str) -> float:
    return changes.of(row, tried[name].row(row, seed))


def _found(plan: Plan, folder: Path, at: At, most: int) -> Iterator[Row]:
    """The positives that are found without an attack, at most `most` of them, spread over the suite."""
    rows = enumerate(runs.rows(folder))
    places = [place for place, row in rows if row["labels"].get(at.factor) == 1 and at.found(row)]
    chosen = frozenset(places[:: max(1, len(places) // most)][:most])
    judged = select(plan.suite.rows(), plan.where, plan.limit)
    yield from (row for place, row in enumerate(judged) if place in chosen and len(row.texts) == 1)


def _search_of(pool: Pool, row: Row, at: At, budget: int, seed: int) -> Callable[[], Found]:
    def ask(texts: Sequence[str]) -> list[float | None]:
        rows = [replace(row, texts=(text,)) for text in texts]
        (seen,) = pool.map([rows])
        return [one.scores.get(at.signal) for one in seen]

    return lambda: search(ask, row.texts[0], at.threshold, budget=budget, seed=seed)
