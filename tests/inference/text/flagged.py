"""How many texts a check flags."""

from __future__ import annotations

from collections.abc import Sequence

from guardrail.checks.prompt import PromptSafety
from guardrail.types import Artifact, Kind


def share(check: PromptSafety, texts: Sequence[str], factor: str, threshold: float) -> float:
    """The share of the texts that reach the threshold."""
    scores = check.score([Artifact(Kind.PROMPT, "prompt", text=text) for text in texts])
    found = [score[factor] for score in scores]
    return sum(isinstance(one, float) and one >= threshold for one in found) / len(found)
