"""`guardrail bank`: hashes of pictures that must not go in or come out. Adds, imports, exports, lists and withdraws."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from guardrail.audit import Change
from guardrail.checks.bank import Added, Bank, Entry
from guardrail.checks.hashlist import csv_lines, plain_lines, read_list
from guardrail.checks.known import bank_of
from guardrail.cli.changes import By, recorded
from guardrail.cli.common import console, progress, settings
from guardrail.errors import CheckError, ConfigError
from guardrail.inference.fetch import digest
from guardrail.inference.image import pdq
from guardrail.inference.image.decode import picture
from guardrail.types import Artifact, Kind

app = typer.Typer(no_args_is_help=True, add_completion=False)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document instead of words.")]
Source = Annotated[str, typer.Option(help="Where the hashes come from; they can be removed by it.")]
Again = Annotated[bool, typer.Option("--again", help="Bring back hashes that were withdrawn.")]


CHOSEN = "guardrail.bank"
"""Under what the group tells its commands which bank is meant."""


@app.callback()
def _group(
    ctx: typer.Context,
    bank: Annotated[
        str | None, typer.Option(metavar="NAME", help="A named bank, such as a tenant's; the common one if not given.")
    ] = None,
) -> None:
    """Known pictures to block: add, import, export, list, remove."""
    ctx.meta[CHOSEN] = bank


@app.command()
def add(
    ctx: typer.Context,
    pictures: Annotated[
        list[Path], typer.Argument(metavar="PICTURE...", help="Pictures; only hashes of them are kept.")
    ],
    source: Source = "local",
    note: Annotated[str, typer.Option(help="Your own words, such as a case number.")] = "",
    exact: Annotated[
        bool, typer.Option("--exact", help="Keep the SHA-256 of the file alone: copies of it will not match.")
    ] = False,
    again: Again = False,
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Add pictures by their PDQ hash and the SHA-256 of their file; the pictures themselves are not kept."""
    entries = [entry for path in pictures for entry in entries_of(path, source=source, note=note, exact=exact)]
    hashes = [digits for entry in entries for digits in (entry.pdq, entry.sha256) if digits]
    with _changing(ctx, "bank-add", by, *hashes, source) as (bank, change):
        done = bank.add(entries, now=datetime.now(UTC), again=again)
        change.counts(**vars(done))
    _tell(done, as_json)


@app.command("import")
def import_list(
    ctx: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="One `pdq HEX` or bare hash a line, CSV with a header, or JSON.")
    ],
    source: Annotated[
        str | None, typer.Option(help="Where the hashes come from; the file's name if not given.")
    ] = None,
    again: Again = False,
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Import a hash list: all of it, or nothing when a line of it cannot be read."""
    named = file.name if source is None else source
    found = read_list(file, source=named)
    left_out = {"other_kinds": found.other_kinds, "low_quality": found.low_quality}
    with _changing(ctx, "bank-import", by, digest(file), named) as (bank, change):
        done = bank.add(found.entries, withdrawn=found.withdrawn, now=datetime.now(UTC), again=again)
        change.counts(**vars(done), **left_out)
        still_known = bank.matching(one.hash for one in found.withdrawn)
    _tell(done, as_json, **left_out, still_known=still_known)
    if found.more:
        progress.print("This was one page: the list says that more follow. Import those too.")


@app.command("export")
def export_list(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The list to write; it must not be there yet.")],
    form: Annotated[
        Literal["lines", "csv"],
        typer.Option("--format", help="`lines`: `pdq HEX`, as ThreatExchange's tools read. `csv`: withdrawals too."),
    ] = "lines",
    source: Annotated[str | None, typer.Option(help="Only what came from here.")] = None,
    by: By = "",
) -> None:
    """Write the hashes of the bank to a file that others can import."""
    with _changing(ctx, "bank-export", by) as (bank, change):
        entries = bank.each_entry(withdrawn=form == "csv", source=source)
        count = _write(file, (csv_lines if form == "csv" else plain_lines)(entries)) - (form == "csv")
        change.about(digest(file))
        change.counts(hashes=count)
    console.print(f"{count} hashes written.")


@app.command("list")
def show(
    ctx: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Withdrawn hashes too.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="Show at most so many.")] = 1000,
    as_json: AsJson = False,
) -> None:
    """What is in the bank."""
    entries = _bank(ctx).entries(withdrawn=everything, limit=limit)
    if as_json:
        typer.echo(json.dumps([vars(entry) for entry in entries], indent=2))
        return
    if not entries:
        console.print("The bank is empty: no picture is known.")
        return
    for entry in entries:  # lines, not a table: a hash must stay whole to be copied
        kinds = "+".join(kind for kind in ("pdq", "sha256") if getattr(entry, kind))
        digits = entry.pdq or entry.sha256
        typer.echo(f"{digits}  {kinds:10}  {entry.status:9}  {entry.added[:10]}  {entry.source}  {entry.note}".rstrip())
    if len(entries) == limit:
        console.print(f"The first {limit}; --limit shows more.")


@app.command()
def remove(
    ctx: typer.Context,
    hashes: Annotated[list[str] | None, typer.Argument(metavar="HASH...", help="PDQ or SHA-256, in hex.")] = None,
    source: Annotated[str | None, typer.Option(help="Delete everything that came from here.")] = None,
    erase: Annotated[bool, typer.Option("--erase", help="Keep no mark: a later list may bring the hash back.")] = False,
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Withdraw hashes: they stop matching at once, and no later list brings them back."""
    if bool(hashes) == (source is not None):
        raise typer.BadParameter("either HASH... or --source is expected")
    wanted = [one.lower() for one in hashes or ()]
    with _changing(ctx, "bank-remove", by, *wanted if source is None else (source,)) as (bank, change):
        if source is not None:
            done = bank.remove_source(source)
        else:
            done = bank.withdraw(wanted, now=datetime.now(UTC), erase=erase)
        change.counts(entries=done)
    if as_json:
        typer.echo(json.dumps({"removed": done}))
    else:
        console.print(
            f"{done} {'entry' if done == 1 else 'entries'} taken off. A running server sees it within a second."
        )


