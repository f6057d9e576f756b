"""Changes to what judges, as events of the log: who protected or removed a person, or put a hash into a bank.

An event says who, what and how many. It holds no name, picture, hash or template: what was changed is a keyed digest
of what it is called. Neither the registry nor a bank knows of the log; whoever changes one stands this around it.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from blake3 import blake3

from guardrail.audit.chain import keyed_digest
from guardrail.audit.entry import JSON, MAX_NAME, Entry
from guardrail.audit.log import AuditLog
from guardrail.audit.store import Step
from guardrail.errors import AuditError, ConfigError

SUBJECTS = 5_000
"""Digests in one event, at most: about 200 KB. More of one change stand in several."""
DIGEST_CHARS = 32
"""Characters of a keyed digest: 128 bits, as in a receipt."""
EVERYBODY = "*"
"""The tenant of an event that is no tenant's."""
BEGUN = "begun"
"""Status of the event that is written before a change is made."""


class Change:
    """What is told of one change while it is made."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = list(names)
        self.facts: dict[str, JSON] = {}

    def about(self, *names: str) -> None:
        """What else is changed, where that was not known before. Only digests are kept."""
        self.names += names

    def counts(self, **counts: int) -> None:
        """How many of what."""
        self.facts["counts"] = counts

    def moved(self, revisions: tuple[int, int] | None) -> None:
        """What the registry or bank was and is, as receipts name it and its file says: by these shows what is missing.

        None where nothing was written.
        """
        if revisions is not None:
            self.facts["before"], self.facts["revision"] = revisions


class Changes:
    """Puts changes on record. `key`, 32 bytes, makes digests of what was changed; `by` says who changes it.

    Each has two events: one with status "begun" under "<id>.open" before anything is changed, and one under the id
    itself that says how it ended. An ".open" without the other is a change whose process did not live to say whether
    it was made: `missing` finds them.

    Where a record is not required, `unrecorded` is told why there is none of a change, and `log` may be None. `step` is
    told each step; tests stop there. Raises ConfigError when `by` is no name.
    """

    def __init__(
        self,
        log: AuditLog | None,
        key: bytes,
        *,
        by: str,
        unrecorded: Callable[[str], None] | None = None,
        step: Step = lambda name: None,
    ) -> None:
        if not by.strip() or len(by) > MAX_NAME or not by.isprintable():
            raise ConfigError(f"who changes it: 1 to {MAX_NAME} printable characters are expected")
        self._log = log
        self._key = key
        self._by = by
        self._unrecorded = unrecorded
        self._step = step

    @contextmanager
    def change(self, action: str, *, about: Iterable[str] = (), **facts: JSON) -> Iterator[Change]:
        """To be stood around a change; `action` says what is done ("registry-add"), `facts` are kept as they are.

        `about` is what will be changed, as far as that is known: ids of persons, hashes in lower-case hex, the SHA-256
        of a file. What raises inside is on record as failed. Raises AuditError before the change where no record can
        be written, and after it where its end was not.
        """
        change_id, told = f"change-{secrets.token_hex(8)}", Change(about)
        self._step("asked")
        try:
            self._append(f"{change_id}.open", action, {**facts, "status": BEGUN}, told)
        except AuditError as fault:
            if self._unrecorded is None:
                raise AuditError(f"{action}: nothing was changed, as it could not be put on record: {fault}") from None
        self._step("begun")
        try:
            yield told
        except BaseException as fault:
            told.facts["failed"] = type(fault).__name__
            with suppress(AuditError):  # the change's own error says more
                self._append(change_id, action, facts, told)
            raise
        self._step("made")
        try:
            self._append(change_id, action, facts, told)
        except AuditError as fault:
            said = f"{action}: was done, but is not on record: {fault}"
            if self._unrecorded is None:
                raise AuditError(said) from None
            self._unrecorded(said)
        self._step("ended")

    def _append(self, entry_id: str, action: str, facts: Mapping[str, JSON], told: Change) -> None:
        """One event, or several where the names are many: the last of them has the id, and is written last."""
        if self._log is None:
            raise AuditError("there is no audit log")
        subjects = [subject_of(name, self._key) for name in dict.fromkeys(told.names)]
        parts = [subjects[at : at + SUBJECTS] for at in range(0, len(subjects), SUBJECTS)] or [[]]
        for number, part in enumerate(parts, 1):
            body = {"by": self._by, **facts, **told.facts, "subject": part}
            if len(parts) > 1:
                body["part"] = f"{number} of {len(parts)}"
                self._step("part")
            named = entry_id if number == len(parts) else f"{entry_id}.{number}"
            self._log.append_wait(Entry("event", named, time.time(), EVERYBODY, action, body))


@dataclass(frozen=True)
class Missing:
    """What the record does not say of the changes; `record` is the id of the event that shows it, if there is one."""

    record: str | None
    what: str


def missing(events: Iterable[Entry], revisions: Mapping[str, int]) -> list[Missing]:
    """What was changed, or may have been, and is on record no further than that.

    `events` are all of the log, oldest first; `revisions` are those of the files as they are now, "registry", "bank"
    and "bank NAME", without any that is not there.
    """
    begun, made = dict[str, Entry](), dict[str, list[Entry]]()
    for entry in events:
        begun.pop(f"{entry.id}.open", None)
        if entry.body.get("status") == BEGUN and entry.id.endswith(".open"):
            begun[entry.id] = entry
        elif isinstance(entry.body.get("revision"), int):
            made.setdefault(_file_of(entry), []).append(entry)
    found = [
        Missing(
            name,
            f"{entry.action} by {entry.body.get('by')} was begun, and its end is not on record: whether it was made is "
            "not known, unless it is still running",
        )
        for name, entry in begun.items()
    ]
    for file, entries in made.items():
        found += _past(file, entries, revisions.get(file))
    return found


def _past(file: str, entries: Sequence[Entry], now: int | None) -> Iterator[Missing]:
    """What was done to one file past its events; `now` is its revision.

    A revision is made by one change and found by the next; 0 is that of no file. What the first change of all found was
    made before the log began.
    """
    reached = {at for entry in entries if isinstance(at := entry.body["revision"], int)}
    left = set[int]()
    left_by = [
        (entry.id, before) for entry in entries if isinstance(before := entry.body.get("before"), int) and before
    ]
    first = min([*reached, *(before for _, before in left_by)])
    for record, before in left_by:
        if before not in reached and before != first:
            yield Missing(record, f"{file}: revision {before}, which this change found, was made by no event")
        if before in left:
            yield Missing(record, f"{file}: was put back to revision {before} before this change, by no event")
        left.add(before)
    if now is not None and now not in reached:
        yield Missing(None, f"{file}: its revision is {now}, which was made by no event")
    elif now in left:
        yield Missing(None, f"{file}: was put back to revision {now}, by no event")


def _file_of(entry: Entry) -> str:
    """Which file an event is about, as `missing` names it."""
    file, name = entry.action.partition("-")[0], entry.body.get("bank")
    return f"{file} {name}" if isinstance(name, str) else file


def subject_of(name: str, key: bytes) -> str:
    """What stands on record for whatever is called `name`."""
    digest = blake3(b"guardrail changed\0" + name.encode("utf-8", "surrogatepass")).digest()
    return f"digest:{keyed_digest(key, digest)[:DIGEST_CHARS]}"


def concerns(body: Mapping[str, Any], name: str, key: bytes) -> bool:
    """Whether the event with this body says that what is called `name` was changed."""
    found = body.get("subject")
    return isinstance(found, list) and any(subject_of(one, key) in found for one in {name, name.lower()})
