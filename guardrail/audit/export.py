"""Export: records as JSON lines, for another program, a regulator or an archive."""

from __future__ import annotations

from collections.abc import Iterable
from typing import BinaryIO

import msgspec

from guardrail.audit.entry import Record

_encoder = msgspec.json.Encoder(order="sorted")


def to_line(record: Record) -> bytes:
    """One record as one line of JSON with its newline; keys sorted, digests in hex, `at` in seconds since 1970."""
    entry = record.entry
    line = _encoder.encode(
        {
            "seq": record.seq,
            "kind": entry.kind,
            "id": entry.id,
            "at": entry.at,
            "tenant": entry.tenant,
            "action": entry.action,
            "body": entry.body,
            "prev": record.prev,
            "digest": record.digest,
        }
    )
    return line + b"\n"


def export(records: Iterable[Record], out: BinaryIO) -> int:
    """Write every record to `out` as it is read. Returns how many there were."""
    count = 0
    for record in records:
        out.write(to_line(record))
        count += 1
    return count
