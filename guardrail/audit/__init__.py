"""The audit log: what was decided and why, in a chain that shows every later change.

log = AuditLog.open("sqlite:////var/lib/guardrail/audit.db", key)
sealed = await log.append(Entry("decision", receipt_id, time.time(), "default", "block", body))
with Changes(log, digest_key, by="anna").change("registry-remove", about=[person_id]) as change: ...
"""

from guardrail.audit.chain import Head, keyed_digest
from guardrail.audit.changes import Change, Changes, Missing, concerns, missing
from guardrail.audit.entry import JSON, Entry, EntryKind, Record, Sealed
from guardrail.audit.export import export
from guardrail.audit.log import AuditLog
from guardrail.audit.read import Reader
from guardrail.audit.store import Unfit
from guardrail.audit.verify import Fault, holds, verify

__all__ = [
    "JSON",
    "AuditLog",
    "Change",
    "Changes",
    "Entry",
    "EntryKind",
    "Fault",
    "Head",
    "Missing",
    "Reader",
    "Record",
    "Sealed",
    "Unfit",
    "concerns",
    "export",
    "holds",
    "keyed_digest",
    "missing",
    "verify",
]
