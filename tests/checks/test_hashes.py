"""Looking a hash up: exact at every size, also where a list was made to be slow."""

from __future__ import annotations

import numpy as np
import pytest

from guardrail.checks.hashes import CHUNK_BITS, CHUNKS, INDEX_FROM, ChunkIndex, Hashes
from guardrail.inference.image.pdq import BITS, MATCH_BITS
from tests.timing import best_s

NO_DIGESTS = np.empty(0, "S32")


def words(count: int, seed: int = 0) -> np.ndarray:
    return np.frombuffer(np.random.default_rng(seed).bytes(32 * count), np.uint64).reshape(-1, 4)


def flipped(hash_words: np.ndarray, bits: list[int]) -> bytes:
    value = bytearray(hash_words.tobytes())
    for bit in bits:
        value[bit // 8] ^= 1 << bit % 8
    return bytes(value)


def nearest(index: ChunkIndex, query: bytes) -> int:
    return index.nearest(np.frombuffer(query, np.uint64))


LISTED = words(20_000)
INDEX = ChunkIndex(LISTED)


@pytest.mark.parametrize("bits", [0, 1, 15, 30, 31])
@pytest.mark.parametrize("seed", range(5))
def test_the_index_finds_a_hash_within_31_bits_at_its_distance(bits: int, seed: int) -> None:
    at = np.random.default_rng(seed).choice(BITS, bits, replace=False)
    assert nearest(INDEX, flipped(LISTED[seed], list(at))) == bits


@pytest.mark.parametrize("seed", range(5))
def test_the_index_does_not_find_a_hash_32_bits_away(seed: int) -> None:
    at = np.random.default_rng(seed).choice(BITS, MATCH_BITS + 1, replace=False)
    assert nearest(INDEX, flipped(LISTED[seed], list(at))) == BITS


@pytest.mark.parametrize("odd", range(CHUNKS))
def test_31_bits_spread_so_that_only_one_chunk_is_near_are_found(odd: int) -> None:
    bits = [chunk * CHUNK_BITS + at for chunk in range(CHUNKS) for at in ((3,) if chunk == odd else (3, 11))]
    assert len(bits) == MATCH_BITS
    assert nearest(INDEX, flipped(LISTED[odd], bits)) == MATCH_BITS
    one_more = [*bits, odd * CHUNK_BITS + 11]
    assert nearest(INDEX, flipped(LISTED[odd], one_more)) == BITS


def test_a_list_whose_hashes_share_a_chunk_is_searched_as_exactly() -> None:
    shared = LISTED.copy()
    shared[:, 0] &= np.uint64(0xFFFFFFFFFFFF0000)
    index = ChunkIndex(shared)
    assert nearest(index, flipped(shared[19_999], list(range(100, 131)))) == 31
    assert nearest(index, flipped(shared[19_999], list(range(100, 132)))) == BITS


def test_above_and_below_the_size_of_the_index_the_answer_is_the_same() -> None:
    few, many = Hashes(words(500), NO_DIGESTS, 1), Hashes(words(INDEX_FROM), NO_DIGESTS, 1)
    for bits in (0, 31, 32):
        query = flipped(words(500)[77], list(range(40, 40 + bits)))
        assert few.nearest(query) == many.nearest(query) == (bits if bits <= MATCH_BITS else BITS)


def test_of_several_hashes_the_nearest_counts_and_none_matches_nothing() -> None:
    held = Hashes(LISTED, NO_DIGESTS, 1)
    far, near = flipped(LISTED[1], list(range(20))), flipped(LISTED[2], list(range(5)))
    assert held.nearest(far, near) == 5
    assert held.nearest() == BITS


def test_a_file_digest_is_found_also_where_it_ends_in_zeros() -> None:
    listed = ["00" * 32, "ab" * 31 + "00", "cd" * 32]
    held = Hashes.of((), listed, 1)
    assert all(held.has(bytes.fromhex(one)) for one in listed)
    assert not held.has(bytes.fromhex("ab" * 31 + "01"))
    assert not held.has(bytes.fromhex("ff" * 32))
    assert not Hashes.of((), (), 1).has(bytes(32))


@pytest.mark.parametrize("bad", ["ab", "zz" * 32, "ab" * 33])
def test_what_is_no_hash_is_refused_and_not_cut_to_size(bad: str) -> None:
    with pytest.raises(ValueError, match=r"hash|hexadecimal"):
        Hashes.of(["ab" * 32, bad], (), 1)


def test_a_million_hashes_are_searched_in_time() -> None:
    held = Hashes(words(1_000_000), NO_DIGESTS, 1).ready()
    queries = [words(1, seed).tobytes() for seed in range(1, 21)]
    assert min(held.nearest(query) for query in queries) > MATCH_BITS
    assert min(best_s(lambda query=query: held.nearest(query)) for query in queries) < 0.005
