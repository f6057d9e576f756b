"""Log lines: JSON, bounded, and silent about what callers sent."""

from __future__ import annotations

import io
import json
import logging
import threading

from guardrail.server import logs


def lines(stream: io.StringIO) -> list[dict]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_its_fields():
    stream = io.StringIO()
    stop = logs.start(logging.INFO, stream)
    logging.getLogger("guardrail.request").info("request", extra={"fields": {"status": 200, "rules": ["a"]}})
    stop()
    (line,) = lines(stream)
    assert (line["event"], line["level"], line["status"], line["rules"]) == ("request", "info", 200, ["a"])
    assert line["ts"].endswith("Z")


def test_an_error_is_logged_by_class_and_place_without_its_message():
    stream = io.StringIO()
    stop = logs.start(logging.INFO, stream)
    try:
        raise ValueError("the prompt itself")
    except ValueError:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
    stop()
    assert "the prompt itself" not in stream.getvalue()
    assert lines(stream)[0]["fault"].startswith("ValueError at test_logs.py:")


class Stuck(io.StringIO):
    """A reader that stops reading until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go = threading.Event()

    def write(self, text: str) -> int:
        self.let_go.wait(20)
        return super().write(text)


def test_a_reader_that_stops_reading_stops_nobody_and_what_is_lost_is_counted():
    stream = Stuck()
    stop = logs.start(logging.INFO, stream, most=100, gather_s=0.01)
    for _ in range(5_000):
        logging.getLogger("guardrail.request").info("request")
    stream.let_go.set()
    stop()
    written = lines(stream)
    dropped = sum(line.get("dropped", 0) for line in written)
    kept = sum(line["event"] == "request" for line in written)
    assert dropped > 0
    assert kept + dropped == 5_000


def test_logging_is_as_it_was_afterwards():
    before = list(logging.getLogger().handlers)
    logs.start(logging.INFO, io.StringIO())()
    assert logging.getLogger().handlers == before


def test_lines_for_people_say_the_same_and_each_stays_one_line():
    stream = io.StringIO()
    stop = logs.start(logging.INFO, stream, text=True)
    said = {"status": 200, "id": "a1", "rules": ["x"], "none": None, "odd": "two words\nid=forged"}
    logs.say(logging.getLogger("guardrail.request"), "request", said)
    logging.getLogger("guardrail.server").error("it broke")
    stop()
    first, second = stream.getvalue().splitlines()
    assert first.split(" ", 1)[1] == 'request status=200 id=a1 rules=["x"] odd="two words\\nid=forged"'
    assert first.split(" ", 1)[0].endswith("Z")
    assert second.split(" ", 1)[1] == "ERROR it broke logger=guardrail.server"


def test_what_is_said_is_said_at_every_level():
    stream = io.StringIO()
    stop = logs.start(logging.ERROR, stream)
    logs.say(logging.getLogger("guardrail.server"), "guardrail listens", {"address": "http://127.0.0.1:1"})
    stop()
    (line,) = lines(stream)
    assert (line["event"], line["address"], line["logger"]) == (
        "guardrail listens",
        "http://127.0.0.1:1",
        "guardrail.server",
    )


def test_the_lock_of_the_lines_can_be_taken_as_newer_pythons_take_it():
    # Python 3.13 enters the lock of a handler without asking whether there is one.
    stop = logs.start(logging.INFO, io.StringIO())
    (handler,) = logging.getLogger().handlers
    try:
        assert handler.lock is not None
        with handler.lock:
            logging.getLogger("guardrail").info("from the thread that holds it")
    finally:
        stop()


def test_a_line_has_all_that_records_of_this_python_have():
    # Whoever embeds the guard formats lines himself: `%(taskName)s` is there since Python 3.12.
    kept: list[logging.LogRecord] = []
    logger = logging.Logger("guardrail.request")
    logger.addFilter(lambda record: bool(kept.append(record)))
    logs.say(logger, "request", {"status": 200})
    (line,) = kept
    assert vars(logging.makeLogRecord({})).keys() <= vars(line).keys()
