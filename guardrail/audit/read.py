"""Reading the log: one record, a filtered list, or all of it in order. Reads never wait for the writer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sqlalchemy import URL, ColumnElement, Connection, Select, literal_column, select

from guardrail.audit.chain import Head
from guardrail.audit.database import Damage, file_of, make_engine, parse, said, where
from guardrail.audit.entry import Entry, Record, Row, to_entry
from guardrail.audit.tables import READABLE, USUAL, head, records, revision
from guardrail.errors import AuditError

About = Callable[[Entry], bool]

# Rows per query of a long walk: some megabytes at most.
PAGE = 500

SHORTEST = 4
"""Characters of an id that may stand for the whole."""
MOST_ALIKE = 1000
# Rows per query for ids that begin alike; mostly there is one.
ALIKE_PAGE = 20

_columns = (
    records.c.seq,
    records.c.kind,
    records.c.id,
    records.c.at,
    records.c.tenant,
    records.c.action,
    records.c.body,
    records.c.prev,
    records.c.digest,
)


class Reader:
    """Reads a log; safe to share between threads. Every method raises AuditError when the log cannot be read."""

    def __init__(self, url: URL) -> None:
        self._where = where(url)
        self._engine = make_engine(url, "read")

    @classmethod
    def open(cls, url: str) -> Reader:
        """A reader of the log at `url`. Makes and changes nothing there.

        Raises ConfigError when the URL is wrong, AuditError when there is no log, or not one of this version.
        """
        place = parse(url)
        path = file_of(place)
        if path is not None and not path.is_file():
            raise AuditError(
                f"audit log {path}: there is no such file; guardrail serve begins one, or the first change of the "
                "registry or a bank"
            )
        reader = cls(place)
        try:
            with reader.connection() as conn:
                found = revision(conn)
            if found not in READABLE:
                raise AuditError(
                    f"audit log {reader._where}: its tables are not of this version; guardrail serve makes and "
                    "migrates them"
                )
        except BaseException:
            reader.close()
            raise
        return reader

    def connection(self) -> _Reading:
        """A connection that sees the log as of one moment; to be used in a `with`."""
        return _Reading(self)

    def get(self, entry_id: str) -> Record | None:
        """The record of this id, None when there is none."""
        found = self._list(select(*_columns).where(records.c.id == entry_id).limit(1))
        return found[0] if found else None

    def beginning(self, beginning: str, most: int = MOST_ALIKE) -> list[Record]:
        """Records whose id begins so, in the order of their ids, at most `most`.

        Takes as long as there are such records, however many there are in all. Raises AuditError for fewer than
        SHORTEST characters.
        """
        if len(beginning) < SHORTEST:
            raise AuditError(f"audit: {beginning!r} is too little of an id; give at least {SHORTEST} characters of it")
        # Walked along the index from there on. An end for the range would depend on how the database sorts letters,
        # and a pattern would take letters of the id for its own.
        found: list[Record] = []
        after = records.c.id >= beginning
        while len(found) < most:
            page = self._list(select(*_columns).where(after).order_by(records.c.id).limit(ALIKE_PAGE))
            found += [record for record in page if record.entry.id.startswith(beginning)]
            if len(page) < ALIKE_PAGE or not page[-1].entry.id.startswith(beginning):
                break
            after = records.c.id > page[-1].entry.id
        return found[:most]

    def entries(
        self,
        *,
        since: float | None = None,
        until: float | None = None,
        tenant: str | None = None,
        action: str | None = None,
        kind: str | None = None,
        about: About | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[Record]:
        """The newest records that fit, newest first, at most `limit`.

        `since` (included) and `until` (not included) are seconds since 1970; `before` is a record's number: the
        page that follows the one that ended there. `about` is asked of each record that names a subject, and others
        do not fit.
        """
        found: list[Record] = []
        size = limit if about is None else PAGE
        while True:
            chosen = select(*_columns).where(*_filters(since, until, tenant, action, kind, about))
            if before is not None:
                chosen = chosen.where(records.c.seq < before)
            page = self._list(chosen.order_by(records.c.seq.desc()).limit(size))
            found += [record for record in page if about is None or about(record.entry)]
            if len(page) < size or len(found) >= limit:
                return found[:limit]
            before = page[-1].seq

    def rulings(self, record_id: str) -> list[Record]:
        """What people ruled on the record of this id, oldest first."""
        said = select(*_columns).where(*_filters(kind="ruling")).order_by(records.c.seq)
        # Rulings are few; their bodies are compared after reading, so an id cannot act as a pattern.
        return [record for record in self._list(said) if record.entry.body.get("record") == record_id]

    def scan(
        self,
        *,
        since: float | None = None,
        until: float | None = None,
        tenant: str | None = None,
        action: str | None = None,
        kind: str | None = None,
        about: About | None = None,
    ) -> Iterator[Record]:
        """Every record that fits, oldest first, read page by page: a log of any length takes little memory.

        For what fits see `entries`.
        """
        last = 0
        while True:
            chosen = select(*_columns).where(records.c.seq > last, *_filters(since, until, tenant, action, kind, about))
            page = self._list(chosen.order_by(records.c.seq).limit(PAGE))
            yield from (record for record in page if about is None or about(record.entry))
            if len(page) < PAGE:
                return
            last = page[-1].seq

    def head(self) -> Head | None:
        """The signed end of the chain, None when it is gone."""
        with self.connection() as conn:
            return read_head(conn)

    def close(self) -> None:
        self._engine.dispose()

    def _list(self, chosen: Select[Any]) -> list[Record]:
        with self.connection() as conn:
            return [_record(row) for row in conn.execute(chosen)]


class _Reading:
    """One read transaction. What the database raises in it becomes an AuditError."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def __enter__(self) -> Connection:
        try:
            self._conn = self._reader._engine.connect()
            self._conn.begin()
        except Damage as fault:
            raise self._error(fault) from None
        return self._conn

    def __exit__(self, _: object, fault: BaseException | None, __: object) -> None:
        self._conn.close()
        if isinstance(fault, Damage):
            raise self._error(fault) from None

    def _error(self, fault: Exception) -> AuditError:
        return AuditError(f"audit log {self._reader._where} cannot be read: {said(fault)}")


