"""Prompts: from text to the probability of each factor.

Training imports the same reader. A prompt is folded, cut into pieces, and each piece judged by its embedding and by
the words in it; the prompt's score is that of its worst piece. Pieces are windows over all of it, and each sentence by
itself: one embedding of a wish and a harmless sentence beside it says mostly "harmless".
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from guardrail.errors import ConfigError
from guardrail.inference.fold import Folded, fold
from guardrail.inference.lexicon import Lexicon
from guardrail.inference.sections import Sections, sections
from guardrail.inference.text import WIDTH, TextEncoder, windows

Floats = npt.NDArray[np.float32]

# An embedding has length one, so its numbers are about 0.044; this brings them beside the lexicon's 0 and 1.
SPREAD = np.float32(np.sqrt(WIDTH))

_TAG = re.compile(r"[,;\n]")
_TYPED = re.compile(r"[^\W\d_]{4,}")
_SCENE = 200
# Of 68 undress requests of the probe, each put between two harmless sentences, 0 were found by windows alone and 59
# with every sentence judged by itself; false alarms on the probe were the same, 1 in 202.
# A dot between single letters ends nothing: words spelled out with dots would fall apart.
_SENTENCE_END = re.compile(r"[!?;\n\u3002\uff01\uff1f\uff1b]+|\.+(?=\s|$|[^\W\d_]{2})")


@dataclass(frozen=True)
class Reading:
    """A prompt as the heads see it: one row of features per window, and what the fold found.

    `features` is float32 of shape (pieces, features), with no row for an empty prompt. `blind` is true when the
    tokeniser has nothing for any of it.
    """

    features: Floats
    folded: Folded
    blind: bool


class PromptReader:
    """Turns prompts into features. Safe to share between threads."""

    def __init__(self, encoder: TextEncoder, lexicon: Lexicon) -> None:
        self.encoder = encoder
        self.lexicon = lexicon

    @property
    def width(self) -> int:
        return WIDTH + len(self.lexicon.names)

    def knows(self, word: str) -> bool:
        """True for a word, in lower case, of the lexicon or of the encoder's vocabulary."""
        return self.lexicon.contains(word) or self.encoder.knows(word)

    def read(self, texts: Sequence[str]) -> list[Reading]:
        """Read prompts; a reading depends on its own text alone."""
        folds = [fold(text, self.knows, self.lexicon.sensitive) for text in texts]
        pieces: list[Sequence[int]] = []
        owners: list[list[int]] = []
        blind = []
        for folded in folds:
            mine: list[int] = []
            seen: list[int] = []
            for section in self._asked(sections(self._mended(folded.text))):
                # The encoder reads words in capitals as other words.
                words_of = section.lower() if section.isupper() else section
                ids = self.encoder.tokens(words_of)
                if not ids:
                    continue
                seen += ids
                for piece in self._pieces(words_of, ids):
                    mine.append(len(pieces))
                    pieces.append(piece)
            owners.append(mine)
            blind.append(self.encoder.blind(seen))
        embedded = self.encoder.embed(pieces)
        words = [self.lexicon.features(self.encoder.words(piece)) for piece in pieces]
        if pieces:
            table = np.concatenate([embedded * SPREAD, np.stack(words)], axis=1)
        else:
            table = np.empty((0, self.width), np.float32)
        return [Reading(table[mine], folded, dark) for mine, folded, dark in zip(owners, folds, blind, strict=True)]

    def _pieces(self, text: str, ids: Sequence[int]) -> list[Sequence[int]]:
        """The token ids of everything in a section that is judged for itself, each once: padding repeats itself."""
        found = [*windows(ids)]
        sentences = [part for part in _SENTENCE_END.split(text) if part.strip()]
        if len(sentences) > 1:
            found += [
                piece for part in dict.fromkeys(sentences) for piece in windows(self.encoder.tokens(part)) if piece
            ]
        return list({tuple(piece): piece for piece in found}.values())

    def _mended(self, text: str) -> str:
        """The text with words of the lexicon that were mistyped put right, where what was typed is no word at all."""

        def mend(match: re.Match[str]) -> str:
            word = match[0]
            meant = self.lexicon.mended(word) if word.islower() else None
            return word if meant is None or self.encoder.knows(word) else meant

        return _TYPED.sub(mend, text)

    def _asked(self, parts: Sections) -> list[str]:
        """What is judged: what is asked for, and unwanted clothes ("--no dress") said as the request that they are."""
        bared = [tag for part in parts.unwanted for tag in _TAG.split(part) if self._is_garment(tag)]
        if not bared:
            return list(parts.asked)
        # The first part carries the scene, which the request is about.
        return [*parts.asked, f"{parts.asked[0][:_SCENE]}, without {', '.join(bared)[:_SCENE]}"]

    def _is_garment(self, tag: str) -> bool:
        words = tag.casefold().split()
        return 0 < len(words) <= 2 and all(self.lexicon.knows(word, ("clothes",)) for word in words)


