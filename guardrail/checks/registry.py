"""The registry of protected persons: who must not be put into pictures, as sealed face templates.

It holds numbers computed from faces, never pictures. Everything that says who a person is (label, contact, consent,
templates) is sealed under the operator's key; in clear are a random id and how many templates there are. Of who was
removed a mark of that id stays, and nothing else.
"""

from __future__ import annotations

import math
import os
import secrets
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np

from guardrail.checks import removals
from guardrail.checks.person import Person, Template, Templates, Vector
from guardrail.checks.removals import Removals
from guardrail.checks.rows import Rows
from guardrail.checks.store import WRITE_WAIT_S, StateFile, format_in, revision_in
from guardrail.errors import ConfigError
from guardrail.inference.sealed import SealBroken

__all__ = ["MAX_TEMPLATES", "Person", "Registry", "Template", "Templates", "Vector"]

MAX_TEMPLATES = 20
"""Templates of one person: enough for poses, ages and lights, few enough that one person is not half the registry."""
MAX_TEXT = 500
"""Characters in a label, group, consent reference or contact."""

_PERSONS = """
CREATE TABLE seal (check_value BLOB NOT NULL);
CREATE TABLE person (id TEXT PRIMARY KEY, details BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE template (
    person TEXT NOT NULL REFERENCES person (id),
    place INTEGER NOT NULL,
    model TEXT NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (person, place)
) WITHOUT ROWID
"""
_SCHEMA = f"{_PERSONS};{removals.SCHEMA}"
_UPGRADES = (removals.SCHEMA,)
"""Format 1 kept nothing of who was removed."""

_Sealed = list[tuple[str, int, str, bytes]]
"""Rows of templates: person, place, model, sealed."""


def new_id() -> str:
    """An id that no person has yet."""
    return f"p-{secrets.token_hex(6)}"


def file_of(folder: Path, name: str = "registry.sqlite") -> StateFile:
    """The registry file below `folder`, still shut: its revision can be read without the key."""
    return StateFile(folder / name, what="registry", application=0x47525250, schema=_SCHEMA, upgrades=_UPGRADES)


