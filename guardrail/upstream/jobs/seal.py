"""Addresses that only this guard can have written: what stands in them is sealed with its key."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Callable, Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

_NONCE = 12  # bytes
_MOST = 16_384  # characters of a sealed word; an address has at most 8,192


class Seal:
    """Seals words into an address and opens them again. Processes with the same key open each other's.

    `key` is 32 bytes; without one a key is made up, which no other process knows. `age_s` is how long a seal holds.
    """

    def __init__(
        self, key: bytes | None = None, *, age_s: float = 86_400.0, clock: Callable[[], float] = time.time
    ) -> None:
        self._cipher = ChaCha20Poly1305(key or secrets.token_bytes(32))
        self._age_s = age_s
        self._clock = clock

    def close(self, purpose: str, said: Mapping[str, str]) -> str:
        """`said` as one word of letters, digits, _ and -; it opens for the same purpose alone."""
        nonce = secrets.token_bytes(_NONCE)
        plain = json.dumps([int(self._clock()), dict(said)]).encode()
        return _spelled(nonce + self._cipher.encrypt(nonce, plain, purpose.encode()))

    def open(self, purpose: str, word: str) -> dict[str, str] | None:
        """What was sealed; None for what this guard has not sealed for that purpose, or too long ago."""
        if len(word) > _MOST or not word.isascii():
            return None
        try:
            raw = base64.urlsafe_b64decode(word + "=" * (-len(word) % 4))
            if _spelled(raw) != word:
                return None  # decoding passes over what is no base64, so one seal would have many spellings
            sealed_at, said = json.loads(self._cipher.decrypt(raw[:_NONCE], raw[_NONCE:], purpose.encode()))
        except (ValueError, InvalidTag):
            return None
        found: dict[str, str] = said
        return found if self._clock() - sealed_at <= self._age_s else None


def _spelled(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
