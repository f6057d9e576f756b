"""Prompts: from text to the probability of each factor.

Training imports the same reader. A prompt is folded, cut into pieces, and each piece judged by its embedding and by
the words in it; the prompt's score is that of its worst piece. Pieces are windows over all of it, and each sentence by
itself: one embedding of a wish and a harmless sentence beside it says mostly "harmless".
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt

from guardrail.errors import ConfigError
from guardrail.inference.text.apart import readings
from guardrail.inference.text.encoder import WIDTH, TextEncoder
from guardrail.inference.text.fold import Folded, fold
from guardrail.inference.text.frequent import FrequentWords, packaged_frequent
from guardrail.inference.text.lexicon import Lexicon
from guardrail.inference.text.mistyped import retyped, slipped
from guardrail.inference.text.pieces import clauses, sentences, tagged
from guardrail.inference.text.sections import Sections, sections
from guardrail.inference.text.steps import SAID, asked, continued
from guardrail.inference.text.wordlist import LONGEST_WORD, REMEMBERED

Floats = npt.NDArray[np.float32]

# An embedding has length one, so its numbers are about 0.044; this brings them beside the lexicon's 0 and 1.
SPREAD = np.float32(np.sqrt(WIDTH))

# What a word of the lexicon weighs where the encoder has it in pieces only: as much as its rarer words do.
LISTED = 12.0
# The same with an ending: more than two words of which the second only looks like one ("removeher").
ENDED = 22.0

# Nats that a word must read more easily than what was typed, for one of up to five letters and for a longer one; a long
# word is seldom one letter from another by chance.
SLIP, LONG_SLIP = 1.0, -2.0
# Honest words, one letter from a word of the lexicon, that the encoder has in pieces only.
HONEST = frozenset(
    (
        "striped",
        "straps",
        "strapped",
        "slopes",
        "trapped",
        "trappen",
        "stippen",
        "stippled",
        "borealis",
        "dutch",
        "tong",
        "shit",
        "shitty",
        "trunk",
        "pans",
        "moons",
        "strung",
        "miner",
        "couches",
        "klanten",
        "sting",
        "nets",
        "seater",
        "boer",
        "kink",
        "despite",
        "mens",
    )
)

_TAG = re.compile(r"[,;.\n\u3001\u3002\uff0c]")
_TYPED = re.compile(r"[^\W\d_]{4,}")
_SCENE = 200
# Characters of a part of a prompt that is read apart as a whole.
_LONG_PART = 2000
# A negative prompt is a list of tags of so many words: "extra fingers on the left hand".
_TAG_WORDS = 6
_WORDS = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True)
class Reading:
    """A prompt as the heads see it: one row of features per window, and what the fold found.

    `features` is float32 of shape (pieces, features), with no row for an empty prompt; `texts` are the pieces in words,
    and `less`, of shape (pieces, 1), the nats by which each counts less than what stands in its whole sentence.
    `blind` is true when the tokeniser has nothing for any of it.
    """

    features: Floats
    folded: Folded
    blind: bool
    texts: tuple[str, ...]
    less: Floats


class PromptReader:
    """Turns prompts into features. Safe to share between threads."""

    def __init__(self, encoder: TextEncoder, lexicon: Lexicon, frequent: FrequentWords | None = None) -> None:
        self.encoder = encoder
        self.lexicon = lexicon
        self.frequent = packaged_frequent() if frequent is None else frequent
        # Prompts are made of the same words again and again, and the fold asks about each several times.
        self._knows = lru_cache(REMEMBERED)(lambda word: lexicon.contains(word) or encoder.knows(word))
        self._sensitive = lru_cache(REMEMBERED)(lexicon.sensitive)
        self._telling = lru_cache(REMEMBERED)(lexicon.telling)
        self._weight = lru_cache(REMEMBERED)(encoder.weight)
        self._meant = lru_cache(REMEMBERED)(self._slip)
        self._retyped = lru_cache(REMEMBERED)(lambda typed, language: slipped(typed, language, self))

    @property
    def width(self) -> int:
        return WIDTH + len(self.lexicon.names)

    def knows(self, word: str) -> bool:
        """True for a word, in lower case, of the lexicon or of the encoder's vocabulary."""
        return self._knows(word[:LONGEST_WORD])

    def sensitive(self, word: str) -> bool:
        """True for a word, in lower case, that somebody may want to hide."""
        return self._sensitive(word[:LONGEST_WORD])

    def telling(self, word: str) -> bool:
        """True for a word, in lower case, that matters to judgement."""
        return self._telling(word[:LONGEST_WORD])

    def weight(self, word: str) -> float:
        """Nats that a word, in lower case, costs; infinite for one that neither lexicon nor encoder has."""
        own = self._weight(word[:LONGEST_WORD])
        if self.lexicon.listed(word):
            return min(own, LISTED)
        return min(own, ENDED) if self.telling(word) else own

    def strangeness(self, text: str) -> float:
        """Nats per letter of the likeliest way to read a text."""
        return self.encoder.strangeness(text)

    def read(self, texts: Sequence[str]) -> list[Reading]:
        """Read prompts; a reading depends on its own text alone."""
        folds = [fold(text, self) for text in texts]
        pieces: list[Sequence[int]] = []
        owners: list[list[int]] = []
        texts_of: list[str] = []
        less: list[float] = []
        blind = []
        for folded in folds:
            mine: list[int] = []
            seen: list[int] = []
            for section in self._asked(sections(self._mended(folded.text))):
                # The encoder reads words in capitals as other words.
                words_of = section.lower() if section.isupper() else section
                for window, shown, nats in self._pieces(words_of):
                    mine.append(len(pieces))
                    pieces.append(window)
                    texts_of.append(shown)
                    less.append(nats)
                    seen += window
            owners.append(mine)
            blind.append(self.encoder.blind(seen))
        embedded = self.encoder.embed(pieces)
        if pieces:
            words = np.stack([self.lexicon.features(text) for text in texts_of])
            table = np.concatenate([embedded * SPREAD, words], axis=1)
        else:
            table = np.empty((0, self.width), np.float32)
        lesser = np.array(less, np.float32)[:, None]
        return [
            Reading(table[mine], folded, dark, tuple(texts_of[i] for i in mine), lesser[mine])
            for mine, folded, dark in zip(owners, folds, blind, strict=True)
        ]

    def _pieces(self, text: str) -> list[tuple[Sequence[int], str, float]]:
        """Token ids and words of what is judged for itself in a section, each once: padding repeats itself.

        With each the nats by which it counts less.
        """
        parts = sentences(text)
        told = dict.fromkeys((text, *(parts if len(parts) > 1 else ())), 0.0)
        for more in (*(clauses(sentence, self.lexicon) for sentence in parts), tagged(text, self.lexicon)):
            for part, less in more.items():
                told[part] = min(less, told.get(part, less))
        found: dict[tuple[tuple[int, ...], str], tuple[Sequence[int], str, float]] = {}
        for part, less in told.items():
            for window, shown in self.encoder.windows(part):
                if window:
                    found.setdefault((tuple(window), shown), (window, shown, less))
        return list(found.values())

    def _mended(self, text: str) -> str:
        """The text with words of the lexicon that were mistyped put right, where what was typed is no word at all."""

        def mend(match: re.Match[str]) -> str:
            word = match[0]
            low = word.lower()
            meant = self._meant(low) if len(low) <= LONGEST_WORD else None
            if meant is None:
                return word
            # A capital makes a name of it, but not at the beginning or, in German, of a garment.
            named = not word.islower() and match.start() > 0
            return word if named and (len(word) < 7 or not self.lexicon.knows(meant, ("clothes",))) else meant

        return retyped(_TYPED.sub(mend, text), self, self._retyped)

    def _slip(self, typed: str) -> str | None:
        """The word of the lexicon that was meant by one, in lower case, that is none."""
        meant = self.lexicon.mended(typed)
        if meant is None or self.encoder.knows(typed) or not self._likelier(meant, typed):
            return None
        return meant

    def _likelier(self, meant: str, typed: str) -> bool:
        """True where a word reads more easily than what was typed: "striped" is no slip for "stripped"."""
        gain = self.strangeness(typed) * len(typed) - self.strangeness(meant) * len(meant)
        return gain > (SLIP if len(typed) < 6 else LONG_SLIP) and typed not in HONEST

    def _asked(self, parts: Sections) -> list[str]:
        """What is judged: what is asked for, and of what is unwanted that which is a request all the same.

        Unwanted clothes ("--no dress") are said as the request that they are. What is no tag but a sentence ("--no
        mercy, take her dress off") is read as one by a generator that reads language.
        """
        tags = [tag.strip() for part in parts.unwanted for tag in _TAG.split(part)]
        bared = [tag for tag in tags if self._is_garment(tag)]
        spoken = [tag for tag in tags if self._is_spoken(tag)]
        if bared:
            # The first part carries the scene, which the request is about.
            spoken.append(f"{parts.asked[0][:_SCENE]}, without {', '.join(bared)[:_SCENE]}")
        for part in parts.asked:
            turns = sentences(part)
            if len(turns) > 1 and continued(turns, self.lexicon):
                spoken.append(SAID)
            if whole := asked(part, self.lexicon):
                spoken.append(whole)
            # Of a long part only the sentences that speak of both: elsewhere its windows tell the two apart.
            for one in [part] if len(part) <= _LONG_PART else turns:
                spoken += readings(one, self.lexicon)
        return [*parts.asked, *dict.fromkeys(spoken)]

    def _is_spoken(self, tag: str) -> bool:
        """True for a sentence: longer than tags are, or about "her"."""
        words = _WORDS.findall(tag.casefold())
        return len(words) > _TAG_WORDS or any(self.lexicon.knows(word, ("pronoun",)) for word in words)

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

    def logits(self, features: Floats) -> Floats:
        """Calibrated log-odds of each factor for each piece: (pieces, factors).

        Raises ConfigError when the features are not those that the heads were trained on.
        """
        if features.shape[1] != self.width:
            raise ConfigError(
                f"prompt heads: trained on {self.width} features, given {features.shape[1]}; "
                "heads and lexicon are of different versions, reinstall Guardrail"
            )
        hidden = np.maximum(features @ self._w0 + self._b0, 0)
        logits: Floats = hidden @ self._w1 + features @ self._skip + self._b1
        return logits

    def worst(self, logits: Floats) -> dict[str, float]:
        """Probability of each factor: the highest of the pieces; 0.0 for each where there is no piece."""
        if not len(logits):
            return dict.fromkeys(self.factors, 0.0)
        highest = logits.max(axis=0).astype(np.float64)
        return {name: float(p) for name, p in zip(self.factors, 1.0 / (1.0 + np.exp(-highest)), strict=True)}

    def score(self, features: Floats) -> dict[str, float]:
        """Probability of each factor: that of the worst piece. Raises as `logits` does."""
        return self.worst(self.logits(features))


def packaged_lexicon() -> Lexicon:
    """The lexicon that is shipped with this version."""
    return Lexicon(files("guardrail.inference").joinpath("heads/prompt_lexicon.txt").read_text("utf-8"))


def packaged_heads() -> PromptHeads:
    """The heads that are shipped with this version. Raises ConfigError when the file is not what training wrote."""
    body = files("guardrail.inference").joinpath("heads/prompt_safety.npz").read_bytes()
    try:
        with np.load(io.BytesIO(body), allow_pickle=False) as archive:
            return read_heads(archive)
    except (KeyError, ValueError, OSError) as error:
        raise ConfigError(f"prompt_safety.npz is no file of prompt heads ({error}); reinstall Guardrail") from error


def read_heads(archive: Mapping[str, npt.NDArray[Any]]) -> PromptHeads:
    """Heads from the arrays that training wrote. Raises KeyError for a missing one, ConfigError for another shape."""
    arrays = [archive[name].astype(np.float32) for name in ("w0", "b0", "w1", "skip", "b1")]
    return PromptHeads([str(name) for name in archive["factors"]], *arrays)
