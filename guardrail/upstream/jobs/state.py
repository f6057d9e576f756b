"""What every dialect of jobs remembers and holds: the operator's limits and rules, jobs, pictures and seals."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from guardrail.upstream.dialect import Headers, Setup
from guardrail.upstream.jobs.inputs import TEXTS, Rules
from guardrail.upstream.jobs.known import Jobs
from guardrail.upstream.jobs.seal import Seal
from guardrail.upstream.jobs.shelf import Shelf
from guardrail.upstream.limits import Limits

# The state of a call: the caller's address of the mount, the id of the job, and its webhooks.
PUBLIC, JOB_ID, ROUTE, HOOKS = "public", "job", "route", "hooks"


@dataclass(repr=False)
class JobState:
    """`name` is the dialect's. `hooks` is the address of the mount that the generator can call, empty where the
    operator has not said; `wait_s` is how long news waits for the answer that says which job it is of: it may come
    first.

    Raises ConfigError for rules that are none.
    """

    setup: Setup
    name: str
    wait_s: float = field(default=10.0, kw_only=True)
    limits: Limits = field(init=False)
    rules: Rules = field(init=False)
    seal: Seal = field(init=False)
    hooks: str = field(init=False)
    shelf: Shelf = field(init=False)
    jobs: Jobs = field(init=False, default_factory=Jobs)

    def __post_init__(self) -> None:
        limits, public = self.setup.limits, self.setup.public_url
        self.limits = replace(limits, texts=max(limits.texts, TEXTS))
        self.rules = Rules.of(self.setup.options, self.name)
        self.seal = Seal(self.key("addresses"))
        self.hooks = public if public.startswith("https://") else ""
        self.shelf = Shelf(self.seal)

    def key(self, purpose: str) -> bytes | None:
        """The key of this dialect for a purpose, which processes of one guard share; None where there is none."""
        return self.setup.key(f"{self.name} {purpose}") if self.setup.key is not None else None

    def public(self, headers: Headers) -> str:
        """The address of the mount as the caller reaches it."""
        return self.setup.public(headers)
