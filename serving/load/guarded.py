"""Starts the guard as the bench measures it: guarded.py MODE PORT UPSTREAM HOME [WEIGHTS].

Records go to HOME; weights are looked for in WEIGHTS, or else under GUARDRAIL_HOME.

off: one check, that finds one word in texts and does no work on pictures; what is left is the proxy, the receipt
(with a digest of each picture) and the record.
prompts: the prompt check alone. all: every default check and the default policy. cached: the same, and verdicts are
remembered as they are by default.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from guardrail.audit import AuditLog
from guardrail.home import Home
from guardrail.inference.weights import Models
from guardrail.pipeline import Guard
from guardrail.policy import PolicyBook
from guardrail.server import Metrics, ServerSettings, Upstream, build_app, logs, serve
from guardrail.server.process import tune_malloc
from guardrail.types import Kind
from guardrail.upstream.openai import OpenAIImages

POLICY = """
version: 1
name: bench
on_unknown: hold
rules:
  - id: asks
    when: {%s: 0.5}
    action: block
    says: refused
"""


class Nothing:
    """Sees one word, "forbidden", in texts, and looks at nothing else."""

    name = "nothing"
    kinds = frozenset({Kind.PROMPT})
    factors = frozenset({"sexual"})
    models: tuple[str, ...] = ("nothing@0",)
    light = True

    def score(self, batch: Sequence[Any]) -> Sequence[Mapping[str, float]]:
        return [{"sexual": float("forbidden" in (one.text or ""))} for one in batch]


def guard(mode: str, home: Path, weights: Path | None, metrics: Metrics) -> Guard:
    """The guard of one mode, recording into `home`."""
    home.mkdir(parents=True, exist_ok=True)
    state = Home(home)
    audit = AuditLog.open(f"sqlite:///{home / 'audit.db'}", state.key("audit"))
    common: dict[str, Any] = {"audit": audit, "observer": metrics}
    if mode != "cached":  # the bench asks for the same picture again and again
        common["cache"] = 0
    policy = home / "policy.yaml"
    policy.write_text(POLICY % "prompt.sexual")
    if mode == "off":
        return Guard([Nothing()], PolicyBook(policy), digest_key=state.key("digest"), **common)
    models = Models(weights or Home.default().folder("models"))
    if mode == "prompts":
        return Guard.from_policy(policy, home=state, models=models, checks=("prompt-safety",), **common)
    return Guard.from_policy("default", home=state, models=models, **common)


def main() -> None:
    mode, port, upstream, home = sys.argv[1], int(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
    weights = Path(sys.argv[5]) if len(sys.argv) > 5 else None
    tune_malloc()
    metrics = Metrics()
    stop = logs.start(logging.INFO)
    app = build_app(
        guard(mode, home, weights, metrics), {"openai": Upstream(OpenAIImages(), upstream)}, ServerSettings(), metrics
    )
    serve(app, "127.0.0.1", port)
    stop()


if __name__ == "__main__":
    main()
