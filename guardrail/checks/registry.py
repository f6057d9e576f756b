"""The registry of protected persons: who must not be put into pictures, as sealed face templates.

It holds numbers computed from faces, never pictures. Everything that says who a person is (label, contact, consent,
templates) is sealed under the operator's key; in clear are a random id and how many templates there are.
"""

from __future__ import annotations

import json
import math
import secrets
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from guardrail.checks.store import WRITE_WAIT_S, StateFile, revision_in
from guardrail.errors import ConfigError
from guardrail.inference.sealed import SealBroken, Sealer

Vector = npt.NDArray[np.float32]

WIDTH = 128
"""Numbers in a template: the width of the face embedding."""
MAX_TEMPLATES = 20
"""Templates of one person: enough for poses, ages and lights, few enough that one person is not half the registry."""
MAX_TEXT = 500
"""Characters in a label, group, consent reference or contact."""

_SCHEMA = """
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
_CHECK = b"guardrail registry of protected persons"


@dataclass(frozen=True)
class Template:
    """One face as the embedding model sees it: a unit vector of WIDTH float32, and whether it is a child's."""

    vector: Vector = field(repr=False)
    child: bool = False

    @classmethod
    def of(cls, numbers: object, *, child: bool = False, named: str = "template") -> Template:
        """A template from WIDTH finite numbers that are not all zero, brought to length 1.

        `named` says in the message where the numbers came from. Raises ConfigError.
        """
        try:
            vector = np.asarray(numbers, dtype=np.float64)
        except (TypeError, ValueError):
            raise ConfigError(f"{named}: {WIDTH} numbers are expected, this is something else") from None
        vector = vector.reshape(-1) if vector.shape == (1, WIDTH) else vector
        if vector.shape != (WIDTH,):
            raise ConfigError(f"{named}: {WIDTH} numbers are expected, its shape is {vector.shape}")
        length = float(np.linalg.norm(vector))
        if not math.isfinite(length) or length < 1e-6:
            raise ConfigError(f"{named}: a face template has finite numbers that are not all zero")
        return cls((vector / length).astype(np.float32), child)


@dataclass(frozen=True)
class Person:
    """A protected person. The words in it are the operator's own and stay out of messages, logs and reprs.

    `label` is what the operator calls the person, `group` a set of persons ("staff"), `consent` refers to where the
    consent or the mandate is kept, `contact` is who asked for it and is told of removals. `expires` ends protection.
    """

    id: str
    label: str = field(repr=False)
    created: datetime
    group: str = field(default="", repr=False)
    consent: str = field(default="", repr=False)
    contact: str = field(default="", repr=False)
    expires: datetime | None = None
    templates: int = 0
    child: bool = False

    def in_force(self, now: datetime) -> bool:
        """True until `expires`."""
        return self.expires is None or now < self.expires


@dataclass(frozen=True)
class Templates:
    """All templates as one matrix, as a server holds them in memory. Row i is `vectors[i]`, of a person's face.

    `vectors` is float32 (n, WIDTH) of unit rows, `child` bool (n,), `until` float64 (n,): the moment in seconds since
    1970 at which protection ends, inf for never.
    """

    vectors: Vector = field(repr=False)
    child: npt.NDArray[np.bool_] = field(repr=False)
    until: npt.NDArray[np.float64] = field(repr=False)
    people: int
    revision: int

    @classmethod
    def none(cls) -> Templates:
        return cls(np.zeros((0, WIDTH), np.float32), np.zeros(0, np.bool_), np.zeros(0), people=0, revision=0)

    @cached_property
    def soonest(self) -> float:
        """When the first of the templates expires, in seconds since 1970; inf when none does."""
        return float(self.until.min()) if len(self.until) else math.inf

    @cached_property
    def has_children(self) -> bool:
        """True when a template is a child's."""
        return bool(self.child.any())

    def at(self, now_s: float) -> Templates:
        """Those that are in force at `now_s`, in seconds since 1970: itself where none has expired."""
        if now_s < self.soonest:
            return self
        keep = self.until > now_s
        return Templates(self.vectors[keep], self.child[keep], self.until[keep], self.people, self.revision)

    def __len__(self) -> int:
        return len(self.vectors)


