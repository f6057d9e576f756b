"""`guardrail models export clip` and its kin: bring a CLIP model, describe concepts, fit them, teach probes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from guardrail.checks.clip import FOLDER
from guardrail.cli.common import console, progress, settings
from guardrail.cli.concepts import load_concepts
from guardrail.config import Configuration
from guardrail.errors import ConfigError
from guardrail.inference.clip.card import card
from guardrail.inference.clip.concepts import NAME, Concepts
from guardrail.inference.clip.examples import Examples, load, look
from guardrail.inference.clip.export import Wanted, tokenise
from guardrail.inference.clip.export import export as export_model
from guardrail.inference.clip.fit import fit_concept
from guardrail.inference.clip.fit import train_probe as teach
from guardrail.inference.clip.folder import MANIFEST, ClipFolder
from guardrail.inference.clip.model import ClipModel
from guardrail.inference.clip.probes import read_probes
from guardrail.inference.clip.words import embedded

export = typer.Typer(no_args_is_help=True, add_completion=False)

Clip = Annotated[
    Path | None, typer.Option("--clip", metavar="FOLDER", help="The export; without it the one that the check opens.")
]
BaseRate = Annotated[
    float | None,
    typer.Option("--base-rate", metavar="SHARE", help="Share of pictures in traffic that show it; else the examples'."),
]


@export.callback()
def _group() -> None:
    """Make ONNX graphs of a model that you bring."""


@export.command("clip")
def export_clip(
    ctx: typer.Context,
    model: Annotated[
        str, typer.Option("--model", metavar="NAME", help="open_clip's name, hf-hub:ORG/NAME or local-dir:FOLDER.")
    ],
    pretrained: Annotated[
        str | None, typer.Option("--pretrained", metavar="TAG", help="A tag of open_clip, or a checkpoint file.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="Where to; else where the check looks.")
    ] = None,
    licence: Annotated[
        str, typer.Option("--licence", metavar="TEXT", help="Licence of the weights, kept beside them.")
    ] = "not stated",
    precision: Annotated[
        list[str] | None,
        typer.Option("--precision", help="int8, fp16 or fp32; may be repeated, the first is judged with. Else int8."),
    ] = None,
    concepts: Annotated[
        Path | None, typer.Option("--concepts", metavar="FILE", help="YAML that describes concepts in words.")
    ] = None,
    random: Annotated[
        bool, typer.Option("--random-weights", help="Weights of chance, for timings; no guard judges with them.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an export, and its concepts and probes.")] = False,
) -> None:
    """Export a CLIP or SigLIP model of open_clip to ONNX. Needs the extra `export` (torch)."""

    described = load_concepts(concepts) if concepts is not None else ()
    wanted = Wanted(model, pretrained, licence, tuple(dict.fromkeys(precision or ("int8",))), random)
    place = out if out is not None else folder_of(settings(ctx))
    folder = export_model(wanted, place, say=lambda line: progress.print(escape(line)), force=force)
    console.print(escape(f"{folder.label()}  {folder.path}"), soft_wrap=True)
    if described:
        _write(embedded(described, folder, lambda texts: tokenise(folder.tokenizer, texts)), folder)


def concepts(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="YAML that describes concepts in words.")],
    clip: Clip = None,
) -> None:
    """Make vectors of concepts that are described in words. Needs the extra `export` (the model's tokenizer)."""

    described = load_concepts(file)
    folder = ClipFolder.read(clip if clip is not None else folder_of(settings(ctx)))
    _write(embedded(described, folder, lambda texts: tokenise(folder.tokenizer, texts)), folder)


def fit_concepts(
    ctx: typer.Context,
    examples: Annotated[
        Path, typer.Option("--examples", metavar="FOLDER", help="One folder per concept, with yes and no in it.")
    ],
    clip: Clip = None,
    base_rate: BaseRate = None,
) -> None:
    """Fit each concept's temperature and bias from examples, and write its card."""

    model = ClipModel.open(clip if clip is not None else folder_of(settings(ctx)))
    known = Concepts.read(model.folder)
    wanted = [one.name for one in known.concepts if (examples / one.name).is_dir()]
    if not wanted:
        names = ", ".join(one.name for one in known.concepts) or "no concept yet"
        raise ConfigError(f"{examples} has no folder named after a concept; there is {names}")
    for name in wanted:
        seen = _look(examples / name, model, None)
        temperature, bias, told = fit_concept(known[name], seen, base_rate)
        known = known.fitted(name, temperature, bias, told)
        known.write(model.folder)
        _tell(name, "a concept in words, fitted", told, model.folder)


def train_probe(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="yes and no with pictures, or .npz with vectors.")],
    name: Annotated[str, typer.Option("--name", help="Name of the probe: its signal is input.concept.NAME.")],
    kind: Annotated[
        Literal["linear", "mlp"], typer.Option("--kind", help="A line, or one small hidden layer.")
    ] = "linear",
    groups: Annotated[
        Path | None, typer.Option("--groups", metavar="CSV", help="Columns file and group; else FOLDER/groups.csv.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option("--save", metavar="FILE", help="Keep the vectors of the pictures as .npz.")
    ] = None,
    clip: Clip = None,
    base_rate: BaseRate = None,
) -> None:
    """Teach a probe with your own labelled pictures, measure it, and write its card. Needs the extra `train`."""

    if not NAME.fullmatch(name):
        raise ConfigError(f"--name {name[:60]!r}: expected lower-case letters, digits, '-' and '_', at most 40")
    model = ClipModel.open(clip if clip is not None else folder_of(settings(ctx)))
    if name in {concept.name for concept in Concepts.read(model.folder).concepts}:
        raise ConfigError(f"there is a concept named {name} already; two of one name cannot be judged")
    seen = load(folder, model.space) if folder.suffix == ".npz" else _look(folder, model, groups)
    if save is not None:
        seen.save(save)
    probe = teach(name, seen, kind=kind, base_rate=base_rate)
    probe.write(model.folder)
    read_probes(model.folder)
    _tell(name, f"a probe ({kind})", probe.figures, model.folder)


