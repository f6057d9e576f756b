"""Puts what a command changes on record, before the command says that it is done."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Annotated

import typer

from guardrail.audit import JSON, Change, Changes
from guardrail.cli.common import logged_in, progress
from guardrail.cli.records import open_audit
from guardrail.config import Configuration
from guardrail.errors import AuditError

By = Annotated[str, typer.Option("--by", metavar="NAME", help="Who does it, for the record; else who is logged in.")]


@contextmanager
def recorded(configuration: Configuration, action: str, by: str, **facts: JSON) -> Iterator[Change]:
    """To be stood around a change: an event of the audit log says who made it, or it is not made.

    With `audit.required: false` a change that cannot be recorded is made all the same, and said. Raises AuditError.
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
        yield closing.enter_context(changes.change(action, **facts))


def _say(why: str) -> None:
    progress.print(why, markup=False, soft_wrap=True)
