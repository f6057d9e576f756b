from __future__ import annotations

import asyncio
import sqlite3
import stat
import sys
import threading
import time
from itertools import count
from pathlib import Path

import pytest

from guardrail.audit import AuditLog, Reader, Sealed, verify
from guardrail.audit.log import SLOW_S, SPARED, SPOT_BYTES, SPOT_ROWS, _waits
from guardrail.errors import AuditError, ConfigError

from .support import KEY, entry

WRITER = "guardrail-audit-write"


class Steps:
    """Notes every step with its time; holds or breaks the one it is told to."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, float]] = []
        self.broken: dict[str, Exception] = {}
        self.held: str | None = None
        self.release = threading.Event()
        self.reached = threading.Event()
        self.threads: dict[str, set[str]] = {}

    def forget(self) -> None:
        self.seen.clear()
        self.threads.clear()

    def __call__(self, name: str) -> None:
        self.seen.append((name, time.monotonic()))
        self.threads.setdefault(name, set()).add(threading.current_thread().name)
        if name in self.broken:
            raise self.broken[name]
        if name == self.held:
            self.reached.set()
            self.release.wait(20)

    def count(self, name: str) -> int:
        return sum(seen == name for seen, _ in self.seen)


def test_an_entry_is_on_record_when_append_returns(url):
    with AuditLog.open(url, KEY) as log:
        sealed = asyncio.run(log.append(entry("a")))
        record = log.get("a")
        assert record is not None
        assert (record.seq, record.digest) == sealed == Sealed(1, record.digest)
        assert record.entry == entry("a")
    assert verify(url, KEY) == []


def test_a_log_goes_on_where_it_stopped(url):
    for n in range(3):
        with AuditLog.open(url, KEY) as log:
            assert log.append_wait(entry(f"r{n}")).seq == n + 1
    assert verify(url, KEY) == []


def test_many_appenders_share_commits(url):
    steps = Steps()

    async def appended(log: AuditLog) -> list[Sealed]:
        return await asyncio.gather(*(log.append(entry(f"r{n}")) for n in range(200)))

    with AuditLog.open(url, KEY, step=steps) as log:
        steps.seen.clear()
        sealed = asyncio.run(appended(log))
        assert sorted(one.seq for one in sealed) == list(range(1, 201))
        assert steps.count("committed") < 20
        for n, one in enumerate(sealed):
            record = log.get(f"r{n}")
            assert record is not None
            assert record.digest == one.digest
    assert verify(url, KEY) == []


def test_a_group_is_no_larger_than_asked(sqlite_url):
    steps = Steps()
    steps.held = "taken"
    with AuditLog.open(sqlite_url, KEY, step=steps, max_rows=10) as log:
        threads = [threading.Thread(target=log.append_wait, args=(entry(f"r{n}"),)) for n in range(31)]
        threads[0].start()
        assert steps.reached.wait(10)
        for thread in threads[1:]:
            thread.start()
        while log.depth < 31:
            time.sleep(0.001)
        steps.release.set()
        for thread in threads:
            thread.join()
        assert steps.count("committed") == 4
    assert verify(sqlite_url, KEY) == []


def test_an_idle_log_commits_at_once_and_not_at_the_end_of_a_window(sqlite_url):
    with AuditLog.open(sqlite_url, KEY, window_s=60.0) as log:
        started = time.monotonic()
        log.append_wait(entry("a"))
        assert time.monotonic() - started < 10


def test_threads_and_event_loops_append_side_by_side(url):
    with AuditLog.open(url, KEY) as log:

        async def some(mark: str) -> None:
            for n in range(25):
                await log.append(entry(f"{mark}{n}"))

        work = [threading.Thread(target=lambda mark=mark: asyncio.run(some(mark))) for mark in "ab"]
        work += [threading.Thread(target=lambda: [log.append_wait(entry(f"c{n}")) for n in range(25)])]
        for thread in work:
            thread.start()
        for thread in work:
            thread.join()
        assert len(log.entries(limit=1000)) == 75
    assert verify(url, KEY) == []


def test_an_id_that_is_taken_is_refused_and_its_neighbours_are_not(url):
    async def together(log: AuditLog) -> list[Sealed | BaseException]:
        entries = [entry("a"), entry("b"), entry("a"), entry("c")]
        return await asyncio.gather(*(log.append(one) for one in entries), return_exceptions=True)

    with AuditLog.open(url, KEY) as log:
        outcomes = asyncio.run(together(log))
        assert [type(outcome) is Sealed for outcome in outcomes] == [True, True, False, True]
        assert isinstance(outcomes[2], AuditError)
    assert verify(url, KEY) == []


def test_a_caller_that_goes_away_does_not_take_the_entry_back(sqlite_url):
    steps = Steps()
    steps.held = "begun"

    async def cancelled(log: AuditLog) -> None:
        before = threading.Thread(target=log.append_wait, args=(entry("before"),))
        before.start()
        await asyncio.to_thread(steps.reached.wait, 10)
        task = asyncio.create_task(log.append(entry("a")))
        while log.depth < 2:  # noqa: ASYNC110 - a count
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        steps.release.set()
        await log.append(entry("b"))
        before.join()

    with AuditLog.open(sqlite_url, KEY, step=steps) as log:
        asyncio.run(cancelled(log))
        assert log.get("a") is not None


@pytest.mark.parametrize("leaves", [0, 1])
def test_who_leaves_while_a_turn_gathers_takes_nobodys_entry_back(sqlite_url, leaves):
    async def left(log: AuditLog) -> None:
        tasks = [asyncio.create_task(log.append(entry(name))) for name in "abc"]
        await asyncio.sleep(0)
        assert log.depth == 3
        tasks[leaves].cancel()
        got = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(got.pop(leaves), asyncio.CancelledError)
        assert all(isinstance(one, Sealed) for one in got)

    with AuditLog.open(sqlite_url, KEY) as log:
        asyncio.run(left(log))
        assert [record.entry.id for record in log.entries()] == ["c", "b", "a"]


def test_a_loop_that_ended_does_not_stop_the_writer(sqlite_url):
    steps = Steps()
    steps.held = "begun"

    async def left_behind(log: AuditLog) -> None:
        await asyncio.to_thread(steps.reached.wait, 10)
        waiting = asyncio.create_task(log.append(entry("a")))
        while log.depth < 2:  # noqa: ASYNC110 - a count
            await asyncio.sleep(0.001)
        waiting.cancel()

    with AuditLog.open(sqlite_url, KEY, step=steps) as log:
        before = threading.Thread(target=log.append_wait, args=(entry("before"),))
        before.start()
        asyncio.run(left_behind(log))
        steps.release.set()
        assert log.append_wait(entry("b")).seq == 3
        before.join()


class Clock:
    """Stands still unless it is moved: on a busy machine any write may take long."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


