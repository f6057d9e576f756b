"""Logs: one JSON object per line (or a line for people), one line per request; never a prompt, picture, key, path or
query string.

Writing happens on a thread of its own, many lines at once: a log reader that stops reading must not stop the server,
and a line must not cost a switch of threads.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any, TextIO

import msgspec

REQUEST_LOG = "guardrail.request"
MAX_LINES_WAITING = 10_000
GATHER_S = 0.1
_PLAIN = re.compile(r"[!-~]+")


def where(error: BaseException) -> str:
    """The class of an error and the lines it passed, without its message: that may quote what a caller sent."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    steps = " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in reversed(frames))
    return f"{type(error).__name__} at {steps or 'unknown'}"


def say(logger: logging.Logger, event: str, fields: dict[str, Any]) -> None:
    """What `logger.info(event, extra={"fields": fields})` does, without a search of the stack for who said it, and at
    every level."""
    logger.handle(_Line(logger.name, event, fields))


class _Line(logging.LogRecord):
    """A record without what looking around costs: the process, the thread, the task, and where in the code."""

    def __init__(self, name: str, event: str, fields: dict[str, Any]) -> None:
        self.name, self.msg, self.args, self.fields = name, event, None, fields
        self.levelno, self.levelname = logging.INFO, "INFO"
        self.created = time.time()
        self.msecs = (self.created % 1) * 1000
        self.relativeCreated = 0.0
        self.pathname = self.filename = self.module = self.funcName = ""
        self.lineno = 0
        self.exc_info = self.exc_text = self.stack_info = None
        self.process = self.thread = None
        self.processName = self.threadName = self.taskName = None


class JsonLines(logging.Formatter):
    """Formats a log record as one JSON object: ts, level, event, and the fields of `extra={"fields": {...}}`."""

    def __init__(self) -> None:
        super().__init__()
        self._encode = msgspec.json.Encoder(enc_hook=str).encode
        self._second = (0, "")

    def format(self, record: logging.LogRecord) -> str:
        return self._encode(self.told(record)).decode()

    def _time(self, second: int) -> str:
        # Spelled out once for all lines of a second.
        if self._second[0] != second:
            self._second = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return self._second[1]

    def told(self, record: logging.LogRecord) -> dict[str, Any]:
        """What the line says, in order."""
        line: dict[str, Any] = {
            "ts": f"{self._time(int(record.created))}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        if record.name != REQUEST_LOG:
            line["logger"] = record.name
        fields = getattr(record, "fields", None)
        if isinstance(fields, dict):
            line.update(fields)
        if record.exc_info and record.exc_info[1] is not None:
            line["fault"] = where(record.exc_info[1])
        return line


class TextLines(JsonLines):
    """The same for people: time, event, and the fields as name=value; the level where it is none of everyday."""

    def format(self, record: logging.LogRecord) -> str:
        line = self.told(record)
        ts, level, event = (line.pop(name) for name in ("ts", "level", "event"))
        said = [ts, *([level.upper()] if level != "info" else []), *str(event).splitlines()]
        return " ".join([*said, *(f"{name}={self._value(value)}" for name, value in line.items() if value is not None)])

    def _value(self, value: object) -> str:
        # What has a space or a line break in it is quoted: nothing that is logged can look like two lines or fields.
        text = value if isinstance(value, str) else self._encode(value).decode()
        return text if _PLAIN.fullmatch(text) else self._encode(text).decode()


class _Gathering(logging.Handler):
    """Keeps records for the writer's thread; counts and drops what it does not keep up with."""

    def __init__(self, stream: TextIO, most: int, gather_s: float) -> None:
        super().__init__()
        self._stream = stream
        self._most = most
        self._gather_s = gather_s
        self._waiting: deque[logging.LogRecord] = deque()
        self._dropped = 0
        self._some = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="guardrail-log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        if len(self._waiting) >= self._most:
            self._dropped += 1
            return
        self._waiting.append(record)
        if not self._some.is_set():
            self._some.set()

    def finish(self) -> None:
        """Write what waits, then end the thread."""
        self._ending.set()
        self._some.set()
        self._thread.join(5)

    def _run(self) -> None:
        while not self._ending.is_set():
            self._some.wait()
            self._ending.wait(self._gather_s)
            self._some.clear()
            self._write()
        self._write()

    def _write(self) -> None:
        lines = []
        while self._waiting:
            lines.append(self.format(self._waiting.popleft()))
        if self._dropped:
            lost, self._dropped = self._dropped, 0
            note = logging.LogRecord("guardrail", logging.WARNING, __file__, 0, "log lines dropped", None, None)
            note.fields = {"dropped": lost}
            lines.append(self.format(note))
        if lines:
            try:
                self._stream.write("\n".join(lines) + "\n")
                self._stream.flush()
            except (OSError, ValueError):
                self._dropped += len(lines)  # nobody reads any more; the audit log does not depend on it


def start(
    level: int = logging.INFO,
    stream: TextIO | None = None,
    *,
    text: bool = False,
    most: int = MAX_LINES_WAITING,
    gather_s: float = GATHER_S,
) -> Callable[[], None]:
    """Send all logs of this process to `stream` (standard error) as JSON lines, or with `text` as lines for people;
    returns what flushes and stops it. Lines are gathered for `gather_s`; of those that wait, `most` are kept."""
    handler = _Gathering(stream or sys.stderr, most, gather_s)
    handler.setFormatter(TextLines() if text else JsonLines())
    root = logging.getLogger()
    before = (list(root.handlers), root.level)
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("guardrail").setLevel(level)
    logging.getLogger("uvicorn.error").setLevel(max(level, logging.WARNING))

    def stop() -> None:
        root.handlers[:] = before[0]
        root.setLevel(before[1])
        handler.finish()

    return stop