def folder_of(configuration: Configuration) -> Path:
    """Where the check looks for an export: its option `folder`, else `clip` among the weights."""
    given = configuration.settings.checks.options.get("clip", {}).get("folder")
    return Path(str(given)).expanduser() if given else configuration.cache / FOLDER


def is_brought(configuration: Configuration) -> bool:
    """True where there is an export."""
    return (folder_of(configuration) / MANIFEST).is_file()


def brought(configuration: Configuration) -> ClipFolder | None:
    """The export, where there is one. Raises ConfigError when its manifest was damaged."""
    return ClipFolder.read(folder_of(configuration)) if is_brought(configuration) else None


def row(folder: ClipFolder) -> dict[str, Any]:
    """An export as `guardrail models list` shows a weight."""
    told = folder.told["towers"]["image"][folder.precision]
    source = folder.told["pretrained"]
    return {
        "name": FOLDER,
        "here": True,
        "file": told["file"],
        "size": told["size"],
        "scores": f"concepts: {', '.join(_names(folder)) or 'none yet'}",
        "reads": f"RGB, {folder.preprocess.height} x {folder.preprocess.width}",
        "licence_code": "MIT (open_clip)",
        "licence_weights": folder.told["licence"],
        "training_data": "that of the weights; their publisher says",
        "origin": f"{folder.model}, {source.get('name', source['kind'])}",
        "builder": "export",
        "required_by": [],
        "optional_for": ["clip"],
        "packages": [],
    }


def verified(configuration: Configuration) -> str:
    """Read every graph, concept and probe of the export anew; its label. Raises ConfigError for what is not right."""
    folder = ClipFolder.read(folder_of(configuration))
    for tower in ("image", "text"):
        for precision in folder.precisions(tower):
            folder.graph(tower, precision)
    _names(folder)
    return folder.label()


def _names(folder: ClipFolder) -> list[str]:
    return [*(one.name for one in Concepts.read(folder).concepts), *(one.name for one in read_probes(folder))]


def _look(folder: Path, model: ClipModel, groups: Path | None) -> Examples:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=progress) as bar:
        task = bar.add_task(escape(folder.name), total=None)
        return look(
            folder, model, groups=groups, report=lambda done, total: bar.update(task, completed=done, total=total)
        )


def _write(concepts: Concepts, folder: ClipFolder) -> None:
    path = concepts.write(folder)
    console.print(escape(f"{len(concepts.concepts)} concepts  {path}"), soft_wrap=True)
    if concepts.unfitted:
        progress.print(
            f"not fitted yet, so a similarity and not a probability: {', '.join(concepts.unfitted)}; "
            "see `guardrail models fit-concepts`",
            soft_wrap=True,
        )


def _tell(name: str, what: str, told: Mapping[str, Any], folder: ClipFolder) -> None:
    """Write the card of a concept or a probe, and say the figures in a line."""
    page = folder.path / "cards" / f"{name}.md"
    page.parent.mkdir(exist_ok=True)
    page.write_text(card(name, what, told, folder), "utf-8")
    low, high = told["auc_95"]
    figures = f"AUC {told['auc']} [{low}, {high}], ECE {told['ece']}, {told['yes']} yes, {told['no']} no"
    console.print(escape(f"{name}  {figures}  {page}"), soft_wrap=True)
