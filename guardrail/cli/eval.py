"""`guardrail eval`: score suites of labelled rows with the guard, a running proxy or a peer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from blake3 import blake3
from rich.markup import escape
from rich.table import Column, Table

from guardrail.cli import eval_attack, eval_fetch, eval_peers, eval_report
from guardrail.cli.common import console, print_table, settings
from guardrail.cli.eval_build import execute, open_pool, open_suite, pairs_of, placed, suite_folders, workers_for
from guardrail.config import Configuration
from guardrail.errors import ConfigError
from guardrail.evaluate import attacks, runs
from guardrail.evaluate.engine import Plan
from guardrail.evaluate.pools import Pool, Threads
from guardrail.evaluate.suite import find_suites
from guardrail.evaluate.survey import survey
from guardrail.policy import load
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
def run_suite(
    ctx: typer.Context,
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="A suite by name, its folder, or a file of rows.")],
    source: Annotated[Path | None, typer.Option(help="Where the rows of a public benchmark lie.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run; else that of the suite.")] = None,
    policy: Annotated[str | None, typer.Option(help="Name or path of the policy that decides.")] = None,
    task: Annotated[str | None, typer.Option(help="prompt, image or pair, for a file without suite.yaml.")] = None,
    mapped: Annotated[
        list[str] | None, typer.Option("--map", metavar="ENTRY=COLUMN", help="text, image, id, group, ...")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="FACTOR=RULE", help="A label: sexual=nsfw>0.5, minor=age<18.")
    ] = None,
    slices: Annotated[list[str] | None, typer.Option("--slice", metavar="NAME=COLUMN", help="A slice.")] = None,
    signal: Annotated[
        list[str] | None, typer.Option(metavar="FACTOR=SIGNAL", help="The signal that scores a factor.")
    ] = None,
    where: Annotated[list[str] | None, typer.Option(metavar="SLICE=VALUE", help="Only these rows.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many rows.")] = None,
    assume: Annotated[list[str] | None, typer.Option(metavar="SIGNAL=SCORE", help="Taken as given.")] = None,
    attack: Annotated[str | None, typer.Option(help="Attack every row first: leet, or homoglyphs+spacing.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the attack.")] = 0,
    proxy: Annotated[str | None, typer.Option(metavar="URL", help="Ask a running proxy instead.")] = None,
    proxy_model: Annotated[
        str, typer.Option(metavar="NAME", help="The model that the proxy is asked for.")
    ] = "gpt-image-1",
    headers: Annotated[Path | None, typer.Option(help="File of NAME: VALUE lines for the proxy.")] = None,
    peer: Annotated[list[str] | None, typer.Option(help="Also a peer, on the same rows; may be repeated.")] = None,
    peer_option: Annotated[
        list[str] | None, typer.Option(metavar="PEER.OPTION=VALUE", help="What a peer needs: keywords.words=FILE.")
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes that judge; 0 is one a core.")] = 0,
    ray: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Over a Ray cluster; `local` starts one.")] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Ask anew what is remembered.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Throw away what the folder holds.")] = False,
) -> None:
    """Score every row of a suite. Run it again after a crash: it goes on where it ended."""
    configuration = settings(ctx)
    chosen = open_suite(
        configuration,
        suite,
        source=source,
        columns=pairs_of("--map", mapped),
        labels=pairs_of("--label", label),
        slices=pairs_of("--slice", slices),
        task="proxy" if proxy else task,
    )
    chosen = replace(chosen, signals={**chosen.signals, **pairs_of("--signal", signal)})
    decides = load(policy or configuration.settings.policy.default)
    taken = {given: _score(given, text) for given, text in pairs_of("--assume", assume).items()}
    stray = min(taken.keys() - decides.signals, default=None)
    if stray is not None:
        raise ConfigError(f"--assume {stray}: policy {decides.name} does not read it{guess(stray, decides.signals)}")
    surveyed = survey(chosen)
    plan = Plan(
        chosen,
        policy=decides,
        attack=attacks.find(attack) if attack else None,
        seed=seed,
        where=tuple(pairs_of("--where", where).items()),
        limit=limit,
        assume=taken,
    )
    base = runs.checked(name or "--".join(part for part in (chosen.id, attack) if part))
    with ExitStack() as closing:
        if proxy:
            pool = _proxy_pool(configuration, proxy, proxy_model, headers, workers)
        else:
            pool = open_pool(configuration, chosen.kinds, workers_for(workers, surveyed, limit, plan.where), ray)
        closing.callback(pool.close)
        judged = replace(plan, policy=None) if proxy else plan
        remembered = not (no_cache or proxy)
        told = execute(configuration, judged, pool, base, cached=remembered, surveyed=surveyed, fresh=fresh)
        _say(base, told)
    for one in peer or ():
        own = f"{base}@{one}"
        with ExitStack() as closing:
            pool = eval_peers.open_peer(configuration, one, pairs_of("--peer-option", peer_option))
            closing.callback(pool.close)
            without = replace(plan, policy=None)
            _say(own, execute(configuration, without, pool, own, cached=False, surveyed=surveyed, fresh=fresh))


def _score(signal: str, text: str) -> float:
    try:
        score = float(text)
    except ValueError:
        score = -1.0
    if not 0.0 <= score <= 1.0:
        raise ConfigError(f"--assume {signal}={text}: a score in [0, 1] is expected")
    return score


def _proxy_pool(configuration: Configuration, url: str, model: str, headers: Path | None, workers: int) -> Pool:
    from guardrail.evaluate.through_proxy import ProxyJudge, read_headers

    sent = read_headers(headers) if headers else {}
    # Keyed: whoever sees the folder of a run must not be able to try out which credential was used.
    digest = blake3(json.dumps(sent, sort_keys=True).encode(), key=configuration.key("evaluate")).hexdigest(8)
    return Threads(ProxyJudge(url, model=model, headers=sent, headers_digest=digest), workers or 4)


def _say(name: str, told: Mapping[str, Any]) -> None:
    words = f"{told['rows']} rows, {told['unscored']} unscored, policy {(told['policy'] or {}).get('name', 'none')}"
    console.print(
        f"[bold]{escape(name)}[/]: {words}; `guardrail eval report {escape(name)}` shows the figures", soft_wrap=True
    )


eval_attack.register(app)
eval_fetch.register(app)
app.add_typer(eval_peers.app, name="peers")
eval_report.register(app)
