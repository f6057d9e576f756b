"""Streamed answers of the OpenAI Images API: server-sent events, each judged as a whole before a byte of it leaves."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from guardrail.errors import UpstreamError
from guardrail.types import Artifact, Kind
from guardrail.upstream import pictures
from guardrail.upstream.dialect import Event
from guardrail.upstream.openai.answer import check_keys, decode, holds_picture
from guardrail.upstream.openai.limits import Limits
from guardrail.upstream.openai.slots import name_of
from guardrail.upstream.spans import Json, JsonFault, Node, listed_numbers, scan, strings

_BOM = b"\xef\xbb\xbf"
# Python's and JavaScript's line splitters end lines at these too, and would read `data:` behind them.
_OTHER_ENDS = re.compile(rb"[\x0b\x0c\x1c-\x1e]|\xc2\x85|\xe2\x80[\xa8\xa9]")
_MOST_LINES = 1000  # in one event
_MOST_OTHER = 1024  # bytes of a line that is not data, and of data that is not JSON


class EventReader:
    """Fulfils `StreamReader`. Cuts at blank lines; LF, CR LF and CR all end a line; chunks may end anywhere.

    Memory is bounded by the limit of one event. `Event.final` is true for each "completed" event: a stream may have
    several, so the reading goes on to the end.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._buffer = bytearray()
        self._line = 0  # where the line that is being read starts
        self._seen = 0  # up to here no line end was found
        self._lines: list[tuple[int, int]] = []
        self._first = True
        self._partials = 0
        self._completed = 0
        self._failed = False

    def feed(self, chunk: bytes) -> Sequence[Event]:
        """Take the next bytes; the events that they complete. Raises UpstreamError."""
        self._buffer += chunk
        return list(self._cut(ended=False))

    def close(self) -> Sequence[Event]:
        """The stream ended. Raises UpstreamError when it did so inside an event, or without a final one."""
        events = list(self._cut(ended=True))
        if self._lines or self._line < len(self._buffer):
            raise UpstreamError("its stream was cut inside an event")
        if not (self._completed or self._failed or any(event.final or event.error for event in events)):
            raise UpstreamError("its stream ended without a finished picture")
        return events

    def _cut(self, *, ended: bool) -> Iterator[Event]:
        while (found := self._line_end(ended)) is not None:
            end, after = found
            if len(self._lines) >= _MOST_LINES:
                raise UpstreamError(f"an event of its stream has more than {_MOST_LINES} lines")
            start, self._line, self._seen = self._line, after, after
            if end > start:
                self._lines.append((start, end))
                continue
            if self._lines:  # else blank lines before an event, which leave with it
                yield self._take()
        if ended and not self._lines and self._line == len(self._buffer) > 0:
            yield Event(bytes(self._buffer))
        if len(self._buffer) > self._limits.event_bytes:
            raise UpstreamError(f"an event of its stream is over {self._limits.event_bytes} bytes")

    def _take(self) -> Event:
        raw = bytes(memoryview(self._buffer)[: self._line])
        del self._buffer[: self._line]
        self._line = self._seen = 0
        lines, self._lines = self._lines, []
        return self._event(raw, lines)

    def _line_end(self, ended: bool) -> tuple[int, int] | None:
        """The end of the current line and the start of the next, or None when more bytes are needed."""
        buffer = self._buffer
        feed = buffer.find(b"\n", self._seen)
        # A carriage return counts only before the line feed, so looking no further keeps this linear.
        back = buffer.find(b"\r", self._seen, feed if feed >= 0 else len(buffer))
        if back < 0:
            self._seen = feed if feed >= 0 else len(buffer)
            return (feed, feed + 1) if feed >= 0 else None
        self._seen = back
        if back + 1 == len(buffer) and not ended:
            return None  # the line feed of this pair may be in the next chunk
        return back, back + (2 if buffer[back + 1 : back + 2] == b"\n" else 1)

    def _event(self, raw: bytes, lines: Sequence[tuple[int, int]]) -> Event:
        name = b""
        data: list[bytes] = []
        for begin, end in lines:
            marked = self._first and begin == 0 and raw.startswith(_BOM)
            start = begin + len(_BOM) if marked else begin
            if raw.startswith(b"data:", start):
                data.append(raw[start + (6 if raw.startswith(b" ", start + 5) else 5) : end])
            elif end - start > _MOST_OTHER:
                raise UpstreamError("a line of its stream that is not data is too long")
            elif _OTHER_ENDS.search(raw, start, end):
                raise UpstreamError("a line of its stream ends for some readers where it goes on for others")
            elif raw.startswith(b"event:", start):
                name = raw[start + 6 : end].removeprefix(b" ")
        self._first = False
        return self._data(raw, name, data[0] if len(data) == 1 else b"\n".join(data)) if data else Event(raw)

    def _data(self, raw: bytes, name: bytes, data: bytes) -> Event:
        try:
            root = scan(data, self._limits.json)
        except JsonFault as fault:
            text = data.decode("utf-8", "replace")
            if len(data) <= _MOST_OTHER and b"{" not in data and not pictures.looks_like_base64_picture(text):
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
