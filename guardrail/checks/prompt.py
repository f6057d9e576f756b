"""What a prompt asks for: sexual content, undressing, revealing dress; of whom; and whether it hides it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from guardrail.checks import Tools
from guardrail.errors import CheckError
from guardrail.inference import fold
from guardrail.inference.prompts import PromptHeads, PromptReader, Reading, packaged_heads, packaged_lexicon
from guardrail.inference.text import TextEncoder
from guardrail.types import Artifact, Kind, Unknown

WEIGHTS = "use-multilingual"
# Prompts judged in one go; bounds memory when a file of ten thousand is checked.
BATCH = 256


class PromptSafety:
    """Scores a prompt's factors with a sentence encoder, a lexicon and calibrated heads, on its folded text.

    An empty prompt asks for nothing and scores 0.0 throughout. A prompt in a script that the encoder has no tokens
    for is Unknown on every factor but `evasion`.
    """

    name = "prompt-safety"
    kinds = frozenset((Kind.PROMPT,))

    def __init__(self, reader: PromptReader, heads: PromptHeads, label: str) -> None:
        self.reader = reader
        self._heads = heads
        self.factors = frozenset((*heads.factors, "evasion"))
        self.models: tuple[str, ...] = (
            label,
            f"prompt-heads@{heads.digest}",
            f"prompt-lexicon@{reader.lexicon.digest}",
            f"fold@{fold.VERSION}",
        )

    @classmethod
    def open(cls, tools: Tools) -> PromptSafety:
        """Open the encoder's weights and the packaged heads. Raises ConfigError when either is missing or wrong."""
        encoder = TextEncoder(tools.models.session(WEIGHTS), tools.models.path(WEIGHTS, "sp.model"))
        return cls(PromptReader(encoder, packaged_lexicon()), packaged_heads(), tools.models.label(WEIGHTS))

    def score(self, batch: Sequence[Artifact]) -> Sequence[Mapping[str, float | Unknown]]:
        """One mapping per artifact. Raises CheckError for an artifact without a text."""
        texts = [_text(artifact) for artifact in batch]
        scores = []
        for start in range(0, len(texts), BATCH):
            scores += [self._score(reading) for reading in self.reader.read(texts[start : start + BATCH])]
        return scores

    def _score(self, reading: Reading) -> Mapping[str, float | Unknown]:
        scores: dict[str, float | Unknown] = {"evasion": reading.folded.disguise}
        if reading.blind:
            unread = Unknown("the text is in a script that the encoder has no tokens for")
            return {**scores, **dict.fromkeys(self._heads.factors, unread)}
        scores.update(self._heads.score(reading.features))
        return {
            name: score if isinstance(score, Unknown) or math.isfinite(score) else Unknown("the score is not a number")
            for name, score in scores.items()
        }


def _text(artifact: Artifact) -> str:
    if artifact.text is None:
        raise CheckError(f"prompt-safety: artifact {artifact.slot} has no text; it judges prompts only")
    return artifact.text
