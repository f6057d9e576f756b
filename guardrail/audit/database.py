"""Where a log lives: from the operator's URL to an engine for SQLite or PostgreSQL.

No message names a password: of a URL only the kind, the host and the name of the database or file are said.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool, QueuePool

from guardrail.errors import AuditError, ConfigError, extra

# How long a process waits for another that writes. A group takes milliseconds, a check-point tens of them.
BUSY_S = 5.0
# A server that does not answer within this is lost; the answer to the caller does not wait longer.
SERVER_S = 10
# Where the writer carries the write-ahead log over itself, in pages of 4 KiB (64 MB): `sync.Checkpointer` does it
# long before, unless it cannot keep up.
CHECKPOINT_PAGES = 16_000

# What a damaged file makes the driver raise besides its own errors: text that is none, in a name or in a message.
Damage = (SQLAlchemyError, UnicodeError)

Role = Literal["write", "read"]


def parse(url: str) -> URL:
    """Read the URL of a log: `sqlite:///FILE` or `postgresql://USER@HOST/DATABASE`.

    Raises ConfigError for any other, and for SQLite in memory: that is forgotten when the process ends.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ConfigError("audit url: not a URL; expected sqlite:///FILE or postgresql://USER@HOST/DATABASE") from None
    kind = parsed.get_backend_name()
    if kind == "sqlite":
        if parsed.database in (None, "", ":memory:") or (parsed.database or "").startswith("file:"):
            raise ConfigError("audit url: names no file; expected sqlite:///FILE (four slashes for an absolute path)")
        return parsed
    if kind in ("postgresql", "postgres"):
        try:
            import psycopg  # noqa: F401 - heavy and optional
        except ImportError:
            raise ConfigError(f"audit url: PostgreSQL needs the package psycopg: {extra('postgres')}") from None
        return parsed.set(drivername="postgresql+psycopg")
    raise ConfigError(f"audit url: {kind!r} is not supported; expected sqlite:///FILE or postgresql://...")


def file_of(url: URL) -> Path | None:
    """The file of an SQLite log, None for PostgreSQL."""
    return Path(url.database or "") if url.get_backend_name() == "sqlite" else None


def where(url: URL) -> str:
    """The log's place as it may be said in a message."""
    return str(file_of(url) or f"PostgreSQL at {url.host or 'the local socket'}, database {url.database}")


def make_engine(url: URL, role: Role, *, full_sync: bool = False) -> Engine:
    """An engine for one writer (one connection, transactions that take the write lock at once) or for readers.

    `full_sync` makes SQLite write to the disk at each commit; without it `sync.WalSyncer` does, soon after.
    """
    path = file_of(url)
    if path is None:
        return _server_engine(url, role)
    return _file_engine(path, role, full_sync)


def make_file(path: Path) -> None:
    """Make an empty file that only its owner can read, unless there is one. SQLite's side files take its mode.

    Raises AuditError when the folder or file cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise AuditError(f"audit log {path} cannot be made: {error.strerror}; is the folder writable?") from error


def identity(path: str | None) -> tuple[int, int] | None:
    """Which file stands there; None where there is none."""
    if path is None:
        return None
    try:
        found = os.stat(path)  # a Path costs as much again, for every record
    except OSError:
        return None
    return found.st_dev, found.st_ino


def identity_of(handle: int) -> tuple[int, int]:
    """Which file was opened."""
    found = os.fstat(handle)
    return found.st_dev, found.st_ino


def said(fault: Exception) -> str:
    """What the database said, in one line and without the statement or its values."""
    cause = fault.orig if isinstance(fault, DBAPIError) else fault
    lines = str(cause).strip().splitlines()
    told = lines[0] if lines else type(cause).__name__
    # SQLite says no more than "disk I/O error" where it cannot make its files beside the log for want of space.
    return f"{told} (is the disk full, or does it fail?)" if _code(cause) == sqlite3.SQLITE_IOERR else told


def is_broken(fault: Exception) -> bool:
    """Whether SQLite says that the file is damaged, or none of its own."""
    cause = fault.orig if isinstance(fault, DBAPIError) else fault
    return _code(cause) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _code(cause: object) -> int:
    """The kind of fault that SQLite names, without what it adds to it; 0 for another's."""
    return (getattr(cause, "sqlite_errorcode", 0) or 0) & 0xFF


def _replacing(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _file_engine(path: Path, role: Role, full_sync: bool) -> Engine:
    # isolation_level None: the driver starts no transaction behind our back, so CREATE TABLE can be rolled back too.
    def connect() -> sqlite3.Connection:
        mode = "rw" if role == "write" else "ro"
        return sqlite3.connect(
            f"file:{quote(str(path))}?mode={mode}",
            uri=True,
            timeout=BUSY_S,
            isolation_level=None,
            check_same_thread=False,
        )

    pool: dict[str, Any] = (
        {"poolclass": NullPool} if role == "write" else {"poolclass": QueuePool, "pool_size": 2, "max_overflow": 6}
    )
    engine = create_engine("sqlite+pysqlite://", creator=connect, hide_parameters=True, **pool)

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _: Any) -> None:
        if role == "write":
            connection.execute(f"PRAGMA synchronous={'FULL' if full_sync else 'NORMAL'}")
            connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        else:
            # Bytes that are no text are a tamperer's: verification names their record instead of stopping there.
            connection.text_factory = _replacing

    @event.listens_for(engine, "begin")
    def _begun(connection: Any) -> None:
        # IMMEDIATE: of several processes one has the right to read the head and write after it.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if role == "write" else "BEGIN")

    return engine


def _server_engine(url: URL, role: Role) -> Engine:
    engine = create_engine(
        url,
        hide_parameters=True,
        connect_args={"connect_timeout": SERVER_S, "tcp_user_timeout": SERVER_S * 1000},
        **({"poolclass": NullPool} if role == "write" else {"pool_size": 2, "max_overflow": 6, "pool_pre_ping": True}),
        # A reader sees one moment throughout: a verification must not take new records for inserted ones.
        isolation_level="READ COMMITTED" if role == "write" else "REPEATABLE READ",
    )

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _: Any) -> None:
        if role == "write":
            connection.execute(f"SET lock_timeout = {int(BUSY_S * 1000)}")
            connection.execute(f"SET statement_timeout = {SERVER_S * 1000}")
            connection.commit()

    return engine
