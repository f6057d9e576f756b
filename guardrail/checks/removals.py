"""Removals: who was taken out of the registry, so that no backup brings them back.

All that stays of a person who was removed is a mark: a keyed digest of the random id that their entry had. The key of
the digests is made of chance, lies sealed beside them and outlives a change of the operator's key; without it nobody
can tell which id a mark is of, and nothing in a mark is of the person. Backups carry the marks of their day, each with
its key, so registries and backups add up what they know.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field

from guardrail.checks.rows import Rows
from guardrail.errors import ConfigError
from guardrail.inference.sealed import SealBroken

SCHEMA = """
CREATE TABLE removal_key (name BLOB PRIMARY KEY, sealed BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE removed (
    key BLOB NOT NULL REFERENCES removal_key (name),
    mark BLOB NOT NULL,
    PRIMARY KEY (key, mark)
) WITHOUT ROWID
"""
_NAME_BYTES, _KEY_BYTES, _MARK_BYTES = 8, 32, 16


@dataclass(frozen=True)
class Removals:
    """What a registry or a backup knows of removals: its keys by name, and its marks, each with the name of its key."""

    keys: dict[bytes, bytes] = field(default_factory=dict, repr=False)
    marks: frozenset[tuple[bytes, bytes]] = frozenset()

    def name(self, person_id: str) -> bool:
        """True when the person of this id was removed."""
        return not self.marks.isdisjoint(self.of(person_id))

    def of(self, person_id: str) -> list[tuple[bytes, bytes]]:
        """The marks that this id has under each of the keys."""
        return [(name, _mark(key, person_id)) for name, key in self.keys.items()]


def read(connection: sqlite3.Connection, rows: Rows) -> Removals:
    """What a registry knows. Raises ConfigError where a key is damaged: it would seem that nobody was removed."""
    keys = {}
    for name, sealed in connection.execute("SELECT name, sealed FROM removal_key").fetchall():
        try:
            keys[name] = rows.open_removal_key(name, sealed)
        except SealBroken:
            raise _damaged() from None
    marks = frozenset(connection.execute("SELECT key, mark FROM removed").fetchall())
    if not {name for name, _ in marks} <= set(keys):
        raise _damaged()
    return Removals(keys, marks)


def put(connection: sqlite3.Connection, rows: Rows, removals: Removals) -> None:
    """Add what another registry knows, or this one after its key changed."""
    connection.executemany(
        "INSERT OR IGNORE INTO removal_key VALUES (?, ?)",
        [(name, rows.removal_key(name, key)) for name, key in removals.keys.items()],
    )
    connection.executemany("INSERT OR IGNORE INTO removed VALUES (?, ?)", sorted(removals.marks))


def mark(connection: sqlite3.Connection, rows: Rows, person_ids: Iterable[str]) -> None:
    """Keep that these were removed. Raises ConfigError as `read` does."""
    known = read(connection, rows)
    keys = known.keys or {os.urandom(_NAME_BYTES): os.urandom(_KEY_BYTES)}
    name, key = min(keys.items())
    put(connection, rows, Removals({name: key}, frozenset((name, _mark(key, one)) for one in person_ids)))


def forget(connection: sqlite3.Connection, rows: Rows, person_ids: Iterable[str]) -> None:
    """Keep no longer that these were removed."""
    known = read(connection, rows)
    marks = [mark for one in person_ids for mark in known.of(one)]
    connection.executemany("DELETE FROM removed WHERE key = ? AND mark = ?", marks)


def _mark(key: bytes, person_id: str) -> bytes:
    return hmac.digest(key, person_id.encode(), hashlib.sha256)[:_MARK_BYTES]


def _damaged() -> ConfigError:
    return ConfigError(
        "registry: what is kept of removed persons was changed, moved or cut, so nobody can tell whom a backup would "
        "bring back. Put back a backup of the registry file that is whole"
    )
