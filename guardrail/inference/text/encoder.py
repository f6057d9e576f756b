"""Texts: from a string to numbers a head can judge.

Training imports these same functions. An embedding is a function of its own tokens alone: batches are sorted by
length and padding is masked in the graph, so company and order change a number by rounding at most (under 1e-5).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import sentencepiece

from guardrail.errors import ConfigError

Floats = npt.NDArray[np.float32]
T = TypeVar("T")

UNKNOWN = 0
BEGIN = 1
END = 2
WIDTH = 512
# A window of the encoder, begin and end marks included. It averages over its tokens, so a short sentence in a long
# window is diluted: 64 tokens keep one harmful clause of about ten words above the noise of its surroundings.
WINDOW = 64
OVERLAP = 16
# Tokens in one run of the graph, padding included. Throughput is flat from about 400 on; this bounds memory (30 MB).
RUN_TOKENS = 1536


class TextEncoder:
    """USE-multilingual v3: 512 numbers, of length one, for a text in any of its 16 languages.

    `session` runs the graph that `guardrail.inference.build.use` writes; `tokenizer` is the `sp.model` published with
    the weights. Safe to share between threads.

    Raises ConfigError when the tokeniser cannot be read.
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
        self.space: int = self._pieces.piece_to_id("▁")
        scores = np.array([self._pieces.get_score(i) for i in range(self._pieces.get_piece_size())], np.float32)
        # What stands for nothing is stranger than the rarest piece.
        scores[UNKNOWN] = scores.min() - 3
        self._scores = scores

    def tokens(self, text: str) -> list[int]:
        """Token ids of a text, without begin and end marks; empty for nothing but white space.

        `text` must be encodable as UTF-8: lone surrogates are the caller's to replace (`fold` does).
        """
        ids: list[int] = self._pieces.encode(text)
        return ids

    def all_tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """The token ids of each text, as `tokens` has them."""
        ids: list[list[int]] = self._pieces.encode(list(texts))
        return ids

    def letters(self, text: str) -> list[str]:
        """What each token of a text stands for, with "\u2581" for a space.

        A letter that the vocabulary lacks stands as it is written.
        """
        letters: list[str] = self._pieces.encode(text, out_type=str)
        return letters

    def knows(self, word: str) -> bool:
        """True when a word, in the case given, is one piece of the vocabulary: a word of one of its languages."""
        return self._word(word) != UNKNOWN

    def weight(self, word: str) -> float:
        """Minus the logarithm of the probability of a word of the vocabulary, in nats; infinite for any other."""
        piece = self._word(word)
        return float("inf") if piece == UNKNOWN else -float(self._scores[piece])

    def strangeness(self, text: str) -> float:
        """Nats per letter of a text cut into its likeliest pieces: about 2 to 4 for language in an alphabet.

        0.0 for a text without letters. `text` must be encodable as UTF-8.
        """
        letters = sum(map(str.isalpha, text))
        return -float(self._scores[self.tokens(text.lower())].sum()) / letters if letters else 0.0

    def _word(self, word: str) -> int:
        try:
            piece: int = self._pieces.piece_to_id("▁" + word)
        except UnicodeEncodeError:  # a lone surrogate
            return UNKNOWN
        return piece

    def windows(self, text: str) -> list[tuple[Sequence[int], str]]:
        """The token ids of a text window by window, each with its words; the first and last word may be cut.

        A letter that the vocabulary lacks is one id for all such letters, and stands in the words as it was written.
        """
        ids = self.tokens(text)
        cut = windows(ids)
        if UNKNOWN not in ids:
            return [(window, self._pieces.decode(list(window))) for window in cut]
        shown = ["".join(window).replace("▁", " ").strip() for window in windows(self.letters(text))]
        return list(zip(cut, shown, strict=True))

    def blind(self, ids: Sequence[int]) -> bool:
        """True when a text has tokens and none of them stands for anything: a script the encoder never saw."""
        return bool(ids) and all(i in (UNKNOWN, self.space) for i in ids)

    def embed(self, sequences: Sequence[Sequence[int]]) -> Floats:
        """Embed sequences of token ids, without their begin and end marks; each should be at most WINDOW - 2 long.

        Returns float32 of shape (sequences, 512).
        """
        out = np.empty((len(sequences), WIDTH), np.float32)
        for batch in _by_length([len(sequence) + 2 for sequence in sequences]):
            longest = max(len(sequences[i]) for i in batch) + 2
            ids = np.zeros((len(batch), longest), np.int64)
            mask = np.zeros((len(batch), longest), np.int64)
            for row, i in enumerate(batch):
                length = len(sequences[i])
                ids[row, 0] = BEGIN
                ids[row, 1 : length + 1] = sequences[i]
                ids[row, length + 1] = END
                mask[row, : length + 2] = 1
            out[batch] = self._session.run(["embedding"], {"input_ids": ids, "attention_mask": mask})[0]
        return out

    def encode(self, texts: Sequence[str]) -> Floats:
        """Embed texts, each cut off at one window. Returns float32 of shape (texts, 512)."""
        return self.embed([self.tokens(text)[: WINDOW - 2] for text in texts])


def windows(ids: Sequence[T], *, window: int = WINDOW, overlap: int = OVERLAP) -> list[Sequence[T]]:
    """Cut token ids into windows that fit the encoder, each sharing `overlap` ids with the one before.

    One window, perhaps empty, for a text that fits; the last window ends with the text and is as long as the others.
    """
    size = window - 2
    if len(ids) <= size:
        return [ids]
    starts = [*range(0, len(ids) - size, size - overlap), len(ids) - size]
    return [ids[start : start + size] for start in starts]


def _by_length(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices in groups of like length, each group at most RUN_TOKENS with its padding, or a single sequence."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    group: list[int] = []
    for i in order:
        # Sorted, so this one is the longest so far. A group that would be padded by more than a third is closed too.
        if group and ((len(group) + 1) * lengths[i] > RUN_TOKENS or lengths[group[0]] * 4 < lengths[i] * 3):
            yield group
            group = []
        group.append(i)
    if group:
        yield group
