"""What the heads learn from: rows read by the reader that ships, pieces read by the larger encoder; kept on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import data
import numpy as np
import numpy.typing as npt

from guardrail.home import Home
from guardrail.inference.text import second
from guardrail.inference.text.encoder import TextEncoder
from guardrail.inference.text.prompts import PromptReader, packaged_lexicon
from guardrail.inference.text.second import SecondEncoder
from guardrail.inference.weights import Models

Array = npt.NDArray[Any]
HEADS = Path(__file__).parents[2] / "guardrail" / "inference" / "heads"
TEXT = HEADS.parent / "text"
# What decides how a text is read: where one of these changes, what was kept is read anew.
READERS = {
    "rows": (
        "apart", "characters", "disguise", "encoded", "encoder", "fold", "lexicon", "lookalikes", "pictographs",
        "pieces", "prompts", "sections", "spelling", "standins", "steps", "turned", "words",
    ),
    "again": ("second",),
}  # fmt: skip
AT_ONCE = 512


@dataclass(frozen=True)
class Read:
    """Features of every piece, the row that it belongs to, and the piece in words."""

    x: Array
    owner: Array
    texts: list[str]


def models(folder: Path | None) -> Models:
    """The weights in `folder`, or in the cache of this machine's Guardrail."""
    return Models(folder if folder is not None else Home.default().path / "models")


def first_reader(weights: Models) -> PromptReader:
    name = "use-multilingual"
    return PromptReader(TextEncoder(weights.session(name), weights.path(name, "sp.model")), packaged_lexicon())


def second_encoder(weights: Models) -> SecondEncoder:
    name = "multilingual-e5-small"
    return SecondEncoder(weights.session(name), weights.path(name, "e5.model"))


def read(rows: Sequence[data.Row], reader: PromptReader, cache: Path | None) -> Read:
    """Every piece of every row, in order; from `cache` where the same texts were read in the same way before."""
    file = _kept(cache, "rows", [row.text for row in rows], reader.lexicon.digest)
    if file and file.exists():
        with np.load(file) as archive:
            return Read(archive["x"], archive["owner"], json.loads(str(archive["texts"])))
    parts, owners, texts = [], [], []
    for start in range(0, len(rows), AT_ONCE):
        for i, reading in enumerate(reader.read([row.text for row in rows[start : start + AT_ONCE]]), start):
            parts.append(reading.features)
            owners.append(np.full(len(reading.features), i))
            texts += reading.texts
    found = Read(np.concatenate(parts), np.concatenate(owners), texts)
    if file:
        np.savez(file, x=found.x, owner=found.owner, texts=np.array(json.dumps(texts)))
    return found


def read_again(texts: Sequence[str], encoder: SecondEncoder, cache: Path | None, threads: int = 2) -> Array:
    """The larger encoder's numbers for each text, scaled as the second heads are given them: (texts, 384)."""
    known: dict[str, Array] = {}
    file = _kept(cache, "again", [], "")
    if file and file.exists():
        with np.load(file) as archive:
            known = dict(zip(json.loads(str(archive["texts"])), archive["seen"], strict=True))
    missing = list(dict.fromkeys(text for text in texts if text not in known))
    parts = [missing[start : start + AT_ONCE] for start in range(0, len(missing), AT_ONCE)]
    with ThreadPoolExecutor(threads) as pool:
        for part, seen in zip(parts, pool.map(encoder.embed, parts), strict=True):
            known.update(zip(part, seen, strict=True))
    if file and missing:
        np.savez(file, seen=np.stack(list(known.values())), texts=np.array(json.dumps(list(known))))
    return np.stack([known[text] for text in texts]) * second.SPREAD


def _kept(cache: Path | None, kind: str, texts: Sequence[str], more: str) -> Path | None:
    if cache is None:
        return None
    cache.mkdir(parents=True, exist_ok=True)
    key = hashlib.sha256("\n".join(texts).encode("utf-8", "replace"))
    key.update(more.encode())
    for name in READERS[kind]:
        key.update((TEXT / f"{name}.py").read_bytes())
    return cache / f"{kind}-{key.hexdigest()[:16]}.npz"
