"""Memory: what a dialect must remember of one call for the next, bounded by number, size and age.

A job is asked for in one call and fetched in another; a picture is uploaded in one and used in the next. What was
forgotten is unknown, and the dialect refuses what it would have needed it for.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Generic, TypeVar

from guardrail.types import Artifact, Request

T = TypeVar("T")


def afresh(request: Request) -> Request:
    """The same request with pictures of its own.

    Whatever is judged holds what checks work out of it (frames, faces: a thousand times the file at worst), and what
    is remembered must not: neither what is put away nor what is taken out.
    """
    inputs = tuple(Artifact(one.kind, one.slot, data=one.data or b"") for one in request.inputs)
    return replace(request, inputs=inputs)


class Memory(Generic[T]):
    """Remembers values by key; the oldest go first. For one event loop, and for one process: others do not see it.

    `entries` and `size` (bytes, as told with each value) bound it; nothing is kept longer than `age_s`.
    """

    def __init__(
        self,
        *,
        entries: int = 4096,
        size: int = 256_000_000,
        age_s: float = 3600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = entries
        self._room = size
        self._age_s = age_s
        self._clock = clock
        self._size = 0
        self._kept: OrderedDict[Hashable, tuple[float, int, T]] = OrderedDict()

    def put(self, key: Hashable, value: T, size: int = 0) -> None:
        """Remember `value`, in place of what was known under `key`; one larger than all the room is not kept."""
        self.forget(key)
        if size > self._room:
            return
        self._kept[key] = (self._clock(), size, value)
        self._size += size
        while self._kept and (len(self._kept) > self._most or self._size > self._room):
            self.forget(next(iter(self._kept)))

    def get(self, key: Hashable) -> T | None:
        """What is remembered under `key`; None when nothing is, or when it is too old."""
        self._expire()
        found = self._kept.get(key)
        return None if found is None else found[2]

    def forget(self, key: Hashable) -> None:
        found = self._kept.pop(key, None)
        if found is not None:
            self._size -= found[1]

    def __len__(self) -> int:
        self._expire()
        return len(self._kept)

    def _expire(self) -> None:
        oldest = self._clock() - self._age_s
        while self._kept:
            key, (since, _, _) = next(iter(self._kept.items()))
            if since >= oldest:
                return
            self.forget(key)