async def appended(log: AuditLog, *names: str) -> list[Sealed | BaseException]:
    return await asyncio.gather(*(log.append(entry(name)) for name in names), return_exceptions=True)


def test_an_event_loop_writes_what_one_turn_gathers_itself_and_in_one_commit(sqlite_url):
    steps = Steps()
    with AuditLog.open(sqlite_url, KEY, step=steps, clock=Clock()) as log:
        steps.forget()
        sealed = asyncio.run(appended(log, "a", "b", "c"))
        assert [one.seq for one in sealed if isinstance(one, Sealed)] == [1, 2, 3]
        assert steps.count("committed") == 1
        assert steps.threads["committed"] == {threading.current_thread().name}
        assert log.depth == 0


@pytest.mark.parametrize(("rows", "by"), [(SPOT_ROWS, "MainThread"), (SPOT_ROWS + 1, "guardrail-audit-write")])
def test_a_group_that_would_hold_an_event_loop_up_is_written_by_the_thread(sqlite_url, rows, by):
    steps = Steps()
    with AuditLog.open(sqlite_url, KEY, step=steps, clock=Clock()) as log:
        steps.forget()
        asyncio.run(appended(log, *(f"r{n}" for n in range(rows))))
        assert steps.threads["committed"] == {by}
    assert verify(sqlite_url, KEY) == []


@pytest.mark.parametrize(("more", "by"), [(0, "MainThread"), (1, "guardrail-audit-write")])
def test_a_large_record_is_written_by_the_thread(sqlite_url, more, by):
    steps = Steps()
    text = "x" * (SPOT_BYTES - len('{"text":""}') + more)
    with AuditLog.open(sqlite_url, KEY, step=steps, clock=Clock()) as log:
        steps.forget()
        asyncio.run(log.append(entry("large", body={"text": text})))
        assert steps.threads["committed"] == {by}


