"""Streamed answers: released event by event, each judged before one byte of it leaves.

Two records are written of a case: one of status "streaming" is written before the first byte leaves, and one
that says how it ended before the final event leaves. The second holds.
"""

from __future__ import annotations

from dataclasses import replace

from guardrail.errors import UpstreamError
from guardrail.server.client import Answering
from guardrail.server.exchange import STREAMING, Exchange
from guardrail.server.gate import UpstreamFault
from guardrail.server.guarding import Case, saying, verdicts_on
from guardrail.server.wire import Watch, one_header
from guardrail.types import Decision
from guardrail.upstream.dialect import Call, Event, StreamReader


async def stream(
    exchange: Exchange, call: Call, case: Case, decision: Decision, answering: Answering, watch: Watch
) -> None:
    """Pass on a streamed answer. Returns when its last byte has left; raises AuditError, Gone."""
    metrics = exchange.shared.metrics
    encoding = (one_header(answering.headers, "content-encoding") or "identity").strip().lower()
    if encoding != "identity":
        # To the reader, compressed events are lines that say nothing, and those pass; the client unpacks them.
        raise UpstreamFault("bad_answer", "it came in a content encoding that was not asked for")
    reader = exchange.reader = exchange.upstream.dialect.read_stream(call)
    watch.hold()
    receipt = await exchange.seal(decision, STREAMING)
    watch.release()
    named = saying("stream", case.headers(decision, receipt))
    await exchange.send_start(answering.status, [*answering.headers, *named])
    walk = _Walk(exchange, case, reader, watch, decision, call.request.count)
    try:
        while chunk := await answering.chunk():
            for event in reader.feed(chunk):
                if not await walk.release(event):
                    return
        for event in reader.close():
            if not await walk.release(event):
                return
        if not walk.ended:
            raise UpstreamFault("cut", "the generator's stream ended before its answer was whole")
        # Fewer pictures than were asked for: the last record is still to be written.
        await walk.seal("answered")
    except UpstreamError as error:
        kind = error.kind if isinstance(error, UpstreamFault) else "bad_answer"
        metrics.upstream_error(kind)
        watch.hold()
        await exchange.seal(walk.overall, f"upstream_{kind}")
        await exchange.send_part(reader.fault(error), more=False)
        return
    watch.hold()
    await exchange.send_part(b"", more=False)


class _Walk:
    """The events of one stream, and the decisions that a record of them carries."""

    def __init__(
        self, exchange: Exchange, case: Case, reader: StreamReader, watch: Watch, decision: Decision, count: int
    ) -> None:
        self._exchange = exchange
        self._case = case
        self._reader = reader
        self._watch = watch
        self._seen = [decision]
        self._awaited = count
        self.ended = False

    @property
    def overall(self) -> Decision:
        # The newest first: of equal actions the first one gives the stage.
        return self._case.overall(self._seen[::-1])

    async def release(self, event: Event) -> bool:
        """Judge one event and let it go, or refuse it and end the stream: False then.

        Raises UpstreamFault for a picture that comes when all that were asked for have come: the last record is written
        by then.
        """
        if event.later is not None:
            event = await event.later(self._exchange.upstream.fetch)
        if event.images or event.texts:
            if self._exchange.recorded is not None:
                raise UpstreamFault("bad_answer", "the generator's stream has more pictures than were asked for")
            verdicts = await verdicts_on(self._case, event.images, event.texts)
            self._seen.append(self._case.overall(verdicts))
            # One decision stands for all previews so far: a long stream does not grow memory.
            self._seen = [self.overall]
            # What its record says where it is broken off now.
            self._exchange.decision = self._seen[0]
        if self._seen[0].action.refuses:
            self._watch.hold()
            overall = self.overall
            told = replace(overall, receipt=await self._exchange.seal(overall, "refused"))
            await self._exchange.send_part(self._reader.refuse(told), more=False)
            return False
        if event.final or event.error:
            self.ended = True
            self._awaited -= event.final
            if event.error or self._awaited <= 0:
                await self.seal("answered" if event.final else "upstream_said_no")
        await self._exchange.send_part(event.raw)
        return True

    async def seal(self, status: str) -> None:
        """Write the last record, not to be cut in two by a caller who leaves. Raises AuditError, Gone."""
        self._watch.hold()
        await self._exchange.seal(self.overall, status)
        self._watch.release()
