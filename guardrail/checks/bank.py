"""The block bank: hashes of pictures that must not go in or come out, and the right to have one taken off again.

It holds no pictures. A hash is kept once for each source that gave it, and matches while any of them stands by it: a
source takes back what it gave and nobody else's. What the operator withdraws is withdrawn of all. Both are remembered,
only so that an old list, imported again, does not bring it back.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from guardrail.checks.hashes import NOTHING, Hashes
from guardrail.checks.store import WRITE_WAIT_S, StateFile, revision_in
from guardrail.errors import ConfigError

HEX_DIGITS = 64
"""Of a PDQ hash and of a SHA-256 alike: 256 bits."""
MAX_ENTRIES = 2_000_000
"""Of a bank; about 100 bytes of memory for each PDQ hash and 32 for each SHA-256."""
MAX_TEXT = 500
ACTIVE = "active"
WITHDRAWN = "withdrawn"
"""By the operator: no list of any source brings the hash back."""
RETRACTED = "retracted"
"""By the source that gave it: its own lists do not bring the hash back, those of others are not touched."""

_ENTRY = """
CREATE TABLE entry (
    pdq TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    source TEXT NOT NULL,
    note TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('active', 'withdrawn', 'retracted')),
    added TEXT NOT NULL,
    PRIMARY KEY (pdq, sha256, source)
) WITHOUT ROWID
"""
_INDEX = "CREATE INDEX entry_sha256 ON entry (sha256)"
_SCHEMA = f"{_ENTRY}; {_INDEX}"
# Format 1 knew no retractions: a withdrawal took the hash off whoever gave it, and holds for all here too.
_UPGRADES = (
    f"""
    DROP INDEX entry_sha256;
    ALTER TABLE entry RENAME TO entry_1;
    {_ENTRY};
    INSERT INTO entry SELECT pdq, sha256, source, note, status, added FROM entry_1;
    DROP TABLE entry_1;
    {_INDEX}
    """,  # noqa: S608
)


@dataclass(frozen=True)
class Entry:
    """One picture of the bank: its PDQ hash, the SHA-256 of its file, or both, in lower-case hex; "" where unknown.

    `added` is when it came, or when it was withdrawn or taken back.
    """

    pdq: str = ""
    sha256: str = ""
    source: str = ""
    note: str = ""
    status: str = ACTIVE
    added: str = ""

    def __post_init__(self) -> None:
        for digits in filter(None, (self.pdq, self.sha256)):
            if not is_hash(digits):
                raise ConfigError(f"bank: a hash is {HEX_DIGITS} lower-case hex digits; one of these is not")
        if not self.pdq and not self.sha256:
            raise ConfigError("bank: an entry needs a PDQ hash, a SHA-256 or both")
        if self.pdq and self.pdq == self.pdq[0] * HEX_DIGITS and self.pdq[0] in "0f":
            raise ConfigError("bank: this is the PDQ hash of an empty picture; it would match others")
        if max(len(self.source), len(self.note)) > MAX_TEXT:
            raise ConfigError(f"bank: source and note have at most {MAX_TEXT} characters each")


@dataclass(frozen=True)
class Retraction:
    """A source takes back a hash, PDQ or SHA-256, that it gave, or that a list of it may name later."""

    hash: str
    source: str


@dataclass(frozen=True)
class Added:
    """What a change did: `new` entries, those `there` already, those kept out as `withdrawn`, and those `taken_off`."""

    new: int = 0
    there: int = 0
    withdrawn: int = 0
    taken_off: int = 0


class Bank:
    """The bank file below `folder`. Raises ConfigError when it is there and cannot be read."""

    def __init__(self, folder: Path) -> None:
        self.file = StateFile(
            folder / "bank.sqlite", what="bank", application=0x4752424B, schema=_SCHEMA, upgrades=_UPGRADES
        )
        self.file.revision()

    def add(
        self, entries: Iterable[Entry], *, now: datetime, again: bool = False, withdrawn: Iterable[Retraction] = ()
    ) -> Added:
        """Add all of `entries` and take back all of `withdrawn`, or, when anything fails, nothing.

        A hash that the operator withdrew stays so, whatever source names it, and one that its source took back stays
        out of that source's lists, unless `again`. Raises ConfigError.
        """
        at = now.isoformat(timespec="seconds")
        count = {"new": 0, "there": 0, "withdrawn": 0}
        with self.file.writing() as connection:
            for entry in entries:
                count[_add(connection, entry, at, again)] += 1
            taken_off = sum(_retract(connection, one, at) for one in withdrawn)
            total = connection.execute("SELECT count(*) FROM entry").fetchone()[0]
            if total > MAX_ENTRIES:
                raise ConfigError(f"bank: this would make {total} entries, at most {MAX_ENTRIES} are kept")
        return Added(**count, taken_off=taken_off)

    def matching(self, hashes: Iterable[str]) -> int:
        """How many of these hashes are in force. Raises ConfigError."""
        if not self.file.exists:
            return 0
        with self.file.reading() as connection:
            return sum(_is_there(connection, digits, (ACTIVE,)) for digits in set(hashes))

    def withdraw(self, hashes: Iterable[str], *, now: datetime, erase: bool = False) -> int:
        """Take hashes off, PDQ or SHA-256, whoever gave them, and all of the same pictures; how many entries that were.

        They stay known as withdrawn, so that no list brings them back; with `erase` not even that is kept. Raises
        ConfigError when one of them is not in the bank, and then takes none off.
        """
        wanted = list(dict.fromkeys(hashes))
        if not all(map(is_hash, wanted)):
            raise ConfigError(f"bank: a hash is {HEX_DIGITS} lower-case hex digits; one of these is not")
        self._must_be_there("hash")
        states = (ACTIVE, WITHDRAWN, RETRACTED) if erase else (ACTIVE,)
        with self.file.writing() as connection:
            if not all(_is_there(connection, digits, states) for digits in wanted):
                raise _missing("hash")
            done = sum(_withdraw(connection, digits, now.isoformat(timespec="seconds")) for digits in wanted)
            if erase:
                done = sum(
                    connection.execute("DELETE FROM entry WHERE pdq = ? OR sha256 = ?", (other, other)).rowcount
                    for digits in wanted
                    for other in _same_picture(connection, digits)
                )
        if erase:
            self.file.scrub()
        return done

    def remove_source(self, source: str) -> int:
        """Delete every active entry of a source; how many. Raises ConfigError when there is none."""
        self._must_be_there("source")
        with self.file.writing() as connection:
            # What was withdrawn or taken back outlives the list that it came from.
            done = connection.execute("DELETE FROM entry WHERE source = ? AND status = ?", (source, ACTIVE)).rowcount
            if not done:
                raise _missing("source")
        self.file.scrub()
        return done

    def entries(self, *, withdrawn: bool = False, source: str | None = None, limit: int = MAX_ENTRIES) -> list[Entry]:
        """The active entries, the oldest first, or with `withdrawn` those of any status. Raises ConfigError.

        What a source took back then comes before all else.
        """
        return list(self.each_entry(withdrawn=withdrawn, source=source, limit=limit))

    def each_entry(
        self, *, withdrawn: bool = False, source: str | None = None, limit: int = MAX_ENTRIES
    ) -> Iterator[Entry]:
        """`entries`, one after the other, of one revision; while it runs nothing else can write."""
        if not self.file.exists:
            return
        with self.file.reading() as connection:
            rows = connection.execute(
                "SELECT pdq, sha256, source, note, status, added FROM entry WHERE (? OR status = ?)"
                " AND (? IS NULL OR source = ?) ORDER BY status != ?, added, pdq, sha256, source LIMIT ?",
                (withdrawn, ACTIVE, source, source, RETRACTED, limit),
            )
            for row in rows:
                yield Entry(*row)

    def hashes(self, wait_s: float = WRITE_WAIT_S) -> Hashes:
        """Every active hash, once. `wait_s` is how long a writer is waited for. Raises ConfigError."""
        if not self.file.exists:
            return NOTHING
        with self.file.reading(wait_s) as connection:
            try:
                pdq, sha256 = (_packed(connection, column) for column in ("pdq", "sha256"))
                return Hashes.packed(pdq, sha256, revision_in(connection)).ready()
            except ValueError:
                raise ConfigError(
                    f"bank: {self.file.path} holds what is no hash; put back a backup, or delete it and import again"
                ) from None

    def _must_be_there(self, what: str) -> None:
        if not self.file.exists:
            raise _missing(what)


def is_hash(digits: str) -> bool:
    """True for 64 lower-case hex digits."""
    return len(digits) == HEX_DIGITS and set(digits) <= set("0123456789abcdef")


def _add(connection: sqlite3.Connection, entry: Entry, now: str, again: bool) -> str:
    # "" is no hash: it must not make all entries without one look alike.
    same = [(column, digits) for column, digits in (("pdq", entry.pdq), ("sha256", entry.sha256)) if digits]
    kept_out = (
        "(status = 'withdrawn' OR (status = 'retracted' AND source = ?))"
        f" AND ({' OR '.join(f'{column} = ?' for column, _ in same)})"
    )
    values = [entry.source, *(digits for _, digits in same)]
    if again:
        connection.execute(f"DELETE FROM entry WHERE {kept_out}", values)  # noqa: S608
    elif connection.execute(f"SELECT 1 FROM entry WHERE {kept_out}", values).fetchone():  # noqa: S608
        return "withdrawn"
    done = connection.execute(
        "INSERT OR IGNORE INTO entry VALUES (?, ?, ?, ?, ?, ?)",
        (entry.pdq, entry.sha256, entry.source, entry.note, ACTIVE, now),
    ).rowcount
    return "new" if done else "there"


def _withdraw(connection: sqlite3.Connection, digits: str, now: str) -> int:
    """Mark every active entry with this hash or with another hash of the same picture; how many that were."""
    return sum(
        connection.execute(
            "UPDATE entry SET status = 'withdrawn', note = '', added = ?"
            " WHERE status = 'active' AND (pdq = ? OR sha256 = ?)",
            (now, other, other),
        ).rowcount
        for other in _same_picture(connection, digits)
    )


def _retract(connection: sqlite3.Connection, retraction: Retraction, now: str) -> int:
    """Mark what a source gave with this hash or with another hash of the same picture; how many entries that were.

    Where it gave none yet a mark is left: one list may name a withdrawal before another names the hash.
    """
    others = _same_picture(connection, retraction.hash, retraction.source)
    if not others:
        connection.execute(
            "INSERT INTO entry VALUES (?, ?, ?, '', 'retracted', ?)",
            (retraction.hash, retraction.hash, retraction.source, now),
        )
    return sum(
        connection.execute(
            "UPDATE entry SET status = 'retracted', note = '', added = ?"
            " WHERE status = 'active' AND source = ? AND (pdq = ? OR sha256 = ?)",
            (now, retraction.source, other, other),
        ).rowcount
        for other in others
    )


def _same_picture(connection: sqlite3.Connection, digits: str, source: str | None = None) -> set[str]:
    """A hash and those it shares an entry with, of any source or of one; empty when it is in no such entry."""
    rows = connection.execute(
        "SELECT pdq, sha256 FROM entry WHERE (pdq = ? OR sha256 = ?) AND (? IS NULL OR source = ?)",
        (digits, digits, source, source),
    )
    return {one for row in rows.fetchall() for one in row if one}


def _packed(connection: sqlite3.Connection, column: str) -> bytes:
    """Every active hash of a column, once, 32 bytes each. Raises ValueError where one is no hash.

    Joined by SQLite: row by row a million of them would keep every other thread waiting for seconds.
    """
    count, other, joined = connection.execute(
        f"SELECT count(*), total(length({column}) != ?), coalesce(group_concat({column}, ''), '')"  # noqa: S608
        f" FROM (SELECT DISTINCT {column} FROM entry WHERE status = ? AND {column} != '')",
        (HEX_DIGITS, ACTIVE),
    ).fetchone()
    packed = bytes.fromhex(joined)
    if other or len(packed) * 2 != count * HEX_DIGITS:
        raise ValueError("not all of these are hashes")
    return packed


def _is_there(connection: sqlite3.Connection, digits: str, states: tuple[str, ...]) -> bool:
    """True when an entry with this hash has one of these states."""
    found = connection.execute("SELECT DISTINCT status FROM entry WHERE pdq = ? OR sha256 = ?", (digits, digits))
    return any(status in states for (status,) in found.fetchall())


def _missing(what: str) -> ConfigError:
    return ConfigError(f"bank: no active entry with this {what}; guardrail bank list shows what is there")
