"""Hashes: what a server holds of a block bank in memory, and how the nearest one is found.

The search is exact however many hashes there are: a picture that copies one of the bank is found, not probably found.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from guardrail.inference.image.pdq import BITS, MATCH_BITS

HASH_BYTES = 32
"""Of a PDQ hash and of a SHA-256 alike."""
INDEX_FROM = 100_000
"""Hashes from which looking in the index costs less than comparing with all of them."""
CHUNKS = 16
CHUNK_BITS = 16
"""Two hashes within 31 bits differ in at most 1 bit of one of their 16 chunks: were it 2 in each, it would be 32."""
MOST_CANDIDATES = 8
"""From an eighth of all hashes on, comparing with all of them is cheaper than fetching the candidates one by one."""
BLOCK = 1 << 15

Words = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Hashes:
    """All active hashes. `words` is uint64 (n, 4): row i is the i-th PDQ hash. `digests` is "S32", sorted: SHA-256."""

    words: Words = field(repr=False)
    digests: npt.NDArray[np.bytes_] = field(repr=False)
    revision: int

    @classmethod
    def of(cls, pdq: Iterable[str], sha256: Iterable[str], revision: int) -> Hashes:
        """From hashes in hex. Raises ValueError for one that is not 64 hex digits."""
        return cls.packed(_packed(pdq), _packed(sha256), revision)

    @classmethod
    def packed(cls, pdq: bytes, sha256: bytes, revision: int) -> Hashes:
        """From hashes of 32 bytes each, one after the other."""
        words = np.frombuffer(pdq, np.uint64).reshape(-1, 4)
        return cls(words, np.sort(np.frombuffer(sha256, f"S{HASH_BYTES}")), revision)

    def has(self, digest: bytes) -> bool:
        """True for the SHA-256, 32 bytes, of a file that is listed."""
        # Both sides are of fixed width: taking one out of the array would strip its zeros at the end.
        key = np.frombuffer(digest, f"S{HASH_BYTES}")
        return bool(np.searchsorted(self.digests, key, "right")[0] > np.searchsorted(self.digests, key)[0])

    def nearest(self, *hashes: bytes) -> int:
        """The smallest Hamming distance of any of `hashes` (32 bytes each) to any of these, up to MATCH_BITS.

        More than that when none is so near. Exact.
        """
        if not len(self.words):
            return BITS
        queries = np.frombuffer(b"".join(hashes), np.uint64).reshape(-1, 4)
        if self._index is None:
            return min((_nearest(self._columns, query) for query in queries), default=BITS)
        return min((self._index.nearest(query) for query in queries), default=BITS)

    def ready(self) -> Hashes:
        """Itself, with all that `nearest` needs made: no request then waits for it."""
        _ = self._index or self._columns
        return self

    @cached_property
    def _columns(self) -> Words:
        return np.ascontiguousarray(self.words.T)  # read one after the other: a fifth of the time that rows take

    @cached_property
    def _index(self) -> ChunkIndex | None:
        return ChunkIndex(self.words) if len(self.words) >= INDEX_FROM else None

    def __len__(self) -> int:
        return len(self.words) + len(self.digests)


class ChunkIndex:
    """Multi-index hashing (Norouzi, Punjani, Fleet 2012, arXiv 1307.2982): exact search within MATCH_BITS.

    Each hash is filed under each of its 16 chunks of 16 bits; only hashes with a chunk within 1 bit of the query's are
    compared. 68 bytes a hash and 4 MB beside the hashes themselves.
    """

    def __init__(self, words: Words) -> None:
        self._words = words
        chunks = words.view(np.uint16).reshape(-1, CHUNKS)
        self._ids = np.empty((CHUNKS, len(words)), np.uint32)
        self._starts = np.zeros((CHUNKS, (1 << CHUNK_BITS) + 1), np.int64)
        for place in range(CHUNKS):
            column = np.ascontiguousarray(chunks[:, place])
            self._ids[place] = np.argsort(column, kind="stable")
            np.cumsum(np.bincount(column, minlength=1 << CHUNK_BITS), out=self._starts[place, 1:])
        near = np.array([0, *(1 << bit for bit in range(CHUNK_BITS))], np.uint16)
        self._near = np.tile(near, CHUNKS)
        self._places = np.repeat(np.arange(CHUNKS), len(near))

    def nearest(self, query: Words) -> int:
        """See `Hashes.nearest`; `query` is uint64 (4,)."""
        keys = np.repeat(query.view(np.uint16), CHUNK_BITS + 1) ^ self._near
        first = self._starts[self._places, keys]
        counts = self._starts[self._places, keys.astype(np.int64) + 1] - first
        total = int(counts.sum())
        if total * MOST_CANDIDATES > len(self._words):
            return _nearest_of_all(self._words, query)
        if not total:
            return BITS
        # Positions of all candidates in the flat list of ids: each bucket's own run, one after the other.
        before = np.cumsum(counts) - counts
        at = np.arange(total) + np.repeat(first + self._places * len(self._words) - before, counts)
        return _within(np.bitwise_count(self._words[self._ids.reshape(-1)[at]] ^ query).sum(axis=1, dtype=np.int64))


def _nearest(columns: Words, query: Words) -> int:
    """Compare with every hash; `columns` is (4, n). A hash within MATCH_BITS is so in its first half already."""
    first, second, third, fourth = columns
    half = np.bitwise_count(first ^ query[0]) + np.bitwise_count(second ^ query[1])
    (close,) = np.nonzero(half <= MATCH_BITS)
    if not len(close):
        return BITS
    rest = np.bitwise_count(third[close] ^ query[2]).astype(np.int64) + np.bitwise_count(fourth[close] ^ query[3])
    return _within(half[close] + rest)


def _nearest_of_all(words: Words, query: Words) -> int:
    """The same over rows, block by block: what a list costs that was made so that all its hashes share a chunk."""
    blocks = (words[start : start + BLOCK] for start in range(0, len(words), BLOCK))
    return min(_nearest(block.T, query) for block in blocks)


def _within(distances: npt.NDArray[np.int64]) -> int:
    nearest = int(distances.min())
    return nearest if nearest <= MATCH_BITS else BITS


def _packed(hashes: Iterable[str]) -> bytes:
    packed = bytearray()
    for digits in hashes:
        one = bytes.fromhex(digits)
        if len(one) != HASH_BYTES:
            raise ValueError(f"a hash of {HASH_BYTES} bytes is expected, this one has {len(one)}")
        packed += one
    return bytes(packed)


NOTHING = Hashes.of((), (), 0)
