"""Time that strangers' input may take: of this thread, without the collector, the best of a few.

A core is shared with other processes, a process with the threads of the tests before; neither is the code's doing.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable


def best_s(work: Callable[[], object], times: int = 3) -> float:
    """The least CPU time in seconds that this thread took for `work`, of `times` runs."""
    took = []
    collects = gc.isenabled()
    gc.disable()  # as timeit does: a collection is paid for what all tests left behind
    try:
        for _ in range(times):
            began = time.thread_time()
            work()
            took.append(time.thread_time() - began)
    finally:
        if collects:
            gc.enable()
    return min(took)


def assert_linear(read: Callable[[str], object], text: str) -> None:
    """`read` takes at most 3 times as long for a character of `text` as for one of its first quarter."""
    quarter = text[: len(text) // 4]
    assert best_s(lambda: read(text)) <= 3 * 4 * best_s(lambda: read(quarter)) + 0.02
