"""Server-sent events, cut so that every reader would cut them the same way; bounded memory."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from guardrail.errors import UpstreamError
from guardrail.upstream.answers import shows

_BOM = b"\xef\xbb\xbf"
# Python's and JavaScript's line splitters end lines at these too, and would read `data:` behind them.
_OTHER_ENDS = re.compile(rb"[\x0b\x0c\x1c-\x1e]|\xc2\x85|\xe2\x80[\xa8\xa9]")
# Readers that strip lines, or take any case, read these as data.
_LIKE_DATA = re.compile(rb"(?:\s|\xef\xbb\xbf|\xc2\xa0)*+data\s*+:", re.IGNORECASE)
_MOST_LINES = 1000  # in one event
MOST_OTHER = 1024  # bytes of a line that is not data, and of data that is not JSON


@dataclass(frozen=True)
class Sent:
    """One event: its bytes as they came, the name that it was given, and its data; None for one without any."""

    raw: bytes = field(repr=False)
    name: bytes
    data: bytes | None = field(repr=False)


class Cutter:
    """Cuts a stream at blank lines; LF, CR LF and CR all end a line; chunks may end anywhere.

    Memory is bounded by `limit`, the most bytes that one event may have.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._line = 0  # where the line that is being read starts
        self._seen = 0  # up to here no line end was found
        self._lines: list[tuple[int, int]] = []
        self._first = True

    def feed(self, chunk: bytes) -> Sequence[Sent]:
        """Take the next bytes; the events that they complete. Raises UpstreamError."""
        self._buffer += chunk
        return list(self._cut(ended=False))

    def close(self) -> Sequence[Sent]:
        """The stream ended. Raises UpstreamError when it did so inside an event."""
        sent = list(self._cut(ended=True))
        if self._lines or self._line < len(self._buffer):
            raise UpstreamError("its stream was cut inside an event")
        return sent

    def _cut(self, *, ended: bool) -> Iterator[Sent]:
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
            yield Sent(bytes(self._buffer), b"", None)
        if len(self._buffer) > self._limit:
            raise UpstreamError(f"an event of its stream is over {self._limit} bytes")

    def _take(self) -> Sent:
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

    def _event(self, raw: bytes, lines: Sequence[tuple[int, int]]) -> Sent:
        name = b""
        data: list[bytes] = []
        for begin, end in lines:
            marked = self._first and begin == 0 and raw.startswith(_BOM)
            start = begin + len(_BOM) if marked else begin
            if raw.startswith(b"data:", start):
                data.append(raw[start + (6 if raw.startswith(b" ", start + 5) else 5) : end])
            elif end - start > MOST_OTHER:
                raise UpstreamError("a line of its stream that is not data is too long")
            elif _OTHER_ENDS.search(raw, start, end):
                raise UpstreamError("a line of its stream ends for some readers where it goes on for others")
            elif _LIKE_DATA.match(raw, start, end) or shows(raw[start:end].decode("utf-8", "replace")):
                raise UpstreamError("a line of its stream is data or a picture for some readers, and none for others")
            elif raw.startswith(b"event:", start):
                name = raw[start + 6 : end].removeprefix(b" ")
        self._first = False
        joined = data[0] if len(data) == 1 else b"\n".join(data)
        return Sent(raw, name, joined if data else None)
