"""What one fal dialect remembers and holds: its limits and rules, hosts, jobs and keys."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from guardrail.upstream.jobs.inputs import Rules
from guardrail.upstream.jobs.known import Jobs
from guardrail.upstream.jobs.seal import Seal
from guardrail.upstream.jobs.shelf import Shelf
from guardrail.upstream.limits import Limits
from guardrail.upstream.memory import Memory

# The state of a call: the caller's address of the mount, the id of the request in the queue, and its webhook.
PUBLIC, JOB_ID, ROUTE, HOOKS = "public", "job", "route", "hooks"


@dataclass(repr=False)
class State:
    """`queue` is the origin of the queue, `jwks` where fal's signing keys are; `hooks` is the address of the mount that
    fal can call, empty where the operator has not said; `signer` signs what is handed on. `judge_unknown` says that a
    result whose request is not known is judged by itself instead of refused; `wait_s` is how long news waits for the
    answer that says which request it is of: it may come first."""

    limits: Limits
    rules: Rules
    seal: Seal
    signer: Ed25519PrivateKey
    queue: str
    jwks: str
    hooks: str = ""
    wait_s: float = 10.0
    judge_unknown: bool = False
    shelf: Shelf = field(init=False)
    jobs: Jobs = field(default_factory=Jobs)
    keys: Memory[tuple[bytes, ...]] = field(default_factory=lambda: Memory(entries=1, age_s=3600.0))

    def __post_init__(self) -> None:
        self.shelf = Shelf(self.seal)
