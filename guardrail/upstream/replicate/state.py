"""What one Replicate dialect remembers and holds: its limits and rules, jobs, files, refusals and keys."""

from __future__ import annotations

from dataclasses import dataclass, field

from guardrail.upstream.jobs.inputs import Rules
from guardrail.upstream.jobs.known import Jobs
from guardrail.upstream.jobs.seal import Seal
from guardrail.upstream.jobs.shelf import Shelf
from guardrail.upstream.limits import Limits
from guardrail.upstream.memory import Memory

# The state of a call: the caller's address of the mount, the id of the job, what is said of it, and its webhooks.
PUBLIC, JOB_ID, NAMED, ROUTE, HOOKS = "public", "job", "named", "route", "hooks"


@dataclass(repr=False)
class State:
    """`streams` are the origins that addresses of streams may have, besides Replicate's own; `hooks` is the address of
    the mount that the generator can call, empty where the operator has not said. `key` signs what is handed on.
    `wait_s` is how long news waits for the answer that says which job it is of: it may come first."""

    limits: Limits
    rules: Rules
    seal: Seal
    key: bytes
    hooks: str = ""
    wait_s: float = 10.0
    streams: frozenset[str] = frozenset()
    shelf: Shelf = field(init=False)
    jobs: Jobs = field(default_factory=Jobs)
    files: Memory[bytes] = field(default_factory=lambda: Memory(entries=4096, size=256_000_000, age_s=86_400.0))
    refused: Memory[str] = field(default_factory=lambda: Memory(entries=16_384, size=16_000_000))
    secrets: Memory[str] = field(default_factory=lambda: Memory(entries=4096, size=1_000_000))

    def __post_init__(self) -> None:
        self.shelf = Shelf(self.seal)
