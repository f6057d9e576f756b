"""Sealed bytes: what lies on a disk encrypted, and can only be opened where it belongs.

AES-256-GCM. Every sealed value is bound to the place it was made for (`about`: "template 3 of person p-1a2b"), so a
row that was moved to another place no longer opens. A wrong key never looks like an empty answer: it raises.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from guardrail.errors import GuardrailError

KEY_BYTES = 32
NONCE_BYTES = 12
"""The nonce length that GCM is specified for (NIST SP 800-38D, 8.2.2): random, so at most 2^32 values under one key."""
TAG_BYTES = 16
FORMAT = b"\x01"


class SealBroken(GuardrailError):
    """The key is not the one this was sealed with, or the bytes or their place were changed."""


class Sealer:
    """Seals and opens bytes under one key of 32 bytes. Safe to use from several threads.

    `randomness` gives the nonces and is an argument for tests alone: a nonce that repeats under one key breaks GCM.
    """

    def __init__(self, key: bytes, *, randomness: Callable[[int], bytes] = os.urandom) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a sealing key has {KEY_BYTES} bytes, this one has {len(key)}")
        self._box = AESGCM(key)
        self._randomness = randomness

    def seal(self, plain: bytes, about: bytes) -> bytes:
        """Encrypt `plain` for the place `about`: one format byte, the nonce, then ciphertext and tag."""
        nonce = self._randomness(NONCE_BYTES)
        return FORMAT + nonce + self._box.encrypt(nonce, plain, FORMAT + about)

    def unseal(self, sealed: bytes, about: bytes) -> bytes:
        """What `seal` was given. Raises SealBroken for another key, another place, or changed bytes."""
        if len(sealed) < 1 + NONCE_BYTES + TAG_BYTES or sealed[:1] != FORMAT:
            raise SealBroken("these are not sealed bytes of format 1, or they were cut short")
        nonce, body = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
        try:
            return self._box.decrypt(nonce, body, FORMAT + about)
        except InvalidTag:
            raise SealBroken("sealed under another key, moved from another place, or changed since") from None

    def __repr__(self) -> str:  # never the key
        return "Sealer(AES-256-GCM)"
