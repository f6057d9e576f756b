from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from guardrail.audit import AuditLog
from guardrail.audit.database import make_engine, parse
from guardrail.audit.sync import Checkpointer, WalSyncer
from guardrail.errors import AuditError

from .support import KEY, entry


def carried_over(database: Path, copy: Path) -> int:
    """How many records the database holds without its write-ahead log."""
    shutil.copy(database, copy)
    conn = sqlite3.connect(copy)
    count: int = conn.execute("SELECT count(*) FROM guardrail_audit_records").fetchone()[0]
    conn.close()
    return count


def test_the_write_ahead_log_is_carried_over_while_the_log_is_open(sqlite_url, tmp_path):
    database = Path(sqlite_url.removeprefix("sqlite:///"))
    with AuditLog.open(sqlite_url, KEY) as log:
        log.append_wait(entry("a"))
        more = Checkpointer(make_engine(parse(sqlite_url), "write"), every_s=0.01)
        more.committed()
        deadline = time.monotonic() + 10
        while carried_over(database, tmp_path / "copy.db") == 0 and time.monotonic() < deadline:
            time.sleep(0.02)
        more.close()
        assert carried_over(database, tmp_path / "copy.db") == 1


def test_the_write_ahead_log_is_begun_anew_only_when_all_of_it_was_carried_over(sqlite_url):
    database = sqlite_url.removeprefix("sqlite:///")
    emptied = threading.Event()
    with AuditLog.open(sqlite_url, KEY) as log:
        log.append_wait(entry("a"))
        reading = sqlite3.connect(database, isolation_level=None)
        reading.execute("BEGIN")
        reading.execute("SELECT count(*) FROM guardrail_audit_records").fetchone()
        log.append_wait(entry("b"))
        more = Checkpointer(make_engine(parse(sqlite_url), "write"), emptied.set, every_s=0.01)
        more.committed()
        assert not emptied.wait(0.2)  # the reader still needs the log as it is
        reading.close()
        more.committed()
        assert emptied.wait(10)
        more.close()


def test_a_database_that_is_gone_does_not_end_the_checkpointer(tmp_path):
    more = Checkpointer(make_engine(parse(f"sqlite:///{tmp_path}/none.db"), "write"), every_s=0.01)
    more.committed()
    time.sleep(0.1)
    assert more._thread.is_alive()
    more.close()
    assert not more._thread.is_alive()


def test_no_write_ahead_log_is_nothing_to_sync(tmp_path):
    seen: list[str] = []
    syncer = WalSyncer(tmp_path / "none.db", 0.01, seen.append)
    syncer.committed()
    syncer.close()
    syncer.wait()
    assert not syncer.failed
    assert set(seen) == {"syncing"}


def test_a_disk_that_hangs_holds_the_writer_back_once_the_window_is_over(tmp_path):
    hang = threading.Event()
    syncing = threading.Event()

    def step(name: str) -> None:
        syncing.set()
        assert hang.wait(20)

    syncer = WalSyncer(tmp_path / "none.db", 0.2, step)
    syncer.committed()
    syncer.wait()
    assert not syncer.failed
    assert syncing.wait(10)
    deadline = time.monotonic() + 10
    while not syncer.failed and time.monotonic() < deadline:
        time.sleep(0.01)
    with pytest.raises(AuditError, match=r"within 0\.3 s"):
        syncer.wait(timeout_s=0.3)
    assert syncer.failed
    hang.set()
    syncer.wait()
    assert not syncer.failed
    syncer.close()


def test_a_commit_during_a_sync_gets_a_sync_of_its_own(tmp_path):
    first, second, go = threading.Event(), threading.Event(), threading.Event()

    def step(name: str) -> None:
        if first.is_set():
            second.set()
        first.set()
        assert go.wait(20)

    syncer = WalSyncer(tmp_path / "none.db", 0.05, step)
    syncer.committed()
    assert first.wait(10)
    syncer.committed()
    go.set()
    assert second.wait(10)
    syncer.close()


def opened(path: Path) -> int:
    """How often this process has the file of that name open."""
    there = path.stat()
    count = 0
    for handle in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            count += os.path.samestat(handle.stat(), there)
    return count


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="Linux tells which files are open")
def test_a_write_ahead_log_that_is_begun_anew_is_the_one_that_is_synced(tmp_path):
    wal, old = tmp_path / "log-wal", tmp_path / "old"
    wal.touch()
    synced = threading.Semaphore(0)
    syncer = WalSyncer(tmp_path / "log", 0.01, lambda name: synced.release() if name == "synced" else None)
    syncer.committed()
    assert synced.acquire(timeout=10)
    assert opened(wal) == 1
    wal.rename(old)
    wal.touch()
    syncer.committed()
    assert synced.acquire(timeout=10)
    assert (opened(wal), opened(old)) == (1, 0)
    syncer.close()
    assert opened(wal) == 0


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="Linux tells which files are open")
def test_a_log_that_is_closed_leaves_no_file_open(sqlite_url):
    with AuditLog.open(sqlite_url, KEY) as log:
        log.append_wait(entry("a"))
    database = Path(sqlite_url.removeprefix("sqlite:///"))
    assert opened(database) == 0
    assert opened(database.with_name(f"{database.name}-head")) == 0
