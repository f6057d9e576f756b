"""The command `guardrail`: one sub-command a noun, each in a file of its own, imported when it is called."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from guardrail import __version__
from guardrail.cli import common

COMMANDS = {
    "serve": "Stand in front of a generator and judge.",
    "demo": "Start a demo generator and the guard in front of it, and send eight requests through.",
    "check": "Judge prompts and pictures from the command line.",
    "config": "Show the settings that hold and where they came from.",
    "models": "Fetch, list, verify and time weights; bring a CLIP model.",
    "policy": "Check, test, replay and show policies.",
    "registry": "Protected persons: add, list, remove, back up.",
    "bank": "Known pictures to block: add, import, export, list, remove.",
    "eval": "Measure: suites, attacks, peers, reports and thresholds.",
    "audit": "Verify, show, rule on and export the record.",
}


class _OnDemand(TyperGroup):
    """Imports a sub-command when it is asked for: `guardrail --help` needs no model runtime."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"guardrail.cli.{cmd_name}")
        command = typer.main.get_command(module.app)
        command.name = cmd_name
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


# Plain tracebacks: pretty ones show local variables, and those hold prompts and keys.
app = typer.Typer(
    cls=_OnDemand, no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"guardrail {__version__}")
        raise typer.Exit


@app.callback()
def top(
    ctx: typer.Context,
    config_file: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="YAML file with settings.")
    ] = None,
    home: Annotated[Path | None, typer.Option("--home", metavar="FOLDER", help="Folder of all state.")] = None,
    override: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="One setting; may be repeated.")
    ] = None,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False,
) -> None:
    """Guardrail judges what an image generator is asked for and what it made, and decides."""
    flags: dict[str, Any] = {"home": str(home)} if home else {}
    for item in override or ():
        name, equals, value = item.partition("=")
        if not equals:
            raise typer.BadParameter(f"--set {name}: name=value is expected")
        flags[name.strip()] = value
    common.remember(ctx, config_file, flags)


def main() -> None:
    """Entry point of the command."""
    common.run(app)
