"""A case: one request on its way through judgement, from what was asked to the record of what was done."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from guardrail.audit import Entry
from guardrail.errors import AuditError, BadRequest
from guardrail.pipeline import receipt as receipts
from guardrail.pipeline.desk import Desk
from guardrail.policy import Policy, decide
from guardrail.policy.unjudged import NONE, turned_back, word_of
from guardrail.types import Action, Artifact, Decision, Evidence, Receipt, Request, Signal, Stage, Subject

STREAMING = "streaming"
"""Status of the record that is written before the first byte of a streamed answer leaves."""

Looked = list[tuple[Subject, tuple[Signal, ...] | None]]


class Case:
    """Judges one request stage by stage and writes its record.

    The policy is the one that held when the case was opened: a reload never changes a case half-way.
    """

    def __init__(self, desk: Desk, request: Request, policy: Policy, route: str) -> None:
        self.id = secrets.token_hex(10)
        self.request = request
        self.route = route
        self.policy = policy
        self._desk = desk
        self._began = time.perf_counter()
        self._looked: Looked = [(artifact, None) for artifact in request.artifacts]
        self._asked = Evidence()
        self._all = Evidence()
        self._so_far: Decision | None = None

    @property
    def so_far(self) -> Decision:
        """On what was looked at so far; on nothing before that."""
        if self._so_far is None:
            self._so_far = self._decide(Evidence(), Stage.PROMPT)
        return self._so_far

    async def judge_request(self) -> Decision:
        """Judge texts and input pictures, before the generator is called.

        All run at once; a text that is blocked does not wait for the pictures, which then are recorded as not
        looked at. Raises Overloaded when pictures would have to wait behind a full queue, and BadRequest when an
        input picture cannot be read and all else would pass: its sender can send another. `so_far` is then the block
        of such a request, or what there was to decide on when the queue was full.
        """
        request, desk = self.request, self._desk
        pictures = asyncio.ensure_future(self._look_at_inputs()) if request.inputs else None
        try:
            self._add(request.texts, await desk.looker.look(request.texts))
            self._so_far = self._decide(self._asked, Stage.PROMPT)
            if self.so_far.action is Action.BLOCK or pictures is None:
                return self.so_far
            looked = await pictures
            # A broken picture beside it must not take back what is known of the rest.
            read = zip(request.inputs, looked, strict=True)
            whole = self._asked.plus(s for artifact, said in read if artifact.fault is None for s in said)
            self._add(request.inputs, looked)
            broken = next((artifact for artifact in request.inputs if artifact.fault is not None), None)
            self._so_far = self._decide(whole, Stage.INPUT)
            if broken is not None and not self.so_far.action.refuses:
                why = f"{broken.slot}: {broken.fault}"
                self._so_far = turned_back(self.so_far, why)
                raise BadRequest(why, param=broken.slot, code="invalid_image")
            return self.so_far
        finally:
            if pictures is not None:
                if not pictures.done():
                    pictures.cancel()
                    await asyncio.wait([pictures])
                if not pictures.cancelled():
                    pictures.exception()  # asked for: else a full queue that no longer matters is logged as a fault

    async def judge_outputs(self, outputs: Sequence[Artifact], texts: Sequence[Artifact] = ()) -> list[Decision]:
        """Judge pictures that came back, each for itself: one decision per output, in order.

        Each is judged with all that is known of the request, with its pairs with the input pictures, and with
        `texts` that came back beside them (a revised prompt). Texts alone get one decision.
        """
        subjects: list[Subject] = [*texts, *outputs]
        pairs = [receipts.pairs(self.request.inputs, output) for output in outputs]
        subjects += [pair for of_one in pairs for pair in of_one]
        looked = await self._desk.looker.look(subjects)
        said = {id(subject): signals for subject, signals in zip(subjects, looked, strict=True)}
        self._looked += list(zip(subjects, looked, strict=True))
        self._all = self._all.plus(signal for signals in looked for signal in signals)
        shared = self._asked.plus(signal for text in texts for signal in said[id(text)])
        if not outputs:
            return [self._decide(shared, Stage.OUTPUT)] if texts else []
        return [
            self._decide(
                shared.plus(signal for subject in (output, *of_one) for signal in said[id(subject)]), Stage.OUTPUT
            )
            for output, of_one in zip(outputs, pairs, strict=True)
        ]

    def adopt(self, looked: Sequence[tuple[Subject, tuple[Signal, ...]]], *, took_ms: float) -> None:
        """Take over what was looked at elsewhere, in a batch with other requests, and how long that took."""
        self._began -= took_ms / 1000.0
        self._looked = [(subject, signals) for subject, signals in looked]
        self._all = Evidence(tuple(signal for _, signals in looked for signal in signals))

    def receipt(self) -> Receipt:
        """What has been looked at so far."""
        desk = self._desk
        return Receipt(
            id=self.id,
            policy=self.policy.label,
            looks=tuple(receipts.look(subject, signals, desk.digest_key) for subject, signals in self._looked),
            models=desk.looker.models,
            absent=desk.absent,
        )

    def overall(self, decisions: Sequence[Decision]) -> Decision:
        """One decision for a whole answer: the strictest of its parts, every reason kept."""
        if len(decisions) == 1:
            return decisions[0]  # it was taken on all there is
        strictest = max(decisions, key=lambda decision: decision.action)
        reasons = {(r.rule, r.action, tuple(r.saw.items())): r for one in decisions for r in one.reasons}
        would = max((one.would for one in decisions if one.would is not None), default=None)
        ordered = sorted(reasons.values(), key=lambda reason: -reason.action)
        return replace(strictest, reasons=tuple(ordered), would=would, evidence=self._all)

    async def seal(self, decision: Decision, *, status: str) -> Receipt:
        """Write the record; must be awaited before the answer leaves.

        `status` says what was done in a word or two ("answered", "refused", "upstream_502", "cancelled"). A streamed
        answer has two records: one with status "streaming" under "<id>.open" before its first byte leaves, and the
        last under the id itself; an ".open" without the other is a stream that the guard did not live to finish.
        A status that says that nothing was decided (`guardrail.policy.unjudged`) takes the place of the action.
        Raises AuditError when the record cannot be written and the operator requires one; where none is required
        the receipt says `recorded=False`.
        """
        desk = self._desk
        receipt = self.receipt()
        done = word_of(decision, status)
        recorded = desk.audit is not None
        if desk.audit is not None:
            entry = Entry(
                kind="decision",
                id=f"{self.id}.open" if status == STREAMING else self.id,
                at=time.time(),
                tenant=self.request.tenant,
                action=done,
                body=receipts.body(decision, self._all, receipt, **self._more(status)),
            )
            try:
                await desk.audit.append(entry)
            except AuditError:
                if desk.audit_required:
                    raise
                recorded = False
        if status != STREAMING and done != NONE:  # what it begins with is no second decision
            desk.observer.decision(done, decision.stage.value)
        return receipt if recorded else replace(receipt, recorded=False)

    @staticmethod
    def headers(decision: Decision, receipt: Receipt) -> list[tuple[str, str]]:
        """The receipt headers that go out with the answer."""
        return receipts.headers(decision, receipt)

    @property
    def took_ms(self) -> float:
        """Milliseconds since the case was opened."""
        return (time.perf_counter() - self._began) * 1000.0

    async def _look_at_inputs(self) -> list[tuple[Signal, ...]]:
        self._desk.admit()
        return await self._desk.looker.look(self.request.inputs)

    def _add(self, subjects: Sequence[Artifact], looked: Sequence[tuple[Signal, ...]]) -> None:
        said = {id(subject): signals for subject, signals in zip(subjects, looked, strict=True)}
        self._looked = [(subject, said.get(id(subject), before)) for subject, before in self._looked]
        self._asked = self._asked.plus(signal for signals in looked for signal in signals)
        self._all = self._asked

    def _decide(self, evidence: Evidence, stage: Stage) -> Decision:
        return decide(self.policy, evidence, stage=stage)

    def _more(self, status: str) -> dict[str, Any]:
        more: dict[str, Any] = {
            # The label holds eight digits, which somebody can make collide.
            "policy_sha256": self.policy.digest,
            "route": self.route,
            "status": status,
            "took_ms": round(self.took_ms, 1),
        }
        if self.request.subject:
            more["subject"] = receipts.subject(self.request.subject, self.request.tenant, self._desk.digest_key)
        if self.request.clamped:
            more["clamped"] = list(self.request.clamped)
        shadow = self._desk.shadow(self._all)
        if shadow:
            more["shadow"] = shadow
        return more
