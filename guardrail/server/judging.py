"""Judging for a dialect that answers or relays by itself: it asks, and what was decided is on record when it hears."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from guardrail.errors import AuditError, GuardrailError, Overloaded
from guardrail.server.exchange import Services
from guardrail.server.guarding import Case, verdicts_on
from guardrail.types import Artifact, Decision, Receipt, Request
from guardrail.upstream.dialect import Judged

JUDGED = "judged"
"""The status of a record of something that was only judged: what is done about it, the dialect decides."""


class Judging:
    """Fulfils `Judge` for one caller. `last` is the last decision, for the log."""

    def __init__(self, shared: Services, tenant: str) -> None:
        self._shared = shared
        self.tenant = tenant
        self.last: Decision | None = None
        self.id: str | None = None

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
        except GuardrailError as error:
            await self._seal(case.so_far, case, "turned_away" if isinstance(error, Overloaded) else "unreadable_input")
            raise
        except Exception:
            await self._seal(case.so_far, case, "failed")
            raise
        receipt = await self._seal(decision, case, JUDGED)
        told = tuple(replace(one, receipt=receipt) for one in each) if outputs else ()
        return Judged(replace(decision, receipt=receipt), told, case.headers(decision, receipt), decision.evidence)

    async def _seal(self, decision: Decision, case: Case, status: str) -> Receipt:
        self.last = decision
        try:
            return await case.seal(decision, status=status)
        except AuditError:
            self._shared.metrics.audit_failure()
            raise
