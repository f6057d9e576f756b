"""Files of the operator's own entries: one SQLite file each, changed by a command while a server reads it.

Deleting is deleting: freed pages are overwritten, the file is rebuilt, and there is no write-ahead log in which a
removed row could live on. Writes are rare and small, so a rollback journal costs nothing here and also lets a server
read from a read-only mount.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Generic, TypeVar

from guardrail.errors import CheckError, ConfigError

T = TypeVar("T")

WRITE_WAIT_S = 10.0
"""How long a command waits for another command that writes."""
READ_WAIT_S = 0.05
"""How long a server's look waits for a command that commits; the request goes on with what was read before."""
POLL_S = 1.0
"""How often a server asks whether the file changed."""
STALE_S = 10.0
"""How long a server may go on with what it read when the file stays locked; after that it cannot look."""


STEP = 1 << 16
"""Most that a revision grows by with one change."""


class Locked(ConfigError):
    """Another process is writing to the file just now."""


class StateFile:
    """One SQLite file with a revision that grows with every change.

    By how much is chance: where a backup is put back and changed, no revision comes that stood for something else.
    `what` names it in messages ("registry"), `application` is the four-byte id that tells it from any other SQLite
    file, `schema` makes its tables. Nothing is created until the first change.

    `upgrades` bring a file of an older format on, the first from format 1 to 2; `schema` is that of the newest. The
    first change does it. Until then the file is read as it is, so what reads must know every older format too.
    """

    def __init__(self, path: Path, *, what: str, application: int, schema: str, upgrades: Sequence[str] = ()) -> None:
        self.path = path
        self.what = what
        self._application = application
        self._schema = schema
        self._upgrades = upgrades
        self.moved: tuple[int, int] | None = None
        """Its revision before the first and after the last change that was made here; None before there was one."""

    @property
    def exists(self) -> bool:
        """True when there is a file; one of zero bytes is the first change on its way, not yet made."""
        return self.path.exists() and self.path.stat().st_size > 0

    @contextmanager
    def reading(self, wait_s: float = WRITE_WAIT_S) -> Iterator[sqlite3.Connection]:
        """A connection inside one read transaction: all that is read belongs to one revision.

        Raises ConfigError when the file is no file of this kind, Locked when a writer holds it for `wait_s`.
        """
        # Opened for writing where that is allowed: only so can a change that a killed command left half made be undone.
        with self._connection("rw" if os.access(self.path, os.W_OK) else "ro", wait_s) as connection:
            connection.execute("PRAGMA query_only = ON")
            connection.execute("BEGIN")
            self._recognise(connection)
            yield connection
            connection.execute("ROLLBACK")

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A connection inside one write transaction: all of it happens, with a new revision, or nothing does.

        The folder (mode 0700) and the file (mode 0600) are made where there are none. Raises ConfigError.
        """
        self._create()
        with self._connection("rw", WRITE_WAIT_S, writes=True) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                self._recognise(connection, make=True)
                before = revision_in(connection)
                yield connection
                after = before + 1 + secrets.randbelow(STEP)
                connection.execute("UPDATE state SET revision = ?", (after,))
                connection.execute("COMMIT")
                self.moved = (self.moved[0] if self.moved else before, after)
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def scrub(self) -> None:
        """Rebuild the file without the pages that a removal freed. Raises ConfigError when it cannot be done."""
        with self._connection("rw", WRITE_WAIT_S, writes=True) as connection:
            connection.execute("VACUUM")

    def revision(self, wait_s: float = WRITE_WAIT_S) -> int:
        """What stands for the entries as they are; 0 when there is no file."""
        if not self.exists:
            return 0
        with self.reading(wait_s) as connection:
            return revision_in(connection)

    def _create(self) -> None:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        except OSError as error:
            raise ConfigError(f"{self.what}: cannot write {self.path}: {error.strerror}") from None

    @contextmanager
    def _connection(self, mode: str, wait_s: float, *, writes: bool = False) -> Iterator[sqlite3.Connection]:
        try:
            address = f"{self.path.absolute().as_uri()}?mode={mode}"
            with closing(sqlite3.connect(address, uri=True, timeout=wait_s, isolation_level=None)) as connection:
                connection.execute("PRAGMA temp_store = MEMORY")  # no copy of a row in a temporary file
                connection.execute("PRAGMA trusted_schema = OFF")
                if writes:
                    connection.execute("PRAGMA journal_mode = DELETE")
                    connection.execute("PRAGMA secure_delete = ON")
                    connection.execute("PRAGMA synchronous = EXTRA")
                    connection.execute("PRAGMA cache_spill = OFF")  # readers are shut out while committing, not before
                yield connection
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise Locked(f"{self.what}: {self.path} is being written by another command; try again") from None
            raise ConfigError(f"{self.what}: {self.path} cannot be used: {error}") from None

    def _recognise(self, connection: sqlite3.Connection, *, make: bool = False) -> None:
        found = connection.execute("PRAGMA application_id").fetchone()[0]
        if found == self._application:
            version, newest = format_in(connection), 1 + len(self._upgrades)
            if not 1 <= version <= newest:
                formats = "format 1" if newest == 1 else f"formats up to {newest}"
                raise ConfigError(
                    f"{self.what}: {self.path} has format {version}, this version of guardrail reads {formats}"
                )
            if make:
                for upgrade in self._upgrades[version - 1 :]:
                    _run(connection, upgrade)
                connection.execute(f"PRAGMA user_version = {newest}")
            return
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if found or tables or not make:
            raise ConfigError(f"{self.what}: {self.path} is no {self.what} file; move it away or name another home")
        connection.execute(f"PRAGMA application_id = {self._application}")
        connection.execute(f"PRAGMA user_version = {1 + len(self._upgrades)}")
        connection.execute("CREATE TABLE state (revision INTEGER NOT NULL)")
        connection.execute("INSERT INTO state VALUES (0)")
        _run(connection, self._schema)


def format_in(connection: sqlite3.Connection) -> int:
    """The format of the file that a transaction sees; the first is 1."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _run(connection: sqlite3.Connection, statements: str) -> None:
    """Statements one by one: `executescript` would commit the transaction that they belong to."""
    for statement in filter(str.strip, statements.split(";")):
        connection.execute(statement)


