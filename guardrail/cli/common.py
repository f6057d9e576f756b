"""What every command shares: the settings that hold, the consoles, and how an error is said."""

from __future__ import annotations

import errno
import getpass
import os
import re
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import typer
from rich.console import Console, RenderableType

from guardrail import config
from guardrail.errors import GuardrailError


class _Lines(Console):
    """A console that leaves a line of text whole where it goes into a file or a pipe: whoever reads it counts lines."""

    def print(self, *objects: Any, **how: Any) -> None:
        if not self.is_terminal and all(isinstance(each, str) for each in objects):
            how.setdefault("soft_wrap", True)
        super().print(*objects, **how)


console = _Lines(highlight=False)
"""Results: standard output."""
progress = _Lines(stderr=True, highlight=False)
"""Progress, warnings and errors: standard error."""

_WIDE = Console(highlight=False, width=100_000, color_system=None)

R = TypeVar("R")

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_AGO = re.compile(r"([0-9]{1,6})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def remember(ctx: typer.Context, file: Path | None, flags: dict[str, Any]) -> None:
    """Keep what the top command was given, so that sub-commands read their settings when they need them."""
    ctx.obj = {"file": file, "flags": flags}


def settings(ctx: typer.Context, **flags: Any) -> config.Configuration:
    """The settings that hold for this command; `flags` are its own, with dots written as double underscores."""
    given = ctx.obj or {"file": None, "flags": {}}
    own = {name.replace("__", "."): value for name, value in flags.items() if value is not None}
    return config.load(given["file"], {**given["flags"], **own})


def logged_in() -> str | None:
    """Who runs this command; None for a user id without a name, as in many containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return None


def print_table(table: RenderableType) -> None:
    """Print a table, or several: folded to the width of a terminal; in a file or a pipe one whole line for each row."""
    if console.is_terminal:
        console.print(table)
        return
    with _WIDE.capture() as printed:
        _WIDE.print(table)
    for line in printed.get().splitlines():
        typer.echo(line.rstrip())


def run(command: Callable[[], R]) -> R:
    """Run a command; an error of ours or a file that cannot be used is a line on standard error and exit status 2."""
    try:
        return command()
    except GuardrailError as error:
        sys.stderr.write(f"guardrail: {error}\n")
        raise SystemExit(2) from None
    except OSError as error:
        if error.errno in _NO_ROOM and error.filename is None:
            # Nothing here writes to a file without its name but to standard output.
            sys.stderr.write(f"guardrail: the output cannot be written: {error.strerror}; what is there is not whole\n")
            _drop_output()
            raise SystemExit(2) from None
        if error.filename is None:
            raise  # no file that the operator could mend
        sys.stderr.write(f"guardrail: {error.filename}: {error.strerror}\n")
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _drop_output() -> None:
    """Let what is still to be written to standard output go nowhere: it would fail once more at the end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def point_in_time(given: str | None) -> float | None:
    """Seconds since 1970 of a date, a time (UTC unless it says otherwise) or an age such as 24h."""
    if given is None:
        return None
    age = _AGO.fullmatch(given)
    if age:
        return time.time() - int(age[1]) * _SECONDS[age[2]]
    try:
        at = datetime.fromisoformat(given)
    except ValueError:
        raise typer.BadParameter(f"{given!r}: expected 2026-03-01, 2026-03-01T12:00 or an age such as 24h") from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
