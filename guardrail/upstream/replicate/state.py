"""What one Replicate dialect remembers and holds beside what every dialect of jobs does: files, refusals and keys."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from guardrail.upstream.jobs.state import JobState
from guardrail.upstream.memory import Memory

# The state of a call: what is said of the prediction.
NAMED = "named"


@dataclass(repr=False)
class State(JobState):
    """`streams` are the origins that addresses of streams may have, besides Replicate's own. `signing` is the key by
    which what is handed on is signed."""

    streams: frozenset[str] = frozenset()
    signing: bytes = field(init=False)
    files: Memory[bytes] = field(default_factory=lambda: Memory(entries=4096, size=256_000_000, age_s=86_400.0))
    refused: Memory[str] = field(default_factory=lambda: Memory(entries=16_384, size=16_000_000))
    secrets: Memory[str] = field(default_factory=lambda: Memory(entries=4096, size=1_000_000))

    def __post_init__(self) -> None:
        super().__post_init__()
        self.signing = self.key("webhooks") or secrets.token_bytes(32)
