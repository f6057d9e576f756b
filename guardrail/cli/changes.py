"""Puts what a command changes on record, before the command says that it is done."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from guardrail.audit import JSON, Change, Changes
from guardrail.cli.common import logged_in, progress
from guardrail.cli.records import open_audit
from guardrail.config import Configuration
from guardrail.errors import AuditError

if TYPE_CHECKING:
    from guardrail.checks.store import StateFile

By = Annotated[str, typer.Option("--by", metavar="NAME", help="Who does it, for the record; else who is logged in.")]


@contextmanager
def recorded(
    configuration: Configuration, action: str, by: str, file: StateFile, *, about: Iterable[str] = (), **facts: JSON
) -> Iterator[Change]:
    """To be stood around a change of `file`: events of the audit log say who began it and how it ended.

    Where they cannot, it is not made; with `audit.required: false` it is made all the same, and that is said. `about`
    is what will be changed, as far as it is known. Raises AuditError.
    """
    required = configuration.settings.audit.required
    with ExitStack() as closing:
        log = None
        try:
            log = closing.enter_context(open_audit(configuration))
        except AuditError as fault:
            if required:
                raise AuditError(f"{action}: nothing was changed, as it could not be put on record: {fault}") from None
        changes = Changes(
            log,
            configuration.key("digest"),
            by=by or logged_in() or f"uid {os.getuid()}",
            unrecorded=None if required else _say,
        )
        change = closing.enter_context(changes.change(action, about=about, **facts))
        try:
            yield change
        finally:
            change.moved(file.moved)


def revisions(home: Path) -> dict[str, int]:
    """How the registry and each bank of a home folder stand, as `missing` names them; without any that is not there.

    Raises ConfigError when one cannot be read.
    """
    from guardrail.checks.known import FOLDER, bank_of  # bring model runtimes with them
    from guardrail.checks.likeness import FOLDER as REGISTRY
    from guardrail.checks.registry import file_of

    named = sorted(path.parent.name for path in (home / FOLDER).glob("*/bank.sqlite"))
    files = {"registry": file_of(home / REGISTRY), "bank": bank_of(home).file}
    files |= {f"bank {name}": bank_of(home, name).file for name in named}
    return {name: file.revision() for name, file in files.items() if file.exists}


def _say(why: str) -> None:
    progress.print(why, markup=False, soft_wrap=True)
