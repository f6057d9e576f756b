"""One exchange: a call on a data route, what became of it, and the walls that nothing unexpected gets through."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from guardrail.errors import AuditError, BadRequest, GuardrailError, Overloaded
from guardrail.policy.unjudged import NONE, word_of
from guardrail.server.admission import Admission, Ticket
from guardrail.server.client import Client
from guardrail.server.gate import UpstreamFault
from guardrail.server.guarding import Case, Guard, saying
from guardrail.server.logs import where
from guardrail.server.metrics import Metrics
from guardrail.server.settings import ServerSettings, Upstream
from guardrail.server.wire import Gone, Linger, Pace, Receive, Scope, Send, caller_of, outgoing, read_body, send_reply
from guardrail.types import Decision, Receipt
from guardrail.upstream.dialect import Fetched, Headers, Reply, StreamReader
from guardrail.upstream.memory import Memory

log = logging.getLogger("guardrail.server")

STREAMING = "streaming"
"""The status of the record that is written before a streamed answer begins. Every other one is a case's last."""
FAILED = "the guard failed; the answer is withheld. The operator finds the reason in the log"


@dataclass(frozen=True)
class Services:
    """What every exchange shares."""

    guard: Guard
    client: Client
    settings: ServerSettings
    metrics: Metrics
    admission: Admission
    # News that was handed on (True) or is on its way (False). Generators call again within minutes, and whoever got
    # hold of a call can send it again for as long as its signature holds.
    told: Memory[bool] = field(default_factory=lambda: Memory(entries=16_384, age_s=3600.0))


class Broken(Exception):
    """An answer that had begun cannot be finished: the connection is cut so that nobody takes it for whole."""


