"""A policy, an audit log that can fail, and a guard of stand-in checks."""

from __future__ import annotations

import pytest

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
  - id: undress-request
    when: {prompt.undress: 0.50, input.person: 0.50}
    action: block
    says: asks to undress a person in the picture
  - id: sexual-prompt
    when: {prompt.sexual: 0.50}
    action: flag
  - id: explicit-prompt
    when: {prompt.sexual: 0.95}
    action: block
  - id: explicit-output
    when: {output.exposure: 0.80}
    action: block
  - id: undress-result
    when: {pair.same_face: 0.50, pair.exposure_increase: 0.50}
    action: block
"""


def words(artifact):
    """Scores by the words of a text: what a prompt model would say, for a test that is not about one."""
    text = artifact.text
    return {
        "undress": 0.9 if "undress" in text else 0.0,
        "sexual": 0.99 if "explicit" in text else 0.6 if "sexual" in text else 0.0,
    }


def bytes_(artifact):
    """Scores by the bytes of a picture: b"person", b"bare"."""
    return {"person": float(b"person" in artifact.data), "exposure": 0.9 if b"bare" in artifact.data else 0.0}


def pair(subject):
    same = float(b"person" in subject.input.data and b"person" in subject.output.data)
    return {"same_face": same, "exposure_increase": same * (b"bare" in subject.output.data)}


@pytest.fixture
def checks():
    return [
        Asks(words, ["undress", "sexual"], [Kind.PROMPT], "words"),
        Asks(bytes_, ["person", "exposure"], [Kind.INPUT, Kind.OUTPUT], "bytes"),
        Asks(pair, ["same_face", "exposure_increase"], [Kind.PAIR], "pair"),
    ]


@pytest.fixture
def book(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return PolicyBook(path)


@pytest.fixture
def audit(tmp_path):
    log = AuditLog.open(f"sqlite:///{tmp_path / 'audit.db'}", b"k" * 32)
    yield log
    log.close()


@pytest.fixture
def guard(checks, book, audit):
    made = Guard(checks, book, digest_key=b"d" * 32, audit=audit, threads=2, deadline_s=5.0)
    yield made
    made.looker.close()