class PromptHeads:
    """The trained heads: from features to a calibrated probability per factor.

    A linear path `skip` (features, factors) beside a hidden layer `w0` (features, hidden), `b0`, `w1` (hidden,
    factors), and `b1` (factors,), in the order of `factors`; calibration is already in the numbers.
    Raises ConfigError when the shapes disagree.
    """

    def __init__(self, factors: Sequence[str], w0: Floats, b0: Floats, w1: Floats, skip: Floats, b1: Floats) -> None:
        self.factors = tuple(factors)
        self.width = len(skip)
        hidden, n = len(b0), len(self.factors)
        wanted = ((self.width, hidden), (hidden,), (hidden, n), (self.width, n), (n,))
        given = tuple(array.shape for array in (w0, b0, w1, skip, b1))
        if given != wanted:
            raise ConfigError(f"prompt heads: arrays of shapes {given}, expected {wanted}")
        self._w0, self._b0, self._w1, self._skip, self._b1 = w0, b0, w1, skip, b1

    @property
    def digest(self) -> str:
        """Eight hex digits that tell these heads from any others."""
        digest = sha256()
        for array in (self._w0, self._b0, self._w1, self._skip, self._b1):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:8]

    def score(self, features: Floats) -> dict[str, float]:
        """Probability of each factor: the highest of the windows; 0.0 for each where there is no window.

        Raises ConfigError when the features are not those that the heads were trained on.
        """
        if features.shape[1] != self.width:
            raise ConfigError(
                f"prompt heads: trained on {self.width} features, given {features.shape[1]}; "
                "heads and lexicon are of different versions, reinstall image-guardrail"
            )
        if not len(features):
            return dict.fromkeys(self.factors, 0.0)
        hidden = np.maximum(features @ self._w0 + self._b0, 0)
        logits = (hidden @ self._w1 + features @ self._skip + self._b1).max(axis=0).astype(np.float64)
        return {name: float(p) for name, p in zip(self.factors, 1.0 / (1.0 + np.exp(-logits)), strict=True)}


def packaged_lexicon() -> Lexicon:
    """The lexicon that is shipped with this version."""
    return Lexicon(files("guardrail.inference").joinpath("heads/prompt_lexicon.txt").read_text("utf-8"))


def packaged_heads() -> PromptHeads:
    """The heads that are shipped with this version. Raises ConfigError when the file is not what training wrote."""
    body = files("guardrail.inference").joinpath("heads/prompt_safety.npz").read_bytes()
    try:
        with np.load(io.BytesIO(body), allow_pickle=False) as archive:
            arrays = [archive[name].astype(np.float32) for name in ("w0", "b0", "w1", "skip", "b1")]
            return PromptHeads([str(name) for name in archive["factors"]], *arrays)
    except (KeyError, ValueError, OSError) as error:
        raise ConfigError(
            f"prompt_safety.npz is no file of prompt heads ({error}); reinstall image-guardrail"
        ) from error
