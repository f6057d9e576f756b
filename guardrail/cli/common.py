"""What every command shares: the settings that hold, the consoles, and how an error is said."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import typer
from rich.console import Console

from guardrail import config
from guardrail.errors import GuardrailError

console = Console(highlight=False)
"""Results: standard output."""
progress = Console(stderr=True, highlight=False)
"""Progress, warnings and errors: standard error."""

R = TypeVar("R")


def remember(ctx: typer.Context, file: Path | None, flags: dict[str, Any]) -> None:
    """Keep what the top command was given, so that sub-commands read their settings when they need them."""
    ctx.obj = {"file": file, "flags": flags}


def settings(ctx: typer.Context, **flags: Any) -> config.Configuration:
    """The settings that hold for this command; `flags` are its own, with dots written as double underscores."""
    given = ctx.obj or {"file": None, "flags": {}}
    own = {name.replace("__", "."): value for name, value in flags.items() if value is not None}
    return config.load(given["file"], {**given["flags"], **own})


def run(command: Callable[[], R]) -> R:
    """Run a command; an error of ours becomes one line on standard error and exit status 2."""
    try:
        return command()
    except GuardrailError as error:
        sys.stderr.write(f"guardrail: {error}\n")
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
