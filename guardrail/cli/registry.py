"""`guardrail registry`: who must not be put into pictures. Adds, lists, removes and backs up; shows no template."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Column, Table

from guardrail.checks.enrolment import template_from, templates_in, unlike
from guardrail.checks.likeness import (
    ADULT_TAIL,
    CHILD_MOST,
    FOLDER,
    KEY_PURPOSE,
    false_alarms_in,
    share_above,
    threshold,
)
from guardrail.checks.person import Person, Template
from guardrail.checks.registry import Registry, new_id
from guardrail.cli.build import open_models
from guardrail.cli.changes import By, recorded
from guardrail.cli.common import console, print_table, progress, settings
from guardrail.config import Configuration
from guardrail.errors import ConfigError
from guardrail.home import Home
from guardrail.inference.fetch import digest
from guardrail.inference.image.ages import AGE_V1, AgeReader
from guardrail.inference.image.faces import FaceFinder

app = typer.Typer(no_args_is_help=True, add_completion=False)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document instead of a table.")]


@app.callback()
def _group() -> None:
    """Protected persons: add, list, remove, back up."""


@app.command()
def add(
    ctx: typer.Context,
    pictures: Annotated[
        list[Path] | None, typer.Argument(metavar="PICTURE...", help="Pictures with this person's face and no other.")
    ] = None,
    label: Annotated[str, typer.Option(help="What you call this person; only you read it.")] = "",
    template: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Templates made elsewhere with the same model: JSON or .npy."),
    ] = None,
    group: Annotated[str, typer.Option(help="A set of persons, such as staff.")] = "",
    consent: Annotated[str, typer.Option(help="Where the person's consent or mandate is kept.")] = "",
    contact: Annotated[str, typer.Option(help="Who asked for it, and is told when it ends.")] = "",
    expires: Annotated[
        str | None, typer.Option(metavar="DATE|DAYS", help="Last day of protection: 2027-12-31, or 365d from now.")
    ] = None,
    child: Annotated[bool, typer.Option("--child", help="The pictures show a child: matches need more.")] = False,
    to: Annotated[
        str | None, typer.Option(metavar="ID", help="Give a person who is there already more pictures.")
    ] = None,
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Protect a person: their face, found in a picture, becomes a signal that policies read."""
    if not pictures and not template:
        raise typer.BadParameter("at least one PICTURE or --template FILE is expected")
    if to and any((label, group, consent, contact, expires)):
        raise typer.BadParameter("--to adds pictures to a person who is there; the rest of the entry stays as it is")
    if not to and not label.strip():
        raise typer.BadParameter("--label is expected: any words by which you will recognise this person")
    held = settings(ctx)
    if held.settings.registry.require_consent and not to and not consent.strip():
        raise ConfigError("registry.require_consent is set: --consent says where this person's consent is kept")
    now = datetime.now(UTC)
    until = last_day(expires, now) if expires else None
    models = open_models(held)
    finder, ages = FaceFinder(models), AgeReader(models) if models.has(AGE_V1) else None
    registry = Registry(held.home / FOLDER, held.key(KEY_PURPOSE), model=finder.template_model)
    templates = _alike([*_of_pictures(finder, ages, pictures or (), child), *_of_files(template or (), child)])
    person_id = to or new_id()
    with recorded(held, "registry-add", by, registry.file, about=[person_id]) as change:
        if to:
            person = registry.add_templates(to, templates)
            change.counts(templates=len(templates))
        else:
            person = registry.enrol(
                templates,
                label=label,
                group=group,
                consent=consent,
                contact=contact,
                expires=until,
                now=now,
                person_id=person_id,
            )
            change.counts(persons=1, templates=len(templates))
    if as_json:
        typer.echo(json.dumps(_said(person, now)))
    else:
        console.print(f"{_protected(person)} A running server sees it within a second.")


@app.command("list")
def show(
    ctx: typer.Context,
    group: Annotated[str | None, typer.Option(help="Only this group.")] = None,
    as_json: AsJson = False,
) -> None:
    """Who is protected, and until when."""
    now = datetime.now(UTC)
    people = [person for person in _registry(settings(ctx)).people() if group is None or person.group == group]
    if as_json:
        typer.echo(json.dumps([_said(person, now) for person in people], indent=2))
        return
    if not people:
        console.print("Nobody is in the registry: nobody is protected.")
        return
    whole = Column("id", no_wrap=True, min_width=14)  # it is what remove asks for
    days = [Column(name, no_wrap=True, min_width=10) for name in ("added", "until")]
    table = Table(whole, "label", "group", "templates", "consent", "contact", *days, box=None, pad_edge=False)
    for person in people:
        until = f"{person.expires:%Y-%m-%d}" if person.expires else "-"
        table.add_row(
            person.id,
            escape(person.label),
            escape(person.group),
            f"{person.templates}{' (child)' if person.child else ''}",
            escape(person.consent),
            escape(person.contact),
            f"{person.created:%Y-%m-%d}",
            until if person.in_force(now) else f"[red]ended {until}[/red]",
        )
    print_table(table)


