"""PDQ hashes: near for copies, far for others, worthless for flat pictures."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from guardrail.inference.image import pdq
from tests.checks.pictures import scene


def apart(one: pdq.Hash, other: pdq.Hash) -> int:
    return (int.from_bytes(one.bits) ^ int.from_bytes(other.bits)).bit_count()


def test_a_re_encoded_copy_is_near_and_another_picture_is_far() -> None:
    original = scene(1)
    buffer = io.BytesIO()
    Image.fromarray(original).save(buffer, "JPEG", quality=40)
    copy = np.asarray(Image.open(buffer).convert("RGB"))
    assert apart(pdq.hash_of(original), pdq.hash_of(copy)) <= pdq.MATCH_BITS
    assert apart(pdq.hash_of(original), pdq.hash_of(scene(2))) > 2 * pdq.MATCH_BITS


@pytest.mark.parametrize("width", [700, 1024, 1500])
def test_a_large_picture_hashed_small_keeps_near_to_its_own_hash(width: int) -> None:
    import pdqhash

    large = np.asarray(Image.fromarray(scene(3)).resize((width, width * 3 // 4), Image.Resampling.LANCZOS))
    bits, _ = pdqhash.compute(np.ascontiguousarray(large))
    whole = pdq.Hash(np.packbits(np.asarray(bits, np.uint8)).tobytes())
    assert apart(pdq.hash_of(large), whole) <= 16  # the most that was seen on 63 photographs


def test_a_picture_up_to_512_pixels_has_exactly_the_reference_hash() -> None:
    import pdqhash

    small = np.ascontiguousarray(scene(4)[:512, :512])
    bits, quality = pdqhash.compute(small)
    assert pdq.hash_of(small) == pdq.Hash(np.packbits(np.asarray(bits, np.uint8)).tobytes(), quality)


@pytest.mark.parametrize("turn", range(8))
def test_a_turned_or_mirrored_copy_is_among_the_eight(turn: int) -> None:
    original = scene(5)
    copy = np.rot90(original, turn % 4)
    copy = copy[:, ::-1] if turn >= 4 else copy
    looked_up = pdq.turned(np.ascontiguousarray(copy))
    assert min(apart(one, pdq.hash_of(original)) for one in looked_up) <= pdq.MATCH_BITS


def test_a_flat_picture_has_no_usable_hash() -> None:
    flat = np.full((300, 400, 3), 128, np.uint8)
    assert not pdq.hash_of(flat).usable
    assert not any(one.usable for one in pdq.turned(flat))


def test_quality_49_is_unusable_and_50_is_usable() -> None:
    assert not pdq.Hash(bytes(32), 49).usable
    assert pdq.Hash(bytes(32), 50).usable


def test_a_picture_dimmed_to_hide_in_is_found_all_the_same() -> None:
    original = scene(6)
    dimmed = (original // 32 + 100).astype(np.uint8)
    assert not pdq.hash_of(dimmed).usable  # what there is to hide behind
    found = pdq.turned(dimmed)[0]
    assert found.usable
    assert apart(found, pdq.hash_of(original)) <= pdq.MATCH_BITS


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 2000, 3), (2000, 1, 3), (5, 700, 3)])
def test_odd_shapes_are_hashed_or_unusable_but_never_raise(shape: tuple[int, int, int]) -> None:
    assert len(pdq.turned(np.zeros(shape, np.uint8))) == 8


@pytest.mark.parametrize("pixels", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_what_is_no_rgb_picture_is_refused(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="uint8 pixels"):
        pdq.hash_of(pixels)
