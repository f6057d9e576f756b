"""`guardrail eval`: score suites of labelled rows with the guard, a running proxy or a peer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Column, Table

from guardrail.cli import eval_attack, eval_fetch, eval_peers, eval_report
from guardrail.cli.common import console, print_table, settings
from guardrail.cli.eval_build import execute, open_pool, pairs_of, placed, suite_folders, workers_for
from guardrail.cli.eval_options import Chosen, Proxied, Reading, Running
from guardrail.cli.options import grouped
from guardrail.errors import ConfigError
from guardrail.evaluate import attacks, runs
from guardrail.evaluate.engine import Plan
from guardrail.evaluate.pools import Pool
from guardrail.evaluate.suite import find_suites
from guardrail.evaluate.survey import survey
from guardrail.policy import Policy, load
from guardrail.policy.nodes import guess

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def _group() -> None:
    """Measure: suites, attacks, peers, reports and thresholds."""


@app.command("list")
def list_suites(ctx: typer.Context) -> None:
    """Every suite that is here: task, factors, licence, and whether its rows are."""
    configuration = settings(ctx)
    found = find_suites(suite_folders(configuration))
    if not found:
        raise ConfigError("no suites in eval/suites or under home; run this in a clone, or name a folder to `eval run`")
    name = Column("suite", no_wrap=True)  # it is what `eval run` asks for
    table = Table(name, "task", "factors", "rows", "licence", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for suite_name, folder in found.items():
        try:
            suite = placed(configuration, folder, None)
            here = suite.root is not None and suite.root.exists()
            rows = "here" if here else "eval fetch" if suite.fetch else "--source"
            cells = (suite_name, suite.task, ", ".join(suite.factors), rows, suite.licence)
        except ConfigError as error:
            cells = (suite_name, "", "", "", f"cannot be read: {error}")
        table.add_row(*map(escape, cells))
    print_table(table)


@app.command("run")
@grouped
def run_suite(
    ctx: typer.Context,
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="A suite by name, its folder, or a file of rows.")],
    reading: Reading,
    chosen: Chosen,
    proxied: Proxied,
    running: Running,
    name: Annotated[str | None, typer.Option(help="Name of the run; else that of the suite.")] = None,
    policy: Annotated[str | None, typer.Option(help="Name or path of the policy that decides.")] = None,
    assume: Annotated[list[str] | None, typer.Option(metavar="SIGNAL=SCORE", help="Taken as given.")] = None,
    attack: Annotated[str | None, typer.Option(help="Attack every row first: leet, or homoglyphs+spacing.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the attack.")] = 0,
    peer: Annotated[list[str] | None, typer.Option(help="Also a peer, on the same rows; may be repeated.")] = None,
    peer_option: Annotated[
        list[str] | None, typer.Option(metavar="PEER.OPTION=VALUE", help="What a peer needs: keywords.words=FILE.")
    ] = None,
) -> None:
    """Score every row of a suite. Run it again after a crash: it goes on where it ended."""
    configuration = settings(ctx)
    opened = reading.suite(configuration, suite, task="proxy" if proxied.proxy else None)
    decides = load(policy or configuration.settings.policy.default)
    plan = Plan(
        opened,
        policy=decides,
        attack=attacks.find(attack) if attack else None,
        seed=seed,
        where=chosen.pairs,
        limit=chosen.limit,
        assume=_assumed(assume, decides),
    )
    surveyed = survey(opened)
    base = runs.checked(name or "--".join(part for part in (opened.id, attack) if part))
    undecided = replace(plan, policy=None)
    with ExitStack() as closing:
        if proxied.proxy:
            pool: Pool = proxied.pool(configuration, proxied.proxy, running.workers)
        else:
            workers = workers_for(running.workers, surveyed, plan.limit, plan.where)
            pool = open_pool(configuration, opened.kinds, workers, running.ray)
        closing.callback(pool.close)
        judged, cached = (undecided, False) if proxied.proxy else (plan, not running.no_cache)
        told = execute(configuration, judged, pool, base, cached=cached, surveyed=surveyed, fresh=running.fresh)
        _say(base, told)
    for one in peer or ():
        own = f"{base}@{one}"
        with ExitStack() as closing:
            pool = eval_peers.open_peer(configuration, one, pairs_of("--peer-option", peer_option))
            closing.callback(pool.close)
            told = execute(configuration, undecided, pool, own, cached=False, surveyed=surveyed, fresh=running.fresh)
            _say(own, told)


def _assumed(given: Sequence[str] | None, policy: Policy) -> dict[str, float]:
    """Scores by signal. Raises ConfigError for what is no score, or for a signal that the policy does not read."""
    taken = {signal: _score(signal, text) for signal, text in pairs_of("--assume", given).items()}
    stray = min(taken.keys() - policy.signals, default=None)
    if stray is not None:
        raise ConfigError(f"--assume {stray}: policy {policy.name} does not read it{guess(stray, policy.signals)}")
    return taken


def _score(signal: str, text: str) -> float:
    try:
        score = float(text)
    except ValueError:
        score = -1.0
    if not 0.0 <= score <= 1.0:
        raise ConfigError(f"--assume {signal}={text}: a score in [0, 1] is expected")
    return score


def _say(name: str, told: Mapping[str, Any]) -> None:
    words = f"{told['rows']} rows, {told['unscored']} unscored, policy {(told['policy'] or {}).get('name', 'none')}"
    console.print(
        f"[bold]{escape(name)}[/]: {words}; `guardrail eval report {escape(name)}` shows the figures", soft_wrap=True
    )


eval_attack.register(app)
eval_fetch.register(app)
app.add_typer(eval_peers.app, name="peers")
eval_report.register(app)
