"""Jobs that are known: what was asked for, by the id that the generator gave."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from guardrail.types import Request
from guardrail.upstream.memory import Memory, afresh

_STEP_S = 0.1


@dataclass(frozen=True, repr=False)
class Job:
    """A job: what was asked for, and words that its answers are told in (the model, say).

    `begun` says that it was begun through this process, so that whose it is, is known: `request.tenant`. `hooks` are
    the words of the addresses that the generator was given for it.
    """

    request: Request
    named: Mapping[str, str] = field(default_factory=dict)
    begun: bool = True
    hooks: frozenset[str] = frozenset()

    @property
    def size(self) -> int:
        """Bytes that it holds, roughly: characters count as one."""
        return sum(len(one.data or one.text or "") for one in self.request.artifacts)


class Jobs:
    """The jobs of one process. What it has forgotten, or another process began, is not known."""

    def __init__(self, memory: Memory[Job] | None = None) -> None:
        # A day: a queue may be long. The oldest go first when there are too many.
        self._kept = Memory(entries=16_384, size=256_000_000, age_s=86_400.0) if memory is None else memory

    def put(self, job_id: str, job: Job) -> None:
        self._kept.put(job_id, replace(job, request=afresh(job.request)), job.size)

    def get(self, job_id: str) -> Job | None:
        found = self._kept.get(job_id)
        return None if found is None else replace(found, request=afresh(found.request))

    async def wait(self, job_id: str, seconds: float) -> Job | None:
        """The job, once it is known to be begun here: news of it may come before the generator has answered."""
        for _ in range(int(seconds / _STEP_S)):
            found = self.get(job_id)
            if found is not None and found.begun:
                return found
            await asyncio.sleep(_STEP_S)
        found = self.get(job_id)
        return found if found is not None and found.begun else None
