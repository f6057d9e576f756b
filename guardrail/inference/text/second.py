"""The second opinion: what the first heads are not sure of is read anew with a larger encoder beside the first.

The larger one takes five times as long and is asked about few ordinary prompts. Between the two opinions a score moves
without a jump, so that rounding at the edge of a band changes nothing that anyone could see.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import sentencepiece

from guardrail.errors import ConfigError
from guardrail.inference.text.prompts import PromptHeads, read_heads

Floats = npt.NDArray[np.float32]

WIDTH = 384
SPREAD = np.float32(np.sqrt(WIDTH))
BEGIN, END = 0, 2
# Its authors put this before every text that is not a passage to be found (arXiv 2402.05672).
PREFIX = "query: "
# A piece of the first encoder, 64 of its tokens, is rarely above 90 of these; what is longer is cut off.
LONGEST = 128
# Logits over which a first opinion gives way to the second, at either edge of the band.
EDGE = 0.5
# Pieces of one prompt that are read anew, the most suspect ones: bounds the time of a long prompt.
MOST = 12
# A request that surely asks for these need not be read anew to hear whether it asks for revealing dress as well.
ECLIPSED = {"revealing": ("sexual", "undress")}


class SecondEncoder:
    """multilingual-e5-small: 384 numbers, of length one, for a text.

    `session` runs the graph that `guardrail.inference.build.e5` writes; `tokenizer` is the `e5.model` beside it.
    Safe to share between threads. Raises ConfigError when the tokeniser cannot be read.
    """

    def __init__(self, session: Any, tokenizer: Path) -> None:
        self._session = session
        try:
            self._pieces = sentencepiece.SentencePieceProcessor(model_file=str(tokenizer))
        except (OSError, RuntimeError) as error:
            raise ConfigError(
                f"{tokenizer.name}: no tokeniser can be read from it ({type(error).__name__}); "
                "run `guardrail models verify`, then `guardrail models pull --force`"
            ) from error

    def embed(self, texts: Sequence[str]) -> Floats:
        """Embed texts. Returns float32 of shape (texts, 384).

        One text a run: the graph quantises over a whole run, and a score is a function of its own text alone. Texts
        must be encodable as UTF-8 (`fold` sees to it).
        """
        out = np.empty((len(texts), WIDTH), np.float32)
        for row, text in enumerate(texts):
            ids = np.array([self.ids(text)], np.int64)
            out[row] = self._session.run(["embedding"], {"input_ids": ids})[0][0]
        return out

    def ids(self, text: str) -> list[int]:
        """What the graph is given for a text: its pieces after the prefix, cut off at LONGEST, between its marks."""
        return [BEGIN, *self._pieces.encode(PREFIX + text)[: LONGEST - 2], END]


def unsure(logits: Floats, lower: Floats, upper: Floats) -> Floats:
    """How much of the second opinion each piece takes for each factor, 0 to 1: (pieces, factors) of first logits."""
    share: Floats = np.clip(np.minimum(logits - lower, upper - logits) / EDGE, 0, 1).astype(np.float32)
    return share


class SecondOpinion:
    """Judges anew the pieces on which the first heads are not sure.

    `heads` were trained on the first reader's features with the second encoder's beside them. `lower` and `upper`, of
    shape (factors,), are the first logits between which the second opinion counts.
    Raises ConfigError when the shapes disagree, or a band is narrower than its two edges.
    """

    def __init__(self, encoder: SecondEncoder, heads: PromptHeads, lower: Floats, upper: Floats) -> None:
        n = len(heads.factors)
        if lower.shape != (n,) or upper.shape != (n,):
            raise ConfigError(f"second opinion: bands of shapes {lower.shape} and {upper.shape}, expected ({n},)")
        if not (upper - lower >= 2 * EDGE).all():
            raise ConfigError(f"second opinion: a band is narrower than {2 * EDGE} logits; train the heads anew")
        self.encoder, self.heads = encoder, heads
        self._lower, self._upper = lower, upper

    @property
    def digest(self) -> str:
        """Eight hex digits that tell these heads and bands from any others."""
        digest = sha256(self.heads.digest.encode())
        for array in (self._lower, self._upper):
            digest.update(np.ascontiguousarray(array, np.float32).tobytes())
        return digest.hexdigest()[:8]

    def judge(self, texts: Sequence[str], features: Floats, logits: Floats, less: Floats) -> Floats:
        """The logits of one prompt's pieces (pieces, factors), moved by the second opinion where that is asked.

        `texts`, `features` and `less` are those of the first reading; `logits` have lost `less` already. The most
        suspect piece is read first, and the others for what is still open then.
        """
        share = unsure(logits, self._lower, self._upper)
        doubt = np.where(share > 0, logits - self._lower, -np.inf).max(axis=1)
        asked = [i for i in np.argsort(-doubt, kind="stable")[:MOST].tolist() if share[i].any()]
        out = logits.copy()
        seen: dict[str, Floats] = {}
        for i in asked:
            counts = share[i] * self._open(out)
            if not counts.any():
                continue
            text = texts[i]
            if text not in seen:  # windows of other tokens may hold the same words
                seen[text] = self.encoder.embed([text]) * SPREAD
            anew = self.heads.logits(np.concatenate([features[i : i + 1], seen[text]], axis=1))[0] - less[i]
            out[i] += counts * (anew - logits[i])
        return out

    def _open(self, logits: Floats) -> Floats:
        """How open each factor still is, 1 to 0: what one piece surely asks for, no other needs to be read for."""
        left = 1 - np.clip((logits.max(axis=0) - self._upper) / EDGE, 0, 1)
        for factor, others in ECLIPSED.items():
            if factor in self.heads.factors:
                over = [left[self.heads.factors.index(other)] for other in others if other in self.heads.factors]
                left[self.heads.factors.index(factor)] *= min(over, default=1.0)
        out: Floats = left.astype(np.float32)
        return out


def packaged_second(encoder: SecondEncoder) -> SecondOpinion:
    """The second opinion that is shipped. Raises ConfigError when the file is not what training wrote."""
    body = files("guardrail.inference").joinpath("heads/prompt_second.npz").read_bytes()
    try:
        with np.load(io.BytesIO(body), allow_pickle=False) as archive:
            heads = read_heads(archive)
            lower, upper = (archive[name].astype(np.float32) for name in ("lower", "upper"))
    except (KeyError, ValueError, OSError) as error:
        raise ConfigError(f"prompt_second.npz is no file of prompt heads ({error}); reinstall Guardrail") from error
    return SecondOpinion(encoder, heads, lower, upper)
