"""Patience with a database server: one that takes what is sent and never answers is given up.

A paused machine or a frozen process keeps its connections: its kernel goes on confirming what arrives, so neither the
server's own limits nor those of TCP end the wait, and a driver waits for ever.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

LOOK_S = 0.5


class Patience:
    """Cuts a connection that has been waited on for longer than `limit_s`, so that its driver says that it is lost.

    For one wait at a time: who shares it takes turns.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._door = threading.Lock()
        self._waited: tuple[int, float] | None = None
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self.ran_out = False
        """Whether the last wait was cut short."""

    @contextmanager
    def waiting(self, fileno: int) -> Iterator[None]:
        """Around whatever waits for the socket of this number, which stays open until after it."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="guardrail-audit-patience", daemon=True)
            self._thread.start()
        with self._door:
            self.ran_out = False
            self._waited = (fileno, time.monotonic() + self._limit_s)
        try:
            yield
        finally:
            # The number may be another file's from here on.
            with self._door:
                self._waited = None

    def close(self) -> None:
        """End the thread that looks."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join(2 * LOOK_S)

    def _run(self) -> None:
        while not self._closed.wait(min(LOOK_S, self._limit_s / 4)):
            with self._door:
                if self._waited is not None and time.monotonic() > self._waited[1] and not self.ran_out:
                    self.ran_out = True
                    _cut(self._waited[0])


def _cut(fileno: int) -> None:
    try:
        with socket.socket(fileno=os.dup(fileno)) as line:
            line.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it is gone already, which whoever waits for it hears too
