"""Streamed answers of chat completions: server-sent chunks, a delta for each choice."""

from __future__ import annotations

from collections.abc import Sequence

from guardrail.errors import GuardrailError, UpstreamError
from guardrail.types import Decision
from guardrail.upstream import envelope
from guardrail.upstream.answers import WHOLE, parse
from guardrail.upstream.chat.found import SOURCES, Finder, number
from guardrail.upstream.dialect import Event
from guardrail.upstream.limits import Limits
from guardrail.upstream.openai.stream import EventReader
from guardrail.upstream.shown import Shown
from guardrail.upstream.slots import name_of
from guardrail.upstream.spans import Json, Node, Path
from guardrail.upstream.spoken import SpokenReader
from guardrail.upstream.sse import Sent

_DONE = b"[DONE]"


class ChunkReader(SpokenReader):
    """Fulfils `StreamReader`. `count` is how many choices were asked for; an event is final when one is done."""

    def __init__(self, limits: Limits, count: int) -> None:
        super().__init__(limits)
        self._count = count
        self._finished: set[int] = set()

    def refuse(self, decision: Decision) -> bytes:
        """The refusal as the last event, which clients raise."""
        return envelope.refuse_event(decision)

    def fault(self, error: GuardrailError) -> bytes:
        """The error as the last event, which clients raise."""
        return envelope.fault_event(error)

    def _event(self, sent: Sent) -> Sequence[Event]:
        shown = Shown(self._limits)
        if sent.data is None:
            return self._telling.event(sent.raw, shown)
        if sent.data.strip() == _DONE:
            # Some servers never say that a choice is done.
            final, self._ended = not self._ended, True
            return self._telling.event(sent.raw, shown, final=final, end=True)
        root = parse(sent.data, self._limits)
        finder = Finder(sent.data, shown, self._tell)
        before = len(self._finished)
        for key, member in root.members.items():
            if key == "choices" and member.kind is Json.ARRAY:
                for at, choice in enumerate(member.items):
                    self._choice(finder, number(choice, sent.data, at), choice)
            else:
                finder.rest(WHOLE, member, (key,), links=key in SOURCES)
        error = root.get("error") is not None
        final = len(self._finished) > before
        self._ended |= final or error
        end = error or len(self._finished) >= self._count
        return self._telling.event(sent.raw, shown, final=final, error=error, end=end)

    def _choice(self, finder: Finder, index: int, node: Node) -> None:
        finder.said(index, node, ("choices", index))
        if node.kind is Json.OBJECT and node.get("finish_reason") is not None:
            self._finished.add(index)

    def _tell(self, entry: int, path: Path, text: str) -> None:
        self._telling.add(path, name_of(path), text)


class ImagesReader(EventReader):
    """Streams of OpenRouter's images: those of the Images API, and drawings that come as text, which nobody judges."""

    def _event(self, sent: Sent) -> Event:
        if sent.data is not None and (sent.name.endswith(b"text_chunk") or b"text_chunk" in sent.data[:4096]):
            raise UpstreamError("it streams a drawing as text, which cannot be judged before it is whole")
        return super()._event(sent)
