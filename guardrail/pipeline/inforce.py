"""Since when which policies hold: the events of the record at each start and each reload."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence

from guardrail.audit import JSON, Entry
from guardrail.audit.changes import EVERYBODY
from guardrail.policy.book import Pages


def in_force(action: str, guard: str, after: Pages, before: Pages | None = None, faults: Sequence[str] = ()) -> Entry:
    """The event that says which policies hold from now on; `before` are those that held, None where a guard begins.

    `guard` tells the events of one process from those of others that share the log. In its body "after" has the label
    of the default first, "shadow" those of it that only watch, and "tenants" what each tenant had and has whose policy
    is another now.
    """
    was, now = before.digests() if before else {}, after.digests()
    moved: dict[str, JSON] = {
        tenant: [before.policy_of(tenant).label if before else None, policy.label]
        for tenant, policy in after.tenants.items()
        if before is None or policy != before.policy_of(tenant)
    }
    body: dict[str, JSON] = {
        "guard": guard,
        "before": before.labels() if before else [],
        "after": after.labels(),
        "sha256": {
            "before": {sha256: label for sha256, label in was.items() if sha256 not in now},
            "after": {sha256: label for sha256, label in now.items() if sha256 not in was},
        },
        "tenants": moved,
        "shadow": [policy.label for policy in after.shadow],
        "faults": list(faults),
    }
    verb = "start" if before is None else "reload"
    return Entry("event", f"{verb}-{secrets.token_hex(8)}", time.time(), EVERYBODY, action, body)
