"""Prompts: from text to the probability of each factor.

Training imports the same reader. A prompt is folded, cut into pieces, and each piece judged by its embedding and by
the words in it; the prompt's score is that of its worst piece. Pieces are windows over all of it, and each sentence by
itself: one embedding of a wish and a harmless sentence beside it says mostly "harmless".
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from guardrail.errors import ConfigError
from guardrail.inference.text import dense, latin
from guardrail.inference.text.apart import coloured, readings
from guardrail.inference.text.cut import untagged
from guardrail.inference.text.encoder import WIDTH, TextEncoder
from guardrail.inference.text.fold import Folded, fold
from guardrail.inference.text.frequent import FrequentWords, packaged_frequent
from guardrail.inference.text.lexicon import Lexicon
from guardrail.inference.text.mistyped import retyped, slipped
from guardrail.inference.text.pieces import clauses, sentences, tagged
from guardrail.inference.text.sections import Sections, sections
from guardrail.inference.text.slang import bared
from guardrail.inference.text.steps import SAID, asked, continued, conversation
from guardrail.inference.text.uncovered import uncovered
from guardrail.inference.text.wordlist import LONGEST_WORD, REMEMBERED

Floats = npt.NDArray[np.float32]

# An embedding has length one, so its numbers are about 0.044; this brings them beside the lexicon's 0 and 1.
SPREAD = np.float32(np.sqrt(WIDTH))

BLIND = "the text is in a script that the encoder has no tokens for"
WORDLESS = "the text has no letters, and the encoder has no tokens for its signs"
"""Why a text is not read of which the tokeniser has nothing."""

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
# Characters of a part of a prompt that is read apart as a whole. A sentence that is longer than any prompt of 2,000
# characters folds to is read apart in slices, which overlap.
_LONG_PART, _LONG_SENTENCE = 2000, 9000
_SLICE, _OVERLAP = 960, 120
# Characters at the end of a long prompt that are read by themselves: a wish of a few words, without what pads it.
_LAST = 32
# A negative prompt is a list of tags of so many words: "extra fingers on the left hand".
_TAG_WORDS = 6
# Garments that one may name without commas: "--no dress bra panties".
_MOST_GARMENTS = 8
# Nats by which a conversation with its answers counts less than what its caller says. Of 324 twins that are cut over
# turns 17 are flagged with 2, 28 with 1, 59 with 0; of 324 requests 307, 310 and 315 are found.
_ANSWERED = 2.0
_WORDS = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True)
class Reading:
    """A prompt as the heads see it: one row of features per window, and what the fold found.

    `features` is float32 of shape (pieces, features), with no row for an empty prompt; `texts` are the pieces in words,
    and `less`, of shape (pieces, 1), the nats by which each counts less than what stands in its whole sentence.
    `unread` says why nothing can be told of a text, and is "" where something can.
    """

    features: Floats
    folded: Folded
    unread: str
    texts: tuple[str, ...]
    less: Floats


class _Piece(NamedTuple):
    """Token ids and words of what is judged for itself, and the nats by which it counts less."""

    ids: Sequence[int]
    shown: str
    less: float = 0.0


class PromptReader:
    """Turns prompts into features. Safe to share between threads.

    `heads` tell which parts of a dense text are read closely; those that are shipped, unless others are given.
    """

    def __init__(
        self,
        encoder: TextEncoder,
        lexicon: Lexicon,
        frequent: FrequentWords | None = None,
        heads: PromptHeads | None = None,
    ) -> None:
        self.encoder = encoder
        self.lexicon = lexicon
        self.frequent = packaged_frequent() if frequent is None else frequent
        self._heads = packaged_heads() if heads is None else heads
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
        word = word[:LONGEST_WORD]
        # Chance letters are asked about as well: such a word is listed but for an ending, which is told faster.
        listed = self.lexicon.listed
        bare = listed(word) or listed(word[:-1]) or listed(word[:-2]) or listed(word[:-3])
        return bare and self._telling(word)

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
        found: list[Reading] = []
        waiting: list[tuple[Folded, list[_Piece]]] = []
        for text in texts:
            folded = fold(text, self)
            parts = sections(coloured(self._mended(folded.text)))
            pieces = self._fitting(parts, len(text))
            if pieces is not None:
                waiting.append((folded, pieces))
                continue
            # Embedded by itself: rounding by others' company could change what is read closely.
            found += [*self._together(waiting), self._dense(folded, parts, len(text))]
            waiting = []
        return [*found, *self._together(waiting)]

    def _together(self, told: Sequence[tuple[Folded, Sequence[_Piece]]]) -> Iterator[Reading]:
        """Readings of prompts whose pieces are embedded in one go."""
        table = self._features([piece for _, pieces in told for piece in pieces])
        end = 0
        for folded, pieces in told:
            begin, end = end, end + len(pieces)
            blind = self.encoder.blind([*chain.from_iterable(piece.ids for piece in pieces)])
            yield _reading(folded, pieces, table[begin:end], _why_blind(folded.text) if blind else "")

    def _features(self, pieces: Sequence[_Piece]) -> Floats:
        """A row of features for each piece."""
        if not pieces:
            return np.empty((0, self.width), np.float32)
        embedded = self.encoder.embed([piece.ids for piece in pieces])
        words = np.stack([self.lexicon.features(piece.shown) for piece in pieces])
        return np.concatenate([embedded * SPREAD, words], axis=1)

    def _fitting(self, parts: Sections, characters: int) -> list[_Piece] | None:
        """The pieces of a prompt of so many characters; None where they are more than may be read."""
        most = dense.budget(characters) if characters > dense.SHORT else None
        if most is not None and sum(len(self.encoder.tokens(part)) for part in parts.asked) > most:
            return None
        found = {(tuple(piece.ids), piece.shown): piece for piece in self._whole(parts)}
        for section in self._asked(parts):
            for piece in self._pieces(_small(section)):
                key = (tuple(piece.ids), piece.shown)
                if key not in found or piece.less < found[key].less:
                    found[key] = piece
            if most is not None and _tokens([*found.values()]) > most:
                return None
        return [*found.values()]

    def _dense(self, folded: Folded, parts: Sections, characters: int) -> Reading:
        """All of a prompt of so many characters in windows, and the most suspect ones closely."""
        # The longest part of a JSON prompt is all of its fields with their names.
        widest = max(parts.asked, key=len)
        lines = [*self._unwanted(parts), *self._said(widest, sentences(widest))]
        ids = self.encoder.tokens("\n".join((_small(widest), *map(_small, lines))))
        blind = _why_blind(folded.text) if self.encoder.blind(ids) else ""
        if unread := blind or dense.unreadable(characters, len(ids)):
            return _reading(folded, (), self._features(()), unread)
        found: dict[tuple[tuple[int, ...], str], _Piece] = {}
        # What stands last is read by itself as well: that is where a wish behind padding stands.
        for section in (widest, widest[-_LAST:], "\n".join(lines)):
            for ids, shown in dense.windows(_small(section), self.encoder):
                found.setdefault((tuple(ids), shown), _Piece(ids, shown))
        windows = [*found.values()]
        table = self._features(windows)
        order: Sequence[int] = range(len(windows))
        if self._heads.width == self.width:  # heads of another lexicon are refused where they judge
            order = dense.most_suspect(self._heads.logits(table))
        suspects = [windows[at].shown for at in order]
        left = dense.left(characters, _tokens(windows))
        # A child hides nakedness from the heads, and other words hide a wish: what words tell comes first.
        both = (self._pieces_of(one, 0.0) for shown in suspects for one in readings(shown, self.lexicon))
        left -= _taken(both, left // 3, found)
        told = (self._pieces_of(*one) for shown in suspects for one in self._around(sentences(shown), shown).items())
        left -= _taken(told, left // 2, found)
        _taken((self._pieces(shown) for shown in suspects), left, found)
        pieces = [*found.values()]
        return _reading(folded, pieces, np.concatenate([table, self._features(pieces[len(windows) :])]))

    def _pieces(self, text: str) -> list[_Piece]:
        """What is judged for itself in a section, each once: padding repeats itself."""
        parts = sentences(text)
        told = dict.fromkeys((text, *(parts if len(parts) > 1 else ())), 0.0)
        for part, less in self._around(parts, text).items():
            told[part] = min(less, told.get(part, less))
        found: dict[tuple[tuple[int, ...], str], _Piece] = {}
        for part, less in told.items():
            for piece in self._pieces_of(part, less):
                found.setdefault((tuple(piece.ids), piece.shown), piece)
        return list(found.values())

    def _around(self, parts: Sequence[str], text: str) -> dict[str, float]:
        """What stands around words that matter in a text of these sentences, and the nats by which each counts less."""
        around: dict[str, float] = {}
        for more in (*(clauses(sentence, self.lexicon) for sentence in parts), tagged(text, self.lexicon)):
            for part, less in more.items():
                around[part] = min(less, around.get(part, less))
        return around

    def _pieces_of(self, text: str, less: float) -> list[_Piece]:
        return [_Piece(ids, shown, less) for ids, shown in self.encoder.windows(text) if ids]

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

    def _asked(self, parts: Sections) -> Iterator[str]:
        """What is judged: what is asked for, and of what is unwanted that which is a request all the same."""
        spoken: dict[str, None] = {}
        for part in parts.asked:
            spoken |= dict.fromkeys(sentences(part) if conversation(part) else (untagged(part),))
        spoken |= dict.fromkeys(self._unwanted(parts))
        for part in parts.asked:
            turns = sentences(part)
            spoken |= dict.fromkeys((*self._said(part, turns), *latin.meant(part), *bared(part, self.lexicon)))
            spoken |= dict.fromkeys(uncovered(part))
            for one in [part] if len(part) <= _LONG_PART else chain.from_iterable(map(_slices, turns)):
                spoken |= dict.fromkeys(readings(one, self.lexicon))
        yield from spoken

    def _whole(self, parts: Sections) -> Iterator[_Piece]:
        """Conversations with their answers, which count less: of turns that answer nothing these make anything."""
        for part in parts.asked:
            if conversation(part):
                yield from self._pieces_of(_small(part), _ANSWERED)

    def _said(self, part: str, turns: Sequence[str]) -> list[str]:
        """What the turns of a part amount to."""
        said = [SAID] if len(turns) > 1 and continued(turns, self.lexicon) else []
        return said + asked(part, self.lexicon)

    def _unwanted(self, parts: Sections) -> list[str]:
        """Of what is unwanted that which is a request.

        Unwanted clothes ("--no dress") are said as the request that they are. What is no tag but a sentence ("--no
        mercy, take her dress off") is read as one by a generator that reads language.
        """
        tags = [tag.strip() for part in parts.unwanted for tag in _TAG.split(part)]
        bared = [tag for tag in tags if self._is_garment(tag)]
        spoken = [tag for tag in tags if self._is_spoken(tag)]
        if bared:
            # The first part carries the scene, which the request is about.
            spoken.append(f"{parts.asked[0][:_SCENE]}, without {', '.join(bared)[:_SCENE]}")
        return spoken

    def _is_spoken(self, tag: str) -> bool:
        """True for a sentence: longer than tags are, or about "her"."""
        words = _WORDS.findall(tag.casefold())
        return len(words) > _TAG_WORDS or any(self.lexicon.knows(word, ("pronoun",)) for word in words)

    def _is_garment(self, tag: str) -> bool:
        words = tag.casefold().split()
        return 0 < len(words) <= _MOST_GARMENTS and all(self.lexicon.knows(word, ("clothes",)) for word in words)


def _slices(sentence: str) -> Iterator[str]:
    """A sentence, a long one cut into overlapping slices: what stands far apart in it its windows tell apart."""
    if len(sentence) <= _LONG_SENTENCE:
        yield sentence
    else:
        yield from (sentence[at : at + _SLICE] for at in range(0, len(sentence) - _OVERLAP, _SLICE - _OVERLAP))


def _small(section: str) -> str:
    """The encoder reads words in capitals as other words."""
    return section.lower() if section.isupper() else section


def _tokens(pieces: Sequence[_Piece]) -> int:
    return dense.tokens(len(pieces), sum(len(piece.ids) for piece in pieces))


def _why_blind(text: str) -> str:
    return BLIND if any(map(str.isalpha, text)) else WORDLESS


def _reading(folded: Folded, pieces: Sequence[_Piece], features: Floats, unread: str = "") -> Reading:
    less = np.array([piece.less for piece in pieces], np.float32)[:, None]
    return Reading(features, folded, unread, tuple(piece.shown for piece in pieces), less)


def _taken(several: Iterable[Sequence[_Piece]], left: int, found: dict[tuple[tuple[int, ...], str], _Piece]) -> int:
    """Add pieces to what was found, those that are not there yet, until so many tokens are spent; how many were."""
    spent = 0
    for piece in chain.from_iterable(several):
        key = (tuple(piece.ids), piece.shown)
        if key in found:
            continue
        spent += _tokens([piece])
        if spent > left:
            return left
        found[key] = piece
    return spent


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
