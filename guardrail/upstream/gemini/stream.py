"""Streamed answers of generateContent: server-sent events, each a response with some more parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from guardrail.errors import GuardrailError, UpstreamError
from guardrail.types import Decision
from guardrail.upstream.dialect import Event, Fetch
from guardrail.upstream.gemini import found, refuse
from guardrail.upstream.limits import Limits
from guardrail.upstream.shown import Shown
from guardrail.upstream.spans import JsonFault, scan
from guardrail.upstream.spoken import SpokenReader
from guardrail.upstream.sse import Sent


class EventReader(SpokenReader):
    """Fulfils `StreamReader`.

    Some models say in every event that they are done, so the final event is the last one that says so; it waits for
    the next one, or for the end.
    """

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self._waiting: Event | None = None
        self._owed = False  # a final event that turned out to be none

    def feed(self, chunk: bytes) -> Sequence[Event]:
        """Take the next bytes; the events that may leave. Raises UpstreamError."""
        return [event for one in super().feed(chunk) for event in self._order(one)]

    def close(self) -> Sequence[Event]:
        """The stream ended. Raises UpstreamError when it did so inside an event, or before a candidate was done."""
        events = [event for one in super().close() for event in self._order(one)]
        if self._waiting is not None:
            events.append(self._waiting)
        elif self._owed:
            events.append(Event(b"", final=True))
        return events

    def refuse(self, decision: Decision) -> bytes:
        """The refusal as the last event: a candidate that ends without content."""
        return refuse.event(refuse.output(decision))

    def fault(self, error: GuardrailError) -> bytes:
        """The error as the last event, which clients raise."""
        return refuse.event(refuse.fault_body(error))

    def _event(self, sent: Sent) -> Sequence[Event]:
        shown = Shown(self._limits)
        if sent.data is None:
            return self._telling.event(sent.raw, shown)
        try:
            root = scan(sent.data, self._limits.json)
        except JsonFault as fault:
            raise UpstreamError(f"an event of its stream is not the JSON expected: {fault}") from None
        found.look(root, sent.data, shown, self._tell, self._limits)
        final, error = found.finished(root), found.refused(root)
        self._ended |= final or error
        return self._telling.event(sent.raw, shown, final=final, error=error, end=final or error)

    def _order(self, event: Event) -> Sequence[Event]:
        waiting, self._waiting = self._waiting, event if event.final else None
        if waiting is None:
            return () if event.final else (event,)
        if not (event.final or event.images or event.later is not None):
            return waiting, event  # how much was used, and the like
        self._owed = not event.final
        before = _goes_on(waiting)
        return (before,) if event.final else (before, event)

    def _tell(self, entry: int, slot: str, text: str) -> None:
        # The parts of a text have no number that goes on from one event to the next: it is one text per candidate.
        self._telling.add(entry, f"candidates[{entry}]", text)


def _goes_on(event: Event) -> Event:
    """An event that is not the final one after all."""
    awaited = event.later
    if awaited is None:
        return replace(event, final=False)

    async def later(fetch: Fetch) -> Event:
        return replace(await awaited(fetch), final=False)

    return replace(event, final=False, later=later)
