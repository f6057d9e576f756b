"""`guardrail policy replay`: what another policy would have done with what is on record."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from guardrail.audit import Reader, holds
from guardrail.cli.common import console, point_in_time, print_table, progress, settings
from guardrail.cli.records import Since, Tenant, Until, reading
from guardrail.errors import ConfigError
from guardrail.evaluate.intervals import Rate, rate
from guardrail.policy import Policy, Replay, load, replay
from guardrail.policy.replay import Stored, Version, stored_of
from guardrail.types import Action

RULED: Mapping[str, Action] = {Action.ALLOW.word: Action.ALLOW, Action.BLOCK.word: Action.BLOCK}
"""What a person may rule."""


def run_replay(
    ctx: typer.Context,
    policy: Annotated[str, typer.Option("--policy", metavar="FILE", help="The policy to try, a file or a name.")],
    since: Since = None,
    until: Until = None,
    tenant: Tenant = None,
    base: Annotated[
        str | None, typer.Option("--base", metavar="FILE", help="Judge as a tenant's policy: under the floors of FILE.")
    ] = None,
    examples: Annotated[int, typer.Option("--examples", min=0, max=1000, help="Ids shown for each change.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of words.")] = False,
) -> None:
    """Decide what is on record again by another policy; say what changes, by which rules, and against rulings."""
    candidate = load(policy)
    candidate = candidate.under(load(base)) if base is not None else candidate
    configuration = settings(ctx)
    skipped: Counter[str] = Counter()

    def stored(reader: Reader) -> Iterator[Stored]:
        chosen = reader.scan(since=point_in_time(since), until=point_in_time(until), tenant=tenant, kind="decision")
        for record in chosen:
            one = stored_of(record.entry.id, record.entry.action, record.entry.body)
            if one is None:
                skipped["skipped"] += 1
            else:
                yield one

    with reading(configuration) as reader:
        rulings = _rulings(reader, configuration.key("audit"))
        told = replay(candidate, stored(reader), rulings=rulings, examples=examples)
    if as_json:
        typer.echo(json.dumps(_document(told, skipped["skipped"]), indent=2, sort_keys=True))
        return
    _print(told, candidate, skipped["skipped"])


def _rulings(reader: Reader, key: bytes) -> dict[str, Action]:
    """What was ruled last on each record; a ruling that is not what was written does not count. They are few."""
    ruled = {}
    for record in reader.scan(kind="ruling"):
        if not holds(key, record):
            progress.print(
                f"record {record.seq}, a ruling, is not what was written and does not count; run `guardrail audit "
                "verify`",
                markup=False,
                soft_wrap=True,
            )
            continue
        should = RULED.get(record.entry.action)
        if should is not None:
            ruled[str(record.entry.body.get("record"))] = should
    return ruled


def _rates(told: Replay) -> dict[str, Rate] | None:
    """Error rates of both policies on what was ruled; None where scipy is missing or nothing was ruled."""
    labels = told.labels
    if not labels.harmful + labels.harmless:
        return None
    try:
        return {
            "missed_old": rate(labels.missed_old, labels.harmful),
            "missed_new": rate(labels.missed_new, labels.harmful),
            "refused_old": rate(labels.refused_old, labels.harmless),
            "refused_new": rate(labels.refused_new, labels.harmless),
        }
    except ConfigError as error:
        progress.print(f"rulings: no error rates: {error}", markup=False)
        return None


def _document(told: Replay, skipped: int) -> dict[str, Any]:
    rates = _rates(told)
    return {
        "format": 1,
        "policy": told.policy,
        "judged": told.judged,
        "skipped": skipped,
        "recorded_under": dict(told.policies),
        "newest_models": list(told.newest),
        "unseen": list(told.unseen),
        "versions": [
            {
                "models": list(version.models),
                "judged": version.judged,
                "changed": version.changed,
                "partial": version.partial,
                "shadow": version.watched,
                "moved": [
                    {"from": old.word, "to": new.word, "count": count}
                    for (old, new), count in sorted(version.moved.items())
                ],
                "rules_gained": dict(sorted(version.gained.items())),
                "rules_lost": dict(sorted(version.lost.items())),
            }
            for version in told.versions
        ],
        "examples": [
            {"id": one.id, "from": one.old.word, "to": one.new.word, "rules": list(one.rules), "partial": one.partial}
            for one in told.differences
        ],
        "rulings": asdict(told.labels),
        "rates": {name: [one.value, one.low, one.high] for name, one in rates.items()} if rates else None,
    }


def _print(told: Replay, policy: Policy, skipped: int) -> None:
    changed = sum(version.changed for version in told.versions)
    console.print(f"[bold]{escape(policy.label)}[/bold]: {told.judged} decisions, {changed} would change")
    if not told.judged:
        console.print("there is no decision on record to replay, or none of that time and tenant", style="dim")
        return
    under = ", ".join(
        f"{label} ({count})" for label, count in sorted(told.policies.items(), key=lambda one: -one[1])[:5]
    )
    console.print(f"recorded under {escape(under)}", style="dim", soft_wrap=True)
    if told.unseen:
        console.print(
            f"no record says anything of {escape(', '.join(told.unseen))}: rules that read it could not speak",
            style="yellow",
            soft_wrap=True,
        )
    for version in told.versions:
        if len(told.versions) > 1:
            word = "models of now" if version.models == told.newest else "earlier models, no longer what judges"
            console.print(f"\n{word}: {escape(', '.join(version.models) or 'none')}", soft_wrap=True)
        _print_version(version)
    if told.differences:
        table = Table("record", "was", "would be", "rules", box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for one in told.differences:
            mark = " (refused before all was looked at)" if one.partial else ""
            table.add_row(escape(one.id), one.old.word, one.new.word, escape(", ".join(one.rules) + mark))
        console.print("\nexamples; `guardrail audit show ID` explains one", style="dim")
        print_table(table)
    labels, rates = told.labels, _rates(told)
    if rates is not None:
        console.print(f"\nof what people ruled on ({labels.harmful} to block, {labels.harmless} to allow), 95 %:")
        table = Table("", "as it was", "this policy", box=None, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_row("harm let through", rates["missed_old"].words, rates["missed_new"].words)
        table.add_row("harmless refused", rates["refused_old"].words, rates["refused_new"].words)
        print_table(table)
        console.print(
            "what is ruled on is seldom a fair sample: held cases are looked at, allowed ones not", style="dim"
        )
    if skipped:
        console.print(
            f"{skipped} records are no whole decision (streams that began, requests broken off, other shapes)",
            style="dim",
        )


def _print_version(version: Version) -> None:
    moves = Table("was", "would be", "decisions", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for (old, new), count in sorted(version.moved.items()):
        moves.add_row(old.word, new.word, str(count), style="" if old is not new else "dim")
    console.print(moves)
    rules = Table("rule", "speaks anew", "no longer", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for rule in sorted(version.gained.keys() | version.lost.keys()):
        rules.add_row(escape(rule), str(version.gained[rule]), str(version.lost[rule]))
    if rules.row_count:
        console.print(rules)
    if version.partial:
        console.print(
            f"{version.partial} of the milder ones were refused before everything was looked at: the generator was "
            "never called, and what would have come back is not known",
            style="yellow",
        )
    if version.watched:
        console.print(f"{version.watched} were recorded by a policy in shadow: what it said is compared", style="dim")
