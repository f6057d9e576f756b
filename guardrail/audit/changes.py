"""Changes to what judges, as events of the log: who protected or removed a person, or put a hash into a bank.

An event says who, what and how many. It holds no name, picture, hash or template: what was changed is a keyed digest
of what it is called. Neither the registry nor a bank knows of the log; whoever changes one stands this around it.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from blake3 import blake3

from guardrail.audit.chain import keyed_digest
from guardrail.audit.entry import JSON, MAX_NAME, Entry
from guardrail.audit.log import AuditLog
from guardrail.errors import AuditError, ConfigError

SUBJECTS = 5_000
"""Digests in one event, at most: about 200 KB. More of one change stand in several."""
DIGEST_CHARS = 32
"""Characters of a keyed digest: 128 bits, as in a receipt."""
EVERYBODY = "*"
"""The tenant of an event that is no tenant's."""


class Change:
    """What is told of one change while it is made."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.facts: dict[str, JSON] = {}

    def about(self, *names: str) -> None:
        """What is changed: ids of persons, hashes in lower-case hex, the SHA-256 of a file. Only digests are kept."""
        self.names += names

    def counts(self, **counts: int) -> None:
        """How many of what."""
        self.facts["counts"] = counts

    def made(self, revision: int) -> None:
        """What the registry or bank is after it, as receipts name it: a change that left no event shows by this."""
        self.facts["revision"] = revision


class Changes:
    """Puts changes on record. `key`, 32 bytes, makes digests of what was changed; `by` says who changes it.

    Where a record is not required, `unrecorded` is told why there is none of a change, and `log` may be None. Raises
    ConfigError when `by` is no name.
    """

    def __init__(
        self, log: AuditLog | None, key: bytes, *, by: str, unrecorded: Callable[[str], None] | None = None
    ) -> None:
        if not by.strip() or len(by) > MAX_NAME or not by.isprintable():
            raise ConfigError(f"who changes it: 1 to {MAX_NAME} printable characters are expected")
        self._log = log
        self._key = key
        self._by = by
        self._unrecorded = unrecorded

    @contextmanager
    def change(self, action: str, **facts: JSON) -> Iterator[Change]:
        """To be stood around a change; `action` says what is done ("registry-add"), `facts` are kept as they are.

        What raises before anything is named changed nothing, and leaves no event; after that the event says that it
        failed. Raises AuditError before the change where no record can be written, and after it where this one was not.
        """
        if self._unrecorded is None and (self._log is None or not self._log.writable()):
            raise AuditError(
                f"{action}: nothing was changed, because the audit log cannot be written; is its disk full or its "
                "server gone?"
            )
        told = Change()
        try:
            yield told
        except BaseException as fault:
            if told.names:
                told.facts["failed"] = type(fault).__name__
                with suppress(AuditError):  # the change's own error says more
                    self._append(action, facts, told)
            raise
        try:
            self._append(action, facts, told)
        except AuditError as fault:
            said = f"{action}: was done, but is not on record: {fault}"
            if self._unrecorded is None:
                raise AuditError(said) from None
            self._unrecorded(said)

    def _append(self, action: str, facts: Mapping[str, JSON], told: Change) -> None:
        if self._log is None:
            raise AuditError("there is no audit log")
        subjects = [subject_of(name, self._key) for name in dict.fromkeys(told.names)]
        parts = [subjects[at : at + SUBJECTS] for at in range(0, len(subjects), SUBJECTS)] or [[]]
        for number, part in enumerate(parts, 1):
            body = {"by": self._by, **facts, **told.facts, "subject": part}
            if len(parts) > 1:
                body["part"] = f"{number} of {len(parts)}"
            self._log.append_wait(
                Entry("event", f"change-{secrets.token_hex(8)}", time.time(), EVERYBODY, action, body)
            )


def subject_of(name: str, key: bytes) -> str:
    """What stands on record for whatever is called `name`."""
    digest = blake3(b"guardrail changed\0" + name.encode("utf-8", "surrogatepass")).digest()
    return f"digest:{keyed_digest(key, digest)[:DIGEST_CHARS]}"


def concerns(body: Mapping[str, Any], name: str, key: bytes) -> bool:
    """Whether the event with this body says that what is called `name` was changed."""
    found = body.get("subject")
    return isinstance(found, list) and any(subject_of(one, key) in found for one in {name, name.lower()})
