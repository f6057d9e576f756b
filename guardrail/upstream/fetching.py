"""Several files at once: side by side, and no more bytes in all than there is room for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import TypeVar

from guardrail.errors import BadRequest
from guardrail.upstream.dialect import Fetched

K = TypeVar("K", bound=Hashable)


async def fetch_all(wanted: Mapping[K, Callable[[], Awaitable[Fetched]]], most: int) -> dict[K, Fetched]:
    """Get every file. `most` are the bytes of all of them: what is still on its way when there are more is dropped.

    Raises what getting one raises, and BadRequest (413) where there are more bytes.
    """
    if not wanted:
        return {}
    size = 0

    async def one(get: Callable[[], Awaitable[Fetched]]) -> Fetched:
        nonlocal size
        found = await get()
        size += len(found.data)
        if size > most:
            raise BadRequest(
                f"the pictures given by reference have more than {most} bytes in all",
                status=413,
                code="image_too_large",
            )
        return found

    tasks = {key: asyncio.ensure_future(one(get)) for key, get in wanted.items()}
    try:
        await asyncio.gather(*tasks.values())
    finally:
        for task in tasks.values():
            task.cancel()
    return {key: task.result() for key, task in tasks.items()}
