"""Streamed answers of the OpenAI Images API: server-sent events, each judged as a whole before a byte of it leaves."""

from __future__ import annotations

from collections.abc import Sequence

from guardrail.errors import GuardrailError, UpstreamError
from guardrail.types import Artifact, Decision, Kind
from guardrail.upstream import envelope, pictures
from guardrail.upstream.answers import check_keys, decode, holds_picture, shows
from guardrail.upstream.dialect import Event
from guardrail.upstream.limits import Limits
from guardrail.upstream.slots import name_of
from guardrail.upstream.spans import Json, JsonFault, Node, listed_numbers, scan, strings
from guardrail.upstream.sse import MOST_OTHER, Cutter, Sent


class EventReader:
    """Fulfils `StreamReader`. `Event.final` is true for each "completed" event: a stream may have several, so the
    reading goes on to the end."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._cutter = Cutter(limits.event_bytes)
        self._partials = 0
        self._completed = 0
        self._failed = False

    def feed(self, chunk: bytes) -> Sequence[Event]:
        """Take the next bytes; the events that they complete. Raises UpstreamError."""
        return [self._event(sent) for sent in self._cutter.feed(chunk)]

    def close(self) -> Sequence[Event]:
        """The stream ended. Raises UpstreamError when it did so inside an event, or without a final one."""
        events = [self._event(sent) for sent in self._cutter.close()]
        if not (self._completed or self._failed):
            raise UpstreamError("its stream ended without a finished picture")
        return events

    def refuse(self, decision: Decision) -> bytes:
        """The refusal as the last event."""
        return envelope.refuse_event(decision)

    def fault(self, error: GuardrailError) -> bytes:
        """The error as the last event."""
        return envelope.fault_event(error)

    def _event(self, sent: Sent) -> Event:
        return Event(sent.raw) if sent.data is None else self._data(sent.raw, sent.name, sent.data)

    def _data(self, raw: bytes, name: bytes, data: bytes) -> Event:
        try:
            root = scan(data, self._limits.json)
        except JsonFault as fault:
            text = data.decode("utf-8", "replace")
            if len(data) <= MOST_OTHER and b"{" not in data and not shows(text):
                return Event(raw)  # "[DONE]", "ping"
            raise UpstreamError(f"an event of its stream is not the JSON expected: {fault}") from None
        check_keys(root)
        if listed_numbers(root) > self._limits.numbers:
            raise UpstreamError(f"a list in its stream holds more than {self._limits.numbers} numbers")
        kind = root.get("type")
        said = kind.text(data) if kind is not None and kind.kind is Json.STRING else name.decode("utf-8", "replace")
        error = root.get("error") is not None or said == "error" or name == b"error"
        final = said.endswith(".completed") and not error
        event = self._judged(raw, root, data, said)
        if (final or said.endswith(".partial_image")) and not event.images:
            raise UpstreamError("an event of its stream has no picture")
        self._completed += final
        self._failed |= error
        return Event(raw, event.images, event.texts, final, error)

    def _judged(self, raw: bytes, root: Node, data: bytes, said: str) -> Event:
        images: list[Artifact] = []
        texts: list[Artifact] = []
        for path, node in strings(root):
            if not node.size:
                continue
            if path[-1:] == ("b64_json",) or holds_picture(node, data):
                slot = self._slot(root, data, said) if path == ("b64_json",) else f"event.{name_of(path)}"
                images.append(Artifact(Kind.OUTPUT, slot, data=decode(node, data, self._limits, slot)))
            elif shows(node.text(data)):
                raise UpstreamError("a text in its stream shows a picture, which cannot be judged in a stream")
            elif path == ("revised_prompt",):
                if len(node.text(data)) > self._limits.prompt_chars:
                    raise UpstreamError(f"a revised prompt is over {self._limits.prompt_chars} characters")
                texts.append(Artifact(Kind.PROMPT, "revised_prompt", text=node.text(data)))
            elif node.size < 8192 and pictures.url_scheme(node.text(data)) is not None and root.get("error") is None:
                raise UpstreamError("its stream points to a picture by address, which cannot be judged in a stream")
        return Event(raw, tuple(images), tuple(texts))

    def _slot(self, root: Node, data: bytes, said: str) -> str:
        if said.endswith(".partial_image"):
            index = root.get("partial_image_index")
            raw = data[index.start : index.end] if index is not None and index.kind is Json.NUMBER else b""
            number = int(raw) if raw.isdigit() and len(raw) < 6 else self._partials
            self._partials += 1
            return f"partial[{number}]"
        return "completed" if not self._completed else f"completed[{self._completed}]"
