"""Workers: the threads that look, and what becomes of one that does not come back.

Model runtimes and decoders release the interpreter lock, so threads of one process use all cores and share one
session per model. A check that hangs cannot be stopped from outside; its worker is given up and replaced, up to a
limit, so that one poisoned picture does not shrink the pool for everybody after it.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import math
import os
import queue
import sys
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")
_Job = tuple[Future[Any], Callable[[], Any]]
SETTLE_S = 5.0


class Workers:
    """A fixed number of daemon threads that take the smallest job first, and those of one size in order.

    `niceness` lowers their priority (Linux only, per thread), so that pictures never starve the event loop and
    the texts. `spare` is how many workers may be lost to jobs that hang before `healthy` turns False.

    When the program ends, jobs that run are waited for, up to SETTLE_S; those that wait are dropped. A thread inside a
    model runtime that comes back to an interpreter which is gone takes the process down (SIGABRT).
    """

    def __init__(self, name: str, count: int, *, niceness: int = 0, spare: int = 4) -> None:
        self.count = max(1, count)
        self._name = name
        self._niceness = niceness
        self._spare = spare
        self._jobs: queue.PriorityQueue[tuple[float, int, _Job | None]] = queue.PriorityQueue()
        self._numbers = itertools.count()  # tells apart, and keeps in order, what has one size
        self._lock = threading.Lock()
        self._running: set[Future[Any]] = set()
        self._lost: set[Future[Any]] = set()
        self._threads = 0
        self._alive: set[threading.Thread] = set()
        self._closed = False
        atexit.register(_settle, weakref.ref(self))
        for _ in range(self.count):
            self._hire()

    @property
    def depth(self) -> int:
        """Jobs that wait or run."""
        return self._jobs.qsize() + len(self._running)

    @property
    def healthy(self) -> bool:
        """False when more jobs hang than there are spare workers."""
        return len(self._lost) <= self._spare

    @property
    def at_ease(self) -> bool:
        """True while fewer than half of the spare workers are lost: one may be risked on what nobody waits for."""
        return 2 * len(self._lost) < self._spare

    def submit(self, job: Callable[[], T], size: int = 0) -> Future[T]:
        """Queue a job. A future that is cancelled before it runs never runs."""
        future: Future[T] = Future()
        if self._closed:
            raise RuntimeError(f"workers {self._name}: closed")
        self._put(size, (future, job))
        return future

    def _put(self, size: float, job: _Job | None) -> None:
        self._jobs.put((size, next(self._numbers), job))

    def abandon(self, future: Future[Any]) -> None:
        """Give a job up: one that waits is dropped, one that runs loses its worker, which is replaced."""
        if future.cancel() or future.done():
            return
        with self._lock:
            if future not in self._running or future in self._lost:
                return
            self._lost.add(future)
        if self.healthy and not self._closed:
            self._hire()

    def close(self) -> None:
        """Let the workers go once they are done with what waits; hung ones are left behind (they are daemons)."""
        self._closed = True
        for _ in range(self.count):
            self._put(math.inf, None)

    def settle(self, seconds: float) -> None:
        """Take no more jobs, drop those that wait, and wait for those that run."""
        self._closed = True
        with contextlib.suppress(queue.Empty):
            while True:
                *_, item = self._jobs.get_nowait()
                if item is not None:
                    item[0].cancel()
        until = time.monotonic() + seconds
        with self._lock:
            alive = list(self._alive)
        for _ in alive:
            self._put(math.inf, None)
        for thread in alive:
            thread.join(max(0.0, until - time.monotonic()))

    def _hire(self) -> None:
        thread = threading.Thread(target=self._work, name=f"guardrail-{self._name}", daemon=True)
        with self._lock:
            self._threads += 1
            self._alive.add(thread)
        thread.start()

    def _work(self) -> None:
        try:
            self._take()
        finally:
            with self._lock:
                self._alive.discard(threading.current_thread())

    def _take(self) -> None:
        if self._niceness and sys.platform == "linux":
            # Linux gives each thread a priority of its own; the kernel may refuse, and then all are equal as before.
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self._niceness)
        while (item := self._jobs.get()[-1]) is not None:
            future, job = item
            with self._lock:  # in one step: what runs and is not among those that run could not be given up
                if not future.set_running_or_notify_cancel():
                    continue
                self._running.add(future)
            try:
                result = job()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)
            with self._lock:
                self._running.discard(future)
                self._lost.discard(future)
                if self._threads - len(self._lost) > self.count:
                    self._threads -= 1
                    return  # this one was given up, and its place is taken
            del item, future, job


def _settle(workers: weakref.ref[Workers]) -> None:
    found = workers()
    if found is not None:
        found.settle(SETTLE_S)
