"""A guard of ours that listens, for what is measured through one."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from guardrail.audit import AuditLog
from guardrail.pipeline import Guard
from guardrail.policy import PolicyBook
from guardrail.server import App, Metrics, ServerSettings, Upstream
from guardrail.server.process import Server, listen
from guardrail.types import Kind
from tests.stand_ins import Asks

RULES = """
version: 1
name: m
rules:
  - {id: s, when: {prompt.sexual: 0.5}, action: block}
"""


@contextmanager
def guarded(folder: Path, upstreams: Mapping[str, Upstream]) -> Iterator[str]:
    """Its address, with a check that finds the word "sexual" in texts."""
    (folder / "policy.yaml").write_text(RULES)
    finds = Asks(lambda one: {"sexual": 0.9 if "sexual" in one.text else 0.1}, ["sexual"], [Kind.PROMPT], "texts")
    guard = Guard(
        [finds],
        PolicyBook(folder / "policy.yaml"),
        digest_key=b"d" * 32,
        audit=AuditLog.open(f"sqlite:///{folder / 'audit.db'}", b"k" * 32),
    )
    app = App(guard, dict(upstreams), ServerSettings(), Metrics())
    server = Server(app, listen("127.0.0.1", 0), drain_s=5)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.address[1]}"
    finally:
        server.stop()
        thread.join(20)