class Registry:
    """The registry file below `folder`, opened with the operator's key.

    `model` is the label of the model that made the templates ("sface@0ba9fbfa"): templates of another model would
    match nobody, so they are an error. `name` is that of the file; a backup has its own.

    Raises ConfigError when the key is not the one that the registry was made with.
    """

    def __init__(self, folder: Path, key: bytes, *, model: str, name: str = "registry.sqlite") -> None:
        self.file = file_of(folder, name)
        self._rows = Rows(key)
        self._model = model
        if self.file.exists:
            with self.file.reading() as connection:
                self._unlock(connection)

    def enrol(
        self,
        templates: Sequence[Template],
        *,
        label: str,
        now: datetime,
        group: str = "",
        consent: str = "",
        contact: str = "",
        expires: datetime | None = None,
        person_id: str = "",
    ) -> Person:
        """Protect a person from `now` on, under `person_id` where one was made by `new_id` before.

        Raises ConfigError for no or too many templates, or a past `expires`."""
        words = {"label": label, "group": group, "consent": consent, "contact": contact}
        if not label.strip():
            raise ConfigError("registry: a person needs a label; any words that you will recognise")
        for name, text in words.items():
            if len(text) > MAX_TEXT:
                raise ConfigError(f"registry: the {name} has {len(text)} characters, at most {MAX_TEXT} are kept")
        if expires is not None and expires <= now:
            raise ConfigError(f"registry: protection would end at {expires.isoformat()}, which is not in the future")
        _count(len(templates))
        person = Person(
            id=person_id or new_id(),
            created=now,
            expires=expires,
            templates=len(templates),
            child=any(template.child for template in templates),
            **words,
        )
        with self.file.writing() as connection:
            self._unlock(connection, make=True)
            rows = ((person.id, place, self._model, template) for place, template in enumerate(templates))
            _put(connection, self._rows, [person], rows)
        return person

    def add_templates(self, person_id: str, templates: Sequence[Template]) -> Person:
        """Give a person who is there already more templates. Raises ConfigError."""
        with self._changing(person_id) as (connection, old):
            _count(old.templates + len(templates))
            person = replace(
                old,
                templates=old.templates + len(templates),
                child=old.child or any(template.child for template in templates),
            )
            connection.execute("UPDATE person SET details = ? WHERE id = ?", (self._rows.person(person), person_id))
            rows = ((person_id, at, self._model, one) for at, one in enumerate(templates, old.templates))
            _put(connection, self._rows, [], rows)
        return person

    def people(self) -> list[Person]:
        """Everyone in the registry, expired or not, by when they were added. Raises ConfigError."""
        if not self.file.exists:
            return []
        with self.file.reading() as connection:
            self._unlock(connection)
            rows = connection.execute("SELECT id, details FROM person").fetchall()
        return sorted((self._person(*row) for row in rows), key=lambda person: (person.created, person.id))

    def remove(self, person_ids: Iterable[str]) -> tuple[str, ...]:
        """Delete persons and all their templates: no row, free page or journal of the file holds them afterwards.

        A mark of each id stays, so that no backup brings them back. A damaged entry can be removed too. Returns the
        ids. Raises ConfigError when one of them is not there, and then removes nobody.
        """
        wanted = tuple(dict.fromkeys(person_ids))
        if not wanted:
            return ()
        if not self.file.exists:
            raise _nobody(wanted[0])
        with self.file.writing() as connection:
            for person_id in wanted:
                rows = connection.execute("DELETE FROM template WHERE person = ?", (person_id,)).rowcount
                rows += connection.execute("DELETE FROM person WHERE id = ?", (person_id,)).rowcount
                if not rows:
                    raise _nobody(person_id)
            self._unlock(connection)
            removals.mark(connection, self._rows, wanted)
        self.file.scrub()
        return wanted

    def templates(self, wait_s: float = WRITE_WAIT_S) -> Templates:
        """Every template of everyone, opened, as one matrix.

        `wait_s` is how long a writer is waited for. Raises ConfigError when the key is another, a row is damaged,
        moved or missing, or a template was made by another model: what cannot be opened is never "nobody".
        """
        if not self.file.exists:
            return Templates.none()
        with self.file.reading(wait_s) as connection:
            people, rows = self._everything(connection)
            revision = revision_in(connection)
        if not rows:
            return replace(Templates.none(), revision=revision)
        opened = [self._of_this_model(*row) for row in self._opened(rows)]
        ends = {key: person.expires.timestamp() if person.expires else math.inf for key, person in people.items()}
        return Templates(
            np.stack([template.vector for template in opened]),
            np.array([template.child for template in opened], np.bool_),
            np.array([ends[row[0]] for row in rows], np.float64),
            people=len(people),
            revision=revision,
        )

    def copy_to(self, path: Path) -> int:
        """Write a backup: the registry as it stands, sealed under the same key; how many persons it holds.

        Raises ConfigError when `path` is there already, or cannot be written; then nothing is left of it.
        """
        if not self.file.exists:
            raise ConfigError("registry: there is nobody in it, so there is nothing to copy")
        with self.file.reading() as connection:
            people, sealed = self._everything(connection)
            for _ in self._opened(sealed):
                pass  # what is damaged is found now, not when the backup is needed
            try:
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            except FileExistsError:
                raise ConfigError(f"registry: {path} is there already; a backup never overwrites a file") from None
            except OSError as error:
                raise ConfigError(f"registry: cannot write {path}: {error.strerror}") from None
            try:
                with closing(sqlite3.connect(path)) as copy:
                    connection.backup(copy)
            except BaseException:
                path.unlink(missing_ok=True)
                raise
        return len(people)

    def take(self, backup: Registry, *, now: datetime, restore_removed: bool = False) -> tuple[str, ...]:
        """Add everyone of another registry who is not in this one and whose protection has not ended; their ids.

        Who was removed, as either of the two knows, stays out, unless `restore_removed`; what the other knows of
        removals is taken over, but takes out nobody who is here. Templates keep the model they were made with. Raises
        ConfigError when anything of the other is damaged, and then adds nobody.
        """
        people, sealed, theirs = self._of(backup)
        wanted = {key: person for key, person in people.items() if person.in_force(now)}
        with self.file.writing() as connection:
            self._unlock(connection, make=True)
            removals.put(connection, self._rows, theirs)
            there = {row[0] for row in connection.execute("SELECT id FROM person")}
            new = {key: person for key, person in wanted.items() if key not in there}
            removed = removals.read(connection, self._rows)
            if not restore_removed:
                new = {key: person for key, person in new.items() if not removed.name(key)}
            removals.forget(connection, self._rows, there | set(new))
            _put(connection, self._rows, new.values(), backup._opened([row for row in sealed if row[0] in new]))
        return tuple(new)

    def removed_in(self, backup: Registry) -> tuple[str, ...]:
        """The ids of those of another registry who were removed, as this one or the other knows, and are not here.

        Raises ConfigError.
        """
        people, _, theirs = self._of(backup)
        known, there = [theirs], set[str]()
        if self.file.exists:
            with self.file.reading() as connection:
                self._unlock(connection)
                known.append(_removals_in(connection, self._rows))
                there = {row[0] for row in connection.execute("SELECT id FROM person")}
        return tuple(key for key in people if key not in there and any(each.name(key) for each in known))

    def _of(self, backup: Registry) -> tuple[dict[str, Person], _Sealed, Removals]:
        """All persons of another registry, their templates, and what it knows of removals."""
        if not backup.file.exists:
            raise ConfigError(f"registry: {backup.file.path} is not there, or is empty")
        with backup.file.reading() as connection:
            return *backup._everything(connection), _removals_in(connection, backup._rows)

    def rekey(self, key: bytes) -> int:
        """Seal everything anew under `key`, 32 bytes, and go on with it; how many persons there are.

        All of it or, when anything fails, nothing; afterwards no page of the file can be opened with the old key.
        Raises ConfigError when there is no registry, or anything in it is damaged.
        """
        if not self.file.exists:
            raise ConfigError(f"registry: {self.file.path} is not there, so there is nothing to seal anew")
        rows = Rows(key)
        with self.file.writing() as connection:
            people, sealed = self._everything(connection)
            removed = removals.read(connection, self._rows)
            for table in ("template", "person", "seal", "removed", "removal_key"):
                connection.execute(f"DELETE FROM {table}")  # noqa: S608
            connection.execute("INSERT INTO seal VALUES (?)", (rows.mark(),))
            _put(connection, rows, people.values(), self._opened(sealed))
            removals.put(connection, rows, removed)
        self._rows = rows
        self.file.scrub()
        return len(people)

    def _opened(self, sealed: _Sealed) -> Iterator[tuple[str, int, str, Template]]:
        """Templates of any model, each with its person, place and model. Raises ConfigError for a damaged one."""
        for person_id, place, model, row in sealed:
            try:
                yield person_id, place, model, self._rows.open_template(person_id, place, model, row)
            except SealBroken:
                raise self._damaged(person_id) from None

    def _everything(self, connection: sqlite3.Connection) -> tuple[dict[str, Person], _Sealed]:
        """All persons by id, opened, and all templates, sealed. Raises ConfigError when one is missing or too many."""
        self._unlock(connection)
        people = {row[0]: self._person(*row) for row in connection.execute("SELECT id, details FROM person")}
        rows = connection.execute("SELECT person, place, model, sealed FROM template").fetchall()
        counts = Counter(row[0] for row in rows)
        for person in people.values():
            if counts.pop(person.id, 0) != person.templates:
                raise self._damaged(person.id)
        if counts:
            raise self._damaged(next(iter(counts)))
        return people, rows

    def _unlock(self, connection: sqlite3.Connection, *, make: bool = False) -> None:
        row = connection.execute("SELECT check_value FROM seal").fetchone()
        if row is None and make:
            connection.execute("INSERT INTO seal VALUES (?)", (self._rows.mark(),))
        elif row is None or not self._rows.fits(row[0]):
            raise ConfigError(
                f"registry: {self.file.path} was made with another key than the one in use. Give back the key it was "
                "made with, or take it over with `guardrail registry rekey`; until then nobody in it is protected. If "
                "that key is lost, delete the file and enrol everyone again"
            )

    @contextmanager
    def _changing(self, person_id: str) -> Iterator[tuple[sqlite3.Connection, Person]]:
        if not self.file.exists:
            raise _nobody(person_id)
        with self.file.writing() as connection:
            self._unlock(connection)
            yield connection, self._find(connection, person_id)

    def _find(self, connection: sqlite3.Connection, person_id: str) -> Person:
        row = connection.execute("SELECT id, details FROM person WHERE id = ?", (person_id,)).fetchone()
        if row is None:
            raise _nobody(person_id)
        return self._person(*row)

    def _person(self, person_id: str, details: bytes) -> Person:
        try:
            return self._rows.open_person(person_id, details)
        except SealBroken:
            raise self._damaged(person_id) from None

    def _of_this_model(self, person_id: str, _place: int, model: str, template: Template) -> Template:
        if model != self._model:
            raise ConfigError(
                f"registry: person {person_id} was enrolled with {model}, faces are now compared with {self._model}, "
                "which would match nobody. Enrol the person again, or bring back that model"
            )
        return template

    def _damaged(self, person_id: str) -> ConfigError:
        return ConfigError(
            f"registry: the entry of person {person_id} in {self.file.path} was changed, moved or cut. Put back a "
            f"backup, or remove the person (guardrail registry remove {person_id}) and enrol again"
        )


def _put(
    connection: sqlite3.Connection,
    rows: Rows,
    people: Iterable[Person],
    templates: Iterable[tuple[str, int, str, Template]],
) -> None:
    """Insert persons, and templates with their person, place and model; `rows` seals them."""
    connection.executemany("INSERT INTO person VALUES (?, ?)", ((one.id, rows.person(one)) for one in people))
    connection.executemany(
        "INSERT INTO template VALUES (?, ?, ?, ?)",
        ((person, place, model, rows.template(person, place, model, one)) for person, place, model, one in templates),
    )


def _removals_in(connection: sqlite3.Connection, rows: Rows) -> Removals:
    """What a registry of any format knows of removals."""
    return removals.read(connection, rows) if format_in(connection) > 1 else Removals()


def _count(templates: int) -> None:
    if not 1 <= templates <= MAX_TEMPLATES:
        raise ConfigError(f"registry: a person has 1 to {MAX_TEMPLATES} templates, this would make {templates}")


def _nobody(person_id: str) -> ConfigError:
    return ConfigError(f"registry: no person {person_id!r}; guardrail registry list shows who is there")
