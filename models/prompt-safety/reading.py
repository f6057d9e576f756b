"""What the heads learn from: rows read by the reader that ships, pieces read by the larger encoder; kept on disk."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar, cast

import data
import numpy as np
import numpy.typing as npt

from guardrail.home import Home
from guardrail.inference.text import second
from guardrail.inference.text.encoder import WIDTH, TextEncoder
from guardrail.inference.text.prompts import SPREAD, PromptReader, packaged_lexicon
from guardrail.inference.text.second import SecondEncoder
from guardrail.inference.weights import Models

Array = npt.NDArray[Any]
T = TypeVar("T")
Pieces = tuple[list[str], Array, list[list[int]]]
"""What a text is cut into: the words of each piece, its lexicon features and its tokens."""
HEADS = Path(__file__).parents[2] / "guardrail" / "inference" / "heads"
TEXT = HEADS.parent / "text"
# What says nothing of how a row is read: where anything else in TEXT, or a list of words, changes, rows are read anew.
APART_FROM = frozenset(("second", "gazetteer"))
FIRST, SECOND = "use-multilingual", "multilingual-e5-small"
TOKENISER = {FIRST: "sp.model", SECOND: "e5.model"}
AT_ONCE, PROCESSES = 512, 2


@dataclass(frozen=True)
class Read:
    """Pieces: the row that each belongs to, its words, what the lexicon finds in it, and its token ids.

    `words` is float32 of shape (pieces, lexicon features); `tokens` are one after the other, those of piece i up to
    `ends[i]`. Nothing here depends on the encoders' weights.
    """

    owner: Array
    texts: list[str]
    words: Array
    tokens: Array
    ends: Array

    def ids(self, i: int) -> list[int]:
        """The first encoder's tokens of a piece, without begin and end marks."""
        found: list[int] = self.tokens[self.ends[i - 1] if i else 0 : self.ends[i]].tolist()
        return found


class Recorder:
    """Stands in for the first encoder and keeps what it is asked to embed."""

    def __init__(self, encoder: TextEncoder) -> None:
        self.encoder = encoder
        self.asked: list[Sequence[int]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.encoder, name)

    def embed(self, sequences: Sequence[Sequence[int]]) -> Array:
        self.asked += sequences
        return np.zeros((len(sequences), WIDTH), np.float32)


def models(folder: Path | None) -> Models:
    """The weights in `folder`, or in the cache of this machine's Guardrail."""
    return Models(folder if folder is not None else Home.default().path / "models")


def first_reader(weights: Models) -> PromptReader:
    encoder = TextEncoder(weights.session(FIRST), weights.path(FIRST, TOKENISER[FIRST]))
    return PromptReader(encoder, packaged_lexicon())


def second_encoder(weights: Models) -> SecondEncoder:
    return SecondEncoder(weights.session(SECOND), weights.path(SECOND, TOKENISER[SECOND]))


def read(rows: Sequence[data.Row], reader: PromptReader, cache: Path | None) -> Read:
    """Every piece of every row, in order; from `cache` what was read in the same way before."""
    file = _kept(cache, "rows")
    known: dict[str, Pieces] = {}
    if file and file.exists():
        with file.open("rb") as opened:
            known = pickle.load(opened)  # noqa: S301 (nobody but this wrote it)
    missing = list(dict.fromkeys(row.text for row in rows if row.text not in known))
    parts = [missing[start : start + AT_ONCE] for start in range(0, len(missing), AT_ONCE)]
    with get_context("fork").Pool(PROCESSES, _begin, (reader,)) as pool:
        for part, found in zip(parts, pool.imap(_read, parts), strict=True):
            known.update(zip(part, found, strict=True))
    if file and missing:
        with file.open("wb") as opened:
            pickle.dump(known, opened)
    each = [known[row.text] for row in rows]
    tokens = [ids for texts, words, asked in each for ids in asked]
    return Read(
        owner=np.repeat(np.arange(len(rows)), [len(texts) for texts, words, asked in each]),
        texts=[text for texts, words, asked in each for text in texts],
        words=np.concatenate([words for texts, words, asked in each]),
        tokens=np.concatenate([np.array(ids, np.int32) for ids in tokens]),
        ends=np.cumsum([len(ids) for ids in tokens]),
    )


_READER: list[PromptReader] = []


def _begin(reader: PromptReader) -> None:
    _READER[:] = [PromptReader(cast(TextEncoder, Recorder(reader.encoder)), reader.lexicon)]


def _read(texts: Sequence[str]) -> list[Pieces]:
    (reader,) = _READER
    recorder = cast(Recorder, reader.encoder)
    recorder.asked = []
    found = reader.read(texts)
    asked = iter(recorder.asked)
    parts = []
    for one in found:
        ids = [list(next(asked)) for _ in one.texts]
        # Words that stand alone may mean anything: they neither teach nor are they measured.
        whole = np.flatnonzero(one.less[:, 0] == 0)
        parts.append(([one.texts[i] for i in whole], one.features[whole, WIDTH:], [ids[i] for i in whole]))
    return parts


def embedded(read: Read, reader: PromptReader, weights: Models, cache: Path | None) -> Array:
    """What the heads see of each piece: the first encoder's numbers and the lexicon's: (pieces, features)."""
    asked = [tuple(read.ids(i)) for i in range(len(read.owner))]
    seen = _each(asked, reader.encoder.embed, _kept(cache, "first", _version(weights, FIRST)))
    return np.concatenate([seen * SPREAD, read.words], axis=1)


def read_again(texts: Sequence[str], encoder: SecondEncoder, weights: Models, cache: Path | None) -> Array:
    """The larger encoder's numbers for each text, scaled as the second heads are given them: (texts, 384)."""
    return _each(texts, encoder.embed, _kept(cache, "again", _version(weights, SECOND))) * second.SPREAD


def _each(asked: Sequence[T], embed: Callable[[list[T]], Array], file: Path | None) -> Array:
    """The embedding of each that is asked for, the same one once; from `file` what was asked for before."""
    known: dict[T, int] = {}
    kept: list[Array] = []
    if file and file.exists():
        with file.open("rb") as opened:
            before, found = pickle.load(opened)  # noqa: S301 (nobody but this wrote it)
        known, kept = {one: i for i, one in enumerate(before)}, [found]
    missing = [one for one in dict.fromkeys(asked) if one not in known]
    known |= {one: i for i, one in enumerate(missing, len(known))}
    parts = [missing[start : start + AT_ONCE] for start in range(0, len(missing), AT_ONCE)]
    with ThreadPoolExecutor(PROCESSES) as pool:
        every = np.concatenate([*kept, *pool.map(embed, parts)])
    if file and missing:
        with file.open("wb") as opened:
            pickle.dump((list(known), every), opened, protocol=5)
    out: Array = every[[known[one] for one in asked]]
    return out


def _version(weights: Models, name: str) -> str:
    """What tells the weights of an encoder from any others: the digest of its graph."""
    return weights.label(name)


def _kept(cache: Path | None, kind: str, *told_by: str) -> Path | None:
    if cache is None:
        return None
    cache.mkdir(parents=True, exist_ok=True)
    key = hashlib.sha256("\n".join(told_by).encode("utf-8", "replace"))
    if kind == "rows":
        for file in sorted((*TEXT.glob("*.py"), *HEADS.glob("prompt_*.txt"))):
            key.update(b"" if file.stem in APART_FROM else file.read_bytes())
    return cache / f"{kind}-{key.hexdigest()[:16]}.pickle"
