"""What a prompt asks for: sexual content, undressing, revealing dress; of whom; and whether it hides it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from guardrail.checks import Tools
from guardrail.errors import CheckError, ConfigError
from guardrail.inference.text import apart, fold
from guardrail.inference.text.encoder import TextEncoder
from guardrail.inference.text.gazetteer import Gazetteer, packaged_names, read_names
from guardrail.inference.text.prompts import PromptHeads, PromptReader, Reading, packaged_heads, packaged_lexicon
from guardrail.inference.text.second import SecondEncoder, SecondOpinion, packaged_second
from guardrail.types import Artifact, Kind, Unknown

WEIGHTS = "use-multilingual"
# Asked where the first is not sure. Fetched beside it; without it the first opinion stands.
SECOND, TOKENIZER = "multilingual-e5-small", "e5.model"
# Prompts judged in one go; bounds memory when a file of ten thousand is checked.
BATCH = 256


class PromptSafety:
    """Scores a prompt's factors with a sentence encoder, a lexicon and calibrated heads, on its folded text.

    With `second`, what these are not sure of is judged anew with a larger encoder.
    An empty prompt asks for nothing and scores 0.0 throughout. A prompt in a script that the encoder has no tokens
    for is Unknown on every factor but `evasion`.
    """

    name = "prompt-safety"
    kinds = frozenset((Kind.PROMPT,))

    def __init__(
        self,
        reader: PromptReader,
        heads: PromptHeads,
        label: str,
        *,
        second: SecondOpinion | None = None,
        second_label: str = "second",
        names: Gazetteer | None = None,
    ) -> None:
        self.reader = reader
        self._heads = heads
        self._names = names or Gazetteer()
        self._second = second
        self.factors = frozenset((*heads.factors, "evasion"))
        self.models: tuple[str, ...] = (
            label,
            f"prompt-heads@{heads.digest}",
            f"prompt-lexicon@{reader.lexicon.digest}",
            f"prompt-apart@{apart.digest()}",
            f"fold@{fold.VERSION}",
            f"names@{self._names.digest}",
            *((second_label, f"prompt-second@{second.digest}") if second else ()),
        )

    @classmethod
    def open(cls, tools: Tools) -> PromptSafety:
        """Open the encoder's weights, the packaged heads and the lists of names.

        Names are those of the package, and those of the file that the option `names` says, else of `names.txt` under
        home where there is one. Raises ConfigError when any of it is missing or wrong.
        """
        encoder = TextEncoder(tools.models.session(WEIGHTS), tools.models.path(WEIGHTS, "sp.model"))
        reader = PromptReader(encoder, packaged_lexicon())
        second = label = None
        if tools.models.has(SECOND):
            second = packaged_second(SecondEncoder(tools.models.session(SECOND), tools.models.path(SECOND, TOKENIZER)))
            label = tools.models.label(SECOND)
        return cls(
            reader,
            packaged_heads(),
            tools.models.label(WEIGHTS),
            second=second,
            second_label=label or "second",
            names=_gazetteer(tools),
        )

    def score(self, batch: Sequence[Artifact]) -> Sequence[Mapping[str, float | Unknown]]:
        """One mapping per artifact. Raises CheckError for an artifact without a text."""
        texts = [_text(artifact) for artifact in batch]
        scores = []
        for start in range(0, len(texts), BATCH):
            scores += [self._score(reading) for reading in self.reader.read(texts[start : start + BATCH])]
        return scores

    def _score(self, reading: Reading) -> Mapping[str, float | Unknown]:
        scores: dict[str, float | Unknown] = {"evasion": reading.folded.disguise}
        if reading.unread:
            unread = Unknown(reading.unread)
            return {**scores, **dict.fromkeys(self._heads.factors, unread)}
        logits = self._heads.logits(reading.features) - reading.less
        if self._second is not None:
            logits = self._second.judge(reading.texts, reading.features, logits, reading.less)
        scores.update(self._heads.worst(logits))
        # A name of the list is evidence beside the head's: both must be wrong for there to be nobody.
        head = scores.get("person")
        if isinstance(head, float) and (named := self._names.strength(reading.folded.text)):
            scores["person"] = 1.0 - (1.0 - head) * (1.0 - named)
        return {
            name: score if isinstance(score, Unknown) or math.isfinite(score) else Unknown("the score is not a number")
            for name, score in scores.items()
        }


def _gazetteer(tools: Tools) -> Gazetteer:
    stray = sorted(set(tools.options) - {"names"})
    if stray:
        raise ConfigError(f"checks.options.prompt-safety: no setting {stray[0]!r}; there is `names`, a file of names")
    said = tools.options.get("names")
    if said is not None and not isinstance(said, str):
        raise ConfigError("checks.options.prompt-safety.names: the path of a file of names is expected")
    own = Path(said).expanduser() if said else tools.home / "names.txt"
    return Gazetteer(packaged_names(), *([read_names(own)] if said or own.exists() else []))


def _text(artifact: Artifact) -> str:
    if artifact.text is None:
        raise CheckError(f"prompt-safety: artifact {artifact.slot} has no text; it judges prompts only")
    return artifact.text
