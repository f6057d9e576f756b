"""The disk: what SQLite committed is brought there soon after, by threads of their own.

A commit in WAL mode with synchronous=NORMAL is safe against a killed process at once, and against a power cut only
once the write-ahead log is synced. SQLite leaves that to the next checkpoint, which may be minutes away.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Engine, PoolProxiedConnection

from guardrail.audit.chain import Head
from guardrail.audit.database import identity, identity_of
from guardrail.errors import AuditError

# The size of a file is brought to the disk with its content, its times are not: nothing needs them.
_sync_data = getattr(os, "fdatasync", os.fsync)

# How often the write-ahead log is carried over into the database. At 200 records a second it grows by about 6 MB
# between two times.
CHECKPOINT_S = 1.0


class WalSyncer:
    """Syncs the write-ahead log of the SQLite file `path` within `window_s` seconds of a commit.

    A third of the window is spent waiting for more commits, the rest is left to the disk. While a sync takes longer
    than that, or fails, `wait` holds the writer back: a power cut never takes more than the records that were
    acknowledged within one window. A sync that fails is tried again.
    `step` is told "syncing" before and "synced" after each sync. `tip` says how far the log goes; `keep` is told after
    a sync how far it went before.
    """

    def __init__(
        self,
        path: Path,
        window_s: float,
        step: Callable[[str], None],
        *,
        tip: Callable[[], Head | None] = lambda: None,
        keep: Callable[[Head | None], None] = lambda head: None,
    ) -> None:
        self._tip = tip
        self._keep = keep
        self._wal = f"{path}-wal"
        self._folder = path.parent
        # Kept open, and which file it is: to open and close one for each sync takes half as long as to sync it.
        self._handle = -1
        self._is: tuple[int, int] | None = None
        self._window_s = window_s
        self._step = step
        self._changed = threading.Condition()
        self._closing = threading.Event()
        # When the first commit was made that no sync has covered yet, and the first that the running one covers.
        self._dirty_at: float | None = None
        self._syncing_at: float | None = None
        self._fault: str | None = None
        self._thread = threading.Thread(target=self._run, name="guardrail-audit-sync", daemon=True)
        self._thread.start()

    def committed(self) -> None:
        """Say that there is something to bring to the disk."""
        if self._dirty_at is None:
            with self._changed:
                self._dirty_at = self._dirty_at or time.monotonic()
                self._changed.notify_all()

    @property
    def failed(self) -> bool:
        """True when the disk refused the last sync, or is late with it."""
        return self._fault is not None or self._late()

    def wait(self, timeout_s: float = 5.0) -> None:
        """Return when no commit is older than the window and not on the disk.

        Raises AuditError when the disk has failed, or does not catch up within `timeout_s`.
        """
        if not self.failed:
            return
        with self._changed:
            self._changed.wait_for(lambda: self._fault is not None or not self._late(), timeout_s)
            if self._fault is not None:
                raise AuditError(f"audit log: the disk did not take the last records: {self._fault}")
            if self._late():
                raise AuditError(f"audit log: the disk did not take the last records within {timeout_s:g} s")

    def close(self, timeout_s: float = 10.0) -> None:
        """Sync what is left and end the thread."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join(timeout_s)

    def _late(self) -> bool:
        oldest = self._syncing_at or self._dirty_at  # read once: the other thread changes them
        return oldest is not None and time.monotonic() - oldest > self._window_s

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._dirty_at is not None or self._closing.is_set())
            closing = self._closing.wait(self._window_s / 3) or self._closing.is_set()
            with self._changed:
                # Taken before the sync: a commit during it is not covered by it.
                self._syncing_at, self._dirty_at = self._syncing_at or self._dirty_at, None
            fault = self._tried()
            with self._changed:
                self._fault = fault
                if fault is None:
                    self._syncing_at = None
                else:
                    self._dirty_at = self._dirty_at or self._syncing_at  # tried again
                self._changed.notify_all()
            if closing:
                self._let_go()
                return

    def _tried(self) -> str | None:
        try:
            head = self._tip()
            self._sync()
            self._keep(head)
        except Exception as error:  # whatever it is, the disk does not have the records
            return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
        return None

    def _sync(self) -> None:
        self._step("syncing")
        new = self._handle < 0 or identity(self._wal) != self._is
        if new:
            # SQLite has begun a new file. Closing the old one is harmless, as SQLite keeps its locks on the database
            # and the -shm file, never on this one.
            self._let_go()
            try:
                self._handle = os.open(self._wal, os.O_RDWR)
            except FileNotFoundError:
                return  # checkpointed and removed: SQLite synced the database itself before it did so
            self._is = identity_of(self._handle)
        try:
            _sync_data(self._handle)
            if new:
                _sync_folder(self._folder)
        except OSError:
            self._let_go()  # the next try begins anew, with the folder
            raise
        self._step("synced")

    def _let_go(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


class Checkpointer:
    """Carries the write-ahead log over into the SQLite database `engine` reaches, while others write.

    SQLite would have the writer do it, in the middle of a commit that somebody waits for, with two syncs. `emptied`
    is called when all of it was carried over: whoever writes next begins it anew, and syncs it once more.
    """

    def __init__(
        self, engine: Engine, emptied: Callable[[], None] = lambda: None, every_s: float = CHECKPOINT_S
    ) -> None:
        self._engine = engine
        self._emptied = emptied
        self._every_s = every_s
        self._due = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="guardrail-audit-checkpoint", daemon=True)
        self._thread.start()

    def committed(self) -> None:
        """Say that there is something to carry over."""
        if not self._due.is_set():
            self._due.set()

    def close(self, timeout_s: float = 10.0) -> None:
        """End the thread. What is left, SQLite carries over when the last connection closes."""
        self._closing.set()
        self._due.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        conn: PoolProxiedConnection | None = None
        while True:
            self._due.wait()
            if self._closing.wait(self._every_s):
                break
            self._due.clear()
            try:
                conn = conn or self._engine.raw_connection()
                busy, pages, carried = conn.cursor().execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                if not busy and pages == carried:
                    self._emptied()
            except sqlite3.Error:
                # Nothing is lost: it is tried again, and the writer, who answers for its errors, does it in the end.
                self._due.set()
        if conn is not None:
            conn.close()


def _sync_folder(folder: Path) -> None:
    """A new file survives a power cut only when its name, too, is on the disk."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
