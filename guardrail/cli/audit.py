"""`guardrail audit`: verify the record, explain one decision, list and export."""

from __future__ import annotations

import secrets
import sys
import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from guardrail.audit import Entry, Head, Reader, Record, export, holds, missing, verify
from guardrail.audit.read import MOST_ALIKE, SHORTEST
from guardrail.cli.audit_view import explained, listed, named
from guardrail.cli.changes import revisions
from guardrail.cli.common import console, logged_in, print_table, progress, settings
from guardrail.cli.options import grouped
from guardrail.cli.records import Filters, open_audit, reading
from guardrail.errors import AuditError, ConfigError
from guardrail.policy.replay import STREAMING

app = typer.Typer(no_args_is_help=True, add_completion=False)

UNSAID = 3
"""Exit status of `verify` where the log is whole, and does not say of every change who made it and how it ended."""
OPENED = ".open"
"""How the id of a record ends that says how a stream began."""
MOST_NAMED = 5
"""Of the records whose ids begin alike, how many are named."""
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
    """Walk the whole log and name every record that is not what was written; exit status 1 when there is one.

    Where the log is whole, changes of the registry and the banks that it does not account for are named too: exit
    status 3.
    """
    chosen = settings(ctx)
    started = time.perf_counter()
    faults = verify(chosen.audit_url, chosen.key("audit"), _head_of(head))
    took_s = time.perf_counter() - started
    for fault in faults:
        console.print(f"record {fault.seq}: {fault.what}" if fault.seq else f"log: {fault.what}", markup=False)
    if faults:
        progress.print(f"{len(faults)} fault{'s' * (len(faults) != 1)}: the log is not what was written", markup=False)
        if {0, 1, 2} <= {fault.seq for fault in faults}:
            # The head and the first records at once: that is seldom a tamperer, and often the key of another machine.
            progress.print(
                "the head and the first records do not hold: is this the key that the log was begun with? It is "
                "GUARDRAIL_KEY, key_command, key_file, or the file key under home",
                markup=False,
            )
        raise typer.Exit(1)
    with reading(chosen) as reader:
        end = _end(reader)
        beyond = "" if head else "; a head kept elsewhere (export --head) would also show a log put back as a whole"
        console.print(f"whole: {end.seq} records and their signed head hold ({took_s:.1f} s){beyond}", markup=False)
        events = (record.entry for record in reader.scan(kind="event"))
        unsaid = missing(events, revisions(chosen.home))
    for one in unsaid:
        console.print(f"{one.record or 'no record'}: {one.what}", markup=False)
    if unsaid:
        progress.print(f"{len(unsaid)} changes of the registry or a bank are not wholly on record", markup=False)
        raise typer.Exit(UNSAID)


@app.command()
def show(
    ctx: typer.Context,
    record_id: Annotated[
        str,
        typer.Argument(metavar="ID", help=f"Id of a receipt, or its first {SHORTEST} characters or more."),
    ],
) -> None:
    """Explain one record: who decided, what was seen, what was looked at and with what, and what was not.

    Exit status 1 when there is none, when several ids begin so, or when it or a ruling on it is not what was written.
    """
    configuration = settings(ctx)
    key = configuration.key("audit")
    with reading(configuration) as reader:
        record = reader.get(record_id) or _only_one(reader, record_id)
        rulings = reader.rulings(record.entry.id)
    broken = [one.seq for one in (record, *rulings) if not holds(key, one)]
    print_table(explained(record, rulings, broken))
    for seq in broken:
        progress.print(f"record {seq} is not what was written; run `guardrail audit verify`", markup=False)
    if broken:
        raise typer.Exit(1)


@app.command("digest")
def run_digest(
    ctx: typer.Context,
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE", help="A picture, or a file that holds a text; - is standard input.")
    ],
) -> None:
    """Print the keyed digest that records carry of a picture or text, and the file: was it this one?

    What is compared must be byte for byte what the guard read.
    """
    from guardrail.pipeline.receipt import digest_of  # brings model runtimes with it

    key = settings(ctx).key("digest")
    for file in files:
        content = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        typer.echo(f"{digest_of(content, key)}  {file}")


@app.command()
def rule(
    ctx: typer.Context,
    record_id: Annotated[str, typer.Argument(metavar="ID", help="Id of a decision's record, whole.")],
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
        said = f"{record_id} says how a stream began; rule on {record_id.removesuffix(OPENED)}, which says how it ended"
        progress.print(said, markup=False)
        raise typer.Exit(1)
    body = {"record": record_id, "by": _ruler(by), **({"note": note} if note else {})}
    ruling = Entry("ruling", secrets.token_hex(10), time.time(), record.entry.tenant, should, body)
    with open_audit(configuration) as log:
        sealed = log.append_wait(ruling)
    was = record.entry.action
    console.print(f"record {sealed.seq}: {record_id} was {was}, should be {should}", markup=False)


@app.command("list")
@grouped
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
@grouped
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


def _only_one(reader: Reader, beginning: str) -> Record:
    """The record whose id begins so; where none or several do, that is said, and typer.Exit raised."""
    if len(beginning) < SHORTEST:
        progress.print(f"no record with id {beginning!r}; give {SHORTEST} characters of it or more", markup=False)
        raise typer.Exit(1)
    found = reader.beginning(beginning)
    # A stream has two records: how it began says less than how it ended.
    ended = {record.entry.id for record in found}
    found = [record for record in found if record.entry.id.removesuffix(OPENED) not in ended - {record.entry.id}]
    if len(found) == 1:
        return found[0]
    if not found:
        said = f"no record with id {beginning!r}, and none that begins so; `guardrail audit list` shows the newest"
    else:
        count = f"{MOST_ALIKE} or more" if len(ended) >= MOST_ALIKE else str(len(found))
        said = f"{count} records have an id that begins with {beginning!r}; give more of it"
    progress.print(said, markup=False)
    for record in found[:MOST_NAMED]:
        progress.print(f"  {named(record)}", markup=False)
    if len(found) > MOST_NAMED:
        progress.print(f"  and {len(found) - MOST_NAMED} more", markup=False)
    raise typer.Exit(1)


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
