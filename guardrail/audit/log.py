"""The log: entries go in from any thread or event loop, and are acknowledged once they are committed.

What one turn of an event loop hands in is committed by that loop itself, as one group: a small write to SQLite takes
0.05 ms, handing it to a thread and back four times that. Whatever would make the loop wait goes to the writer
thread, which takes all that waits and commits it as one group: a large group, entries of threads, a server's log, a
log that somebody else is writing to, a disk that is late.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, Protocol, TypeVar

from guardrail.audit.chain import check_key
from guardrail.audit.database import file_of, parse
from guardrail.audit.entry import Entry, Record, Row, Sealed, to_row
from guardrail.audit.read import Reader
from guardrail.audit.store import Busy, Duplicate, Step, Store
from guardrail.audit.sync import WalSyncer
from guardrail.errors import AuditError

if sys.platform == "linux":
    from resource import RUSAGE_THREAD, getrusage

# A write this recent is proof enough that the log can be written; the probe need not write another.
FRESH_S = 1.0
# What an event loop writes itself, at most: rows, and bytes of their bodies. About 1 ms.
SPOT_ROWS = 64
SPOT_BYTES = 256 << 10
# An event loop that writes held up twice for longer than SLOW_S each leaves the writing to the thread for SPARED times
# as long, so that slow writes never take more than a twentieth of its time. Once is no sign of a slow disk: the core
# may have gone to somebody else meanwhile, and the thread costs several times as much. It is twice when the second
# comes within SPARED times the first, and the loop waited for something in it, which one whose core was taken did not.
SLOW_S = 0.005
SPARED = 20


log = logging.getLogger("guardrail.audit")

T = TypeVar("T")


def _waits() -> int | None:
    """How often this thread has let go of its core to wait for something; None where the system does not count."""
    if sys.platform != "linux":
        return None
    return getrusage(RUSAGE_THREAD).ru_nvcsw or None  # an event loop has waited before


class _Settle(Protocol):
    """A future of asyncio or of threads."""

    def done(self) -> bool: ...
    def set_result(self, result: Any, /) -> None: ...
    def set_exception(self, exception: Any, /) -> None: ...


class _Waiting(NamedTuple):
    row: Row
    future: _Settle
    loop: asyncio.AbstractEventLoop | None


_Outcome = tuple[_Settle, Sealed | AuditError]


class AuditLog:
    """An append-only, hash-chained log. Safe to share between threads and event loops; one per process is enough.

    Other processes may append to the same log at the same time.
    """

    def __init__(
        self,
        store: Store,
        reader: Reader,
        syncer: WalSyncer | None,
        *,
        max_rows: int,
        queue_rows: int,
        step: Step,
        clock: Callable[[], float],
        waits: Callable[[], int | None],
    ) -> None:
        self._store = store
        self._reader = reader
        self._syncer = syncer
        self._max_rows = max_rows
        self._queue_rows = queue_rows
        self._step = step
        self._clock = clock
        self._waits = waits
        # What waits, in order: entries, probes, and None as the last of all. The queue of C costs a tenth of a
        # Condition and a deque.
        self._queue: SimpleQueue[_Waiting | Future[bool] | None] = SimpleQueue()
        self._in_hand = 0
        # What each event loop has gathered in this turn.
        self._gathered: dict[asyncio.AbstractEventLoop, list[_Waiting]] = {}
        self._spared_until = self._watched_until = float("-inf")
        self._held_up_s = 0.0
        self._door = threading.Lock()
        self._closed = False
        self._written_at = float("-inf")
        self._told = False
        self._thread = threading.Thread(target=self._run, name="guardrail-audit-write", daemon=True)
        self._thread.start()

    @classmethod
    def open(
        cls,
        url: str,
        key: bytes,
        *,
        window_s: float = 0.05,
        max_rows: int = 1000,
        queue_rows: int = 10_000,
        step: Step = lambda name: None,
        clock: Callable[[], float] = time.monotonic,
        waits: Callable[[], int | None] = _waits,
    ) -> AuditLog:
        """Open the log at `url` (`sqlite:///FILE` or `postgresql://...`), making or migrating its tables.

        `key` signs it: at least 32 bytes, the same for as long as the log lives. `window_s` is how long after a
        commit SQLite's records reach the disk, so what a power cut can take; 0 syncs each group before it is
        acknowledged. `max_rows` bounds a group, `queue_rows` the entries that wait. `step` is told each step of the
        writing; tests stop there. `clock` (seconds) says how long an event loop was held up, `waits` how
        often its thread has waited for something.

        Raises ConfigError when the URL or key is wrong, or the log was written by a newer version; AuditError when
        it cannot be opened, of which Unfit when its file is broken, its head was not signed with this key, or the head
        kept beside it names records that are not there. Where that head is gone or unreadable, the log is opened, and
        an event of it says so.
        """
        place = parse(url)
        check_key(key)
        store = Store.open(place, key, full_sync=window_s <= 0, step=step)
        path = file_of(place)
        syncer = (
            WalSyncer(path, window_s, step, tip=lambda: store.tip, keep=store.keep)
            if path is not None and window_s > 0
            else None
        )
        opened = cls(
            store,
            Reader(place),
            syncer,
            max_rows=max_rows,
            queue_rows=queue_rows,
            step=step,
            clock=clock,
            waits=waits,
        )
        if store.unkept:
            # Not a reason to stand still: a copy that was put back has none. But not silently either.
            body = {"file": "the head kept beside the log", "why": store.unkept}
            opened.append_wait(Entry("event", f"head-{secrets.token_hex(8)}", time.time(), "*", "head-unknown", body))
        return opened

    async def append(self, entry: Entry) -> Sealed:
        """Put an entry on record; returns when it is committed.

        Raises AuditError when the entry is not one, when too many wait, or when it could not be written; then it is
        not on record, except when a PostgreSQL server was lost during the commit itself. Cancelling the call does
        not take the entry back.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Sealed] = loop.create_future()
        waiting = _Waiting(to_row(entry), future, loop)
        if self._syncer is None or self._queue.qsize() or self._clock() < self._spared_until:
            self._put(waiting)
        else:
            self._gather(waiting, loop)
        return await future

    def append_wait(self, entry: Entry, timeout_s: float | None = 30.0) -> Sealed:
        """`append` for a thread: blocks until the entry is committed, for at most `timeout_s`. Raises AuditError."""
        future: Future[Sealed] = Future()
        self._put(_Waiting(to_row(entry), future, None))
        try:
            return future.result(timeout_s)
        except TimeoutError:
            raise AuditError(f"audit log: entry {entry.id} was not committed within {timeout_s:g} s") from None

    def writable(self, timeout_s: float = 1.0) -> bool:
        """Whether the log can be written now: true after a write within the last second, else one is tried.

        The try goes through the writer, so a writer that hangs or has a full queue reads as not writable, and so does
        a disk that is late and does not catch up. Blocks for at most `timeout_s`; usually about a millisecond.
        """
        until = time.monotonic() + timeout_s
        try:
            if self._syncer is not None:
                self._syncer.wait(timeout_s)
        except AuditError:
            return False
        probe: Future[bool] = Future()
        with self._door:
            if self._closed or self.depth >= self._queue_rows:
                return False
            if time.monotonic() - self._written_at < FRESH_S:
                return True
            self._queue.put(probe)
        try:
            return probe.result(max(0.0, until - time.monotonic()))
        except TimeoutError:
            return False

    @property
    def depth(self) -> int:
        """How many entries wait for their commit."""
        gathered = sum(map(len, tuple(self._gathered.values())))
        return self._queue.qsize() + self._in_hand + gathered

    @property
    def reader(self) -> Reader:
        """The reading side in full: rulings, long walks, the head. Ends with the log."""
        return self._reader

    def get(self, entry_id: str) -> Record | None:
        """The record of this id, None when there is none. Raises AuditError when the log cannot be read."""
        return self._reader.get(entry_id)

    def entries(self, **filters: Any) -> list[Record]:
        """The newest records that fit, newest first; see `Reader.entries` for the filters."""
        return self._reader.entries(**filters)

    def close(self, timeout_s: float = 10.0) -> None:
        """Commit and sync what waits, then end the threads. Entries that come later are refused."""
        with self._door:
            if self._closed:
                return
            self._closed = True
            for waiting in (one for group in self._gathered.values() for one in group):
                self._queue.put(waiting)
            self._gathered.clear()
            self._queue.put(None)
        self._thread.join(timeout_s)
        if self._syncer is not None:
            self._syncer.close(timeout_s)
        self._reader.close()
        if self._thread.is_alive():
            return  # stuck in the database: the daemon thread ends with the process, its entries unacknowledged
        self._store.close()

    def __enter__(self) -> AuditLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _put(self, waiting: _Waiting) -> None:
        # The door is held so that nothing is queued behind the None that ends the writer.
        with self._door:
            if self._closed:
                raise AuditError("audit log: it is closed; nothing is taken on record any more")
            if self._queue.qsize() >= self._queue_rows:
                raise AuditError(f"audit log: {self._queue_rows} entries wait already; is the disk or server slow?")
            self._queue.put(waiting)

    def _gather(self, waiting: _Waiting, loop: asyncio.AbstractEventLoop) -> None:
        with self._door:
            if self._closed:
                raise AuditError("audit log: it is closed; nothing is taken on record any more")
            group = self._gathered.get(loop)
            if group is None:
                self._gathered[loop] = group = []
                loop.call_soon(self._on_the_spot, loop)
            group.append(waiting)

    def _on_the_spot(self, loop: asyncio.AbstractEventLoop) -> None:
        """Commit what this turn of the loop has gathered; what would have to wait is left to the writer thread."""
        with self._door:
            group = self._gathered.pop(loop, None)
        if group is None:
            return  # the log was closed meanwhile, and writes it by the way out
        began = self._clock()
        watched = began < self._watched_until
        waited = self._waits() if watched else None
        if not self._quick(group) or not self._written_by_loop(group):
            for waiting in group:
                try:
                    self._put(waiting)
                except AuditError as error:
                    _tell(waiting.future, error)
        now = self._clock()
        if now - began > SLOW_S and (waited is None or self._waits() != waited):
            self._held_up(began, now)

    def _held_up(self, began: float, now: float) -> None:
        """A write took the loop from `began` to `now`, which is long."""
        again = began < self._watched_until
        self._held_up_s = now - began + (self._held_up_s if again else 0.0)
        until = now + self._held_up_s * SPARED
        if again:
            self._spared_until, self._watched_until = until, float("-inf")
        else:
            self._watched_until = until

    def _quick(self, group: Sequence[_Waiting]) -> bool:
        """Whether writing this group keeps nobody waiting."""
        if self._syncer is None or self._syncer.failed or len(group) > SPOT_ROWS:
            return False
        size = 0
        for waiting in group:
            size += len(waiting.row.body)
        return size <= SPOT_BYTES

    def _written_by_loop(self, group: Sequence[_Waiting]) -> bool:
        try:
            self._step("taken")
            sealed = self._store.write([waiting.row for waiting in group], wait=False)
        except Exception as fault:
            if isinstance(fault, Busy) or (isinstance(fault, Duplicate) and len(group) > 1):
                return False
            error = _told(fault)
            self._failed(error)
            for waiting in group:
                _tell(waiting.future, error)
        else:
            self._committed()
            for waiting, one in zip(group, sealed, strict=True):
                _tell(waiting.future, one)
        self._step("acknowledged")
        return True

    def _run(self) -> None:
        ended = False
        while not ended:
            taken = self._take()
            group = [item for item in taken if isinstance(item, _Waiting)]
            self._in_hand = len(group)
            if group:
                outcomes = self._write(group)
                self._in_hand = 0
                self._settle(group, outcomes)
            for item in taken:
                if isinstance(item, Future):
                    item.set_result(self._probe())
            ended = taken[-1] is None

    def _take(self) -> list[_Waiting | Future[bool] | None]:
        """Wait for something, then take all that is there, up to `max_rows`."""
        taken = [self._queue.get()]
        try:
            while len(taken) < self._max_rows:
                taken.append(self._queue.get_nowait())
        except Empty:
            pass
        return taken

    def _write(self, group: Sequence[_Waiting]) -> Sequence[Sealed | AuditError]:
        outcome = self._guarded(lambda: self._store.write([waiting.row for waiting in group]))
        if not isinstance(outcome, AuditError):
            self._committed()
            return outcome
        self._failed(outcome)
        if isinstance(outcome, Duplicate) and len(group) > 1:
            # One bad entry must not refuse its neighbours: each by itself, then.
            return [self._write([waiting])[0] for waiting in group]
        return [outcome] * len(group)

    def _guarded(self, work: Callable[[], T]) -> T | AuditError:
        try:
            self._step("taken")
            if self._syncer is not None:
                self._syncer.wait()
            return work()
        except Exception as fault:
            return _told(fault)

    def _probe(self) -> bool:
        if time.monotonic() - self._written_at < FRESH_S:
            return True
        outcome = self._guarded(self._store.touch)
        if isinstance(outcome, AuditError):
            self._failed(outcome)
            return False
        self._committed()
        return True

    def _failed(self, error: AuditError) -> None:
        """Say once that records cannot be written, and why; `_committed` says when they can again."""
        self._written_at = float("-inf")
        if not self._told and not isinstance(error, Duplicate):
            self._told = True
            log.error("records cannot be written", extra={"fields": {"why": str(error)}})

    def _committed(self) -> None:
        self._written_at = time.monotonic()
        if self._told:
            self._told = False
            log.warning("records are written again")
        if self._syncer is not None:
            self._syncer.committed()

    def _settle(self, group: Sequence[_Waiting], outcomes: Sequence[Sealed | AuditError]) -> None:
        by_loop: dict[asyncio.AbstractEventLoop, list[_Outcome]] = {}
        for waiting, outcome in zip(group, outcomes, strict=True):
            if waiting.loop is None:
                _tell(waiting.future, outcome)
            else:
                by_loop.setdefault(waiting.loop, []).append((waiting.future, outcome))
        for loop, told in by_loop.items():
            try:
                loop.call_soon_threadsafe(_tell_each, told)
            except RuntimeError:
                continue  # the loop has ended, and with it whoever waited
        self._step("acknowledged")


def _told(fault: Exception) -> AuditError:
    """What those who wait are told: a writer must outlive whatever a driver throws, and acknowledges nobody then."""
    if isinstance(fault, AuditError):
        return fault
    return AuditError(f"audit log cannot be written: {type(fault).__name__}")


def _tell(future: _Settle, outcome: Sealed | AuditError) -> None:
    if future.done():
        return  # cancelled: the caller went away
    if isinstance(outcome, AuditError):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


def _tell_each(told: Sequence[_Outcome]) -> None:
    for future, outcome in told:
        _tell(future, outcome)
