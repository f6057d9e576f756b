"""The audit log: what was decided and why, in a chain that shows every later change.

log = AuditLog.open("sqlite:////var/lib/guardrail/audit.db", key)
sealed = await log.append(Entry("decision", receipt_id, time.time(), "default", "block", body))
"""

from guardrail.audit.chain import Head, keyed_digest
from guardrail.audit.entry import JSON, Entry, Record, Sealed
from guardrail.audit.export import export
from guardrail.audit.log import AuditLog
from guardrail.audit.read import Reader
from guardrail.audit.verify import Fault, holds, verify

__all__ = [
    "JSON",
    "AuditLog",
    "Entry",
    "Fault",
    "Head",
    "Reader",
    "Record",
    "Sealed",
    "export",
    "holds",
    "keyed_digest",
    "verify",
]
