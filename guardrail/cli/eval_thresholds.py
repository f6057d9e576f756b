"""`guardrail eval thresholds`: propose thresholds from runs, and write them into a policy file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from guardrail.cli.common import console, progress, settings
from guardrail.cli.eval_screen import show
from guardrail.errors import ConfigError
from guardrail.evaluate import runs
from guardrail.evaluate.report import plain
from guardrail.evaluate.report.tables import Table
from guardrail.evaluate.sheet import Sheet, read
from guardrail.evaluate.thresholds import Goal, Proposal, propose
from guardrail.policy import load
from guardrail.policy.edit import Edit, acting, with_thresholds
from guardrail.policy.load import SHIPPED, shipped_text
from guardrail.policy.nodes import read_text


def propose_thresholds(
    ctx: typer.Context,
    names: Annotated[list[str], typer.Argument(metavar="RUN", help="Runs by name, or their folders.")],
    fpr: Annotated[float | None, typer.Option(metavar="RATE", help="Highest false-positive rate, as 0.01.")] = None,
    cost: Annotated[
        str | None, typer.Option(metavar="fn=N,fp=N", help="What a miss and a false alarm cost; the least is sought.")
    ] = None,
    prevalence: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Share of harm in your traffic, for --cost.")
    ] = None,
    factor: Annotated[
        list[str] | None, typer.Option(metavar="FACTOR", help="Only this factor; may be repeated.")
    ] = None,
    by: Annotated[str | None, typer.Option(metavar="SLICE", help="Also for each value of a slice, as lang.")] = None,
    policy: Annotated[str | None, typer.Option(help="Name or path of the policy to start from.")] = None,
    write: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write that policy with the proposed thresholds.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of words.")] = False,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the split into halves and of resamples.")] = 0,
) -> None:
    """Propose thresholds: chosen on one half of the groups, told by the other; refused where there are too few rows."""
    goal = Goal(fpr, _costs(cost), prevalence)
    configuration = settings(ctx)
    source = policy if policy is not None else configuration.settings.policy.default
    chosen = load(source)
    sheets = [read(runs.find(name, configuration.home)) for name in names]
    wanted = factor or _factors(sheets)
    found = [
        one
        for name in wanted
        for one in propose(sheets, name, goal, by=by, was=acting(chosen, _signal(sheets, name)), seed=seed)
    ]
    if as_json:
        typer.echo(json.dumps({"format": 1, "goal": goal.words, "proposals": plain(found)}, indent=1, sort_keys=True))
    else:
        _print(found, goal)
    whole = {one.signal: one.threshold for one in found if not one.where and one.threshold is not None}
    if write is None:
        return
    if not whole:
        raise ConfigError("no threshold is proposed, so no policy is written")
    if write.exists():
        raise ConfigError(f"--write {write}: is there already; name a new file, and compare the two")
    text, edits = with_thresholds(_text(source), whole, source=source)
    if all(one.left for one in edits):
        raise ConfigError(f"policy {source}: no rule acts on {', '.join(sorted(whole))}, so there is nothing to write")
    write.write_text(text, "utf-8")
    _say(edits, write, set(whole))


def _costs(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    told: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        try:
            told[name.strip()] = float(value)
        except ValueError:
            told.clear()
            break
    if told.keys() != {"fn", "fp"}:
        raise ConfigError(f"--cost {text}: two numbers are expected, as fn=10,fp=1")
    return told["fn"], told["fp"]


def _factors(sheets: Sequence[Sheet]) -> list[str]:
    return list(dict.fromkeys(factor for sheet in sheets for factor in sheet.factors))


def _signal(sheets: Sequence[Sheet], factor: str) -> str:
    return next((sheet.signals[factor] for sheet in sheets if factor in sheet.signals), "")


def _text(source: str) -> str:
    return shipped_text(source) if source in SHIPPED else read_text(Path(source), limit=1 << 20)


def _print(found: Sequence[Proposal], goal: Goal) -> None:
    head = ("factor", "", "threshold", "recall", "false positives", "now", "recall now", "false positives now")
    table = Table(f"{goal.words}; chosen on one half of the groups, rates are of the other; 95 %", head, left=2)
    for one in found:
        if one.threshold is None or one.recall is None or one.fpr is None:
            table.rows.append((one.factor, one.where, "refused", *"-----"))
            continue
        ends = f" [{one.interval[0]:g}, {one.interval[1]:g}]" if one.interval else ""
        before = tuple(rate.words for rate in one.before) if one.before else ("-", "-")
        now = "-" if one.was is None else f"{one.was:g}"
        rates = (one.recall.words, one.fpr.words)
        table.rows.append((one.factor, one.where, f"{one.threshold:g}{ends}", *rates, now, *before))
    show(console, table)
    for one in found:
        where = f"{one.factor}{f', {one.where}' if one.where else ''}"
        for words in (one.refused, *one.notes):
            if words:
                progress.print(f"{where}: {words}", style="yellow", markup=False, soft_wrap=True)


def _say(edits: Sequence[Edit], file: Path, wanted: set[str]) -> None:
    changed: Mapping[bool, list[Edit]] = {
        left: [one for one in edits if bool(one.left) is left] for left in (False, True)
    }
    for one in changed[False]:
        progress.print(
            f"{file}:{one.line}: {one.rule}: {one.signal} {one.was:g} -> {one.now:g}", markup=False, soft_wrap=True
        )
    for one in changed[True]:
        progress.print(
            f"{file}:{one.line}: {one.rule}: {one.signal} {one.was:g} is left ({one.left})",
            style="dim",
            markup=False,
            soft_wrap=True,
        )
    for signal in sorted(wanted - {one.signal for one in changed[False]}):
        progress.print(
            f"{file}: no rule acts on {signal}: its threshold is written nowhere",
            style="yellow",
            markup=False,
            soft_wrap=True,
        )
    words = f"wrote {file}; `guardrail policy replay --policy {file}` says what would change"
    progress.print(words, markup=False, soft_wrap=True)
