"""`guardrail audit`: verify the record, explain one decision, list and export."""

from __future__ import annotations

import secrets
import sys
import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from guardrail.audit import Entry, Head, Reader, export, holds, verify
from guardrail.cli.audit_view import explained, listed
from guardrail.cli.common import console, logged_in, print_table, progress, settings
from guardrail.cli.records import Filters, filtered, open_audit, reading
from guardrail.errors import AuditError, ConfigError
from guardrail.policy.replay import STREAMING

app = typer.Typer(no_args_is_help=True, add_completion=False)

MAX_NOTE = 1000
"""Characters of a note: a sentence or two, not a case file."""


@app.callback()
def _group() -> None:
    """Verify, show and export the record of what was decided."""


@app.command("verify")
def run_verify(
    ctx: typer.Context,
    head: Annotated[
        str | None,
        typer.Option("--head", metavar="HEAD", help="A head kept elsewhere, or the file that holds it."),
    ] = None,
) -> None:
    """Walk the whole log and name every record that is not what was written; exit status 1 when there is one."""
    chosen = settings(ctx)
    started = time.perf_counter()
    faults = verify(chosen.audit_url, chosen.key("audit"), _head_of(head))
    took_s = time.perf_counter() - started
    for fault in faults:
        console.print(f"record {fault.seq}: {fault.what}" if fault.seq else f"log: {fault.what}", markup=False)
    if faults:
        progress.print(f"{len(faults)} faults: the log is not what was written", markup=False)
        raise typer.Exit(1)
    with reading(chosen) as reader:
        end = _end(reader)
    beyond = "" if head else "; a head kept elsewhere (export --head) would also show a log put back as a whole"
    console.print(f"whole: {end.seq} records and their signed head hold ({took_s:.1f} s){beyond}", markup=False)


@app.command()
def show(ctx: typer.Context, record_id: Annotated[str, typer.Argument(metavar="ID", help="Id of a receipt.")]) -> None:
    """Explain one record: who decided, what was seen, what was looked at and with what, and what was not.

    Exit status 1 when there is none, or when it or a ruling on it is not what was written.
    """
    configuration = settings(ctx)
    key = configuration.key("audit")
    with reading(configuration) as reader:
        record, rulings = reader.get(record_id), reader.rulings(record_id)
    if record is None:
        progress.print(f"no record with id {record_id!r}; `guardrail audit list` shows the newest", markup=False)
        raise typer.Exit(1)
    broken = [one.seq for one in (record, *rulings) if not holds(key, one)]
    print_table(explained(record, rulings, broken))
    for seq in broken:
        progress.print(f"record {seq} is not what was written; run `guardrail audit verify`", markup=False)
    if broken:
        raise typer.Exit(1)


@app.command()
def rule(
    ctx: typer.Context,
    record_id: Annotated[str, typer.Argument(metavar="ID", help="Id of a decision's record.")],
    should: Annotated[Literal["allow", "block"], typer.Option("--should", help="What was right: allow or block.")],
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="Why. It is kept: quote no prompt.")] = "",
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who rules; else who is logged in.")] = "",
) -> None:
    """Put on record what a person says of a decision; the last word on it counts, and replay measures against it."""
    if len(note) > MAX_NOTE:
        raise typer.BadParameter(f"--note has {len(note)} characters; at most {MAX_NOTE} are expected")
    configuration = settings(ctx)
    with reading(configuration) as reader:
        record = reader.get(record_id)
    if record is None or record.entry.kind != "decision":
        progress.print(
            f"no decision with id {record_id!r}; `guardrail audit list --kind decision` shows the newest", markup=False
        )
        raise typer.Exit(1)
    if record.entry.body.get("status") == STREAMING:
        said = (
            f"{record_id} says how a stream began; rule on {record_id.removesuffix('.open')}, which says how it ended"
        )
        progress.print(said, markup=False)
        raise typer.Exit(1)
    body = {"record": record_id, "by": _ruler(by), **({"note": note} if note else {})}
    ruling = Entry("ruling", secrets.token_hex(10), time.time(), record.entry.tenant, should, body)
    with open_audit(configuration) as log:
        sealed = log.append_wait(ruling)
    was = record.entry.action
    console.print(f"record {sealed.seq}: {record_id} was {was}, should be {should}", markup=False)


@app.command("list")
@filtered
def run_list(
    ctx: typer.Context,
    filters: Filters,
    before: Annotated[int | None, typer.Option("--before", metavar="N", help="Only records before number N.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most so many, the newest.")] = 50,
) -> None:
    """List the newest records, newest first."""
    configuration = settings(ctx)
    with reading(configuration) as reader:
        found = reader.entries(**filters.chosen(configuration), before=before, limit=limit)
    print_table(listed(found))


@app.command("export")
@filtered
def run_export(
    ctx: typer.Context,
    filters: Filters,
    form: Annotated[Literal["jsonl"], typer.Option("--format", help="One JSON object a line.")] = "jsonl",
    head: Annotated[
        bool, typer.Option("--head", help="Print only the signed head of the log, to keep elsewhere.")
    ] = False,
) -> None:
    """Write records to standard output, oldest first; or the log's head, to verify against later."""
    configuration = settings(ctx)
    with reading(configuration) as reader:
        if head:
            typer.echo(_end(reader).token)
            return
        count = export(reader.scan(**filters.chosen(configuration)), sys.stdout.buffer)
        sys.stdout.buffer.flush()
    progress.print(f"{count} records exported as {form}", markup=False)


def _ruler(by: str) -> str:
    """Who rules. Raises ConfigError where that is not said and nobody with a name is logged in."""
    person = by or logged_in()
    if person is None:
        raise ConfigError("--by: is expected, as the user id that this runs under has no name")
    return person


def _end(reader: Reader) -> Head:
    head = reader.head()
    if head is None:
        raise AuditError("the log's signed head is gone; run guardrail audit verify")
    return head


def _head_of(given: str | None) -> str | None:
    if given is None or given.startswith("guardrail-head-"):
        return given
    try:
        return Path(given).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise AuditError(f"--head {given}: expected a head, or a file that holds one") from None
