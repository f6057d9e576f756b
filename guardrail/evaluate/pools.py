"""Pools: chunks of rows in, what was seen of them out, in the same order, never more than a few chunks at a time."""

from __future__ import annotations

import multiprocessing
import queue
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any, Protocol

from guardrail.errors import ConfigError, GuardrailError
from guardrail.evaluate.judging import About, Judge, Seen
from guardrail.evaluate.rows import Row

Chunk = Sequence[Row]
Open = Callable[[], Judge]
"""Makes a judge; must be picklable where the pool has processes of its own."""

END_S = 10.0


class Pool(Protocol):
    """Where rows are judged."""

    @property
    def about(self) -> About: ...
    def map(self, chunks: Iterable[Chunk]) -> Iterator[list[Seen]]: ...
    def close(self) -> None: ...


class Threads:
    """One judge in this process, asked by `count` threads: for a judge that mostly waits, and for tests."""

    def __init__(self, judge: Judge, count: int = 1) -> None:
        self._judge = judge
        self.about = judge.about
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="guardrail-judge")
        self._count = count

    def map(self, chunks: Iterable[Chunk]) -> Iterator[list[Seen]]:
        return _in_order(self._threads, self._judge.judge, chunks, self._count)

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)


class Processes:
    """A judge in each of `count` processes: reading a prompt is Python for the most part, and one process has one core.

    A process whose parent is gone finds its pipe closed and ends.
    """

    def __init__(self, open_judge: Open, count: int) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._free: queue.SimpleQueue[Connection] = queue.SimpleQueue()
        self._processes = []
        connections = []
        for number in range(count):
            ours, theirs = spawn.Pipe()
            process = spawn.Process(
                target=_serve, args=(theirs, open_judge), name=f"guardrail-judge-{number}", daemon=True
            )
            process.start()
            theirs.close()
            self._processes.append(process)
            connections.append(ours)
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="guardrail-judge")
        for connection in connections:
            self.about: About = _received(connection)
            self._free.put(connection)
        self._count = count

    def map(self, chunks: Iterable[Chunk]) -> Iterator[list[Seen]]:
        return _in_order(self._threads, self._ask, chunks, self._count)

    def _ask(self, rows: Chunk) -> list[Seen]:
        connection = self._free.get()
        try:
            connection.send(list(rows))
            seen: list[Seen] = _received(connection)
            return seen
        except OSError:
            raise ConfigError("a process that judges ended; too little memory? try --workers 1") from None
        finally:
            self._free.put(connection)

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)
        while not self._free.empty():
            self._free.get().close()
        for process in self._processes:
            process.join(END_S)
            if process.is_alive():
                process.kill()


def _serve(connection: Connection, open_judge: Open) -> None:
    """The life of a process that judges: open, say what with, then answer chunk by chunk until the pipe closes."""
    try:
        judge = open_judge()
        connection.send(judge.about)
    except Exception as error:
        connection.send(error if isinstance(error, GuardrailError) else _unforeseen(error))
        return
    while True:
        try:
            rows = connection.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            answer: object = judge.judge(rows)
        except Exception as error:
            answer = error if isinstance(error, GuardrailError) else _unforeseen(error)
        try:
            connection.send(answer)
        except OSError:
            return


def _unforeseen(error: Exception) -> ConfigError:
    # Not its message, which may quote the row.
    return ConfigError(f"a process that judges failed with {type(error).__name__}")


def _received(connection: Connection) -> Any:
    try:
        told = connection.recv()
    except EOFError:
        raise ConfigError(
            "a process that judges ended before it answered; too little memory? try --workers 1"
        ) from None
    if isinstance(told, Exception):
        raise told
    return told


def _in_order(
    threads: ThreadPoolExecutor, ask: Callable[[Chunk], list[Seen]], chunks: Iterable[Chunk], width: int
) -> Iterator[list[Seen]]:
    waiting: deque[Future[list[Seen]]] = deque()
    for chunk in chunks:
        waiting.append(threads.submit(ask, chunk) if chunk else _nothing())
        if len(waiting) > 2 * width:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _nothing() -> Future[list[Seen]]:
    done: Future[list[Seen]] = Future()
    done.set_result([])
    return done