def revision_in(connection: sqlite3.Connection) -> int:
    """The revision that a read transaction sees."""
    return int(connection.execute("SELECT revision FROM state").fetchone()[0])


class Watched(Generic[T]):
    """What was read from a StateFile, read anew when the file changed; asked for by many threads at once.

    `load` reads all of it (and is called only while the file is there), `empty` holds where there is no file.
    The file is asked for its revision at most every `every_s` seconds, by one thread while the others go on with
    what they have; a new value replaces the old one in one step. Raises what `load` raises when made.
    """

    def __init__(
        self,
        file: StateFile,
        load: Callable[[float], T],
        empty: T,
        *,
        every_s: float = POLL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = file
        self._load = load
        self._empty = empty
        self._every_s = every_s
        self._clock = clock
        self._polling = threading.Lock()
        self._fault: str | None = None
        self._stamp = self._look(WRITE_WAIT_S)
        self._value = load(WRITE_WAIT_S) if self._stamp else empty
        self._asked = self._fresh = clock()

    def get(self) -> T:
        """What the file holds now, give or take `every_s`; while another thread looks, at most STALE_S.

        Raises CheckError when the file is gone, damaged, sealed under another key or locked for STALE_S: entries
        that cannot be read are not "no entries".
        """
        age_s = self._clock() - self._asked
        # Where nobody asked for long, what is held may be of long ago: then who comes second waits for who looks.
        if age_s >= self._every_s and self._polling.acquire(blocking=age_s >= STALE_S):
            try:
                if self._clock() - self._asked >= self._every_s:
                    self._poll()
            finally:
                self._polling.release()
        if self._fault is not None:
            raise CheckError(self._fault)
        return self._value

    def _poll(self) -> None:
        now = self._clock()
        try:
            stamp = self._look(READ_WAIT_S)
            if stamp is None and self._stamp is not None:
                raise ConfigError(
                    f"{self._file.what}: {self._file.path} is gone; put it back, or restart to go on without entries"
                )
            if stamp is not None and (stamp != self._stamp or self._fault is not None):
                self._value = self._load(READ_WAIT_S)
                self._stamp = stamp
            self._fault, self._fresh = None, now
        except Locked as error:
            if now - self._fresh >= STALE_S:
                self._fault = str(error)
        except ConfigError as error:
            self._fault = str(error)
        except Exception as error:
            # Else one request would see the error, and those of the next second what was read before it.
            self._fault = f"{self._file.what}: {self._file.path} could not be read: {type(error).__name__}"
        finally:
            self._asked = self._clock()

    def _look(self, wait_s: float) -> tuple[int, ...] | None:
        """Which file it is and how it stands; None when there is none, or its first change is not made yet.

        The time stamp alone is too coarse (two changes within one tick of the file system), the revision alone
        does not see a backup that was put back.
        """
        try:
            seen = self._file.path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigError(f"{self._file.what}: cannot read {self._file.path}: {error.strerror}") from None
        if seen.st_size == 0:
            return None
        return seen.st_dev, seen.st_ino, seen.st_mtime_ns, seen.st_size, self._file.revision(wait_s)
