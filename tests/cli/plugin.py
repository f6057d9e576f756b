"""A check of somebody's own, as an installer leaves it: it needs no weights, and opens when it is told to."""

from __future__ import annotations

from pathlib import Path

MODULE = '''
import os, time
from pathlib import Path

from guardrail.types import Kind


class Words:
    """Sees one word, "forbidden", in texts."""

    name = "words"
    kinds = frozenset({Kind.PROMPT})
    factors = frozenset({"sexual"})
    models = ("words@1",)

    @classmethod
    def open(cls, tools):
        """Opens at once; where there is a file named by OPENING, says so in it and waits until it is gone."""
        opening = os.environ.get("OPENING")
        if opening and Path(opening).exists():
            Path(opening).write_text("opening")
            while Path(opening).exists():
                time.sleep(0.01)
        return cls()

    def score(self, batch):
        return [{"sexual": float("forbidden" in one.text)} for one in batch]
'''

POLICY = """
version: 1
name: words
rules:
  - id: {rule}
    when: {{prompt.sexual: {at_least}}}
    action: block
"""


def install(folder: Path) -> Path:
    """Put the package into `folder`, which then belongs on PYTHONPATH."""
    record = folder / "words_check-1.dist-info"
    record.mkdir(parents=True)
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: words-check\nVersion: 1\n")
    (record / "entry_points.txt").write_text("[guardrail.checks]\nwords = words_check:Words\n")
    (folder / "words_check.py").write_text(MODULE)
    return folder


def policy(rule: str = "first", at_least: float = 0.5) -> str:
    return POLICY.format(rule=rule, at_least=at_least)
