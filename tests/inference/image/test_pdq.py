"""PDQ hashes: near for copies, far for others, worthless for flat pictures."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from guardrail.inference.image import pdq, pdq_bits
from guardrail.inference.image.film import glimpse
from guardrail.inference.image.frame import Frame
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
    large = np.asarray(Image.fromarray(scene(3)).resize((width, width * 3 // 4), Image.Resampling.LANCZOS))
    whole = pdq.Hash(pdq_bits.bits_of(pdq_bits.waves_of(pdq_bits.grid_of(large))))
    assert apart(pdq.hash_of(large), whole) <= 16  # the most that was seen on 63 photographs


@pytest.mark.parametrize("size", [(640, 480), (320, 240), (64, 64), (200, 500), (130, 100)])
def test_the_hash_of_a_glimpse_keeps_near_to_that_of_its_frame(size: tuple[int, int]) -> None:
    pixels = scene(3, *size)
    shown = Frame(np.asarray(Image.fromarray(pixels).convert("RGBX")), scale=1.0)
    assert apart(pdq.hash_of(pixels), pdq.turned(glimpse(shown), glimpse=True)[0]) <= 26  # of 30 scenes a size


# What pdqhash 0.2.8, which wraps the reference implementation, gives for pictures of coloured blocks: by height and
# width, and the side of a block.
REFERENCE = {
    ((480, 512), 40): ("b4894b47c8ec95e0b23f621f3793b4f84b7622c5b608f03b1ef4e8db8e858e0a", 100),
    ((200, 300), 24): ("61fe71644c8e4dd2f0bab201696655e0aa1f969917fa2b65b209b3328edb8e0f", 100),
    ((64, 64), 6): ("7aa09a4ffc4348f0c39ff2090df4bc29a74f23a425339d4fe389631cfa0d6d11", 100),
    ((129, 257), 16): ("2f8e4d1def1de5922ac66cbdfd41c6661999099902a6df41d73918ed11e2f850", 100),
}
# And for one of them turned and mirrored.
EIGHT = {
    "61fe71644c8e4dd2f0bab201696655e0aa1f969917fa2b65b209b3328edb8e0f",
    "04cf04ff8e9c329332938e9c04ff0ccbb9622ccdcb346719a8eb0d4ebaa7eb24",
    "24ab99ce18dae75824ef00233c33ff4aff4a3c3342ab81cfe75c1898db8e24a5",
    "519aae559bc9103963c6243611aa8661e83786678e61cdb3f9bea7c4eff2418e",
    "61fe889b4c8eb20860ba45766966aa1faa1f696617fad49ab2094ccd8edb71f0",
    "24ab003118db188225efe7543c3300b5ff4ac3cc42ab7e30e75ce667db8edb5a",
    "0ccffb00ce9c4d6c3293316304ffd334b962d332cb3498e6a8ebe291baa704db",
    "519a11aa9bc963c663c69bc911aa519ae83779988e61324cf9be481beff28e71",
}


def blocks(height: int, width: int, side: int) -> np.ndarray:
    small = np.random.default_rng(7).integers(0, 256, (-(-height // side), -(-width // side), 3), dtype=np.uint8)
    return small.repeat(side, 0).repeat(side, 1)[:height, :width]


@pytest.mark.parametrize(("size", "side"), REFERENCE)
def test_a_picture_up_to_512_pixels_has_exactly_the_reference_hash(size: tuple[int, int], side: int) -> None:
    bits, quality = REFERENCE[size, side]
    assert pdq.hash_of(blocks(*size, side)) == pdq.Hash(bytes.fromhex(bits), quality)


def test_the_eight_positions_are_those_of_the_reference() -> None:
    found = [one.hex for one in pdq.turned(blocks(200, 300, 24))]
    assert found[0] == REFERENCE[(200, 300), 24][0]
    assert set(found) == EIGHT


@pytest.mark.parametrize(("height", "quality"), [(4, 0), (5, 100)])
def test_a_picture_that_is_too_small_has_no_hash(height: int, quality: int) -> None:
    assert pdq.hash_of(blocks(height, 300, 3)).quality == quality


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
