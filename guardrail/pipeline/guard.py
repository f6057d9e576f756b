"""The guard: checks, policy and audit put together. The proxy uses it, and so may any Python program."""

from __future__ import annotations

import asyncio
import os
import secrets
import threading
import time
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from guardrail.audit import AuditLog
from guardrail.checks import Tools, installed, open_check
from guardrail.errors import AuditError, BadRequest, CheckError, ConfigError
from guardrail.home import Home
from guardrail.inference.image.decode import Limits, picture
from guardrail.inference.weights import Models
from guardrail.pipeline import receipt as receipts
from guardrail.pipeline.case import Case
from guardrail.pipeline.desk import Desk
from guardrail.pipeline.inforce import in_force
from guardrail.pipeline.looking import Looker, Observer, Unobserved
from guardrail.pipeline.question import Examined, Picture, Question
from guardrail.policy import Policy, PolicyBook, decide
from guardrail.types import Artifact, Check, Decision, Evidence, Kind, Request, Signal, Stage, Subject

T = TypeVar("T")
DEFAULT_CHECKS = ("prompt-safety", "face", "age", "exposure", "medium", "protected", "known", "pair")
WARM_TRIES = 3
UNRECORDED = "the policies in force are not on record yet"
TEXTS, PICTURES_A_WORKER = 256, 8
"""Of several questions, how many texts and how many pictures of each worker share a deadline: seconds of work."""


