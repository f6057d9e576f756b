"""Workers: the server processes of `guardrail serve`, hired, watched and replaced."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext
from typing import Any

RESTART_S = 1.0
LONGEST_RESTART_S = 30.0
WATCH_S = 0.2
WRONG = 2  # the status of a process that cannot be what it is set to be: a setting, a policy, a weight, the record

log = logging.getLogger("guardrail.server")

Work = Callable[[Callable[[], None]], None]
"""What a worker does; it calls what it is given once it takes requests."""


def supervise(work: Work, count: int) -> int:
    """Keep `count` processes at `work` until a signal says to end; returns the exit status of all together.

    One that ends is replaced after RESTART_S, and after twice as long each time that its successor does not come to
    take requests. Where none has ever come to take requests and one ends with status WRONG, all end: what is set is
    wrong, and whoever started them is there to read why. Later, the others serve on as they were set: a record that
    cannot be opened or a policy that was broken meanwhile holds back who starts, and no more.
    """
    context = multiprocessing.get_context("spawn")
    seats = [_Seat(context, work) for _ in range(count)]
    ending = False

    def pass_on(number: int, _frame: Any = None) -> None:
        nonlocal ending
        ending = ending or number != signal.SIGHUP
        for seat in seats:
            # A terminal interrupts the workers too, and who is interrupted twice does not finish what is in flight.
            seat.tell(signal.SIGHUP if number == signal.SIGHUP else signal.SIGTERM)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, pass_on)
    # Blocked while a worker is started, which begins with what is blocked here: a SIGHUP then waits for both.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
    while not ending or any(seat.alive for seat in seats):
        # Of all first: who listens by now must not pass for one who does not, because another ended at that moment.
        ended = [seat.ended() for seat in seats]
        for seat, has_ended in zip(seats, ended, strict=True):
            if not ending and seat.due():
                seat.hire()
                if ending:  # it may not have been among those who were told
                    seat.tell(signal.SIGTERM)
            elif has_ended and not ending:
                if seat.status == WRONG and not any(other.listened for other in seats):
                    pass_on(signal.SIGTERM)
                else:
                    seat.again()
                    others = sum(other.listens for other in seats)
                    fields = {"ended": _said(seat.status), "others": others, "again_in_s": seat.pause_s}
                    log.error("a worker ended and is replaced", extra={"fields": fields})
        _wait(seats)
    return status_of([seat.status for seat in seats])


class _Seat:
    """The place of one worker: the process that has it now, and when the next one may."""

    def __init__(self, context: SpawnContext, work: Work) -> None:
        self._context = context
        self._work = work
        self._worker: Any = None
        self._news: Connection | None = None
        self._due_at: float | None = 0.0
        self._in_vain = 0
        self.pause_s = 0.0
        # Whether one of this seat ever took requests, and whether the one that has it now does.
        self.listened = self.listens = False

    @property
    def alive(self) -> bool:
        return self._worker is not None and bool(self._worker.is_alive())

    @property
    def status(self) -> int | None:
        """How the last one ended; None while it lives."""
        return None if self._worker is None else self._worker.exitcode

    def due(self) -> bool:
        return self._due_at is not None and time.monotonic() >= self._due_at

    def hire(self) -> None:
        self._due_at = None
        self._news, told = self._context.Pipe(duplex=False)
        worker = self._context.Process(target=_begin, args=(self._work, told))
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        try:
            worker.start()
            self._worker = worker
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
            told.close()

    def ended(self) -> bool:
        """Take note of what the worker has come to; True where it has ended, and was not replaced yet."""
        if self._worker is None or self._due_at is not None:
            return False
        alive = self.alive
        if self._news is not None and self._news.poll():
            with contextlib.suppress(EOFError):
                self._news.recv_bytes()
                self.listened = self.listens = True
                self._in_vain = 0
            self._news.close()
            self._news = None
        self.listens = self.listens and alive
        return not alive

    def again(self) -> None:
        """Have the worker replaced, later each time."""
        self.pause_s = min(LONGEST_RESTART_S, RESTART_S * 2**self._in_vain)
        self._in_vain = min(self._in_vain + 1, 10)
        self._due_at = time.monotonic() + self.pause_s

    def tell(self, number: int) -> None:
        if self.alive:
            with contextlib.suppress(ProcessLookupError):  # it ended by itself meanwhile
                os.kill(self._worker.pid, number)

    @property
    def sentinel(self) -> int | None:
        return int(self._worker.sentinel) if self.alive else None


def _begin(work: Work, told: Connection) -> None:
    def listening() -> None:
        with contextlib.suppress(OSError):  # the supervisor is gone: there is nobody to tell
            told.send_bytes(b"listening")

    threading.Thread(target=_end_with_parent, name="guardrail-parent", daemon=True).start()
    work(listening)


def _end_with_parent() -> None:
    """A worker whose supervisor was killed would keep the port, and nobody would replace or reload it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _said(status: int | None) -> str:
    if status is None or status >= 0:
        return f"status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"


def _wait(seats: Sequence[_Seat]) -> None:
    """Until a worker ends or a signal comes, at most WATCH_S."""
    waiting = [sentinel for seat in seats if (sentinel := seat.sentinel) is not None]
    if waiting:
        multiprocessing.connection.wait(waiting, WATCH_S)
    else:
        time.sleep(WATCH_S)


def status_of(codes: Sequence[int | None]) -> int:
    """Exit status of all workers together: 2 where one was set wrongly, 1 where one broke, else 0.

    A worker that was told to end before it listened for that died of the signal, which is as it should be.
    """
    if WRONG in codes:
        return WRONG
    orderly = {0, None, -signal.SIGTERM, -signal.SIGINT}
    return int(any(code not in orderly for code in codes))
