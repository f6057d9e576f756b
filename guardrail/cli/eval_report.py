"""`guardrail eval report | compare | thresholds | evidence | serve-report`: what runs say."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from guardrail.cli.common import console, progress, settings
from guardrail.cli.eval_build import pairs_of
from guardrail.cli.eval_screen import show
from guardrail.cli.eval_thresholds import propose_thresholds
from guardrail.errors import ConfigError
from guardrail.evaluate import runs
from guardrail.evaluate.report import Report, as_html, as_markdown, gathered
from guardrail.evaluate.report.content import document
from guardrail.evaluate.report.tables import compared, moved, overview
from guardrail.policy import load

Runs = Annotated[list[str], typer.Argument(metavar="RUN", help="Runs by name, or their folders.")]
Html = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write one HTML file that needs no network.")]
Markdown = Annotated[Path | None, typer.Option("--markdown", metavar="FILE", help="Write Markdown.")]
Json = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write every figure as JSON.")]
At = Annotated[
    list[str] | None,
    typer.Option(
        "--at", metavar="FACTOR=SCORE", help="Threshold of a factor, instead of the policy's; may be repeated."
    ),
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of the resamples; the same gives the same intervals.")]


def register(app: typer.Typer) -> None:
    """Add the commands about figures."""
    app.command("report")(report)
    app.command("compare")(compare)
    app.command("thresholds")(propose_thresholds)
    app.command("serve-report")(serve)
    app.command("evidence")(evidence)


def report(
    ctx: typer.Context,
    names: Runs,
    html: Html = None,
    markdown: Markdown = None,
    as_json: Json = None,
    at: At = None,
    seed: Seed = 0,
) -> None:
    """Figures of runs with their intervals: on the screen in short, in files whole."""
    told = gathered(folders(ctx, names), at=scores_of(at), seed=seed, heard=_say)
    show(console, overview(told.runs))
    for run in told.runs:
        for figures in run.factors:
            for words in figures.warnings:
                progress.print(f"{run.name}, {figures.factor}: {words}", style="yellow", markup=False, soft_wrap=True)
    written = _write(told, html, markdown, as_json)
    if not written:
        console.print("whole, with plots: --html FILE", style="dim")


def compare(
    ctx: typer.Context,
    first: Annotated[str, typer.Argument(metavar="RUN", help="A run.")],
    second: Annotated[str, typer.Argument(metavar="OTHER", help="Another run of the same suite.")],
    html: Html = None,
    markdown: Markdown = None,
    as_json: Json = None,
    at: At = None,
    seed: Seed = 0,
) -> None:
    """Two runs side by side: what differs, by how much, and whether chance explains it."""
    told = gathered(folders(ctx, [first, second]), compared=True, at=scores_of(at), seed=seed, heard=_say)
    found = told.comparison
    if found is None:  # `compared` makes one
        raise ConfigError("nothing was compared")
    for note in found.notes:
        progress.print(note, style="yellow", markup=False, soft_wrap=True)
    show(console, compared(found))
    if found.moved:
        show(console, moved(found.moved, found.first, found.second))
    _write(told, html, markdown, as_json)


def serve(
    ctx: typer.Context,
    names: Runs,
    compared: Annotated[bool, typer.Option("--compare", help="Two runs side by side.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")] = 8090,
    at: At = None,
    seed: Seed = 0,
) -> None:
    """Show a report in a browser of this machine; Ctrl-C ends it."""
    from guardrail.evaluate.report.serve import HOST, server

    if compared and len(names) != 2:
        raise ConfigError(f"--compare: two runs are expected, not {len(names)}")
    html = as_html(gathered(folders(ctx, names), compared=compared, at=scores_of(at), seed=seed, heard=_say))
    with server(html, port) as serving:
        console.print(f"http://{HOST}:{serving.server_address[1]}/", markup=False)
        serving.serve_forever()


def evidence(
    ctx: typer.Context,
    names: Runs,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The HTML file to write.")],
    policy: Annotated[str | None, typer.Option(help="Name or path of the policy; else the one in force.")] = None,
    operator: Annotated[str, typer.Option(metavar="NAME", help="Who answers for the deployment.")] = "",
    seed: Seed = 0,
) -> None:
    """One page for a regulator: the policy, the models, what was measured with intervals, and what was not."""
    from guardrail.evaluate.evidence import as_html as pack
    from guardrail.evaluate.evidence import sources

    chosen = load(policy if policy is not None else settings(ctx).settings.policy.default)
    found = sources(folders(ctx, names), chosen, seed=seed)
    write(out, pack(chosen, found, made=datetime.now(UTC), operator=operator))


def folders(ctx: typer.Context, names: Sequence[str]) -> list[Path]:
    """The folders of runs. Raises ConfigError for one that there is not, and one that is named twice."""
    home = settings(ctx).home
    found = [runs.find(name, home) for name in names]
    if len({folder.resolve() for folder in found}) < len(found):
        raise ConfigError("a run is named twice")
    return found


def scores_of(given: Sequence[str] | None) -> dict[str, float]:
    """Thresholds from FACTOR=SCORE. Raises ConfigError for what is no score above 0."""
    found = {}
    for factor, text in pairs_of("--at", given).items():
        try:
            found[factor] = float(text)
        except ValueError:
            found[factor] = 0.0
        if not 0.0 < found[factor] <= 1.0:
            raise ConfigError(f"--at {factor}={text}: a score above 0 and at most 1 is expected")
    return found


def write(file: Path, content: str) -> None:
    """Write a report. Raises ConfigError where that cannot be done."""
    try:
        file.write_text(content, "utf-8")
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written: {error.strerror}") from None
    progress.print(f"wrote {file}", markup=False)


def _write(told: Report, html: Path | None, markdown: Path | None, as_json: Path | None) -> bool:
    made: Mapping[Path | None, str] = {
        **({html: as_html(told)} if html else {}),
        **({markdown: as_markdown(told)} if markdown else {}),
        **({as_json: json.dumps(document(told), indent=1, sort_keys=True) + "\n"} if as_json else {}),
    }
    for file, content in made.items():
        if file is not None:
            write(file, content)
    return bool(made)


def _say(words: str) -> None:
    if progress.is_terminal:
        progress.print(words, style="dim", markup=False)
