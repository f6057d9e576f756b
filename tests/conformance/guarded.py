"""A guard that runs in front of a scripted generator, and a client in an environment of its own that talks to it.

The dialect, policy, audit log and server are real. Checks are the only stand-ins: the word "forbidden" in a text
and the bytes FORBIDDEN in a picture are what they find.
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from guardrail.audit import AuditLog, verify
from guardrail.pipeline import Guard
from guardrail.policy import PolicyBook
from guardrail.server import Metrics, ServerSettings, Upstream, build_app
from guardrail.server.process import Server, listen
from guardrail.types import Kind
from guardrail.upstream.dialect import Dialect
from tests.stand_ins import Asks

ROOT = Path(__file__).parents[2]
MARK = b"FORBIDDEN"
POLICY = """
version: 1
name: conformance
on_unknown: hold
rules:
  - id: bad-words
    when: {prompt.sexual: 0.5}
    action: block
    says: a word that is refused
  - id: bad-input
    when: {input.known: 0.5}
    action: block
    says: a picture that is refused
  - id: bad-output
    when: {output.known: 0.5}
    action: block
    says: a picture that is refused
"""


@dataclass
class Saw:
    """What one client saw, what the generator heard, and what is wrong with the record."""

    results: dict[str, Any]
    heard: list[Any]
    calls: Counter[str]
    faults: list[Any]
    refusals: int = 0
    """How many requests the guard refused by decision: a client that tries a refusal again is seen here."""


def python_of(environment: str) -> Path:
    """The interpreter of a client's environment; skips the test where there is none."""
    python = ROOT / f".venv-{environment}" / "bin" / "python"
    if not python.exists():
        pytest.skip(f"no .venv-{environment}; `make clients` makes it")
    return python


def drive(
    dialect: Dialect,
    generator: Any,
    python: Path,
    client: str,
    folder: Path,
    scenario_of: Callable[[Any], str],
) -> Saw:
    """Run `client` (a script beside this one) as `python client PORT FOLDER` against a guard, and say what it saw.

    It prints a JSON object: what came of each scenario. `generator` runs already and has `url` and `calls`.
    """
    (folder / "policy.yaml").write_text(POLICY)
    words = Asks(lambda text: {"sexual": float("forbidden" in text.text)}, ["sexual"], [Kind.PROMPT], "words")
    marks = Asks(lambda one: {"known": float(MARK in one.data)}, ["known"], [Kind.INPUT, Kind.OUTPUT], "marks")
    metrics = Metrics()
    url, key = f"sqlite:///{folder / 'audit.db'}", b"k" * 32
    guard = Guard(
        [words, marks],
        PolicyBook.open(folder / "policy.yaml"),
        digest_key=b"d" * 32,
        audit=AuditLog.open(url, key),
        observer=metrics,
    )
    app = build_app(guard, {dialect.name: Upstream(dialect, generator.url)}, ServerSettings(), metrics)
    server = Server(app, listen("127.0.0.1", 0), drain_s=5)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        done = subprocess.run(
            [python, Path(__file__).parent / client, str(server.address[1]), folder],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    finally:
        server.stop()
        thread.join(20)
    results = json.loads(done.stdout.splitlines()[-1])
    calls = Counter(scenario_of(heard) for heard in generator.calls)
    refusals = sum(
        sample.value
        for metric in metrics.registry.collect()
        for sample in metric.samples
        if sample.name == "guardrail_requests_total" and sample.labels["decision"] == "block"
    )
    return Saw(results, generator.calls, calls, list(verify(url, key)), int(refusals))
