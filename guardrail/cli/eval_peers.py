"""`guardrail eval peers`: other people's filters, installed apart, and the table beside them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from guardrail.cli.common import console, print_table, progress, settings
from guardrail.cli.eval_build import pairs_of
from guardrail.config import Configuration
from guardrail.errors import ConfigError
from guardrail.evaluate import runs
from guardrail.evaluate.peers import Peer, PeerJudge, find_peers, install
from guardrail.evaluate.pools import Threads
from guardrail.evaluate.table import as_markdown, lines

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def _group() -> None:
    """Peers: list, install, table."""


def _peers(configuration: Configuration) -> dict[str, Peer]:
    return find_peers([Path("eval/peers"), configuration.home / "evaluate" / "peers"])


def _peer(configuration: Configuration, name: str) -> Peer:
    known = _peers(configuration)
    if name not in known:
        raise ConfigError(f"no peer {name!r}; there are {', '.join(sorted(known)) or 'none here: run this in a clone'}")
    return known[name]


class PeerPool(Threads):
    """One peer, asked row by row; it ends with the pool."""

    def __init__(self, judge: PeerJudge) -> None:
        super().__init__(judge)
        self._peer = judge

    def close(self) -> None:
        super().close()
        self._peer.close()


def open_peer(configuration: Configuration, name: str, options: Mapping[str, str]) -> PeerPool:
    """Start a peer; `options` are of all peers, as NAME.OPTION."""
    own = {option.removeprefix(f"{name}."): value for option, value in options.items() if option.startswith(f"{name}.")}
    return PeerPool(PeerJudge(_peer(configuration, name), configuration.home, own))


@app.command("list")
def list_peers(ctx: typer.Context) -> None:
    """Every peer that is known here, its licence, and whether it is installed."""
    configuration = settings(ctx)
    table = Table(
        "peer", "looks at", "installed", "licence", "what it is", box=None, pad_edge=False, padding=(0, 2, 0, 0)
    )
    for peer in _peers(configuration).values():
        here = "yes" if peer.installed(configuration.home) else "no"
        table.add_row(*map(escape, (peer.name, peer.looks_at, here, peer.licence, peer.about)))
    print_table(table)


@app.command("install")
def install_peers(
    ctx: typer.Context,
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Peers by name; see `list`.")],
    accept: Annotated[str, typer.Option(metavar="LICENCE", help="A licence that must be accepted first.")] = "",
    again: Annotated[bool, typer.Option("--again", help="Also those that are there.")] = False,
) -> None:
    """Make each peer an environment of its own under home, from the package index."""
    configuration = settings(ctx)
    for name in names:
        peer = _peer(configuration, name)
        if peer.installed(configuration.home) and not again:
            console.print(f"{name}: was there")
            continue
        progress.print(f"installing {name}", soft_wrap=True)
        install(peer, configuration.home, accepted=accept)
        console.print(f"{name}: installed in {peer.place(configuration.home)}", soft_wrap=True)


@app.command("table")
def table_of(
    ctx: typer.Context,
    names: Annotated[list[str], typer.Argument(metavar="RUN...", help="Runs by name or folder.")],
    threshold: Annotated[list[float] | None, typer.Option(help="At this score instead; may be repeated.")] = None,
    where: Annotated[list[str] | None, typer.Option(metavar="SLICE=VALUE", help="Only these rows.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write it to this file.")] = None,
) -> None:
    """The guard and its peers on the same rows, as Markdown, from their run folders."""
    home = settings(ctx).home
    chosen = pairs_of("--where", where).items()
    text = as_markdown(lines([runs.find(name, home) for name in names], threshold or (), chosen))
    if out is None:
        typer.echo(text)
    else:
        out.write_text(text, "utf-8")
