"""Time that grows with a text: what strangers send may be long, and must not be slow for what it is."""

from __future__ import annotations

import time
from collections.abc import Callable


def assert_linear(read: Callable[[str], object], text: str) -> None:
    """`read` takes at most 3 times as long for a character of `text` as for one of its first quarter.

    The best of a few counts: others may share the cores.
    """

    def took(part: str) -> float:
        started = time.process_time()
        read(part)
        return time.process_time() - started

    quarter = min(took(text[: len(text) // 4]) for _ in range(3))
    assert min(took(text) for _ in range(3)) <= 3 * 4 * quarter + 0.02
