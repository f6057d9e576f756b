"""Streams of fal: each event is a result so far, and is judged as one before it leaves."""

from __future__ import annotations

from collections.abc import Sequence

from guardrail.errors import GuardrailError, UpstreamError
from guardrail.types import Decision, Stage
from guardrail.upstream.answers import check_keys
from guardrail.upstream.dialect import Event, Fetch
from guardrail.upstream.fal import refuse
from guardrail.upstream.fal.answer import look
from guardrail.upstream.jobs.found import Found
from guardrail.upstream.jobs.shelf import Shelf
from guardrail.upstream.limits import Limits
from guardrail.upstream.spans import JsonFault, listed_numbers, scan
from guardrail.upstream.sse import Cutter, Sent


class EventReader:
    """Fulfils `StreamReader`. These streams just end: the last event is an empty one."""

    def __init__(self, limits: Limits, shelf: Shelf, public: str) -> None:
        self._limits = limits
        self._shelf = shelf
        self._public = public
        self._cutter = Cutter(limits.event_bytes)
        self._said = False

    def feed(self, chunk: bytes) -> Sequence[Event]:
        """Take the next bytes; the events that may leave. Raises UpstreamError."""
        return [self._event(sent) for sent in self._cutter.feed(chunk)]

    def close(self) -> Sequence[Event]:
        """The stream ended. Raises UpstreamError when it did so inside an event, or without one."""
        events = [self._event(sent) for sent in self._cutter.close()]
        if not self._said:
            raise UpstreamError("its stream ended before it had said anything")
        return [*events, Event(b"", final=True)]

    def refuse(self, decision: Decision) -> bytes:
        """The refusal as the last event."""
        return refuse.event(refuse.detail(decision, Stage.OUTPUT))

    def fault(self, error: GuardrailError) -> bytes:
        """The error as the last event."""
        return refuse.fault_event(error)

    def _event(self, sent: Sent) -> Event:
        if sent.data is None:
            return Event(sent.raw)
        self._said = True
        try:
            root = scan(sent.data, self._limits.json)
        except JsonFault as fault:
            raise UpstreamError(f"an event of its stream is not the JSON expected: {fault}") from None
        check_keys(root)
        if listed_numbers(root) > self._limits.numbers:
            raise UpstreamError(f"a list in its stream holds more than {self._limits.numbers} numbers")
        found = Found(sent.data, self._limits)
        look(found, root)
        if not found.shown.elsewhere:
            return self._settled(sent, found)

        async def later(fetch: Fetch) -> Event:
            await found.settle(fetch, self._shelf, self._public)
            return self._settled(sent, found)

        return Event(b"", later=later)

    def _settled(self, sent: Sent, found: Found) -> Event:
        raw = sent.raw
        if found.edits:
            named = b"event: " + sent.name + b"\n" if sent.name else b""
            raw = named + b"data: " + found.leaves.replace(b"\r", b" ").replace(b"\n", b" ") + b"\n\n"
        return Event(raw, tuple(found.shown.images), found.shown.texts)
