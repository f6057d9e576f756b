"""The chain: each record's digest is keyed and covers the digest before it, so none can be changed unnoticed.

Whoever lacks the key can neither write a record nor a head that fits; whoever has it can rewrite everything, which
only a head kept elsewhere shows.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from guardrail.audit.entry import Row
from guardrail.errors import AuditError, ConfigError

DIGEST_BYTES = 32
KEY_BYTES = 32
LOG_ID_BYTES = 16
_MARK = "guardrail-head-1"
_BLOCK = 64  # bytes that SHA-256 takes in at once

_seq = struct.Struct(">Q")
_number = msgspec.json.encode


def keyed_digest(key: bytes, digest: bytes) -> str:
    """HMAC-SHA256 in hex of an artifact's own digest (32 bytes): what stands in records and receipts for the artifact.

    Without the key nobody can test whether a picture they hold is one that a record speaks of.
    """
    return _mac(key, digest).hex()


def check_key(key: bytes) -> bytes:
    """The key, when it is one. Raises ConfigError when it is shorter than KEY_BYTES."""
    if len(key) < KEY_BYTES:
        raise ConfigError(f"audit key: {len(key)} bytes, expected at least {KEY_BYTES}")
    return key


def genesis(key: bytes, log_id: bytes) -> bytes:
    """What record 1 follows. It names the log, so a record does not fit into another log under the same key."""
    return _mac(key, b"guardrail audit genesis" + log_id)


def seal(key: bytes, prev: bytes, seq: int, row: Row) -> bytes:
    """Digest of record `seq`: HMAC-SHA256(key, prev || seq as 8 bytes, big-endian || canonical JSON of the record).

    The JSON is built around the stored text of the body, so that a byte changed there shows too.
    """
    names = _number([row.kind, row.id, row.at, row.tenant, row.action])
    parts = (prev, _seq.pack(seq), b'{"v":1,"entry":', names, b',"body":', row.body.encode(), b"}")
    return _mac(key, b"".join(parts))


class Head(NamedTuple):
    """The end of the chain, signed: how many records there are and the digest of the last.

    Written in the transaction of the records it counts. A copy kept elsewhere (`token`) later shows that the whole
    log was put back to an earlier state, which nothing inside the log can.
    """

    log_id: bytes
    seq: int
    digest: bytes
    mac: bytes

    @classmethod
    def signed(cls, key: bytes, log_id: bytes, seq: int, digest: bytes) -> Head:
        return cls(log_id, seq, digest, _head_mac(key, log_id, seq, digest))

    def holds(self, key: bytes) -> bool:
        """True when this head was signed with `key`."""
        if not isinstance(self.seq, int) or not 0 <= self.seq < 1 << 63:
            return False
        if not all(isinstance(part, bytes) for part in (self.log_id, self.digest, self.mac)):
            return False  # SQLite stores whatever type a tamperer wrote
        return hmac.compare_digest(self.mac, _head_mac(key, self.log_id, self.seq, self.digest))

    @property
    def token(self) -> str:
        """The head as one word, to keep outside the machine."""
        return f"{_MARK}.{self.log_id.hex()}.{self.seq}.{self.digest.hex()}.{self.mac.hex()}"

    @classmethod
    def parse(cls, token: str) -> Head:
        """Read what `token` printed. Raises AuditError when it is not one."""
        parts = token.strip().split(".")
        try:
            mark, log_id, seq, digest, mac = parts
            head = cls(bytes.fromhex(log_id), int(seq), bytes.fromhex(digest), bytes.fromhex(mac))
        except ValueError:
            mark, head = "", cls(b"", -1, b"", b"")
        sizes = (len(head.log_id), len(head.digest), len(head.mac))
        if mark != _MARK or head.seq < 0 or sizes != (LOG_ID_BYTES, DIGEST_BYTES, DIGEST_BYTES):
            raise AuditError(f"not a head: expected the line that `guardrail audit export --head` prints ({_MARK}....)")
        return head


def _head_mac(key: bytes, log_id: bytes, seq: int, digest: bytes) -> bytes:
    return _mac(key, b"guardrail audit head" + log_id + _seq.pack(seq) + digest)


@lru_cache(8)
def _keyed(key: bytes) -> tuple[Any, Any]:
    """SHA-256 that has taken in the key, for the inner and the outer pass (RFC 2104)."""
    block = (hashlib.sha256(key).digest() if len(key) > _BLOCK else key).ljust(_BLOCK, b"\0")
    inner, outer = (hashlib.sha256(bytes(byte ^ pad for byte in block)) for pad in (0x36, 0x5C))
    return inner, outer


def _mac(key: bytes, message: bytes) -> bytes:
    """HMAC-SHA256 by two copies of what has taken the key in: a third of the time of `hmac.digest`."""
    inner, outer = _keyed(key)
    inner, outer = inner.copy(), outer.copy()
    inner.update(message)
    outer.update(inner.digest())
    tag: bytes = outer.digest()
    return tag
