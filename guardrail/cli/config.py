"""`guardrail config`: the settings that hold and where each came from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from guardrail.cli.common import print_table, settings
from guardrail.config import keys as all_keys

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def _group() -> None:
    """Show the settings that hold and where they came from."""


@app.command()
def show(ctx: typer.Context, as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """Print every setting, its value and its origin; secrets are masked."""
    held = settings(ctx)
    if as_json:
        rows = [{"name": n, "value": v, "origin": o} for n, v, o in held.shown()]
        typer.echo(json.dumps({"file": str(held.file) if held.file else None, "settings": rows}, indent=2))
        return
    _print(("setting", "value", "from"), held.shown())


@app.command()
def keys() -> None:
    """List every setting with its meaning, its default and its name in the environment."""
    rows = [(key.name, key.variable, json.dumps(key.default), key.help) for key in all_keys()]
    _print(("setting", "environment", "default", "meaning"), rows)


def _print(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(box=None, pad_edge=False)
    for name in head:
        table.add_column(name, overflow="fold")  # a path that is cut short is no path
    for row in rows:
        table.add_row(*map(escape, row), style="dim" if row[-1] == "default" else None)
    print_table(table)