def test_another_process_that_writes_does_not_hold_an_event_loop_up(sqlite_url):
    steps = Steps()

    async def beside_it(log: AuditLog) -> float:
        other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.create_task(log.append(entry("a")))
        began = time.monotonic()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        held_up = time.monotonic() - began
        assert not waiting.done()
        other.execute("ROLLBACK")
        other.close()
        await waiting
        return held_up

    with AuditLog.open(sqlite_url, KEY, step=steps, clock=Clock()) as log:
        steps.forget()
        assert asyncio.run(beside_it(log)) < 1.0
        assert steps.threads["committed"] == {"guardrail-audit-write"}
    assert verify(sqlite_url, KEY) == []


@pytest.mark.parametrize(("took", "by"), [(SLOW_S, "MainThread"), (SLOW_S * 1.01, "guardrail-audit-write")])
def test_an_event_loop_that_a_write_held_up_leaves_the_next_ones_to_the_thread(sqlite_url, took, by):
    clock = Clock()

    def step(name: str) -> None:
        steps(name)
        if name == "begun":
            clock.now += took

    steps = Steps()

    async def one_after_another(log: AuditLog) -> None:
        await log.append(entry("slow"))
        await log.append(entry("slow again"))
        assert steps.threads["committed"] == {"MainThread"}
        steps.forget()
        await log.append(entry("next"))
        assert steps.threads["committed"] == {by}
        clock.now += 2 * SPARED * took
        steps.forget()
        await log.append(entry("later"))
        assert steps.threads["committed"] == {"MainThread"}

    with AuditLog.open(sqlite_url, KEY, step=step, clock=clock, waits=count().__next__) as log:
        asyncio.run(one_after_another(log))


@pytest.mark.parametrize(
    ("waits", "by"), [(lambda: 7, "MainThread"), (count().__next__, WRITER), (lambda: None, WRITER)]
)
def test_a_loop_whose_core_was_taken_away_goes_on_writing(sqlite_url, waits, by):
    """It waited for nothing in the writes that took long, so the disk is not slow. Where nobody counts it may be."""
    clock, steps = Clock(), Steps()

    def step(name: str) -> None:
        steps(name)
        if name == "begun":
            clock.now += 2 * SLOW_S

    async def one_after_another(log: AuditLog) -> None:
        for n in range(4):
            steps.forget()
            await log.append(entry(f"r{n}"))
        assert steps.threads["committed"] == {by}

    with AuditLog.open(sqlite_url, KEY, step=step, clock=clock, waits=waits) as log:
        asyncio.run(one_after_another(log))


def test_a_thread_that_waited_is_told_from_one_that_worked():
    before = _waits()
    time.sleep(0.001)
    after = _waits()
    if sys.platform != "linux":
        assert before is after is None
    elif before is not None and after is not None:
        assert after > before


@pytest.mark.parametrize(("apart", "by"), [(0.99, "guardrail-audit-write"), (1.01, "MainThread")])
def test_a_write_that_is_slow_once_in_a_while_leaves_nothing_to_the_thread(sqlite_url, apart, by):
    """A twentieth of its time is what an event loop may lose: two slow writes that far apart are within that."""
    clock, took = Clock(), SLOW_S * 2
    slow = True

    def step(name: str) -> None:
        steps(name)
        if name == "begun" and slow:
            clock.now += took

    steps = Steps()

    async def one_after_another(log: AuditLog) -> None:
        nonlocal slow
        await log.append(entry("slow"))
        clock.now += apart * SPARED * took
        await log.append(entry("slow again"))
        slow = False
        steps.forget()
        await log.append(entry("next"))
        assert steps.threads["committed"] == {by}

    with AuditLog.open(sqlite_url, KEY, step=step, clock=clock, waits=count().__next__) as log:
        asyncio.run(one_after_another(log))


