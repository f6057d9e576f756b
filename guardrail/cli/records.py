"""The log of a configuration, opened to read or to write, and the options by which commands choose its records."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from guardrail.audit import AuditLog, Entry, EntryKind, Reader, concerns
from guardrail.cli.common import point_in_time
from guardrail.config import Configuration

Since = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help="From then on: 2026-03-01, 2026-03-01T12:00, or 24h ago.")
]
Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Before then; same forms.")]
Tenant = Annotated[str | None, typer.Option("--tenant", metavar="NAME", help="Only this tenant's.")]


@dataclass(frozen=True)
class Filters:
    """What the options chose; None where one was not given."""

    since: Since = None
    until: Until = None
    tenant: Tenant = None
    action: Annotated[
        str | None,
        typer.Option(
            "--action",
            metavar="WORD",
            help="Only this action: allow, flag, hold, block, none; of events, as registry-add.",
        ),
    ] = None
    kind: Annotated[EntryKind | None, typer.Option("--kind", help="Only decisions, rulings or events.")] = None
    subject: Annotated[
        str | None,
        typer.Option(
            "--subject",
            metavar="NAME",
            help="Only what was asked for this user, as callers name them, or changed about this person or hash.",
        ),
    ] = None

    def chosen(self, configuration: Configuration) -> dict[str, Any]:
        """These as a `Reader` takes them. Raises typer.BadParameter for a time that is none."""
        return {
            "since": point_in_time(self.since),
            "until": point_in_time(self.until),
            "tenant": self.tenant,
            "action": self.action,
            "kind": self.kind,
            "about": None if self.subject is None else _about(self.subject, configuration.key("digest")),
        }


def open_audit(configuration: Configuration) -> AuditLog:
    """The audit log of this configuration, to write to. Raises AuditError when it cannot be opened."""
    return AuditLog.open(configuration.audit_url, configuration.key("audit"))


@contextmanager
def reading(configuration: Configuration) -> Iterator[Reader]:
    """A reader of the audit log of this configuration. Raises AuditError when there is no log."""
    reader = Reader.open(configuration.audit_url)
    try:
        yield reader
    finally:
        reader.close()


def _about(subject: str, key: bytes) -> Callable[[Entry], bool]:
    """Tells whether a record is about the subject."""
    from guardrail.pipeline.receipt import is_about  # brings model runtimes with it

    return lambda entry: is_about(entry.body, subject, entry.tenant, key) or concerns(entry.body, subject, key)