@app.command()
def remove(
    ctx: typer.Context,
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID...", help="Persons, by id.")] = None,
    expired: Annotated[bool, typer.Option("--expired", help="Everyone whose protection has ended.")] = False,
    group: Annotated[str | None, typer.Option(help="Everyone of this group.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Delete persons and their templates for good: nothing of them stays in the file."""
    if not ids and not expired and group is None:
        raise typer.BadParameter("at least one ID, --expired or --group is expected")
    held = settings(ctx)
    registry = _registry(held)
    wanted = list(ids or ())
    if expired:
        now = datetime.now(UTC)
        wanted += [person.id for person in registry.people() if not person.in_force(now)]
    if group is not None:
        wanted += [person.id for person in registry.people() if person.group == group]
    if wanted and not yes:
        typer.confirm(f"Delete {', '.join(wanted)} for good?", abort=True)
    gone: tuple[str, ...] = ()
    if wanted:
        with recorded(held, "registry-remove", by, registry.file, about=wanted) as change:
            gone = registry.remove(wanted)
            change.counts(persons=len(gone))
    if as_json:
        typer.echo(json.dumps({"removed": list(gone)}))
    else:
        console.print(f"Deleted: {', '.join(gone) or 'nobody'}.")


@app.command("export")
def export_backup(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The backup to write; it must not be there yet.")],
    by: By = "",
) -> None:
    """Write a backup: the whole registry, sealed under your key as it lies under home."""
    held = settings(ctx)
    registry = _registry(held)
    with recorded(held, "registry-export", by, registry.file) as change:
        count = registry.copy_to(file)
        change.about(digest(file))
        change.counts(persons=count)
    console.print(f"{_persons(count)} copied. Whoever is removed later is still in this file: delete old backups.")


@app.command("import")
def import_backup(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A backup that `export` wrote.")],
    old_key_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The key it was made under, where that is not the one in use.")
    ] = None,
    restore_removed: Annotated[
        bool, typer.Option("--restore-removed", help="Protect those again, too, who were removed since.")
    ] = False,
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Add everyone of a backup who is not there, was not removed since, and whose protection has not ended."""
    held = settings(ctx)
    key = _key_in(old_key_file) if old_key_file else held.key(KEY_PURPOSE)
    backup = Registry(file.parent, key, model="", name=file.name)
    registry = _registry(held)
    with recorded(held, "registry-import", by, registry.file, about=[digest(file)]) as change:
        removed = registry.removed_in(backup)
        taken = registry.take(backup, now=datetime.now(UTC), restore_removed=restore_removed)
        restored = [person for person in taken if person in removed]
        change.about(*taken)
        change.counts(persons=len(taken), restored=len(restored))
    stay = [person for person in removed if person not in taken]
    if as_json:
        typer.echo(json.dumps({"added": list(taken), "restored": restored, "stay_removed": stay}))
        return
    console.print(f"{_persons(len(taken))} added.")
    if restored:
        console.print(f"Removed before, and back now: {', '.join(restored)}.")
    if stay:
        console.print(f"Removed before, and not brought back: {', '.join(stay)} (--restore-removed would).")


@app.command()
def rekey(
    ctx: typer.Context,
    old_key_file: Annotated[Path, typer.Option(metavar="FILE", help="The key that the registry was made with.")],
    by: By = "",
) -> None:
    """Seal the registry anew under the key in use; the old key opens nothing in it afterwards."""
    held = settings(ctx)
    old = _key_in(old_key_file)
    if old == held.key(KEY_PURPOSE):
        raise ConfigError(f"--old-key-file {old_key_file}: this is the key in use; set the new key first")
    registry = Registry(held.home / FOLDER, old, model="")
    with recorded(held, "registry-rekey", by, registry.file) as change:
        count = registry.rekey(held.key(KEY_PURPOSE))
        change.counts(persons=count)
    console.print(f"{_persons(count)} sealed under the key in use. Backups are still under the old one.")


@app.command()
def thresholds(
    ctx: typer.Context,
    sizes: Annotated[list[int] | None, typer.Argument(metavar="SIZE...", min=1, help="Templates in force.")] = None,
    false_alarms: Annotated[
        float | None, typer.Option(metavar="SHARE", help="False matches to expect per face; the setting if not given.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """How alike two faces must be, by the size of the registry, and how many false matches to expect."""
    options = settings(ctx).settings.checks.options.get("protected", {})
    share = false_alarms_in(options if false_alarms is None else {"false_alarms_per_face": false_alarms})
    rows = [
        {"templates": size, "cosine": round(cosine, 3), "child": child, "false_alarms_per_face": expected}
        for size in sizes or (10, 100, 1_000, 10_000, 100_000)
        for child in (False, True)
        for cosine in (threshold(size, child=child, false_alarms=share),)
        for expected in (size * share_above(cosine, child=child),)
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    table = Table(
        "templates", "faces", "cosine at 0.5", "false matches per face", "cannot be told", box=None, pad_edge=False
    )
    for row in rows:
        band = f"{CHILD_MOST:.2f} to {row['cosine']:.2f}" if row["child"] and row["cosine"] > CHILD_MOST else "-"
        kind = "two children" if row["child"] else "adults"
        table.add_row(
            f"{row['templates']:,}", kind, f"{row['cosine']:.3f}", f"{row['false_alarms_per_face']:.2g}", band
        )
    print_table(table)
    console.print(
        f"Of pairs of strangers, as measured down to 1 in 10,000 (a cosine of {ADULT_TAIL[-1][0]} for adults); what is "
        "rarer is carried on from there and was not measured. A picture with three faces has three times as many."
    )


def _protected(person: Person) -> str:
    templates = f"{person.templates} template{'s' * (person.templates != 1)}"
    until = f", until {person.expires:%Y-%m-%d %H:%M} UTC" if person.expires else ""
    return f"{person.id} is protected, with {templates}{until}."


def _persons(count: int) -> str:
    return f"{count} person{'s' * (count != 1)}"


def _key_in(path: Path) -> bytes:
    if not path.exists():
        raise ConfigError(f"--old-key-file {path}: there is no such file; 32 bytes in hex or base64 are expected there")
    return Home(path.parent, key_file=path).key(KEY_PURPOSE)


def last_day(text: str, now: datetime) -> datetime:
    """When protection ends: after the last day that `text` names (2027-12-31), or so many days from `now` (365d)."""
    if re.fullmatch(r"[0-9]{1,5}d", text):
        return now + timedelta(days=int(text[:-1]))
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC) + timedelta(days=1)
    except OverflowError:  # the last day that there is
        raise ConfigError(f"--expires {text}: leave it out where protection does not end") from None
    except ValueError:
        raise ConfigError(f"--expires {text}: a date such as 2027-12-31, or a number of days such as 365d") from None


def _registry(held: Configuration) -> Registry:
    # Listing and removing compare nothing, so no model is asked for.
    return Registry(held.home / FOLDER, held.key(KEY_PURPOSE), model="")


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None


def _of_pictures(
    finder: FaceFinder, ages: AgeReader | None, pictures: Iterable[Path], child: bool
) -> Iterator[tuple[str, Template]]:
    """The template of the face in each picture, and what to call it. Says which looks like a child's, unasked."""
    for path in pictures:
        made = template_from(finder, _bytes(path), named=str(path), child=child, ages=ages)
        if made.child and not child:
            progress.print(f"[yellow]{escape(str(path))}: looks like a child's face, and is compared as one[/yellow]")
        yield str(path), made


def _of_files(files: Iterable[Path], child: bool) -> Iterator[tuple[str, Template]]:
    """The templates that files hold, and what to call each."""
    for path in files:
        for at, made in enumerate(templates_in(path, child=child)):
            yield f"{path}, template {at}", made


def _alike(named: Sequence[tuple[str, Template]]) -> list[Template]:
    """The templates of one person; warns of each that looks like none of the others."""
    templates = [made for _, made in named]
    for at in unlike(templates):
        progress.print(
            f"[yellow]{escape(named[at][0])}: this face looks like none of the others; is it the same person?[/yellow]"
        )
    return templates


def _said(person: Person, now: datetime) -> dict[str, Any]:
    return {
        **vars(person),
        "created": person.created.isoformat(),
        "expires": person.expires.isoformat() if person.expires else None,
        "in_force": person.in_force(now),
    }