def read_head(conn: Connection) -> Head | None:
    found = conn.execute(select(head.c.log_id, head.c.seq, head.c.digest, head.c.mac).where(head.c.one == 1)).fetchone()
    return None if found is None else Head(*found)


def _record(row: Sequence[Any]) -> Record:
    if not (isinstance(row[7], bytes) and isinstance(row[8], bytes)):
        raise AuditError(f"audit record {row[0]}: its digests are no bytes; run guardrail audit verify")
    return Record(row[0], row[7].hex(), row[8].hex(), to_entry(Row(*row[1:7])))


def _filters(
    since: float | None = None,
    until: float | None = None,
    tenant: str | None = None,
    action: str | None = None,
    kind: str | None = None,
    about: About | None = None,
) -> list[ColumnElement[bool]]:
    chosen: list[ColumnElement[bool]] = []
    if since is not None:
        chosen.append(records.c.at >= since)
    if until is not None:
        chosen.append(records.c.at < until)
    for name, wanted in (("tenant", tenant), ("action", action), ("kind", kind)):
        if wanted is not None:
            chosen.append(records.c[name] == wanted)
            if wanted != USUAL[name]:
                # Word for word the condition of the partial index: SQLite uses it only so.
                chosen.append(literal_column(name).op("<>")(literal_column(f"'{USUAL[name]}'")))
    if about is not None:
        # Reading a body takes longer than passing over it.
        chosen.append(records.c.body.contains('"subject":', autoescape=True))
    return chosen
