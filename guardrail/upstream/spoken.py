"""Streams that say texts piece by piece: cut into events, each read, and what a text holds back let go at the end."""

from __future__ import annotations

from collections.abc import Sequence

from guardrail.errors import UpstreamError
from guardrail.upstream.dialect import Event
from guardrail.upstream.limits import Limits
from guardrail.upstream.sse import Cutter, Sent
from guardrail.upstream.telling import Telling


class SpokenReader:
    """The half of a `StreamReader` that is the same for every API; each says how it reads an event.

    `_event` sets `_ended` where the answer is said to be whole, or to have failed: a stream that just ends is cut off.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._cutter = Cutter(limits.event_bytes)
        self._telling = Telling(limits)
        self._ended = False

    def feed(self, chunk: bytes) -> Sequence[Event]:
        """Take the next bytes; the events that may leave. Raises UpstreamError."""
        return [event for sent in self._cutter.feed(chunk) for event in self._event(sent)]

    def close(self) -> Sequence[Event]:
        """The stream ended. Raises UpstreamError when it did so inside an event, or before its answer was whole."""
        events = [event for sent in self._cutter.close() for event in self._event(sent)]
        events += self._telling.close()
        if not self._ended:
            raise UpstreamError("its stream ended before its answer was whole")
        return events

    def _event(self, sent: Sent) -> Sequence[Event]:
        raise NotImplementedError