class Exchange:
    """One call, from its first byte to its log line. Holds what is said about it afterwards, never its content."""

    def __init__(self, shared: Services, upstream: Upstream, scope: Scope, receive: Receive, send: Send) -> None:
        self.shared = shared
        self.upstream = upstream
        self.scope = scope
        self.receive = receive
        self.caller = caller_of(scope, receive, send)
        self.began = time.perf_counter()
        self.case: Case | None = None
        self.case_id: str | None = None
        self.decision: Decision | None = None
        self.route = "unread"
        self.outcome = "refused_unread"
        self.status = 0
        self.tenant = ""
        self.bytes_in = 0
        self.bytes_out = 0
        self.upstream_s = 0.0
        self.started = False
        self.finished = False
        self.recorded: Receipt | None = None
        self.reader: StreamReader | None = None
        self._read = False
        self._ticket: Ticket | None = None
        self._send = send

    @property
    def ticket(self) -> Ticket:
        if self._ticket is None:
            raise RuntimeError("nothing is read before it is admitted")
        return self._ticket

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do the work of this exchange; whatever it raises becomes the native error of the dialect.

        Raises Broken when the answer had begun and cannot be finished.
        """
        try:
            self._ticket = self.shared.admission.enter()
            await work()
        except Gone:
            self.outcome = "client_gone"
        except GuardrailError as error:
            await self.fault(error)
        except Broken:
            raise
        except Exception as error:
            self.complain("a request failed inside the guard", error)
            if self.started:
                raise Broken from None
            await self.fault(GuardrailError(FAILED))
        finally:
            if self._ticket is not None:
                self._ticket.close()

    def complain(self, what: str, error: BaseException) -> None:
        log.error(what, extra={"fields": {"route": self.route, "fault": where(error)}})

    async def fault(self, error: GuardrailError, receipt: Headers = (("x-guardrail-decision", NONE),)) -> None:
        """Answer with the native form of an error; as the last event where a stream has begun."""
        if isinstance(error, Overloaded):
            self.outcome = "turned_away"
            self.shared.metrics.turned_away()
        elif isinstance(error, AuditError):
            # Whatever was decided, nobody was told and nothing left by it.
            self.outcome, self.decision = "record_failed", None
        elif isinstance(error, BadRequest) and self.case is None:
            self.outcome = "refused_unread"
        elif self.outcome == "refused_unread":
            self.outcome = "failed"
        if self.started:
            if self.reader is not None and not self.finished:
                await self.send_part(self.reader.fault(error), more=False)
            return
        reply = self.upstream.dialect.fault(error)
        if isinstance(error, UpstreamFault) and error.retry_after_s is not None:
            receipt = [("retry-after", str(max(1, math.ceil(error.retry_after_s)))), *receipt]
        settings = self.shared.settings
        # A body that was refused unread may still be coming in.
        linger = None
        if not self._read and self.scope["method"] not in {"GET", "HEAD"}:
            linger = Linger(self.receive, settings.linger_bytes, settings.linger_s)
        await self.reply(replace(reply, headers=[*reply.headers, *receipt]), linger)

    # ------------------------------------------------------------------------------------------------------ wire

    async def body(self, headers: Headers) -> bytes:
        """The request body, within the limits. See `read_body`."""
        settings = self.shared.settings
        pace = Pace(settings.body_timeout_s, settings.body_grace_s, settings.body_rate)
        body = await read_body(self.receive, headers, settings.max_body_bytes, self.ticket, pace, self.caller)
        self._read = True
        self.bytes_in = len(body)
        return body

    async def fetch(self, url: str, *, param: str) -> Fetched:
        """What `Upstream.fetch` gets, counted among the bytes that are held. Raises Overloaded when it has no room."""
        found = await self.upstream.fetch(url, param=param)
        if not self.ticket.closed:  # a dialect may go on fetching when the caller has left
            self.ticket.hold(len(found.data))
        return found

    async def reply(self, reply: Reply, linger: Linger | None = None) -> None:
        """Send a whole answer."""
        self.started = self.finished = True
        self.status = reply.status
        self.bytes_out += len(reply.body)
        await send_reply(self._send, reply.status, reply.headers, reply.body, linger=linger, caller=self.caller)

    async def send_start(self, status: int, headers: Headers) -> None:
        """Begin an answer whose length is not known."""
        self.started = True
        self.status = status
        await self._send({"type": "http.response.start", "status": status, "headers": outgoing(headers, None)})

    async def send_part(self, part: bytes, *, more: bool = True) -> None:
        self.bytes_out += len(part)
        self.finished = not more
        await self._send({"type": "http.response.body", "body": part, "more_body": more})

    # --------------------------------------------------------------------------------------------------- records

    async def seal(self, decision: Decision, status: str) -> Receipt:
        """Write the record of the open case.

        A case has one last record: once that is written, it stands, and its receipt is given again.
        Raises AuditError; then nothing may leave.
        """
        if self.case is None:
            raise RuntimeError("no case is open")
        if self.recorded is not None:
            return self.recorded
        self.decision = decision
        began = time.perf_counter()
        try:
            receipt = await self.case.seal(decision, status=status)
        except AuditError:
            self.shared.metrics.audit_failure()
            raise
        self.shared.metrics.stage("record", time.perf_counter() - began)
        self.outcome = status
        if word_of(decision, status) == NONE:
            self.decision = None
        if status != STREAMING:
            self.recorded = receipt
        return receipt

    async def fault_on_record(self, error: GuardrailError, status: str) -> None:
        """Write the record of a judged request that went wrong, then answer with the error."""
        if self.case is None or self.decision is None:
            await self.fault(error)
            return
        decision = self.decision
        receipt = await self.seal(decision, status)
        headers = self.case.headers(decision, receipt)
        if word_of(decision, status) == NONE:
            # Also where another record was written before: the answer that it speaks of does not leave.
            self.decision = None
            headers = saying(NONE, headers)
        await self.fault(error, headers)
        self.outcome = status

    async def aftermath(self, status: str) -> None:
        """Record how a judged request ended when nobody is left to be answered."""
        if self.case is not None and self.decision is not None:
            try:
                await self.seal(self.decision, status)
            except AuditError as error:
                self.decision = None
                self.complain("a record could not be written", error)
        self.outcome = status