class Guard:
    """Judges requests and answers by a policy. Safe to share between threads and event loops.

    Make one with `Guard.from_policy`. `audit` is where records go; a guard without one judges and records nothing,
    and every receipt says so.
    """

    def __init__(
        self,
        checks: Sequence[Check],
        book: PolicyBook | None,
        *,
        digest_key: bytes,
        audit: AuditLog | None = None,
        audit_required: bool = True,
        threads: int = 0,
        queue: int = 64,
        deadline_s: float = 20.0,
        cache: int = 4096,
        absent: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        observer: Observer | None = None,
    ) -> None:
        heard = observer or Unobserved()
        looker = Looker(
            checks,
            threads=threads or os.cpu_count() or 1,
            deadline_s=deadline_s,
            cache=cache,
            observer=heard,
            prepare=partial(_decode, limits=limits or Limits()),
        )
        if book is not None:
            book.require(looker.signals)
        self._desk = Desk(looker, book, audit, audit_required, digest_key, queue, dict(absent or {}), heard)
        self._recorded = book.pages if book is not None else None
        self._id = secrets.token_hex(4)
        self._said, self._unrecorded = False, ""
        self._warm = self._cold_since_start = False
        self._why_cold = "not started"

    @classmethod
    def from_policy(
        cls,
        policy: str | Path | None = "default",
        *,
        home: Home | Path | str | None = None,
        models: Models | None = None,
        checks: Sequence[str] = DEFAULT_CHECKS,
        options: Mapping[str, Mapping[str, Any]] | None = None,
        tenants: Mapping[str, str | Path] | None = None,
        shadow: Sequence[str | Path] = (),
        audit: AuditLog | None = None,
        **settings: Any,
    ) -> Guard:
        """Open the checks and the policy.

        `policy` is the name of a shipped policy or the path of a policy file; a guard with None examines and decides
        nothing. `home` is the folder of all state (default: GUARDRAIL_HOME, else the platform's data folder); weights
        are looked for under it. `checks` are entry points of the group `guardrail.checks`. Further keywords are those
        of `Guard`.

        Raises ConfigError when the policy is wrong, weights are missing (`guardrail models pull` fetches them), or a
        rule names a signal that none of the checks gives.
        """
        state = home if isinstance(home, Home) else Home(Path(home)) if home is not None else Home.default()
        book = PolicyBook(policy, tenants=tenants, shadow=shadow) if policy is not None else None
        opened = open_checks(checks, models or Models(state.folder("models")), state, options or {})
        missing = {name: "not enabled" for name in installed() if name not in checks}
        return cls(opened, book, digest_key=state.key("digest"), audit=audit, absent=missing, **settings)

    @property
    def book(self) -> PolicyBook:
        """The policies in force. Raises ConfigError for a guard that was opened without one."""
        return self._desk.book

    @property
    def looker(self) -> Looker:
        """What runs the checks."""
        return self._desk.looker

    # -- for programs ------------------------------------------------------------------------------------------

    def check(
        self,
        prompt: str | None = None,
        inputs: Sequence[Picture] = (),
        outputs: Sequence[Picture] = (),
        *,
        mask: Picture | None = None,
        tenant: str = "default",
    ) -> Decision:
        """Judge a prompt, input pictures and output pictures; any of them may be left out, not all.

        Pictures are encoded bytes or paths. May be called from any thread, also from one whose event loop runs.
        Raises BadRequest for what cannot be read at all; what a check cannot read is in `decision.evidence`.
        """
        return drive(self.acheck(prompt, inputs, outputs, mask=mask, tenant=tenant))

    async def acheck(
        self,
        prompt: str | None = None,
        inputs: Sequence[Picture] = (),
        outputs: Sequence[Picture] = (),
        *,
        mask: Picture | None = None,
        tenant: str = "default",
    ) -> Decision:
        """`check`, for an event loop."""
        question = Question(prompt, inputs, outputs, mask, tenant)
        return (await self.judge([question]))[0]

    def check_many(self, questions: Iterable[Question]) -> list[Decision]:
        """Judge several questions at once: texts go through the models in batches, pictures on all workers."""
        return drive(self.judge(list(questions)))

    async def judge(self, questions: Sequence[Question]) -> list[Decision]:
        """Judge several questions; one decision each, in order. See `check`."""
        decisions = []
        for examined in await self.examine(questions):
            policy = self.book.policy_of(examined.request.tenant)
            decision = replace(self._staged(policy, examined), evidence=examined.evidence, took_ms=examined.took_ms)
            case = Case(self._desk, examined.request, policy, route="library")
            case.adopt([(subject, signals) for _, subject, signals in examined.looked], took_ms=examined.took_ms)
            decisions.append(replace(decision, receipt=await case.seal(decision, status="judged")))
        return decisions

    def examine_many(self, questions: Iterable[Question]) -> list[Examined]:
        """What the checks say of several questions, without any policy."""
        return drive(self.examine(list(questions)))

    # -- for servers -------------------------------------------------------------------------------------------

    def open(self, request: Request, *, route: str) -> Case:
        """Open a case for a request, under the policy that holds now for its tenant."""
        return Case(self._desk, request, self.book.policy_of(request.tenant), route)

    def admit(self) -> None:
        """Raises Overloaded when pictures would have to wait behind a full queue, or too many workers hang."""
        self._desk.admit()

    async def start(self) -> str:
        """Put the policies in force on record and warm the models up; until both are done `ready` says no.

        Returns why not, empty when they are. A first look makes what later ones have; where a slow machine needs more
        than a deadline, it is tried again. Called once more after it failed, it tries once: not while workers hang,
        which such a look would add to.
        """
        # First of all: what is decided meanwhile stands behind it.
        self._unrecorded = await self._say_in_force()
        return await self._warm_up() or self._unrecorded

    async def _warm_up(self) -> str:
        tries = 1 if self._cold_since_start else WARM_TRIES
        if self._cold_since_start and not (self.looker.pictures.at_ease and self.looker.texts.at_ease):
            return self._why_cold
        began = time.perf_counter()
        blank = _blank()
        subjects: list[Subject] = [
            Artifact(Kind.PROMPT, "warm-up", text="a red bicycle"),
            Artifact(Kind.INPUT, "warm-up", data=blank),
            Artifact(Kind.OUTPUT, "warm-up", data=blank),
        ]
        subjects += receipts.pairs([subjects[1]], subjects[2])  # type: ignore[list-item,arg-type]
        for _ in range(tries):
            looked = await self.looker.look([one for one in subjects if self.looker.checks_of(one.kind)])
            failed = sorted({f"{s.check}: {s.error}" for signals in looked for s in signals if s.error is not None})
            self._why_cold = "; ".join(failed)
            self._warm = not failed
            if self._warm:
                break
        self._cold_since_start = not self._warm
        self._desk.observer.stage("warm-up", time.perf_counter() - began)
        return self._why_cold

    def ready(self) -> tuple[bool, Mapping[str, str]]:
        """Whether requests can be judged and recorded now, and for each part that is not ready, why."""
        wrong: dict[str, str] = {}
        if not self._warm:
            wrong["models"] = self._why_cold
        if not self.looker.pictures.healthy or not self.looker.texts.healthy:
            wrong["workers"] = "too many checks hang"
        if self._desk.audit is not None and self._desk.audit_required and not self._desk.audit.writable():
            wrong["audit"] = "records cannot be written"
        elif self._unrecorded:
            wrong["audit"] = self._unrecorded
        return not wrong, wrong

    async def reload(self) -> list[str]:
        """Read the policies again, all or none; what was wrong, in words. The reload itself is recorded.

        Raises AuditError when it cannot be; what was read holds all the same, and the next reload records it.
        """
        faults = self.book.reload()
        audit, after = self._desk.audit, self.book.pages
        before = self._recorded or after
        if audit is None or (not faults and after == before):
            return faults
        self._recorded = after
        try:
            await audit.append(in_force("kept" if faults else "reloaded", self._id, after, before, faults))
        except BaseException:
            self._recorded = before
            raise
        return faults

    async def _say_in_force(self) -> str:
        """Put on record, once, under which policies this guard begins. Returns why they are not, where they must be."""
        audit, book = self._desk.audit, self._desk.policies
        if self._said or audit is None or book is None:
            return ""
        try:
            await audit.append(in_force("started", self._id, book.pages))
        except AuditError:  # the log says why
            return UNRECORDED if self._desk.audit_required else ""
        self._said = True
        return ""

    async def close(self) -> None:
        """Let workers go and write what is still queued for the audit log."""
        self.looker.close()
        if self._desk.audit is not None:
            await asyncio.to_thread(self._desk.audit.close)

    # -- inside ------------------------------------------------------------------------------------------------

    async def examine(self, questions: Sequence[Question]) -> list[Examined]:
        """What the checks say of several questions: texts in batches, pictures on all workers.

        The deadline of a stage holds for some questions at a time: of many, the last would otherwise never be seen.
        """
        began = time.perf_counter()
        asked = [(question.request(), question.answer()) for question in questions]
        subjects: list[list[tuple[Stage, Subject]]] = [
            [(Stage.PROMPT, one) for one in request.texts]
            + [(Stage.INPUT, one) for one in request.inputs]
            + [(Stage.OUTPUT, one) for one in outputs]
            + [(Stage.OUTPUT, pair) for one in outputs for pair in receipts.pairs(request.inputs, one)]
            for request, outputs in asked
        ]
        said: list[tuple[Signal, ...]] = []
        for window in _windows(subjects, self.looker.pictures.count * PICTURES_A_WORKER):
            said += await self.looker.look(window)
        looked = iter(said)
        took_ms = (time.perf_counter() - began) * 1000.0 / max(1, len(questions))
        return [
            Examined(request, [(stage, subject, next(looked)) for stage, subject in of_one], took_ms)
            for (request, _), of_one in zip(asked, subjects, strict=True)
        ]

    def _staged(self, policy: Policy, examined: Examined) -> Decision:
        """The decision over all stages, and the stage at which it fell: more evidence never weakens an action."""
        evidence = Evidence()
        decision: Decision | None = None
        for stage in Stage:
            signals = [signal for at, _, said in examined.looked if at is stage for signal in said]
            if not any(at is stage for at, _, _ in examined.looked):
                continue
            evidence = evidence.plus(signals)
            following = decide(policy, evidence, stage=stage)
            if decision is not None and decision.action.refuses and following.action == decision.action:
                following = replace(following, stage=decision.stage)
            decision = following
        if decision is None:
            raise BadRequest("nothing to judge: a prompt, an input picture or an output picture is expected")
        return decision