def entries_of(path: Path, *, source: str, note: str, exact: bool) -> list[Entry]:
    """The entries of one picture: every frame and view that can be shown, each with the file's SHA-256.

    Raises ConfigError that names the file when it cannot be read, or when a hash of it would mean nothing.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    sha256 = hashlib.sha256(data).hexdigest()
    if exact:
        return [Entry(sha256=sha256, source=source, note=note)]
    try:
        frames = picture(Artifact(Kind.INPUT, "picture", data=data)).frames
    except CheckError as error:
        raise ConfigError(f"{path}: {error}; --exact adds the file as it is") from None
    found = [pdq.hash_of(frame) for frame in frames]
    usable = dict.fromkeys(one.hex for one in found if one.usable)
    if not usable:
        raise ConfigError(
            f"{path}: too little in it to be told from other pictures (quality {max(one.quality for one in found)}, "
            f"at least {pdq.MIN_QUALITY} is needed); --exact adds the file as it is"
        )
    return [Entry(pdq=one, sha256=sha256, source=source, note=note) for one in usable]


def _bank(ctx: typer.Context) -> Bank:
    return bank_of(settings(ctx).home, ctx.meta.get(CHOSEN))


@contextmanager
def _changing(ctx: typer.Context, action: str, by: str, *about: str) -> Iterator[tuple[Bank, Change]]:
    """The bank that is meant, and what is told of its change for the record; `about` is what will be changed."""
    held, name = settings(ctx), ctx.meta.get(CHOSEN)
    bank = bank_of(held.home, name)
    with recorded(held, action, by, bank.file, about=about, **({} if name is None else {"bank": name})) as change:
        yield bank, change


def _write(path: Path, lines: Iterable[str]) -> int:
    """Write lines to a new file that only its owner may read; how many. Nothing is left of it when that fails."""
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        raise ConfigError(f"{path}: is there already; an export never overwrites a file") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None
    count = 0
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            for line in lines:
                file.write(line)
                count += 1
    except OSError as error:
        path.unlink(missing_ok=True)
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return count


def _tell(done: Added, as_json: bool, **more: int) -> None:
    if as_json:
        typer.echo(json.dumps({**vars(done), **more}))
        return
    words = [f"{done.new} new"]
    for count, what in (
        (done.there, "there already"),
        (done.withdrawn, "kept out: withdrawn before (--again brings them back)"),
        (done.taken_off, "withdrawn by the list"),
        (more.get("still_known", 0), "of these still known, as another source gave it"),
        (more.get("other_kinds", 0), "of other kinds, left out"),
        (more.get("low_quality", 0), "of too low quality, left out"),
    ):
        if count:
            words.append(f"{count} {what}")
    console.print(f"{'; '.join(words)}.")