def test_a_disk_that_is_late_does_not_hold_an_event_loop_up(sqlite_url):
    steps = Steps()

    async def late(log: AuditLog) -> None:
        await log.append(entry("a"))
        while log.writable(timeout_s=0):  # noqa: ASYNC110 - a state of the disk
            await asyncio.sleep(0.005)
        waiting = asyncio.create_task(log.append(entry("b")))
        began = time.monotonic()
        await asyncio.sleep(0.01)
        assert time.monotonic() - began < 1.0
        assert not waiting.done()
        steps.release.set()
        assert (await waiting).seq == 2

    with AuditLog.open(sqlite_url, KEY, window_s=0.02, step=steps, clock=Clock()) as log:
        steps.held = "syncing"
        asyncio.run(late(log))


def test_a_bad_entry_among_those_of_one_turn_is_refused_alone(sqlite_url):
    with AuditLog.open(sqlite_url, KEY) as log:
        asyncio.run(appended(log, "a"))
        outcomes = asyncio.run(appended(log, "b", "a", "c"))
        assert [isinstance(outcome, Sealed) for outcome in outcomes] == [True, False, True]
        assert isinstance(outcomes[1], AuditError)
    assert verify(sqlite_url, KEY) == []


def test_a_full_queue_refuses_and_reads_as_not_writable(sqlite_url):
    steps = Steps()
    steps.held = "begun"
    with AuditLog.open(sqlite_url, KEY, step=steps, queue_rows=2) as log:
        waiting = [threading.Thread(target=log.append_wait, args=(entry(f"r{n}"),)) for n in range(3)]
        waiting[0].start()
        assert steps.reached.wait(10)
        for thread in waiting[1:]:
            thread.start()
        while log.depth < 3:
            time.sleep(0.001)
        with pytest.raises(AuditError, match="2 entries wait already"):
            log.append_wait(entry("one too many"))
        assert not log.writable()
        steps.release.set()
        for thread in waiting:
            thread.join()
        assert log.depth == 0
        assert log.writable()
        assert log.get("one too many") is None


def test_a_writer_that_hangs_reads_as_not_writable_and_a_thread_does_not_wait_for_ever(sqlite_url):
    steps = Steps()
    steps.held = "begun"
    with AuditLog.open(sqlite_url, KEY, step=steps) as log:
        with pytest.raises(AuditError, match="was not committed within"):
            log.append_wait(entry("a"), timeout_s=0.1)
        assert not log.writable(timeout_s=0.05)
        steps.release.set()
        log.append_wait(entry("b"))
        assert log.writable()


def test_a_disk_that_is_late_for_a_moment_reads_as_writable_and_one_that_stays_late_does_not(sqlite_url):
    steps = Steps()
    steps.held = "syncing"
    with AuditLog.open(sqlite_url, KEY, window_s=0.02, step=steps) as log:
        log.append_wait(entry("a"))
        time.sleep(0.1)
        assert not log.writable(timeout_s=0.05)
        threading.Timer(0.2, steps.release.set).start()
        assert log.writable()


def test_writable_writes_when_nothing_was_written_lately(url):
    with AuditLog.open(url, KEY) as log:
        assert log.writable()
        assert log.writable()
        assert log.entries() == []
    assert not log.writable()
    assert verify(url, KEY) == []


def test_whatever_a_step_of_the_writing_throws_is_an_audit_error_and_leaves_nothing_behind(url):
    steps = Steps()
    with AuditLog.open(url, KEY, step=steps) as log:
        log.append_wait(entry("before"))
        for name in ("taken", "begun", "head known", "head written", "inserted"):
            steps.broken = {name: MemoryError()}
            with pytest.raises(AuditError, match="MemoryError"):
                log.append_wait(entry(name))
            steps.broken = {}
            assert log.get(name) is None
        assert log.append_wait(entry("after")).seq == 2
    assert verify(url, KEY) == []


@pytest.mark.parametrize("replaced", [False, True], ids=["gone", "another one"])
def test_a_file_that_is_deleted_or_replaced_takes_no_more_records_until_it_is_back(sqlite_url, replaced):
    """SQLite would write on into the file that nobody finds any more, and say that all is well."""
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    away = path.with_suffix(".away")
    with AuditLog.open(sqlite_url, KEY) as log:
        log.append_wait(entry("before"))
        path.rename(away)
        if replaced:
            path.write_bytes(away.read_bytes())
        with pytest.raises(AuditError, match="deleted, moved or replaced"):
            log.append_wait(entry("lost"))
        away.replace(path)
        assert log.append_wait(entry("after")).seq == 2
    assert verify(sqlite_url, KEY) == []


