"""Replaying a log: the same from SQLite and PostgreSQL, whole streams only, page by page."""

from __future__ import annotations

from guardrail.audit import AuditLog, Reader
from guardrail.policy import parse, replay, stored_of
from guardrail.types import Action

from .support import KEY, entry

POLICY = parse("version: 1\nname: p\nrules:\n  - {id: r, when: {prompt.sexual: 0.5}, action: block}\n")


def body(score: float, status: str = "answered") -> dict[str, object]:
    return {
        "policy": "old@12345678",
        "would": "allow",
        "reasons": [],
        "signals": [["prompt.sexual", "prompt", "c", score, None]],
        "receipt": {"models": ["m@1"], "looks": []},
        "status": status,
    }


def test_a_log_is_replayed_record_by_record(url):
    with AuditLog.open(url, KEY) as log:
        for n in range(1200):  # more than two pages
            log.append_wait(entry(f"r{n}", at=1_700_000_000.0 + n, body=body(0.5 if n % 3 == 0 else 0.49)))
        log.append_wait(entry("s.open", at=1_700_002_000.0, body=body(0.9, "streaming")))
        log.append_wait(entry("e", at=1_700_002_001.0, kind="event", action="reload", body={}))
    reader = Reader.open(url)
    try:
        found = (stored_of(one.entry.id, one.entry.action, one.entry.body) for one in reader.scan(kind="decision"))
        told = replay(POLICY, (one for one in found if one is not None))
        since = reader.scan(since=1_700_001_100.0, kind="decision")
        late = replay(POLICY, filter(None, (stored_of(o.entry.id, o.entry.action, o.entry.body) for o in since)))
    finally:
        reader.close()
    assert told.judged == 1200
    [version] = told.versions
    assert version.moved == {(Action.ALLOW, Action.BLOCK): 400, (Action.ALLOW, Action.ALLOW): 800}
    assert [one.id for one in told.differences] == ["r0", "r3", "r6", "r9", "r12"]
    assert late.judged == 100
