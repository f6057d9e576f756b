"""Killed, cut off from power or out of disk: what was acknowledged is there, and the chain is whole."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from guardrail.audit import AuditLog, Reader, verify
from guardrail.errors import AuditError

from .support import KEY, Server, entry

CHILD = Path(__file__).with_name("child.py")
OPENING = ("locked", "migrated", "begun with", "opened")
WRITING = ("taken", "begun", "head known", "head written", "inserted", "committed", "acknowledged")
FILE_ONLY = ("file made", "journal set", "syncing", "synced")


def child(*arguments: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, CHILD, *arguments], stdout=subprocess.PIPE, text=True, timeout=timeout_s, check=False
    )


def killed_at(url: str, step: str, times: int) -> list[list[str]]:
    """Let the child die there; returns name, number and digest of what was acknowledged before."""
    done = child(url, "kill", step, str(times))
    assert done.returncode == -signal.SIGKILL
    return [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("ack ")]


def check_whole(url: str, acknowledged: list[list[str]]) -> None:
    """The log can be opened, nothing that was acknowledged is lost, nothing is half there, and it goes on."""
    with AuditLog.open(url, KEY) as log:
        assert verify(url, KEY) == []
        for name, seq, digest in acknowledged:
            record = log.get(name)
            assert record is not None, name
            assert (record.seq, record.digest) == (int(seq), digest)
        count = len(log.entries(limit=1000))
        assert log.append_wait(entry("after the kill")).seq == count + 1
    assert verify(url, KEY) == []


def test_every_step_there_is_is_one_that_the_tests_stop_at(sqlite_url):
    done = child(sqlite_url, "steps")
    assert {line.removeprefix("step ") for line in done.stdout.splitlines() if line.startswith("step ")} == {
        *OPENING,
        *WRITING,
        *FILE_ONLY,
    }


@pytest.mark.parametrize("step", [*FILE_ONLY[:2], *OPENING])
def test_killed_while_a_new_log_is_made(sqlite_url, step):
    assert killed_at(sqlite_url, step, 1) == []
    check_whole(sqlite_url, [])


@pytest.mark.parametrize("step", [*WRITING, *FILE_ONLY[2:]])
def test_killed_while_records_are_written(sqlite_url, step):
    # The first and third group are written by the event loop, the second by the writer thread.
    first = killed_at(sqlite_url, step, 1)
    second = killed_at(sqlite_url, step, 2)
    later = killed_at(sqlite_url, step, 3)
    assert later
    check_whole(sqlite_url, first + second + later)


@pytest.mark.postgres
@pytest.mark.parametrize("step", [*OPENING, *WRITING])
def test_killed_while_writing_to_a_server(postgres_url, step):
    acknowledged = killed_at(postgres_url, step, 1)
    check_whole(postgres_url, acknowledged)


def test_killed_after_the_commit_the_records_are_there_unacknowledged(sqlite_url):
    assert killed_at(sqlite_url, "committed", 1) == []
    with AuditLog.open(sqlite_url, KEY) as log:
        assert log.entries() != []


def test_killed_before_the_commit_nothing_is_there(sqlite_url):
    assert killed_at(sqlite_url, "head written", 1) == []
    with AuditLog.open(sqlite_url, KEY) as log:
        assert log.entries() == []


def test_a_power_cut_that_tears_the_last_writes_leaves_an_earlier_whole_log(sqlite_url, tmp_path):
    """What a disk had not taken is missing at the end of the write-ahead log, at any byte."""
    killed_at(sqlite_url, "acknowledged", 4)
    file = Path(sqlite_url.removeprefix("sqlite:///"))
    wal = Path(f"{file}-wal").read_bytes()
    seen = set()
    for cut in range(0, len(wal), len(wal) // 23):
        torn = tmp_path / f"torn-{cut}.db"
        shutil.copy(file, torn)
        Path(f"{torn}-wal").write_bytes(wal[:cut])
        url = f"sqlite:///{torn}"
        with AuditLog.open(url, KEY) as log:
            seen.add(len(log.entries(limit=1000)))
            log.append_wait(entry("after the cut"))
        assert verify(url, KEY) == []
    assert len(seen) > 2


def test_a_full_disk_refuses_each_append_and_the_log_goes_on_when_there_is_space(sqlite_url):
    told = dict(line.split(" ", 1) for line in child(sqlite_url, "full").stdout.splitlines())
    written = int(told["written"])
    assert 0 < written < 10_000
    assert told["failed"].startswith("5 audit log ")
    assert "cannot be written" in told["failed"]
    assert told["writable"] == "False"
    assert int(told["again"]) == written + 2
    assert verify(sqlite_url, KEY) == []
    reader = Reader.open(sqlite_url)
    assert len(reader.entries(limit=20_000)) == written + 2
    reader.close()


def test_processes_append_to_one_log_side_by_side(url):
    """They open it at the same moment, too, when there is none yet."""
    running = [
        subprocess.Popen([sys.executable, CHILD, url, "fill", mark, "60"], stdout=subprocess.DEVNULL) for mark in "abcd"
    ]
    assert [process.wait(60) for process in running] == [0, 0, 0, 0]
    assert verify(url, KEY) == []
    reader = Reader.open(url)
    found = [record.entry.id for record in reader.scan()]
    reader.close()
    assert len(found) == 240
    for mark in "abcd":
        assert [name for name in found if name.startswith(mark)] == [f"{mark}-{n}" for n in range(60)]


@pytest.mark.postgres
def test_a_lost_server_refuses_and_the_log_goes_on_when_it_is_back(postgres, postgres_url):
    if not isinstance(postgres, Server):
        pytest.skip("stops and starts the server: unset GUARDRAIL_TEST_POSTGRES to have one made for it")
    with AuditLog.open(postgres_url, KEY) as log:
        log.append_wait(entry("before"))
        postgres.stop()
        with pytest.raises(AuditError, match="cannot be written"):
            log.append_wait(entry("lost"))
        assert not log.writable()
        with pytest.raises(AuditError, match="cannot be read"):
            log.entries()
        postgres.start()
        assert log.writable(timeout_s=10)
        assert log.append_wait(entry("after")).seq == 2
        postgres.stop()
        postgres.start()
        # The connection broke while nothing was going on: the first append after it is not refused for that.
        assert log.append_wait(entry("later")).seq == 3
    assert verify(postgres_url, KEY) == []


@pytest.mark.slow
@pytest.mark.postgres
def test_a_server_that_stands_still_is_given_up_and_the_log_goes_on_beside_it(postgres, postgres_url):
    """A frozen process or a paused machine: what is sent to it arrives, and no answer ever comes."""
    if not isinstance(postgres, Server):
        pytest.skip("freezes a process of the server: unset GUARDRAIL_TEST_POSTGRES to have one made for it")
    with AuditLog.open(postgres_url, KEY) as log:
        log.append_wait(entry("before"))
        frozen = backends(postgres_url)
        assert frozen
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            with pytest.raises(AuditError, match="the server did not answer within 15 s"):
                log.append_wait(entry("lost"), timeout_s=60)
            assert time.monotonic() - began < 25
            assert log.append_wait(entry("after"), timeout_s=20).seq == 2
        finally:
            for pid in frozen:
                os.kill(pid, signal.SIGCONT)
    assert verify(postgres_url, KEY) == []


def backends(url: str) -> list[int]:
    """The server's processes that hold the connections to this database, but for the one that asks."""
    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"), poolclass=sa.NullPool)
    asked = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with engine.connect() as conn:
        return [int(row[0]) for row in conn.execute(sa.text(asked))]
