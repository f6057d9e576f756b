from __future__ import annotations

import json
import sqlite3
from io import BytesIO

import pytest

from guardrail.audit import AuditLog, Reader, export
from guardrail.audit.read import ALIKE_PAGE, PAGE
from guardrail.errors import AuditError

from .support import KEY, entry, fill


@pytest.fixture
def reader(url):
    with AuditLog.open(url, KEY) as log:
        for n in range(1, 9):
            action = "hold" if n % 4 == 0 else "allow"
            log.append_wait(entry(f"r{n}", at=100.0 + n, tenant="ab"[n % 2], action=action))
        log.append_wait(entry("said", kind="ruling", at=200.0, tenant="b", action="allow", body={"record": "r4"}))
        log.append_wait(entry("other", kind="ruling", at=201.0, tenant="b", action="block", body={"record": "r%"}))
    reader = Reader.open(url)
    yield reader
    reader.close()


def ids(records) -> list[str]:
    return [record.entry.id for record in records]


def test_a_record_is_found_by_its_id(reader):
    assert reader.get("r3").seq == 3
    assert reader.get("r33") is None


def test_records_are_found_by_how_their_ids_begin_and_by_no_pattern(url):
    wanted = [f"abcd{n:03}" for n in range(ALIKE_PAGE + 5)]
    with AuditLog.open(url, KEY) as log:
        for name in ("abc", "abce", "abcdé", "ABCD", "ab%d", "abcd-", *reversed(wanted)):
            log.append_wait(entry(name))
    reader = Reader.open(url)
    try:
        assert sorted(ids(reader.beginning("abcd"))) == sorted([*wanted, "abcd-", "abcdé"])
        assert len(reader.beginning("abcd", most=7)) == 7
        assert ids(reader.beginning("abcd01")) == [f"abcd{n:03}" for n in range(10, 20)]
        assert ids(reader.beginning("ab%d")) == ["ab%d"]
        assert ids(reader.beginning("abc%")) == []
        with pytest.raises(AuditError, match="at least 4 characters"):
            reader.beginning("abc")
    finally:
        reader.close()


def test_ids_that_begin_alike_are_found_through_the_index(sqlite_url):
    with AuditLog.open(sqlite_url, KEY) as log:
        log.append_wait(entry("abcd1"))
    conn = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))
    (plan,) = conn.execute(
        "EXPLAIN QUERY PLAN SELECT body FROM guardrail_audit_records WHERE id >= 'abcd' ORDER BY id LIMIT 20"
    )
    assert "USING INDEX guardrail_audit_records_id (id>?)" in plan[-1]


def test_the_newest_come_first_and_pages_follow_each_other(reader):
    assert ids(reader.entries(limit=3)) == ["other", "said", "r8"]
    assert ids(reader.entries(limit=3, before=8)) == ["r7", "r6", "r5"]


def test_filters_hold_on_both_sides(reader):
    assert ids(reader.entries(since=107.0, until=200.0)) == ["r8", "r7"]
    assert ids(reader.entries(tenant="a", limit=2)) == ["r8", "r6"]
    assert ids(reader.entries(action="hold")) == ["r8", "r4"]
    assert ids(reader.entries(kind="ruling")) == ["other", "said"]
    assert ids(reader.entries(kind="decision", action="allow", tenant="b", until=104.0)) == ["r3", "r1"]
    assert ids(reader.entries(tenant="c")) == []


def test_records_about_a_subject_are_found_through_all_pages(sqlite_url):
    with AuditLog.open(sqlite_url, KEY) as log:
        for n in range(PAGE + 5):
            who = {"subject": "rare" if n in (1, 2, PAGE + 1) else f"u{n}"} if n % 5 else {}
            log.append_wait(entry(f"r{n}", body={"status": "answered", **who}))
    reader = Reader.open(sqlite_url)
    asked = []

    def about(one) -> bool:
        asked.append(one.id)
        return one.body["subject"] == "rare"

    assert ids(reader.entries(about=about)) == [f"r{PAGE + 1}", "r2", "r1"]
    assert ids(reader.entries(about=about, limit=2)) == [f"r{PAGE + 1}", "r2"]
    assert ids(reader.entries(about=about, limit=2, before=3)) == ["r1"]
    assert ids(reader.scan(about=about)) == ["r1", "r2", f"r{PAGE + 1}"]
    assert "r5" not in asked, "it names nobody"
    reader.close()


def test_the_rulings_on_a_record_are_found_by_its_exact_id(reader):
    assert ids(reader.rulings("r4")) == ["said"]
    assert ids(reader.rulings("r%")) == ["other"]
    assert ids(reader.rulings("r5")) == []


def test_a_walk_gives_every_record_once_and_in_order(sqlite_url):
    fill(sqlite_url, PAGE + 3)
    reader = Reader.open(sqlite_url)
    assert [record.seq for record in reader.scan()] == list(range(1, PAGE + 4))
    assert [record.seq for record in reader.scan(since=1_700_000_000.0 + PAGE + 2)] == [PAGE + 2, PAGE + 3]
    reader.close()


def test_an_export_is_json_lines_oldest_first(reader):
    out = BytesIO()
    assert export(reader.scan(kind="ruling"), out) == 2
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["id"] for line in lines] == ["said", "other"]
    assert lines[0] == {
        "seq": 9,
        "kind": "ruling",
        "id": "said",
        "at": 200.0,
        "tenant": "b",
        "action": "allow",
        "body": {"record": "r4"},
        "prev": reader.get("r8").digest,
        "digest": reader.get("said").digest,
    }


def test_a_list_of_few_among_many_reads_an_index(sqlite_url):
    """The review queue asks for held records and rulings among millions of allowed ones."""
    fill(sqlite_url, 1)
    conn = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))
    for where, index in (
        ("action = ? AND action <> 'allow'", "guardrail_audit_records_action"),
        ("tenant = ? AND tenant <> 'default'", "guardrail_audit_records_tenant"),
        ("kind = ? AND kind <> 'decision'", "guardrail_audit_records_rare"),
    ):
        asked = f"EXPLAIN QUERY PLAN SELECT body FROM guardrail_audit_records WHERE {where} ORDER BY seq DESC LIMIT 9"
        plan = " ".join(row[3] for row in conn.execute(asked, ("x",)))
        assert index in plan
        assert "TEMP B-TREE" not in plan
    conn.close()


def test_a_reader_makes_no_log(tmp_path):
    with pytest.raises(AuditError, match="no such file"):
        Reader.open(f"sqlite:///{tmp_path}/audit.db")
    assert list(tmp_path.iterdir()) == []


def test_a_record_that_cannot_be_read_back_is_an_error_that_says_what_to_run(sqlite_url):
    fill(sqlite_url, 1)
    conn = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))
    reader = Reader.open(sqlite_url)
    for change in ("body = '[]'", "body = x'00'", "kind = 'verdict'", "digest = 'text'"):
        conn.execute(f"UPDATE guardrail_audit_records SET {change}")
        conn.commit()
        with pytest.raises(AuditError, match="audit verify"):
            reader.get("r1")
    conn.close()
    reader.close()
