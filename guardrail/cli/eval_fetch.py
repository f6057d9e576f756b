"""`guardrail eval fetch`: the rows of a public benchmark, from the address that its suite names, held to a digest."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.markup import escape

from guardrail.cli.common import console, progress, settings
from guardrail.cli.eval_build import SAY_EVERY_S, fetched_of, suite_folders
from guardrail.errors import ConfigError
from guardrail.evaluate.suite import find_suites, read_suite


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("fetch")(fetch_suites)


def fetch_suites(
    ctx: typer.Context,
    names: Annotated[list[str], typer.Argument(metavar="SUITE...", help="Public benchmarks by name; see `list`.")],
    accept: Annotated[
        bool, typer.Option("--accept", help="Take files whose digest nobody has told, and hold to it from now on.")
    ] = False,
) -> None:
    """Download the rows of public benchmarks into home, over https, each file checked against its digest."""
    configuration = settings(ctx)
    known = find_suites(suite_folders(configuration))
    for name in names:
        if name not in known:
            raise ConfigError(f"no suite {name!r}; there are {', '.join(sorted(known)) or 'none here'}")
        suite = read_suite(known[name])
        if not suite.fetch:
            why = (
                "its rows are here"
                if suite.root is not None
                else f"get it by hand: {suite.homepage or 'see its paper'}"
            )
            raise ConfigError(f"suite {name}: there is nothing to fetch; {why}")
        console.print(f"{escape(name)}: licence: {escape(suite.licence)}; {escape(suite.homepage)}", soft_wrap=True)
        fetched = fetched_of(configuration)
        for got in fetched.fetch(suite.id, suite.fetch, accept=accept, report=_Saying()):
            console.print(f"  {escape(got.to)}: {got.how}, {got.size} bytes, SHA-256 {got.sha256}", soft_wrap=True)
        console.print(f"{escape(name)}: lies in {escape(str(fetched.folder(suite.id)))}", soft_wrap=True)


class _Saying:
    """Says now and then how far a download is."""

    def __init__(self) -> None:
        self._said = time.monotonic()

    def __call__(self, name: str, done: int, total: int) -> None:
        if time.monotonic() - self._said >= SAY_EVERY_S:
            self._said = time.monotonic()
            progress.print(f"{escape(name)}: {done >> 20} MiB of at most {total >> 20}", soft_wrap=True)