def open_checks(
    names: Sequence[str], models: Models, state: Home, options: Mapping[str, Mapping[str, Any]]
) -> list[Check]:
    """Open the named checks side by side: loading weights is mostly waiting. Raises ConfigError for the first fault."""
    stray = sorted(set(options) - set(names))
    if stray:
        raise ConfigError(f"checks.options: no enabled check is named {stray[0]!r}; enabled: {', '.join(names)}")
    folder = state.folder()

    def one(name: str) -> Check:
        return open_check(name, Tools(models, folder, state.key, options.get(name, {})))

    with ThreadPoolExecutor(4, thread_name_prefix="guardrail-open") as pool:
        return list(pool.map(one, names))


def _windows(questions: Iterable[Sequence[tuple[Stage, Subject]]], pictures: int) -> Iterator[list[Subject]]:
    """What is looked at together: whole questions, in order, up to so many texts and `pictures` (pairs among them)."""
    window: list[Subject] = []
    texts = shown = 0
    for of_one in questions:
        window += (subject for _, subject in of_one)
        texts += sum(subject.kind is Kind.PROMPT for _, subject in of_one)
        shown += sum(subject.kind is not Kind.PROMPT for _, subject in of_one)
        if texts >= TEXTS or shown >= pictures:
            yield window
            window, texts, shown = [], 0, 0
    if window:
        yield window


def _decode(artifact: Artifact, limits: Limits) -> tuple[str, ...]:
    """Decode a picture within the operator's limits; every check then shares it, or the reason that there is none."""
    try:
        return picture(artifact, limits).notes
    except CheckError as error:
        artifact.fault = str(error)
        return ()


def _blank() -> bytes:
    """A small grey JPEG to warm the models up with."""
    import io

    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (256, 256), (127, 127, 127)).save(out, "JPEG")
    return out.getvalue()


def drive(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end from synchronous code, also inside a thread whose event loop runs (a notebook)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    box: list[T] = []
    fault: list[BaseException] = []

    def run() -> None:
        try:
            box.append(asyncio.run(work))
        except BaseException as error:
            fault.append(error)

    thread = threading.Thread(target=run, name="guardrail-check")
    thread.start()
    thread.join()
    if fault:
        raise fault[0]
    return box[0]
