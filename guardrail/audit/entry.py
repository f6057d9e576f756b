"""What a record is made of: the entry that somebody hands in, and the record that it becomes.

An entry never holds a prompt or a picture: keyed digests of them, scores and what was decided.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias, get_args

import msgspec

from guardrail.errors import AuditError

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"
EntryKind = Literal["decision", "ruling", "event"]

KINDS: tuple[str, ...] = get_args(EntryKind)
# A name longer than this is a mistake of the caller, not a name.
MAX_NAME = 256
# 100 artifacts of 20 signals each come to about 200 KB; what is larger is no record but content.
MAX_BODY_BYTES = 1 << 20


@dataclass(frozen=True)
class Entry:
    """What somebody wants on record.

    `id` is unique in the log (for a decision: the receipt's id). `at` is seconds since 1970, UTC. `action` is the
    decision's word ("allow", "flag", "hold", "block"), or what was ruled or done. `body` is plain JSON data; a
    ruling's body names the record that it is about in "record".
    """

    kind: EntryKind
    id: str
    at: float
    tenant: str
    action: str
    body: Mapping[str, JSON]


class Sealed(NamedTuple):
    """An entry's place in the chain: its number, counted from 1, and its digest in hex."""

    seq: int
    digest: str


@dataclass(frozen=True)
class Record:
    """An entry as it stands in the log: its number, the digest of the one before and its own, in hex."""

    seq: int
    prev: str
    digest: str
    entry: Entry


class Row(NamedTuple):
    """An entry as it is stored and signed: `body` is canonical JSON (keys sorted, no spaces, UTF-8)."""

    kind: str
    id: str
    at: float
    tenant: str
    action: str
    body: str


_canonical = msgspec.json.Encoder(order="sorted")
_bodies = msgspec.json.Decoder(dict[str, object])


def to_row(entry: Entry) -> Row:
    """Make an entry ready to be stored.

    Raises AuditError, naming the entry and never quoting its body, when a name is empty, longer than MAX_NAME or
    not storable text, when the time is not a number, or when the body is not JSON or over MAX_BODY_BYTES.
    """
    if entry.kind not in KINDS:
        raise AuditError(f"audit entry: its kind is not known; expected one of {', '.join(KINDS)}")
    for what, name in (("id", entry.id), ("tenant", entry.tenant), ("action", entry.action)):
        # NUL and lone surrogates: PostgreSQL stores neither, and one log must move to the other.
        if not 0 < len(name) <= MAX_NAME or "\0" in name or not _is_utf8(name):
            raise AuditError(f"audit entry: its {what} must be 1 to {MAX_NAME} characters of text without NUL")
    if not math.isfinite(entry.at):
        raise AuditError(f"audit entry {entry.id}: its time is not a number of seconds since 1970")
    try:
        body = _canonical.encode(entry.body)
    except (TypeError, ValueError, OverflowError, RecursionError):
        raise AuditError(f"audit entry {entry.id}: its body is not plain JSON data") from None
    if len(body) > MAX_BODY_BYTES or not body.startswith(b"{"):
        raise AuditError(
            f"audit entry {entry.id}: its body is {len(body)} bytes; expected a JSON object of at most {MAX_BODY_BYTES}"
        )
    return Row(entry.kind, entry.id, float(entry.at), entry.tenant, entry.action, body.decode())


def to_entry(row: Row) -> Entry:
    """Read a stored row back. Raises AuditError when what is stored is not what `to_row` writes."""
    try:
        body = _bodies.decode(row.body)
    except (msgspec.DecodeError, UnicodeError, TypeError):
        raise AuditError(
            f"audit record {row.id!r}: its body is not a JSON object; run guardrail audit verify"
        ) from None
    if row.kind not in KINDS:
        raise AuditError(f"audit record {row.id!r}: its kind is not known; run guardrail audit verify")
    return Entry(row.kind, row.id, row.at, row.tenant, row.action, body)  # type: ignore[arg-type]


def _is_utf8(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
