"""Runs made up for tests: folders as the engine leaves them, with scores whose figures are known."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from guardrail.evaluate import runs


def row(name: str, label: int, score: float | None, **more: Any) -> dict[str, Any]:
    """One row on the factor `undress`; `score` None is one that could not be told."""
    return {
        "id": name,
        "labels": {"undress": label},
        "slices": {},
        "group": None,
        "scores": {} if score is None else {"prompt.undress": score},
        "errors": {"prompt.undress": "not read"} if score is None else {},
        "action": "block" if (score or 0.0) >= 0.5 else "allow",
        "rules": ["undress-request"] if (score or 0.0) >= 0.5 else [],
        **more,
    }


def run(folder: Path, rows: Iterable[Mapping[str, Any]], *, part: Mapping[str, Any] | None = None, **more: Any) -> Path:
    """The folder of a run; `part` is more of what it says of its suite."""
    told = list(rows)
    folder.mkdir(parents=True)
    suite = {
        "id": "made-up",
        "version": "1",
        "digest": "0" * 64,
        "task": "prompt",
        "factors": sorted({factor for one in told for factor in one["labels"]}),
        "licence": "Apache-2.0",
        "misses": ["everything real"],
        "where": [],
        "limit": None,
        **(part or {}),
    }
    signals = {factor: f"prompt.{factor}" for factor in suite["factors"]}
    content = {
        "format": 1,
        "guardrail": "0",
        "suite": suite,
        "signals": signals,
        "models": ["says@1"],
        "policy": {"name": "p", "digest": "1" * 64},
        "thresholds": {signal: [0.5] for signal in signals.values()},
        "attack": None,
        "rows": len(told),
        "unscored": sum(any(signal not in one["scores"] for signal in signals.values()) for one in told),
        **more,
    }
    (folder / runs.RUN).write_text(json.dumps(content), "utf-8")
    (folder / runs.ROWS).write_bytes(b"".join(map(runs.line, told)))
    (folder / runs.TIMINGS).write_bytes(b"".join(runs.line({"id": one["id"], "took_ms": 2.0}) for one in told))
    return folder


def normal(count: int, gap: float, seed: int = 0, **more: Any) -> list[dict[str, Any]]:
    """`count` positives and as many negatives whose scores are `gap` standard deviations apart, in [0, 1]."""
    random = np.random.default_rng(seed)
    labels = np.r_[np.ones(count, int), np.zeros(count, int)]
    scores = 1 / (1 + np.exp(-(random.normal(size=2 * count) + gap * (labels - 0.5))))
    return [
        row(f"r{at}", int(label), round(float(score), 6), **more)
        for at, (label, score) in enumerate(zip(labels, scores, strict=True))
    ]
