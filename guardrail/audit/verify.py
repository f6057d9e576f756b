"""Verification: walks the whole log and names every record that is not what was written, and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select

from guardrail.audit.chain import Head, check_key, genesis, seal
from guardrail.audit.database import file_of, parse
from guardrail.audit.entry import Record, Row, to_row
from guardrail.audit.kept import KeptHead
from guardrail.audit.read import PAGE, Reader, read_head
from guardrail.audit.tables import REVISION, records, revision
from guardrail.errors import AuditError

# A wrong key makes every record a fault; nobody reads more than these.
MAX_FAULTS = 1000
# How far from its place a record that does not fit is looked for, so that a move can be told from a change.
MOVED = 100
# What a number can be. The table allows no other and each once, unless somebody made it anew.
LOWEST, HIGHEST = -(1 << 63), (1 << 63) - 1
MAY_BE_MISSING = ": records may be missing at the end (a backup is verified with --head, or with a copy of that file)"


@dataclass(frozen=True)
class Fault:
    """What is wrong at record `seq` (0: the log as a whole)."""

    seq: int
    what: str


def verify(url: str, key: bytes, head: str | None = None) -> list[Fault]:
    """Every fault of the log at `url`, in order; an empty list when it is what was written.

    Of an SQLite log the head kept beside it is compared too: it shows that the newest records are gone with a
    write-ahead log that was deleted or emptied. `head` is a head that was kept elsewhere (`Head.token`): with it, a log
    put back to an earlier state as a whole, that file included, is found as well. Nothing on the machine can show that.
    Reads as of one moment, while others append. Stops after MAX_FAULTS.

    Raises AuditError when the log cannot be read at all or `head` is not a head, ConfigError when the URL or key is
    wrong.
    """
    check_key(key)
    kept = None if head is None else Head.parse(head)
    path = file_of(parse(url))
    reader = Reader.open(url)
    try:
        # Read before the log is: a head that is written meanwhile counts records that this walk does not see.
        beside = _beside(path)
        with reader.connection() as conn:
            return _Walk(conn, key, kept, beside).faults()
    finally:
        reader.close()


@dataclass(frozen=True)
class _Beside:
    """What stands in the file beside the log: a head, or why there is none."""

    head: Head | None
    why: str = ""


def _beside(path: Path | None) -> _Beside | None:
    """None for a log that has no such file."""
    if path is None:
        return None
    try:
        head = KeptHead(path).read()
    except AuditError as fault:
        return _Beside(None, f"the head kept beside the log: {fault}")
    return _Beside(head, "" if head else f"the head kept beside the log, {path}-head, is gone{MAY_BE_MISSING}")


def holds(key: bytes, record: Record) -> bool:
    """Whether one record is what was written under its number; says nothing of the records around it."""
    try:
        row = to_row(record.entry)
    except AuditError:
        return False  # no entry that could have been written
    return seal(key, bytes.fromhex(record.prev), record.seq, row).hex() == record.digest


class _Walk:
    """One pass over the records, oldest first, carrying what the next must follow."""

    def __init__(self, conn: Connection, key: bytes, kept: Head | None, beside: _Beside | None) -> None:
        self._conn = conn
        self._key = key
        self._kept = kept
        self._beside = beside
        self._found: list[Fault] = []

    def faults(self) -> list[Fault]:
        self._check_file()
        head = read_head(self._conn)
        trusted = self._check_head(head)
        prev = genesis(self._key, head.log_id) if head is not None and trusted else None
        expected = 1
        last = prev
        beside = self._beside.head if self._beside is not None else None
        asked = {one.seq for one in (self._kept, beside) if one is not None}
        seen: dict[int, bytes | None] = {0: prev}
        numbered = 0
        for row in self._rows():
            seq, was_prev, digest = row[0], _bytes(row[7]), _bytes(row[8])
            if not isinstance(seq, int):
                continue  # half a number; it is missing from `numbered`
            numbered += 1
            if seq > expected:
                self._say(expected, f"{_span(expected, seq - 1)} missing: deleted, or renumbered")
                prev = None
            self._check(seq, row, was_prev, digest, prev)
            if seq in asked:
                seen[seq] = digest
            prev = last = digest
            expected = seq + 1
            if len(self._found) >= MAX_FAULTS:
                self._found.append(Fault(seq, f"{MAX_FAULTS} faults were found up to here; the rest was not looked at"))
                return self._found
        self._check_count(numbered)
        if head is not None and trusted:
            self._check_end(head, expected - 1, last)
        if self._beside is not None:
            self._check_beside(self._beside, head, expected - 1, seen)
        if self._kept is not None:
            self._check_kept(self._kept, head, expected - 1, seen.get(self._kept.seq))
        return self._found

    def _check_file(self) -> None:
        """A damaged index hides a record from whoever looks it up, and changes no record."""
        if self._conn.dialect.name == "sqlite":
            for (said,) in self._conn.exec_driver_sql("PRAGMA integrity_check(5)"):
                if said != "ok":
                    self._say(0, f"the database file is damaged: {str(said).splitlines()[0]}")

    def _rows(self) -> Any:
        columns = [records.c[name] for name in ("seq", *Row._fields, "prev", "digest")]
        number = records.c.seq
        first = number >= LOWEST
        while True:
            chosen = select(*columns).where(first, number <= HIGHEST).order_by(number).limit(PAGE)
            page = self._conn.execute(chosen).fetchall()
            yield from page
            if len(page) < PAGE:
                return
            first = number > page[-1][0]

    def _check_head(self, head: Head | None) -> bool:
        if head is None:
            self._say(0, "the signed head is gone: records may be missing at the end")
            return False
        if not head.holds(self._key):
            self._say(0, "the signed head was changed, or signed with another key: records may be missing at the end")
            return False
        return True

    def _check(self, seq: int, row: Sequence[Any], was_prev: bytes, digest: bytes, prev: bytes | None) -> None:
        if seq < 1:
            self._say(seq, f"record {seq} was inserted: numbers begin at 1")
        elif self._seal(was_prev, seq, row) != digest:
            written_as = self._written_as(seq, row, was_prev, digest)
            if written_as is None:
                self._say(seq, f"record {seq} is not what was written: its content or its digests were changed")
            else:
                self._say(seq, f"record {seq} was written as record {written_as}: moved, copied or reordered")
        elif prev is not None and was_prev != prev:
            self._say(seq, f"record {seq} does not follow record {seq - 1}: one of the two was replaced or inserted")

    def _seal(self, prev: bytes, seq: int, row: Sequence[Any]) -> bytes:
        try:
            return seal(self._key, prev, seq, Row(*row[1:7]))
        except (TypeError, ValueError, AttributeError):
            return b""  # a column holds what no record can

    def _written_as(self, seq: int, row: Sequence[Any], prev: bytes, digest: bytes) -> int | None:
        near = range(max(1, seq - MOVED), seq + MOVED + 1)
        return next((other for other in near if self._seal(prev, other, row) == digest), None)

    def _check_count(self, numbered: int) -> None:
        """What the walk by numbers passed over, and a look-up by id or a list may find all the same."""
        beside = int(self._conn.execute(select(func.count()).select_from(records)).scalar_one()) - numbered
        if beside:
            what = "1 record stands" if beside == 1 else f"{beside} records stand"
            self._say(0, f"{what} under no number, or under one that is taken: inserted")

    def _check_end(self, head: Head, last: int, digest: bytes | None) -> None:
        if last < head.seq:
            self._say(last + 1, f"{_span(last + 1, head.seq)} missing at the end: cut off")
        elif last > head.seq:
            self._say(head.seq + 1, f"{_span(head.seq + 1, last)} beyond the signed head: inserted")
        elif digest is not None and digest != head.digest:
            self._say(last, f"record {last} is not the one that the signed head names: replaced")

    def _check_beside(self, beside: _Beside, head: Head | None, last: int, seen: Mapping[int, bytes | None]) -> None:
        kept = beside.head
        if kept is None:
            # A log of before there was such a file has none until it is written to, and a backup that is compared with
            # a head kept elsewhere needs none. A file that holds no head is said in any case.
            gone = beside.why.endswith(MAY_BE_MISSING)
            if revision(self._conn) == REVISION and not (gone and self._kept is not None):
                self._say(0, beside.why)
        elif not kept.holds(self._key):
            if head is None or head.holds(self._key):  # with a wrong key neither holds, and that is said already
                self._say(0, "the head kept beside the log was changed, or signed with another key")
        elif head is not None and head.log_id != kept.log_id:
            self._say(0, "the head kept beside the log is of another log: one of the two was replaced")
        elif last < kept.seq:
            if any(fault.seq == last + 1 for fault in self._found):
                return  # the head inside says so as well
            lost = f"{_span(last + 1, kept.seq)} missing at the end: the write-ahead log (-wal) was deleted or emptied"
            self._say(last + 1, f"{lost}, or the log was put back to before them")
        elif seen.get(kept.seq) != kept.digest:
            self._say(kept.seq, f"record {kept.seq} is not the one that the head kept beside the log names: replaced")

    def _check_kept(self, kept: Head, head: Head | None, last: int, digest: bytes | None) -> None:
        if not kept.holds(self._key):
            self._say(0, "the head that was given was not signed with this key")
        elif head is not None and head.log_id != kept.log_id:
            self._say(0, "the head that was given is of another log: this one was begun anew, or is not the one meant")
        elif last < kept.seq:
            self._say(last + 1, f"{_span(last + 1, kept.seq)} missing: the log was put back to before the given head")
        elif digest != kept.digest:
            self._say(kept.seq, f"record {kept.seq} is not the one that the given head names: history was rewritten")

    def _say(self, seq: int, what: str) -> None:
        self._found.append(Fault(seq, what))


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else b"not bytes"


def _span(first: int, last: int) -> str:
    return f"record {first} is" if first == last else f"records {first} to {last} are"
