"""`guardrail registry`: who must not be put into pictures. Adds, lists and removes; shows no template, ever."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Column, Table

from guardrail.checks.enrolment import template_from, templates_in, unlike
from guardrail.checks.likeness import FOLDER, KEY_PURPOSE
from guardrail.checks.registry import Person, Registry, Template
from guardrail.cli.common import console, progress, settings
from guardrail.errors import ConfigError
from guardrail.inference.faces import FaceFinder
from guardrail.inference.weights import Models

app = typer.Typer(no_args_is_help=True, add_completion=False)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document instead of a table.")]


@app.callback()
def _group() -> None:
    """Protected persons: add, list, remove."""


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
    as_json: AsJson = False,
) -> None:
    """Protect a person: their face, found in a picture, becomes a signal that policies read."""
    if not pictures and not template:
        raise typer.BadParameter("at least one PICTURE or --template FILE is expected")
    if to and any((label, group, consent, contact, expires)):
        raise typer.BadParameter("--to adds pictures to a person who is there; the rest of the entry stays as it is")
    held = settings(ctx)
    finder = FaceFinder(Models(held.cache))
    registry = Registry(held.home / FOLDER, held.key(KEY_PURPOSE), model=finder.template_model)
    templates = [template_from(finder, _bytes(path), named=str(path), child=child) for path in pictures or ()]
    names = [str(path) for path in pictures or ()]
    for path in template or ():
        more = templates_in(path, child=child)
        templates += more
        names += [f"{path}, template {at}" for at in range(len(more))]
    _warn_unlike(templates, names)
    now = datetime.now(UTC)
    if to:
        person = registry.add_templates(to, templates)
    else:
        person = registry.enrol(
            templates,
            label=label,
            group=group,
            consent=consent,
            contact=contact,
            expires=last_day(expires, now) if expires else None,
            now=now,
        )
    if as_json:
        typer.echo(json.dumps(_said(person, now)))
    else:
        console.print(
            f"{person.id} is protected, with {person.templates} template{'s' * (person.templates != 1)}"
            f"{f', until {person.expires:%Y-%m-%d %H:%M} UTC' if person.expires else ''}. "
            "A running server sees it within a second."
        )


@app.command("list")
def show(
    ctx: typer.Context,
    group: Annotated[str | None, typer.Option(help="Only this group.")] = None,
    as_json: AsJson = False,
) -> None:
    """Who is protected, and until when."""
    now = datetime.now(UTC)
    people = [person for person in _registry(ctx).people() if group is None or person.group == group]
    if as_json:
        typer.echo(json.dumps([_said(person, now) for person in people], indent=2))
        return
    if not people:
        console.print("Nobody is in the registry: nobody is protected.")
        return
    whole = Column("id", no_wrap=True, min_width=14)  # it is what remove asks for
    table = Table(whole, "label", "group", "templates", "consent", "contact", "added", "until")
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
    console.print(table)


@app.command()
def remove(
    ctx: typer.Context,
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID...", help="Persons, by id.")] = None,
    expired: Annotated[bool, typer.Option("--expired", help="Everyone whose protection has ended.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete persons and their templates for good: nothing of them stays in the file."""
    if not ids and not expired:
        raise typer.BadParameter("at least one ID, or --expired, is expected")
    registry = _registry(ctx)
    wanted = list(ids or ())
    if expired:
        now = datetime.now(UTC)
        wanted += [person.id for person in registry.people() if not person.in_force(now)]
    if wanted and not yes:
        typer.confirm(f"Delete {', '.join(wanted)} for good?", abort=True)
    gone = registry.remove(wanted)
    if as_json:
        typer.echo(json.dumps({"removed": list(gone)}))
    else:
        console.print(f"Deleted: {', '.join(gone) or 'nobody'}.")


def last_day(text: str, now: datetime) -> datetime:
    """When protection ends: after the last day that `text` names (2027-12-31), or so many days from `now` (365d)."""
    if re.fullmatch(r"[0-9]{1,5}d", text):
        return now + timedelta(days=int(text[:-1]))
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise ConfigError(f"--expires {text}: a date such as 2027-12-31, or a number of days such as 365d") from None
    return day + timedelta(days=1)


def _registry(ctx: typer.Context) -> Registry:
    held = settings(ctx)
    # Listing and removing compare nothing, so no model is asked for.
    return Registry(held.home / FOLDER, held.key(KEY_PURPOSE), model="")


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None


def _warn_unlike(templates: list[Template], names: list[str]) -> None:
    for at in unlike(templates):
        progress.print(
            f"[yellow]{escape(names[at])}: this face looks like none of the others; is it the same person?[/yellow]"
        )


def _said(person: Person, now: datetime) -> dict[str, Any]:
    return {
        **vars(person),
        "created": person.created.isoformat(),
        "expires": person.expires.isoformat() if person.expires else None,
        "in_force": person.in_force(now),
    }
