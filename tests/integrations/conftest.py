"""A guard of stand-in checks, with a policy and a record, that judges by words and by how bright pictures are."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from guardrail.audit import AuditLog
from guardrail.pipeline import Guard
from guardrail.policy import PolicyBook
from guardrail.types import Kind
from tests.stand_ins import Asks

POLICY = """
version: 1
name: test
on_unknown: hold
rules:
  - id: no-word
    when: {prompt.sexual: 0.50}
    action: block
  - id: no-input
    when: {input.exposure: 0.50}
    action: block
  - id: no-output
    when: {output.exposure: 0.50}
    action: block
"""


class Eye:
    """What the checks of a test were shown; pictures count as bad from `bright` on (mean grey level in [0, 1])."""

    def __init__(self) -> None:
        self.bright = 2.0
        self.texts: list[str] = []
        self.pictures: dict[str, list[np.ndarray]] = {"input": [], "output": []}

    def read(self, artifact):
        self.texts.append(artifact.text)
        return {"sexual": float("forbidden" in artifact.text)}

    def look(self, artifact):
        shown = np.asarray(Image.open(io.BytesIO(artifact.data)).convert("RGB"))
        self.pictures[artifact.kind.value].append(shown)
        return {"exposure": float(shown.mean() / 255 >= self.bright)}


@pytest.fixture
def eye():
    return Eye()


@pytest.fixture
def audit(tmp_path):
    with AuditLog.open(f"sqlite:///{tmp_path / 'audit.db'}", b"k" * 32) as log:
        yield log


@pytest.fixture
def by(eye, audit, tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    checks = [
        Asks(eye.read, ["sexual"], [Kind.PROMPT], "words"),
        Asks(eye.look, ["exposure"], [Kind.INPUT, Kind.OUTPUT], "eye"),
    ]
    guard = Guard(checks, PolicyBook(path), digest_key=b"d" * 32, audit=audit, threads=1, cache=0)
    yield guard
    guard.looker.close()
