"""The head kept beside an SQLite log: records that went with a write-ahead log are named, and nothing else is."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from guardrail.audit import AuditLog, Reader, verify
from guardrail.audit.chain import Head
from guardrail.audit.kept import SIZE, KeptHead
from guardrail.errors import AuditError

from .support import KEY, OTHER_KEY, entry, fill


@pytest.fixture
def path(sqlite_url) -> Path:
    return Path(sqlite_url.removeprefix("sqlite:///"))


def beside(path: Path, end: str) -> Path:
    return path.with_name(path.name + end)


def stop_with_records_in_the_journal(url: str, path: Path, folder: Path) -> None:
    """Four records, of which the last three stand in the write-ahead log alone, as a killed process leaves them."""
    fill(url, 1)
    log = AuditLog.open(url, KEY, window_s=0)
    for n in range(2, 5):
        log.append_wait(entry(f"r{n}"))
    folder.mkdir()
    for end in ("", "-wal", "-head"):
        shutil.copy(beside(path, end), folder / f"log{end}")
    log.close()


@pytest.fixture
def killed(sqlite_url, path, tmp_path) -> tuple[str, Path]:
    stop_with_records_in_the_journal(sqlite_url, path, tmp_path / "killed")
    found = tmp_path / "killed" / "log"
    return f"sqlite:///{found}", found


def test_a_killed_log_with_its_journal_is_whole(killed):
    url, _ = killed
    assert verify(url, KEY) == []


@pytest.mark.parametrize("how", ["deleted", "emptied"])
def test_a_journal_that_is_gone_is_named_with_the_records_that_were_in_it(killed, how):
    url, path = killed
    wal = beside(path, "-wal")
    wal.unlink() if how == "deleted" else wal.write_bytes(b"")
    (fault,) = verify(url, KEY)
    assert fault.seq == 2
    assert fault.what.startswith("records 2 to 4 are missing at the end: the write-ahead log (-wal) was deleted")


def test_a_log_whose_newest_records_are_gone_is_not_written_to(killed):
    url, path = killed
    beside(path, "-wal").unlink()
    with pytest.raises(AuditError, match="records 2 to 4 are missing at its end"):
        AuditLog.open(url, KEY)
    assert verify(url, KEY)[0].seq == 2


def test_going_on_without_them_goes_on_record(killed):
    url, path = killed
    beside(path, "-wal").unlink()
    beside(path, "-head").unlink()
    assert "is gone" in verify(url, KEY)[0].what
    with AuditLog.open(url, KEY) as log:
        (event,) = log.entries(kind="event")
        assert event.entry.action == "head-unknown"
        assert event.entry.body["why"] == "it is gone"
    assert verify(url, KEY) == []


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"", "it holds no head"),
        (b"\xff" * 512, "it holds no head"),
        (Head.signed(OTHER_KEY, bytes(16), 9, bytes(32)).token.encode(), None),
    ],
)
def test_a_kept_head_that_is_none_is_named_and_goes_on_record(sqlite_url, path, said, why):
    fill(sqlite_url, 2)
    beside(path, "-head").write_bytes(said)
    (fault,) = verify(sqlite_url, KEY)
    assert "the head kept beside the log" in fault.what
    if why is None:
        with pytest.raises(AuditError, match="names another log, of 9 records"):
            AuditLog.open(sqlite_url, KEY)
        return
    with AuditLog.open(sqlite_url, KEY) as log:
        assert log.entries(kind="event")[0].entry.body["why"] == why
    assert verify(sqlite_url, KEY) == []


def test_a_kept_head_signed_with_another_key_is_named_and_goes_on_record(sqlite_url, path):
    fill(sqlite_url, 2)
    was = KeptHead(path).read()
    forged = Head.signed(OTHER_KEY, was.log_id, 1, was.digest)
    beside(path, "-head").write_text(forged.token)
    assert "signed with another key" in verify(sqlite_url, KEY)[0].what
    with AuditLog.open(sqlite_url, KEY) as log:
        assert log.entries(kind="event")[0].entry.body["why"] == "it was not signed with this key"


def test_a_log_begun_anew_where_another_stood_is_refused(sqlite_url, path):
    fill(sqlite_url, 3)
    path.unlink()
    with pytest.raises(AuditError, match="names another log, of 3 records"):
        AuditLog.open(sqlite_url, KEY)
    beside(path, "-head").unlink()
    path.unlink()
    fill(sqlite_url, 1)
    assert verify(sqlite_url, KEY) == []


def test_the_kept_head_never_runs_ahead_of_the_disk(sqlite_url, path):
    """What it names is synced first: a power cut takes no record that it counts."""
    order: list[str] = []
    with AuditLog.open(sqlite_url, KEY, window_s=0.01, step=order.append) as log:
        log.append_wait(entry("a"))
    assert "synced" in order
    head, kept = Reader.open(sqlite_url).head(), KeptHead(path).read()
    assert (kept.seq, kept.digest) == (head.seq, head.digest)


def test_an_older_head_does_not_take_the_place_of_a_later_one(sqlite_url, path):
    fill(sqlite_url, 2)
    kept = KeptHead(path)
    later = kept.read()
    kept.write(Head.signed(KEY, later.log_id, 1, bytes(32)), KEY)
    assert kept.read() == later
    # A forged later one, though, is no reason not to write.
    beside(path, "-head").write_text(Head.signed(OTHER_KEY, later.log_id, 99, bytes(32)).token)
    kept.write(later, KEY)
    assert kept.read() == later


def test_a_head_that_is_moved_away_meanwhile_is_kept_under_its_name_all_the_same(sqlite_url, path):
    fill(sqlite_url, 1)
    kept = KeptHead(path)
    one = kept.read()
    two, three = (Head.signed(KEY, one.log_id, seq, bytes(32)) for seq in (2, 3))
    kept.write(two, KEY)
    beside(path, "-head").rename(beside(path, "-moved"))
    kept.write(three, KEY)
    assert kept.read() == three
    beside(path, "-moved").rename(beside(path, "-head"))
    assert kept.read() == two
    kept.write(three, KEY)
    assert kept.read() == three
    kept.close()


def test_a_file_longer_than_a_head_becomes_one(sqlite_url, path):
    fill(sqlite_url, 1)
    kept = KeptHead(path)
    head = kept.read()
    beside(path, "-head").write_bytes(b"x" * 2000)
    kept.write(head, KEY)
    assert kept.read() == head
    assert beside(path, "-head").stat().st_size == SIZE


def test_a_record_replaced_under_the_kept_head_is_named(sqlite_url, path):
    fill(sqlite_url, 3)
    kept = KeptHead(path).read()
    beside(path, "-head").write_text(Head.signed(KEY, kept.log_id, 2, bytes(32)).token)
    (fault,) = verify(sqlite_url, KEY)
    assert (fault.seq, fault.what.split(":")[0]) == (
        2,
        "record 2 is not the one that the head kept beside the log names",
    )


def test_a_log_of_before_is_read_as_it_is_and_migrated_when_it_is_opened(sqlite_url, path):
    fill(sqlite_url, 3)
    beside(path, "-head").unlink()
    conn = sqlite3.connect(path)
    conn.executescript(
        """DROP INDEX guardrail_audit_records_tenant; DROP INDEX guardrail_audit_records_action;
        CREATE INDEX guardrail_audit_records_tenant ON guardrail_audit_records (tenant, seq);
        CREATE INDEX guardrail_audit_records_action ON guardrail_audit_records (action, seq);
        UPDATE guardrail_audit_version SET version_num = '0001'"""
    )
    conn.close()
    assert verify(sqlite_url, KEY) == []
    reader = Reader.open(sqlite_url)
    assert [record.seq for record in reader.entries(tenant="default", action="allow")] == [3, 2, 1]
    reader.close()
    fill_more = AuditLog.open(sqlite_url, KEY)
    fill_more.append_wait(entry("r4"))
    assert fill_more.entries(kind="event") == []
    fill_more.close()
    assert verify(sqlite_url, KEY) == []
    conn = sqlite3.connect(path)
    (sql,) = conn.execute("SELECT sql FROM sqlite_master WHERE name = 'guardrail_audit_records_action'").fetchone()
    conn.close()
    assert "<> 'allow'" in sql
    assert KeptHead(path).read().seq == 4