class Registry:
    """The registry file below `folder`, opened with the operator's key.

    `model` is the label of the model that made the templates ("sface@0ba9fbfa"): templates of another model would
    match nobody, so they are an error. Raises ConfigError when the key is not the one that the registry was made with.
    """

    def __init__(self, folder: Path, key: bytes, *, model: str) -> None:
        self.file = StateFile(folder / "registry.sqlite", what="registry", application=0x47525250, schema=_SCHEMA)
        self._sealer = Sealer(key)
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
    ) -> Person:
        """Protect a person from `now` on. Raises ConfigError for no or too many templates, or a past `expires`."""
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
            id=f"p-{secrets.token_hex(6)}",
            created=now,
            expires=expires,
            templates=len(templates),
            child=any(template.child for template in templates),
            **words,
        )
        with self.file.writing() as connection:
            self._unlock(connection, make=True)
            connection.execute("INSERT INTO person VALUES (?, ?)", (person.id, self._sealed(person)))
            self._insert(connection, person.id, templates, first=0)
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
            connection.execute("UPDATE person SET details = ? WHERE id = ?", (self._sealed(person), person_id))
            self._insert(connection, person_id, templates, first=old.templates)
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

        A damaged entry can be removed too. Returns the ids. Raises ConfigError when one of them is not there, and
        then removes nobody.
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
            self._unlock(connection)
            revision = revision_in(connection)
            people = {row[0]: self._person(*row) for row in connection.execute("SELECT id, details FROM person")}
            rows = connection.execute("SELECT person, place, model, sealed FROM template").fetchall()
        counts = Counter(row[0] for row in rows)
        for person in people.values():
            if counts.pop(person.id, 0) != person.templates:
                raise self._damaged(person.id)
        if counts:
            raise self._damaged(next(iter(counts)))
        if not rows:
            return replace(Templates.none(), revision=revision)
        opened = [self._template(*row) for row in rows]
        ends = {key: person.expires.timestamp() if person.expires else math.inf for key, person in people.items()}
        return Templates(
            np.stack([template.vector for template in opened]),
            np.array([template.child for template in opened], np.bool_),
            np.array([ends[row[0]] for row in rows], np.float64),
            people=len(people),
            revision=revision,
        )

    def _unlock(self, connection: sqlite3.Connection, *, make: bool = False) -> None:
        row = connection.execute("SELECT check_value FROM seal").fetchone()
        if row is None and make:
            connection.execute("INSERT INTO seal VALUES (?)", (self._sealer.seal(_CHECK, _CHECK),))
            return
        try:
            if row is None or self._sealer.unseal(row[0], _CHECK) != _CHECK:
                raise SealBroken
        except SealBroken:
            raise ConfigError(
                f"registry: {self.file.path} was made with another key than the one in use. Give back the key it was "
                "made with; without it nobody in the registry is protected. If that key is lost, delete the file and "
                "enrol everyone again"
            ) from None

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

    def _sealed(self, person: Person) -> bytes:
        details: dict[str, Any] = {name: value for name, value in vars(person).items() if name != "id"}
        details["created"] = person.created.isoformat()
        details["expires"] = person.expires.isoformat() if person.expires else None
        return self._sealer.seal(json.dumps(details).encode(), _place(person.id))

    def _person(self, person_id: str, details: bytes) -> Person:
        try:
            found = json.loads(self._sealer.unseal(details, _place(person_id)))
        except SealBroken:
            raise self._damaged(person_id) from None
        found["created"] = datetime.fromisoformat(found["created"])
        found["expires"] = datetime.fromisoformat(found["expires"]) if found["expires"] else None
        return Person(id=person_id, **found)

    def _insert(
        self, connection: sqlite3.Connection, person_id: str, templates: Sequence[Template], *, first: int
    ) -> None:
        for place, template in enumerate(templates, first):
            body = bytes([template.child]) + template.vector.astype("<f4").tobytes()
            sealed = self._sealer.seal(body, _place(person_id, place, self._model))
            connection.execute("INSERT INTO template VALUES (?, ?, ?, ?)", (person_id, place, self._model, sealed))

    def _template(self, person_id: str, place: int, model: str, sealed: bytes) -> Template:
        try:
            body = self._sealer.unseal(sealed, _place(person_id, place, model))
        except SealBroken:
            raise self._damaged(person_id) from None
        if model != self._model:
            raise ConfigError(
                f"registry: person {person_id} was enrolled with {model}, faces are now compared with {self._model}, "
                "which would match nobody. Enrol the person again, or bring back that model"
            )
        return Template(np.frombuffer(body, "<f4", WIDTH, offset=1).astype(np.float32), child=bool(body[0]))

    def _damaged(self, person_id: str) -> ConfigError:
        return ConfigError(
            f"registry: the entry of person {person_id} in {self.file.path} was changed, moved or cut. Put back a "
            f"backup, or remove the person (guardrail registry remove {person_id}) and enrol again"
        )


def _place(person_id: str, place: int | None = None, model: str = "") -> bytes:
    """What a sealed row is bound to, so that no row can stand in for another."""
    return f"registry|{person_id}|{'details' if place is None else place}|{model}".encode()


def _count(templates: int) -> None:
    if not 1 <= templates <= MAX_TEMPLATES:
        raise ConfigError(f"registry: a person has 1 to {MAX_TEMPLATES} templates, this would make {templates}")


def _nobody(person_id: str) -> ConfigError:
    return ConfigError(f"registry: no person {person_id!r}; guardrail registry list shows who is there")
