"""Sealed bytes open only with their key, in their place, unchanged."""

from __future__ import annotations

import pytest

from guardrail.inference.sealed import SealBroken, Sealer

KEY = bytes(range(32))


def test_what_was_sealed_opens_with_the_same_key_in_the_same_place() -> None:
    sealed = Sealer(KEY).seal(b"a template", b"person 1")
    assert Sealer(KEY).unseal(sealed, b"person 1") == b"a template"
    assert b"a template" not in sealed


def test_another_key_does_not_open_it() -> None:
    sealed = Sealer(KEY).seal(b"a template", b"person 1")
    with pytest.raises(SealBroken):
        Sealer(bytes(32)).unseal(sealed, b"person 1")


def test_a_value_moved_to_another_place_does_not_open() -> None:
    sealed = Sealer(KEY).seal(b"a template", b"person 1")
    with pytest.raises(SealBroken):
        Sealer(KEY).unseal(sealed, b"person 2")


@pytest.mark.parametrize("at", [0, 1, 12, 13, -1])
def test_one_changed_bit_anywhere_is_found(at: int) -> None:
    sealed = bytearray(Sealer(KEY).seal(b"a template", b"person 1"))
    sealed[at] ^= 1
    with pytest.raises(SealBroken):
        Sealer(KEY).unseal(bytes(sealed), b"person 1")


@pytest.mark.parametrize("length", [0, 1, 13, 28])
def test_bytes_cut_short_are_no_sealed_bytes(length: int) -> None:
    sealed = Sealer(KEY).seal(b"", b"person 1")
    with pytest.raises(SealBroken):
        Sealer(KEY).unseal(sealed[:length], b"person 1")


def test_the_same_bytes_sealed_twice_look_different() -> None:
    sealer = Sealer(KEY)
    assert sealer.seal(b"x", b"y") != sealer.seal(b"x", b"y")


def test_a_key_of_another_length_is_refused_and_no_repr_shows_the_key() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Sealer(b"short")
    assert KEY.hex() not in repr(Sealer(KEY))
    assert repr(Sealer(KEY)) == "Sealer(AES-256-GCM)"
