"""The log's tables in use: opened and migrated, and written one group of records at a time.

Everything that must hold together is one transaction: the records of a group and the signed head that counts them.
"""

from __future__ import annotations

import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, PoolProxiedConnection

from guardrail.audit.chain import LOG_ID_BYTES, Head, genesis, seal
from guardrail.audit.database import (
    BUSY_S,
    SERVER_S,
    Damage,
    file_of,
    identity,
    is_broken,
    make_engine,
    make_file,
    said,
    where,
)
from guardrail.audit.entry import Row, Sealed
from guardrail.audit.kept import KeptHead
from guardrail.audit.patience import Patience
from guardrail.audit.sync import Checkpointer
from guardrail.audit.tables import REVISION, revision
from guardrail.errors import AuditError, ConfigError

T = TypeVar("T")
Step = Callable[[str], None]

# Any number will do that no other program takes for its own advisory lock: the letters "guardaud".
_LOCK = int.from_bytes(b"guardaud", "big") >> 1

_READ = "SELECT log_id, seq, digest, mac FROM guardrail_audit_head WHERE one = 1"
INSERT = (
    "INSERT INTO guardrail_audit_records (seq, kind, id, at, tenant, action, body, prev, digest)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
# Says in one statement whether the head is the one that was known, and moves it.
_MOVE = (
    "UPDATE guardrail_audit_head SET seq = ?, digest = ?, mac = ?"
    " WHERE one = 1 AND log_id = ? AND seq = ? AND digest = ? AND mac = ?"
)
_GENESIS = "INSERT INTO guardrail_audit_head (one, log_id, seq, digest, mac) VALUES (1, ?, ?, ?, ?)"
_BALLAST = "INSERT INTO guardrail_audit_probe (one, ballast) VALUES (1, ?)"
_TOUCH = "UPDATE guardrail_audit_probe SET ballast = ? WHERE one = 1"
_NUDGE = "UPDATE guardrail_audit_head SET seq = seq WHERE one = 1"

# A record and its index entries change about seven pages of 4 KiB: a probe that fits where no record does proves
# nothing.
PROBE_BYTES = 40 << 10
# How long to sleep between two tries while another process writes; a group takes it less than a millisecond.
TURN_S = 0.002


class Duplicate(AuditError):
    """A record of the group has an id or a number that is taken. Nothing of the group was written."""


class Unfit(AuditError):
    """The log or the key is not what it should be: it stays so until a person has looked, and trying again is vain."""


class Busy(AuditError):
    """Somebody else is writing: it would have to be waited for. Nothing was written."""


class Store:
    """One writer's hold on the log. Safe to share between threads; several processes may each have one."""

    def __init__(self, url: URL, key: bytes, engine: Engine, step: Step) -> None:
        self._where = where(url)
        self._key = key
        self._engine = engine
        self._step = step
        self._pen = threading.Lock()
        self._conn: PoolProxiedConnection | None = None
        self._checkpointer: Checkpointer | None = None
        self._cursor: Any = None
        self._sent = False
        # The server's own limits on a lock and a statement end before.
        self._patience = Patience(BUSY_S + SERVER_S)
        file = file_of(url)
        self._file = None if file is None else str(file)
        self._server = server = file is None
        self._is = identity(self._file)
        # What this process wrote last: a head that is the same still need not be read, nor its signature looked at.
        self.tip: Head | None = None
        self._kept = None if file is None else KeptHead(file)
        self._keeps_each = False
        # Why the head kept beside the log could not be compared when it was opened; empty where it could.
        self.unkept = ""
        self._driver: Any = engine.dialect.loaded_dbapi
        # The row lock on the head is what BEGIN IMMEDIATE is in SQLite: one writer at a time reads it and writes.
        self._read = _READ + " FOR UPDATE" if server else _READ
        mark = "%s" if server else "?"
        self._insert, self._move, self._touched = (text.replace("?", mark) for text in (INSERT, _MOVE, _TOUCH))
        self._mark = mark

    @classmethod
    def open(cls, url: URL, key: bytes, *, full_sync: bool, step: Step) -> Store:
        """Make or migrate the tables as needed, and check that the head was signed with `key`.

        Raises AuditError when the log cannot be opened, of which Unfit when its file is broken, its head does not hold,
        or the head kept beside it names records that are not there; ConfigError when it was written by a newer version.
        """
        path = file_of(url)
        if path is not None:
            make_file(path)
            step("file made")
        store = cls(url, key, make_engine(url, "write", full_sync=full_sync), step)
        try:
            if path is not None:
                _use_wal(store._engine)
                step("journal set")
            store._keeps_each = path is not None and full_sync
            # Read before the log is: another process may write to both meanwhile.
            beside = store._beside()
            store._compare(beside, *store._prepare())
            if path is not None:
                store._checkpointer = Checkpointer(store._engine, store._begin_journal)
        except (*Damage, store._driver.Error) as fault:
            store.close()
            kind = Unfit if is_broken(fault) else AuditError
            raise kind(f"audit log {store._where} cannot be opened: {said(fault)}") from None
        except BaseException:
            store.close()
            raise
        return store

    def write(self, rows: Sequence[Row], *, wait: bool = True) -> list[Sealed]:
        """Append the rows in one transaction; returns when it is committed, with each row's place in the chain.

        Raises Duplicate when an id is taken, AuditError when the log cannot be written or its head does not hold,
        and without `wait` Busy when another thread or process is writing. In all cases none of the rows stands in
        the log, except when the server was lost during the commit itself: then they may, unacknowledged.
        """
        if not self._pen.acquire(blocking=wait):
            raise Busy(f"audit log {self._where}: another thread writes")
        try:
            sealed, self.tip = self._retried(lambda cursor: self._append(cursor, rows), wait)
            if self._keeps_each:
                self.keep(self.tip)
            return sealed
        finally:
            self._pen.release()

    def touch(self) -> None:
        """Write as much as a record takes, beside the records: proof that one can be written. Raises AuditError."""
        with self._pen:
            self._retried(self._touch)

    def keep(self, head: Head | None) -> None:
        """Note beside the log that the records up to `head` are on the disk. Raises AuditError."""
        if head is None or self._kept is None:
            return
        try:
            self._kept.write(head, self._key)
        except OSError as fault:
            raise AuditError(
                f"audit log {self._where}: {self._kept.path} cannot be written: {fault.strerror}"
            ) from None

    def close(self) -> None:
        if self._checkpointer is not None:
            self._checkpointer.close()
        if self._kept is not None:
            self._kept.close()
        self._drop()
        self._patience.close()
        self._engine.dispose()

    def _append(self, cursor: Any, rows: Sequence[Row]) -> tuple[list[Sealed], Head]:
        self._step("begun")
        head = self.tip or self._head(cursor)
        self._step("head known")
        values, sealed, end = self._chained(head, rows)
        if not self._moved(cursor, head, end):
            # Another process wrote meanwhile; or somebody changed the head, which does not hold then.
            head = self._head(cursor)
            values, sealed, end = self._chained(head, rows)
            if not self._moved(cursor, head, end):
                raise AssertionError("unreachable: what was read is locked")
        self._step("head written")
        self._sent = True
        if len(values) == 1:
            cursor.execute(self._insert, values[0])
        else:
            cursor.executemany(self._insert, values)
        self._step("inserted")
        return sealed, end

    def _chained(self, head: Head, rows: Sequence[Row]) -> tuple[list[tuple[Any, ...]], list[Sealed], Head]:
        """The rows as records that follow `head`: what is stored of each, its place in the chain, and the head then."""
        seq, prev = head.seq, head.digest
        values, sealed = [], []
        for row in rows:
            seq += 1
            digest = seal(self._key, prev, seq, row)
            values.append((seq, *row, prev, digest))
            sealed.append(Sealed(seq, digest.hex()))
            prev = digest
        return values, sealed, Head.signed(self._key, head.log_id, seq, prev)

    def _moved(self, cursor: Any, head: Head, to: Head) -> bool:
        """Move the head in the table to `to`. False, and nothing is changed, when it is not `head`."""
        cursor.execute(self._move, (to.seq, to.digest, to.mac, *head))
        return bool(cursor.rowcount)

    def _touch(self, cursor: Any) -> None:
        self._head(cursor)
        # Random, or the server would compress it to nothing.
        cursor.execute(self._touched, (secrets.token_bytes(PROBE_BYTES),))

    def _begin_journal(self) -> None:
        """Begin the write-ahead log anew after a check-point: the first commit to it waits for the disk."""
        with self._pen:
            try:
                self._transaction(lambda cursor: cursor.execute(_NUDGE), wait=False)
            except (*Damage, self._driver.Error, AuditError):
                self._drop()  # the next writer does it

    def _retried(self, work: Callable[[Any], T], wait: bool = True) -> T:
        for attempt in (1, 2):
            self._sent = self._patience.ran_out = False
            try:
                done = self._transaction(work, wait)
                self._step("committed")
                if self._checkpointer is not None:
                    self._checkpointer.committed()
                return done
            except self._driver.IntegrityError as fault:
                raise Duplicate(f"audit log {self._where}: {said(fault)}") from None
            except (*Damage, self._driver.Error) as fault:
                self._drop()
                if self._patience.ran_out:
                    late = f"the server did not answer within {BUSY_S + SERVER_S:g} s"
                    raise AuditError(f"audit log {self._where} cannot be written: {late}") from None
                # A connection that broke while nothing was going on says nothing about the server now.
                if self._server and not self._sent and attempt == 1:
                    continue
                raise AuditError(f"audit log {self._where} cannot be written: {said(fault)}") from None
        raise AssertionError("unreachable")

    def _transaction(self, work: Callable[[Any], T], wait: bool) -> T:
        """Run `work` with a cursor of the driver itself: the engine's own layer costs twice what SQLite does."""
        if self._conn is None:
            self._conn = self._engine.raw_connection()
            if not self._server:
                # `_begin` waits for other processes, or does not.
                self._conn.cursor().execute("PRAGMA busy_timeout=0")
            self._cursor = None if self._server else self._conn.cursor()
        cursor = self._cursor or self._conn.cursor()
        if not self._server:
            return self._within(cursor, work, wait)
        with self._patience.waiting(cursor.connection.fileno()):
            return self._within(cursor, work, wait)

    def _within(self, cursor: Any, work: Callable[[Any], T], wait: bool) -> T:
        assert self._conn is not None
        try:
            if not self._server:
                self._begin(cursor, wait)
            done = work(cursor)
            if identity(self._file) != self._is:
                # SQLite writes on into a file that was deleted or moved away, and its records go with it.
                raise AuditError(
                    f"audit log {self._where} was deleted, moved or replaced while it was written; put it back, or "
                    "start again"
                )
            if self._server:
                self._conn.commit()
                cursor.close()
            else:
                cursor.execute("COMMIT")
        except BaseException:
            self._undo()
            raise
        return done

    def _begin(self, cursor: Any, wait: bool) -> None:
        """Take SQLite's write lock. Raises Busy without `wait`, else sqlite3.Error when it is not had in BUSY_S."""
        deadline = 0.0
        while True:
            try:
                cursor.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as fault:
                deadline = deadline or time.monotonic() + BUSY_S
                if fault.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or (wait and time.monotonic() > deadline):
                    raise
                if not wait:
                    raise Busy(f"audit log {self._where}: another process writes") from None
            time.sleep(TURN_S)

    def _undo(self) -> None:
        if self._conn is not None:
            try:
                self._conn.rollback()
            except self._driver.Error:
                self._drop()

    def _head(self, cursor: Any) -> Head:
        cursor.execute(self._read)
        found = cursor.fetchone()
        if found is None:
            raise Unfit(
                f"audit log {self._where}: its signed head is gone; nothing is appended to a log that was tampered "
                "with: see guardrail audit verify, and restore it from a copy or name a new one"
            )
        if self.tip is not None and found == self.tip:
            return self.tip
        head = Head(*found)
        if not head.holds(self._key):
            raise Unfit(
                f"audit log {self._where}: its head was not signed with this key; either the key is not the one that "
                "the log was begun with, or the log was tampered with: see guardrail audit verify"
            )
        return head

    def _prepare(self) -> tuple[str | None, Head]:
        """Which migration the tables stood at before, None for none, and the head of the log."""
        with self._engine.connect() as conn, conn.begin():
            if conn.dialect.name == "postgresql":
                conn.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
            self._step("locked")
            before = revision(conn)
            if before != REVISION:
                _migrate(conn, self._where)
            self._step("migrated")
            if before is None:
                log_id = secrets.token_bytes(LOG_ID_BYTES)
                head = Head.signed(self._key, log_id, 0, genesis(self._key, log_id))
                conn.exec_driver_sql(self._sql(_GENESIS), (head.log_id, head.seq, head.digest, head.mac))
                conn.exec_driver_sql(self._sql(_BALLAST), (secrets.token_bytes(PROBE_BYTES),))
            self._step("begun with")
            head = self._head(conn.connection.cursor())
        self._step("opened")
        return before, head

    def _beside(self) -> Head | None:
        """The head kept beside the log; None where there is none, and `unkept` says why a file holds none."""
        self.unkept = ""
        try:
            return self._kept.read() if self._kept is not None else None
        except AuditError:
            self.unkept = "it holds no head"
            return None

    def _compare(self, kept: Head | None, before: str | None, head: Head) -> None:
        """Compare the head kept beside the log with its own. Raises AuditError where records are missing."""
        if self._kept is None:
            return
        beside = self._kept.path
        if kept is None and before == REVISION and head.seq and self._beside() is None:
            self.unkept = self.unkept or "it is gone"
        if kept is None:
            pass
        elif kept.log_id != head.log_id:
            raise Unfit(
                f"audit log {self._where}: {beside} names another log, of {kept.seq} records, which stood here before; "
                f"put that back, or move {beside} away with it to begin anew"
            )
        elif not kept.holds(self._key):
            self.unkept = "it was not signed with this key"
        elif kept.seq > head.seq:
            raise Unfit(
                f"audit log {self._where}: records {head.seq + 1} to {kept.seq} are missing at its end, which "
                f"{beside} names; was {self._where}-wal deleted or emptied, or an older copy put back? Put the files "
                f"back together; or move {beside} away to go on without those records, and that goes on record"
            )
        if self.unkept:
            beside.unlink(missing_ok=True)
        self.keep(head)

    def _drop(self) -> None:
        conn, self._conn, self._cursor = self._conn, None, None
        if conn is not None:
            # Closed for good, and not asked whether it still works: what it held is rolled back with it.
            conn.invalidate()

    def _sql(self, text: str) -> str:
        return text.replace("?", self._mark)


def _use_wal(engine: Engine) -> None:
    """Let readers read while one writes. The setting stays with the file; setting it needs the file for itself."""
    deadline = time.monotonic() + BUSY_S
    while True:
        raw = engine.raw_connection()
        try:
            cursor = raw.cursor()
            if cursor.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
                return
            if cursor.execute("PRAGMA journal_mode=WAL").fetchone()[0] == "wal":
                return
            raise Unfit("audit log: SQLite cannot keep a write-ahead log there; is it on a network drive?")
        except sqlite3.OperationalError as fault:
            # SQLite does not wait here by itself: another process that opens the same new log is in the way.
            if is_broken(fault):
                raise
            if "locked" not in str(fault) or time.monotonic() > deadline:
                raise AuditError(f"audit log cannot be opened: {fault}") from None
            time.sleep(0.01)
        finally:
            raw.close()


def _migrate(conn: Connection, place: str) -> None:
    from alembic import command  # heavy, and only needed when the tables are not as they should be
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    folder = Path(__file__).with_name("migrations")
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["connection"] = conn
    try:
        command.upgrade(config, "head")
    except CommandError:
        raise ConfigError(
            f"audit log {place}: its tables are not known to this version; was it written by a newer one?"
        ) from None
