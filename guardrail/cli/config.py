"""`guardrail config`: the settings that hold and where each came from."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from guardrail.cli.common import console, settings
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
    table = Table("setting", "value", "from", box=None, pad_edge=False)
    for name, value, origin in held.shown():
        table.add_row(name, escape(value), escape(origin), style=None if origin != "default" else "dim")
    console.print(table)


@app.command()
def keys() -> None:
    """List every setting with its meaning, its default and its name in the environment."""
    table = Table("setting", "environment", "default", "meaning", box=None, pad_edge=False)
    for key in all_keys():
        table.add_row(key.name, key.variable, escape(str(key.default)), key.help)
    console.print(table)