def test_records_reach_the_disk_within_the_window(sqlite_url):
    steps = Steps()
    with AuditLog.open(sqlite_url, KEY, window_s=2.0, step=steps) as log:
        for n in range(3):
            log.append_wait(entry(f"r{n}"))
        committed = next(at for name, at in steps.seen if name == "committed" and at)
        deadline = time.monotonic() + 5
        while not steps.count("synced") and time.monotonic() < deadline:
            time.sleep(0.01)
        synced = next(at for name, at in steps.seen if name == "synced")
        assert synced - committed <= 2.0
        assert steps.count("synced") == 1


def test_a_disk_that_does_not_take_the_records_stops_the_log_until_it_does(sqlite_url):
    steps = Steps()
    with AuditLog.open(sqlite_url, KEY, window_s=0.02, step=steps) as log:
        steps.broken = {"syncing": OSError(5, "Input/output error")}
        log.append_wait(entry("a"))
        deadline = time.monotonic() + 5
        while log.writable() and time.monotonic() < deadline:
            time.sleep(0.01)
        with pytest.raises(AuditError, match="Input/output error"):
            log.append_wait(entry("b"))
        assert not log.writable()
        steps.broken = {}
        while not log.writable() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert log.append_wait(entry("c")).seq == 2


def test_without_a_window_each_group_is_synced_before_it_is_acknowledged(sqlite_url):
    steps = Steps()
    with AuditLog.open(sqlite_url, KEY, window_s=0, step=steps) as log:
        log.append_wait(entry("a"))
    assert steps.count("syncing") == 0  # SQLite does it in the commit
    assert verify(sqlite_url, KEY) == []


def test_closing_commits_what_waits_and_refuses_what_comes_later(sqlite_url):
    steps = Steps()
    steps.held = "begun"
    log = AuditLog.open(sqlite_url, KEY, step=steps)
    waiting = [threading.Thread(target=log.append_wait, args=(entry(f"r{n}"),)) for n in range(5)]
    for thread in waiting:
        thread.start()
    while log.depth < 5:
        time.sleep(0.001)
    closing = threading.Thread(target=log.close)
    closing.start()
    steps.release.set()
    closing.join()
    for thread in waiting:
        thread.join()
    with pytest.raises(AuditError, match="closed"):
        log.append_wait(entry("late"))
    log.close()
    reader = Reader.open(sqlite_url)
    assert len(reader.entries()) == 5
    reader.close()


def test_closing_commits_what_a_turn_has_gathered(sqlite_url):
    async def closed_at_once(log: AuditLog) -> Sealed:
        waiting = asyncio.create_task(log.append(entry("a")))
        await asyncio.sleep(0)
        assert log.depth == 1
        log.close()
        return await waiting

    assert asyncio.run(closed_at_once(AuditLog.open(sqlite_url, KEY))).seq == 1
    assert verify(sqlite_url, KEY) == []


def test_only_the_owner_can_read_the_files(sqlite_url):
    with AuditLog.open(sqlite_url, KEY) as log:
        log.append_wait(entry("a"))
        folder = Path(sqlite_url.removeprefix("sqlite:///")).parent
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == dict.fromkeys(("audit.db", "audit.db-wal", "audit.db-shm", "audit.db-head"), 0o600)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "url", ["", "audit.db", "sqlite://", "sqlite:///:memory:", "mysql://host/db", "sqlite:///file:x"]
)
def test_a_url_that_names_no_log_is_refused(url):
    with pytest.raises(ConfigError, match="audit url"):
        AuditLog.open(url, KEY)


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(AuditError, match="cannot be made"):
        AuditLog.open(f"sqlite:///{tmp_path}/file/audit.db", KEY)


def test_no_message_holds_a_password_or_a_body(sqlite_url):
    with pytest.raises(AuditError) as caught:
        AuditLog.open("postgresql://someone:hunter2@127.0.0.1:1/db", KEY)
    assert "hunter2" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)
    with AuditLog.open(sqlite_url, KEY) as log:
        log.append_wait(entry("a"))
        with pytest.raises(AuditError) as caught:
            log.append_wait(entry("a", body={"secret": "hunter2"}))
    assert "hunter2" not in str(caught.value)
