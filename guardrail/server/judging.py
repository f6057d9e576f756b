"""Judging for a dialect that answers or relays by itself: it asks, and what was decided is on record when it hears."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from guardrail.errors import AuditError, GuardrailError
from guardrail.policy.unjudged import NONE, word_of
from guardrail.server.exchange import Services
from guardrail.server.guarding import Case, saying, unjudged, verdicts_on
from guardrail.types import Artifact, Decision, Receipt, Request
from guardrail.upstream.dialect import Headers, Judged

JUDGED = "judged"
"""The status of a record of something that was only judged: what is done about it, the dialect decides."""


@dataclass(frozen=True)
class Unjudged:
    """What is on record of a question that could not be judged to its end, and raised `error`.

    `decision` is None where nothing was decided.
    """

    error: BaseException
    id: str
    status: str
    decision: Decision | None
    headers: Headers


class Judging:
    """Fulfils `Judge` for one caller. `last` is the last decision, for the log; None where nothing was decided."""

    def __init__(self, shared: Services, tenant: str) -> None:
        self._shared = shared
        self.tenant = tenant
        self.last: Decision | None = None
        self.id: str | None = None
        self._unjudged: list[Unjudged] = []

    async def __call__(
        self, request: Request, outputs: Sequence[Artifact] = (), texts: Sequence[Artifact] = (), *, route: str
    ) -> Judged:
        """Judge, and write the record. Raises GuardrailError; then nothing may leave."""
        shared = self._shared
        if outputs:
            shared.guard.admit()
        case = shared.guard.open(replace(request, tenant=self.tenant), route=route)
        self.id = case.id
        try:
            decision = await case.judge_request()
            each: list[Decision] = []
            if not decision.action.refuses and (outputs or texts):
                each = await verdicts_on(case, outputs, texts)
                decision = case.overall(each)
        except Exception as error:
            status = unjudged(error) if isinstance(error, GuardrailError) else "failed"
            decision = case.so_far
            headers = case.headers(decision, await self._seal(decision, case, status))
            nothing = word_of(decision, status) == NONE
            told = saying(NONE, headers) if nothing else headers
            self._unjudged.append(Unjudged(error, case.id, status, None if nothing else decision, told))
            raise
        receipt = await self._seal(decision, case, JUDGED)
        of_each = tuple(replace(one, receipt=receipt) for one in each) if outputs else ()
        return Judged(replace(decision, receipt=receipt), of_each, case.headers(decision, receipt), decision.evidence)

    def about(self, error: BaseException) -> Unjudged | None:
        """What is on record of the question that raised this very error; None where it was raised elsewhere."""
        return next((one for one in self._unjudged if one.error is error), None)

    async def _seal(self, decision: Decision, case: Case, status: str) -> Receipt:
        try:
            receipt = await case.seal(decision, status=status)
        except AuditError:
            self.last = None
            self._shared.metrics.audit_failure()
            raise
        self.last = None if word_of(decision, status) == NONE else decision
        return receipt
