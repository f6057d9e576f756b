"""The desk: what every case of a guard shares, and what a case may ask of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from guardrail.audit import AuditLog
from guardrail.errors import ConfigError, Overloaded
from guardrail.pipeline.looking import Looker, Observer
from guardrail.policy import PolicyBook
from guardrail.policy.replay import parts_of, strictest
from guardrail.types import Evidence


@dataclass(frozen=True)
class Desk:
    """Looker, policies and audit log of one guard.

    `queue` is how many pictures may wait; `absent` says which installed checks are not enabled; `digest_key` keys the
    digests of artifacts in receipts. Without `policies` nothing is decided, without `audit` nothing is recorded.
    """

    looker: Looker
    policies: PolicyBook | None
    audit: AuditLog | None
    audit_required: bool
    digest_key: bytes
    queue: int
    absent: Mapping[str, str]
    observer: Observer

    @property
    def book(self) -> PolicyBook:
        """The policies in force. Raises ConfigError for a guard that was opened without one."""
        if self.policies is None:
            raise ConfigError("this guard was opened without a policy: it can examine, but not decide")
        return self.policies

    def admit(self) -> None:
        """Raises Overloaded when pictures would have to wait behind a full queue, or too many workers hang."""
        if not self.looker.pictures.healthy:
            raise Overloaded(
                "too many checks hang: pictures are not looked at until they come back", retry_after_s=10.0
            )
        if self.looker.depth >= self.queue:
            raise Overloaded(f"{self.queue} pictures wait to be looked at; come back later", retry_after_s=2.0)

    def shadow(self, evidence: Evidence) -> list[dict[str, Any]]:
        """What the candidate policies would have done, for the record."""
        if not self.book.shadow:
            return []
        # As the acting policy does: each picture that came back for itself.
        parts = parts_of(evidence.signals)
        decided = [(policy, *strictest(policy, parts)) for policy in self.book.shadow]
        return [
            {"policy": policy.label, "action": action.word, "rules": list(rules)} for policy, action, rules in decided
        ]
