"""`guardrail models bench`: what each model that is here costs on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from guardrail.checks.clip import FOLDER
from guardrail.cli.build import open_models
from guardrail.cli.clip import brought, is_brought
from guardrail.cli.common import console, progress, settings
from guardrail.errors import ConfigError
from guardrail.inference.timing import Timing, time_graph


def bench(
    ctx: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Weights by name, or clip.")] = None,
    runs: Annotated[int, typer.Option("--runs", min=1, help="Runs of each; the median and the least are shown.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of words.")] = False,
) -> None:
    """Time each model that is here at batch 1 and 8, on 1 and 2 threads: milliseconds of one run, median and least."""

    rows: list[tuple[str, Timing]] = []
    for name, path, how in _graphs(ctx, names):
        progress.print(f"timing {escape(name)}")
        rows += [(name, one) for one in time_graph(path, runs=runs, **how)]
    if as_json:
        typer.echo(json.dumps([{"name": name, **asdict(one)} for name, one in rows], indent=2))
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("name", no_wrap=True, overflow="fold")
    for heading in ("batch", "threads", "median ms", "least ms", "an item"):
        table.add_column(heading, justify="right")
    for name, one in rows:
        figures = (one.batch, one.threads, *(f"{ms:.1f}" for ms in (one.median_ms, one.least_ms)))
        table.add_row(escape(name), *map(str, figures), f"{one.least_ms / one.batch:.1f}")
    console.print(table)


def _graphs(ctx: typer.Context, names: list[str] | None) -> Iterator[tuple[str, Path, dict[str, Any]]]:
    """Label, graph, and how a guard opens it: the wanted weights, or all that are here."""
    configuration = settings(ctx)
    models = open_models(configuration)
    here = [name for name in models.names() if models.has(name)]
    here += [FOLDER] if is_brought(configuration) else []
    if not (names or here):
        raise ConfigError(f"no weights in {models.cache}; run `guardrail models pull`")
    for name in names or here:
        if name != FOLDER:
            yield models.label(name), models.path(name), {"providers": models.providers_of(name)}
            continue
        folder = brought(configuration)
        if folder is None:
            raise ConfigError("no CLIP was brought; `guardrail models export clip --help` says how")
        for precision in folder.precisions():
            yield folder.label(precision), folder.graph("image", precision), {"cautious": precision == "fp16"}
