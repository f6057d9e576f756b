"""`guardrail policy`: check a policy file, test it against cases, replay the record by it, and show what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from guardrail.cli.common import console, print_table, progress, settings
from guardrail.cli.policy_replay import run_replay
from guardrail.errors import ConfigError
from guardrail.policy import Policy, load
from guardrail.policy.cases import Outcome, load_cases, run_cases, untested
from guardrail.policy.model import described, joins_described
from guardrail.types import SIGNALS, Action

app = typer.Typer(no_args_is_help=True, add_completion=False)

_COLOUR = {Action.ALLOW: "green", Action.FLAG: "cyan", Action.HOLD: "yellow", Action.BLOCK: "red"}
Base = Annotated[
    str | None, typer.Option("--base", metavar="FILE", help="Judge it as a tenant's policy: under the floors of FILE.")
]


@app.callback()
def _group() -> None:
    """Check, test, replay and show policies."""


@app.command()
def check(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A policy file, or the name of a shipped policy.")],
    signal: Annotated[
        list[str] | None,
        typer.Option("--signal", metavar="NAME", help="A signal that an own check gives; may be repeated."),
    ] = None,
    base: Base = None,
) -> None:
    """Say everything that is wrong with a policy file, as file:line:column; exit status 1 when anything is."""
    try:
        policy = _load(file, base)
        policy.require([*SIGNALS, *(signal or ()), *_concepts(policy)])
    except ConfigError as error:
        for line in str(error).splitlines():
            typer.echo(line)
        raise typer.Exit(1) from None
    typer.echo(
        f"{file}: {policy.label}: {len(policy.floors)} floors, {len(policy.rules) - len(policy.floors)} rules, "
        f"{policy.mode.value}"
    )


@app.command("test")
def run_test(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A policy file, or the name of a shipped policy.")],
    cases: Annotated[Path, typer.Argument(metavar="CASES", help="A cases file: YAML, or JSON lines (.jsonl).")],
    base: Base = None,
    strict: Annotated[bool, typer.Option("--strict", help="Fail also when no case fires some rule.")] = False,
) -> None:
    """Decide every case of a cases file and compare; exit status 1 when one differs or a file is wrong."""
    try:
        policy = _load(file, base)
        outcomes = run_cases(policy, load_cases(cases))
    except ConfigError as error:
        for line in str(error).splitlines():
            typer.echo(line)
        raise typer.Exit(1) from None
    failed = [outcome for outcome in outcomes if outcome.wrong]
    for outcome in failed:
        _explain(outcome)
    never = untested(policy, outcomes)
    typer.echo(f"{policy.label}: {len(outcomes) - len(failed)} of {len(outcomes)} cases as expected")
    if never:
        progress.print(f"no case fires: {escape(', '.join(never))}", style="yellow")
    if failed or (strict and never):
        raise typer.Exit(1)


@app.command()
def show(
    ctx: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A policy file or a shipped policy; else the one in force.")
    ] = None,
    base: Base = None,
) -> None:
    """Print what a policy does: each rule, what it reads, what it does, and why."""
    policy = _load(name if name is not None else settings(ctx).settings.policy.default, base)
    console.print(f"[bold]{escape(policy.label)}[/bold]  {policy.mode.value}  sha256:{policy.digest}", soft_wrap=True)
    if policy.says:
        console.print(policy.says, markup=False, soft_wrap=True)
    table = Table("action", "rule", "when", "says", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for rule in policy.rules:
        word = rule.action.word if rule.acts else f"({rule.action.word})"
        kind = " (floor)" if rule.floor else ""
        unknown = f"; unknown: {rule.on_unknown.word}" if rule.on_unknown is not policy.on_unknown else ""
        table.add_row(
            f"[{_COLOUR[rule.action]}]{word}[/]",
            escape(rule.id) + kind,
            escape(described(rule.when)) + unknown,
            escape(rule.says),
        )
    print_table(table)
    for line in joins_described(policy):
        console.print(line, style="dim", markup=False, soft_wrap=True)
    console.print(f"what cannot be told: {policy.on_unknown.word}, unless a rule says otherwise", style="dim")


app.command("replay")(run_replay)


def _load(name: str, base: str | None) -> Policy:
    policy = load(name)
    return policy.under(load(base)) if base is not None else policy


def _concepts(policy: Policy) -> list[str]:
    # Which concepts there are depends on weights that the operator brings; only a start can tell. All are of pictures.
    return [name for name in policy.signals if name.startswith(("input.concept.", "output.concept."))]


def _explain(outcome: Outcome) -> None:
    case = outcome.case
    console.print(f"{escape(str(case.place))}: {escape(case.id)}: {escape(outcome.wrong)}", style="red", soft_wrap=True)
    for reason in outcome.decision.reasons:
        saw = ", ".join(f"{name} {'unknown' if score is None else f'{score:g}'}" for name, score in reason.saw.items())
        console.print(f"    {reason.action.word} {escape(reason.rule)}: {escape(saw)}", soft_wrap=True)
