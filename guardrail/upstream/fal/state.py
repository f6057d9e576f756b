"""What one fal dialect remembers and holds beside what every dialect of jobs does: hosts and keys."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from guardrail.upstream.jobs.state import JobState
from guardrail.upstream.memory import Memory


@dataclass(repr=False)
class State(JobState):
    """`queue` is the origin of the queue, `jwks` where fal's signing keys are; `signer` signs what is handed on.
    `judge_unknown` says that a result whose request is not known is judged by itself instead of refused."""

    queue: str
    jwks: str
    judge_unknown: bool = False
    signer: Ed25519PrivateKey = field(init=False)
    keys: Memory[tuple[bytes, ...]] = field(default_factory=lambda: Memory(entries=1, age_s=3600.0))

    def __post_init__(self) -> None:
        super().__post_init__()
        self.signer = Ed25519PrivateKey.from_private_bytes(self.key("webhooks") or secrets.token_bytes(32))
