"""The gate before one generator: how many calls it gets at once, whether it answers at all, and who may try again.

After some failures in a row the gate opens the circuit: callers are told at once to come back later, instead of
waiting for a generator that is down. When the pause is over calls go through again, and the first failure opens it
anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Literal, get_args

from guardrail.errors import Overloaded, UpstreamError

# A tenth of all reads may be tried again, and a few more after a quiet time: a generator that is down is not asked
# many times over because it is down.
BUDGET = 0.1
MOST_BUDGET = 10.0


Trouble = Literal[
    "unreachable",
    "timeout",
    "cut",
    "tls",
    "redirect",
    "too_large",
    "bad_answer",
    "reference",  # it points at a picture that cannot be had
    "open",  # not asked, because it had not answered
    "pictures",  # on a route that is passed on unjudged
]
TROUBLES: tuple[Trouble, ...] = get_args(Trouble)


class UpstreamFault(UpstreamError):
    """An answer that did not come; `kind` is the word for metrics and records."""

    def __init__(self, kind: Trouble, message: str, *, status: int = 502, retry_after_s: float | None = None) -> None:
        super().__init__(message, status=status)
        self.kind = kind
        self.retry_after_s = retry_after_s


class Gate:
    """Counts calls to one generator on one event loop.

    `concurrency` is the most calls in flight, None for no limit of its own. `failures` in a row open the circuit for
    `pause_s`; a failure is a connection or an answer that did not come. An error that the generator answers with is
    none: its callers cause those too.
    """

    def __init__(
        self,
        name: str,
        *,
        concurrency: int | None = None,
        failures: int = 5,
        pause_s: float = 15.0,
        retry_after_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.in_flight = 0
        self.failed = 0
        self.answered = 0
        self.retried = 0
        self.last_fault: str | None = None
        self._concurrency = concurrency
        self._most = failures
        self._pause_s = pause_s
        self._retry_after_s = retry_after_s
        self._clock = clock
        self._in_a_row = 0
        self._until: float | None = None
        self._budget = MOST_BUDGET

    @property
    def state(self) -> str:
        """The circuit: "closed" lets calls through, "open" does not, "half-open" lets them through on trial."""
        if self._until is None:
            return "closed"
        return "open" if self._clock() < self._until else "half-open"

    def check(self) -> None:
        """Raises UpstreamFault (503) while the circuit is open, Overloaded when the generator has all it may have."""
        if self._until is not None and (left := self._until - self._clock()) > 0:
            raise UpstreamFault(
                "open", "the generator has not been answering; try again later", status=503, retry_after_s=left
            )
        if self._concurrency is not None and self.in_flight >= self._concurrency:
            raise Overloaded(
                f"{self._concurrency} calls to the generator are in flight, which is the limit; try again later",
                retry_after_s=self._retry_after_s,
            )

    def enter(self) -> Passage:
        """Let one call through. Raises as `check` does."""
        self.check()
        self.in_flight += 1
        return Passage(self)

    def came(self) -> None:
        """The generator answered, whatever it said."""
        self.answered += 1
        self._in_a_row = 0
        self._until = None

    def failure(self, kind: str) -> None:
        """No answer came."""
        self.failed += 1
        self.last_fault = kind
        self._in_a_row += 1
        if self._in_a_row >= self._most or self._until is not None:
            self._until = self._clock() + self._pause_s

    def read(self) -> None:
        """A read that may be tried again adds to what may be."""
        self._budget = min(MOST_BUDGET, self._budget + BUDGET)

    def may_retry(self) -> bool:
        """Take one try out of the budget; False when it is used up or the circuit is open."""
        if self._budget < 1.0 or self.state == "open":
            return False
        self._budget -= 1.0
        self.retried += 1
        return True

    def view(self) -> dict[str, object]:
        """What an operator is shown: nothing of any caller."""
        return {
            "state": self.state,
            "in_flight": self.in_flight,
            "answered": self.answered,
            "failed": self.failed,
            "retried": self.retried,
            "last_fault": self.last_fault,
        }


class Passage:
    """One call on its way: gives its place back, whatever happens."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def __enter__(self) -> Passage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._gate.in_flight -= 1
