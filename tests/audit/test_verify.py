from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa

from guardrail.audit import AuditLog, Fault, Head, Reader, holds, verify
from guardrail.audit.read import PAGE
from guardrail.audit.verify import MAX_FAULTS
from guardrail.errors import AuditError, ConfigError, GuardrailError

from .support import KEY, OTHER_KEY, entry, fill

RECORDS = "guardrail_audit_records"
HEAD = "guardrail_audit_head"
COLUMNS = "id, kind, at, tenant, action, body, prev, digest"


ZEROS = {"sqlite": "zeroblob(32)", "postgresql": "decode(repeat('00', 32), 'hex')"}


@pytest.fixture
def log(sqlite_url: str) -> str:
    """A log of eight records."""
    fill(sqlite_url, 8)
    return sqlite_url


@pytest.fixture
def either(url: str) -> str:
    """A log of eight records, in SQLite and in PostgreSQL."""
    fill(url, 8)
    return url


def file_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


def tamper(url: str, *statements: str) -> None:
    """Change a log past the guard, as whoever may write to the database can. ZEROS stands for 32 bytes of zero."""
    place = sa.make_url(url)
    if place.drivername == "postgresql":
        place = place.set(drivername="postgresql+psycopg")
    engine = sa.create_engine(place)
    with engine.begin() as conn:
        for statement in statements:
            conn.exec_driver_sql(statement.replace("ZEROS", ZEROS[engine.dialect.name]))
    engine.dispose()


def blob(url: str, value: bytes) -> str:
    """Bytes as the database of this log writes them."""
    return f"x'{value.hex()}'" if url.startswith("sqlite") else f"decode('{value.hex()}', 'hex')"


def head_of(url: str) -> Head:
    reader = Reader.open(url)
    found = reader.head()
    reader.close()
    assert found is not None
    return found


def says(faults: Sequence[Fault]) -> list[tuple[int, str]]:
    """Each fault's record and the words after the colon."""
    return [(fault.seq, fault.what.rpartition(": ")[2]) for fault in faults]


def test_a_log_as_it_was_written_has_no_fault(url):
    fill(url, 20)
    assert verify(url, KEY) == []


def test_a_log_without_records_has_no_fault(url):
    AuditLog.open(url, KEY).close()
    assert verify(url, KEY) == []


@pytest.mark.parametrize(
    "change",
    [
        "id = 'r99'",
        "kind = 'event'",
        "at = at + 0.001",
        "tenant = 'other'",
        "action = 'block'",
        "body = replace(body, '1.5', '1.6')",
        "body = ' ' || body",
        "prev = ZEROS",
        "digest = ZEROS",
    ],
)
def test_a_change_to_any_column_is_found_and_names_its_record(either, change):
    tamper(either, f"UPDATE {RECORDS} SET {change} WHERE seq = 4")
    faults = verify(either, KEY)
    assert faults[0].seq == 4
    assert {fault.seq for fault in faults} <= {4, 5}


@pytest.mark.parametrize(
    "change",
    ["at = 'text'", "body = zeroblob(3)", "body = CAST(x'ff' AS TEXT)", "prev = 'text'", "digest = 5"],
)
def test_a_change_to_what_a_column_cannot_hold_is_found(log, change):
    tamper(log, f"UPDATE {RECORDS} SET {change} WHERE seq = 4")
    faults = verify(log, KEY)
    assert faults[0].seq == 4
    assert {fault.seq for fault in faults} <= {4, 5}


def test_a_record_deleted_from_the_middle_is_named(either):
    tamper(either, f"DELETE FROM {RECORDS} WHERE seq = 4")
    assert verify(either, KEY) == [Fault(4, "record 4 is missing: deleted, or renumbered")]


def test_the_first_records_deleted_are_named(either):
    tamper(either, f"DELETE FROM {RECORDS} WHERE seq <= 3")
    assert verify(either, KEY) == [Fault(1, "records 1 to 3 are missing: deleted, or renumbered")]


def test_a_deleted_record_stays_found_when_the_later_ones_are_renumbered(either):
    tamper(
        either,
        f"DELETE FROM {RECORDS} WHERE seq = 4",
        f"UPDATE {RECORDS} SET seq = seq + 1000 WHERE seq > 4",
        f"UPDATE {RECORDS} SET seq = seq - 1001 WHERE seq > 1000",
    )
    faults = verify(either, KEY)
    assert faults[0] == Fault(4, "record 4 was written as record 5: moved, copied or reordered")
    assert faults[-1] == Fault(8, "record 8 is missing at the end: cut off")


def test_records_cut_off_at_the_end_are_named(either):
    tamper(either, f"DELETE FROM {RECORDS} WHERE seq > 5")
    assert verify(either, KEY) == [Fault(6, "records 6 to 8 are missing at the end: cut off")]


def test_all_records_deleted_are_named(either):
    tamper(either, f"DELETE FROM {RECORDS}")
    assert verify(either, KEY) == [Fault(1, "records 1 to 8 are missing at the end: cut off")]


def test_a_cut_that_also_rewrites_the_head_without_the_key_is_found(either):
    tamper(
        either,
        f"DELETE FROM {RECORDS} WHERE seq > 5",
        f"UPDATE {HEAD} SET seq = 5, digest = (SELECT digest FROM {RECORDS} WHERE seq = 5)",
    )
    # The head says that it was changed; one kept beside the log, which SQLite has, which records are gone.
    found = [fault.seq for fault in verify(either, KEY)]
    assert found == ([0, 6] if either.startswith("sqlite") else [0])


def test_a_head_that_was_deleted_is_found(either):
    tamper(either, f"DELETE FROM {HEAD}")
    assert "head is gone" in verify(either, KEY)[0].what


def test_two_records_that_changed_places_are_named_with_their_own_numbers(either):
    tamper(
        either,
        f"UPDATE {RECORDS} SET seq = 1000 WHERE seq = 3",
        f"UPDATE {RECORDS} SET seq = 3 WHERE seq = 6",
        f"UPDATE {RECORDS} SET seq = 6 WHERE seq = 1000",
    )
    faults = {fault.seq: fault.what for fault in verify(either, KEY)}
    assert "was written as record 6" in faults[3]
    assert "was written as record 3" in faults[6]


def test_a_record_inserted_after_the_end_is_named(either):
    tamper(
        either,
        f"INSERT INTO {RECORDS} (seq, {COLUMNS}) SELECT 9, 'r9', kind, at, tenant, action, body, digest, "
        f"ZEROS FROM {RECORDS} WHERE seq = 8",
    )
    assert [fault.seq for fault in verify(either, KEY)] == [9, 9]


def test_a_true_record_copied_over_another_is_named(either):
    tamper(
        either,
        f"DELETE FROM {RECORDS} WHERE seq = 5",
        f"INSERT INTO {RECORDS} (seq, {COLUMNS}) SELECT 5, 'r5', kind, at, tenant, action, body, prev, digest "
        f"FROM {RECORDS} WHERE seq = 2",
    )
    assert verify(either, KEY)[0].seq == 5


def test_a_record_numbered_below_one_is_named(either):
    tamper(
        either,
        f"INSERT INTO {RECORDS} (seq, {COLUMNS}) SELECT -3, 'r0', kind, at, tenant, action, body, prev, digest "
        f"FROM {RECORDS} WHERE seq = 2",
    )
    assert verify(either, KEY)[0] == Fault(-3, "record -3 was inserted: numbers begin at 1")


def test_a_record_of_another_log_under_the_same_key_does_not_fit(log, tmp_path):
    other = f"sqlite:///{tmp_path}/other.db"
    fill(other, 8)
    tamper(
        log,
        f"ATTACH '{tmp_path}/other.db' AS other",
        f"DELETE FROM main.{RECORDS} WHERE seq = 1",
        f"INSERT INTO main.{RECORDS} SELECT * FROM other.{RECORDS} WHERE seq = 1",
    )
    assert [fault.seq for fault in verify(log, KEY)] == [1, 2]


def test_a_log_put_back_as_a_whole_is_found_only_by_a_head_kept_elsewhere(log, tmp_path):
    for end in ("", "-head"):
        shutil.copy(f"{file_of(log)}{end}", tmp_path / f"old.db{end}")
    with AuditLog.open(log, KEY) as more:
        more.append_wait(entry("r9"))
    kept = head_of(log).token
    assert verify(log, KEY, kept) == []
    shutil.copy(tmp_path / "old.db", file_of(log))
    assert [fault.seq for fault in verify(log, KEY)] == [9]  # the head beside it was forgotten
    shutil.copy(tmp_path / "old.db-head", f"{file_of(log)}-head")
    assert verify(log, KEY) == []
    assert says(verify(log, KEY, kept)) == [(9, "the log was put back to before the given head")]


def test_records_cut_off_together_with_a_head_of_before_are_found_only_by_a_head_kept_elsewhere(url):
    """Whoever may write to the database can put back a head that once was true; SQLite keeps another beside it."""
    fill(url, 5)
    then = head_of(url)
    with AuditLog.open(url, KEY) as more:
        more.append_wait(entry("r6"))
    kept = head_of(url).token
    tamper(
        url,
        f"DELETE FROM {RECORDS} WHERE seq > 5",
        f"UPDATE {HEAD} SET seq = 5, digest = {blob(url, then.digest)}, mac = {blob(url, then.mac)}",
    )
    assert [fault.seq for fault in verify(url, KEY)] == ([6] if url.startswith("sqlite") else [])
    assert (6, "the log was put back to before the given head") in says(verify(url, KEY, kept))


def test_a_log_rewritten_by_somebody_with_the_key_is_found_by_a_head_kept_elsewhere(log, tmp_path):
    for end in ("", "-head"):
        shutil.copy(f"{file_of(log)}{end}", tmp_path / f"old.db{end}")
    for tenant in ("true", "false"):
        for end in ("", "-head"):
            shutil.copy(tmp_path / f"old.db{end}", f"{file_of(log)}{end}")
        with AuditLog.open(log, KEY) as more:
            more.append_wait(entry("r9", tenant=tenant))
        if tenant == "true":
            kept = head_of(log).token
    assert verify(log, KEY) == []
    assert says(verify(log, KEY, kept)) == [(9, "history was rewritten")]


def test_a_head_of_another_log_is_told_from_a_log_put_back(log, tmp_path):
    other = f"sqlite:///{tmp_path}/other.db"
    fill(other, 2)
    faults = verify(log, KEY, head_of(other).token)
    assert [fault.seq for fault in faults] == [0]
    assert "another log" in faults[0].what


def test_an_older_head_holds_for_the_log_that_grew_from_it(sqlite_url):
    AuditLog.open(sqlite_url, KEY).close()
    empty = head_of(sqlite_url).token
    fill(sqlite_url, 3)
    three = head_of(sqlite_url).token
    with AuditLog.open(sqlite_url, KEY) as log:
        log.append_wait(entry("r4"))
    assert verify(sqlite_url, KEY, empty) == []
    assert verify(sqlite_url, KEY, three) == []


def test_a_forged_head_is_not_taken_as_a_witness(log):
    forged = Head.signed(OTHER_KEY, head_of(log).log_id, 8, head_of(log).digest)
    assert "not signed with this key" in verify(log, KEY, forged.token)[0].what


def test_another_key_makes_every_record_a_fault(log):
    assert [fault.seq for fault in verify(log, OTHER_KEY)] == [0, 1, 2, 3, 4, 5, 6, 7, 8]


def test_a_flood_of_faults_is_cut_off_and_says_so(sqlite_url):
    fill(sqlite_url, 1)
    tamper(
        sqlite_url,
        f"WITH n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < {MAX_FAULTS + 50}) "
        f"INSERT INTO {RECORDS} (seq, {COLUMNS}) SELECT i, 'x' || i, kind, at, tenant, action, body, prev, "
        f"zeroblob(32) FROM n, {RECORDS} WHERE {RECORDS}.seq = 1",
    )
    faults = verify(sqlite_url, KEY)
    assert len(faults) == MAX_FAULTS + 1
    assert "not looked at" in faults[-1].what


def test_one_record_is_checked_by_itself(log):
    reader = Reader.open(log)
    assert holds(KEY, reader.entries(limit=1)[0])
    for tenant in ("other", ""):
        tamper(log, f"UPDATE {RECORDS} SET tenant = '{tenant}' WHERE seq = 8")
        assert not holds(KEY, reader.entries(limit=1)[0])
    reader.close()


def test_what_is_no_log_is_refused_and_nothing_is_made(tmp_path):
    with pytest.raises(AuditError, match="no such file"):
        verify(f"sqlite:///{tmp_path}/none.db", KEY)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "text.db").write_text("this is no database, and long enough to be looked at as one" * 20)
    with pytest.raises(AuditError, match="cannot be read"):
        verify(f"sqlite:///{tmp_path}/text.db", KEY)
    sqlite3.connect(tmp_path / "empty.db").execute("CREATE TABLE t (x)").connection.close()
    with pytest.raises(AuditError, match="not of this version"):
        verify(f"sqlite:///{tmp_path}/empty.db", KEY)


def test_a_short_key_is_refused_before_the_log_is_read(tmp_path):
    with pytest.raises(ConfigError, match="audit key"):
        verify(f"sqlite:///{tmp_path}/none.db", b"short")


def test_nothing_is_appended_to_a_log_whose_head_was_tampered_with(log):
    with AuditLog.open(log, KEY) as writer:
        tamper(log, f"UPDATE {HEAD} SET seq = 5")
        with pytest.raises(AuditError, match="not signed with this key"):
            writer.append_wait(entry("r9"))
        tamper(log, f"DELETE FROM {HEAD}")
        with pytest.raises(AuditError, match="signed head is gone"):
            writer.append_wait(entry("r9"))
    with pytest.raises(AuditError, match="signed head is gone"):
        AuditLog.open(log, KEY)


def test_another_key_cannot_open_the_log(log):
    with pytest.raises(AuditError, match="not signed with this key"):
        AuditLog.open(log, OTHER_KEY)


def test_a_record_hidden_from_look_ups_by_its_index_is_found(log):
    """Every record is as it was written, and yet `get` says that there is none."""
    pages = sqlite3.connect(file_of(log))
    (root,) = pages.execute("SELECT rootpage FROM sqlite_master WHERE name = 'guardrail_audit_records_id'").fetchone()
    pages.close()
    raw = bytearray(file_of(log).read_bytes())
    page = slice((root - 1) * 4096, root * 4096)
    raw[page] = raw[page].replace(b"r5", b"q5")
    file_of(log).write_bytes(raw)
    reader = Reader.open(log)
    assert reader.get("r5") is None
    reader.close()
    faults = verify(log, KEY)
    assert faults
    assert all(fault.seq == 0 and "damaged" in fault.what for fault in faults)


LOOSE = (  # the table made anew without what keeps numbers numbers, and each only once
    f"CREATE TABLE loose (seq, {COLUMNS})",
    f"INSERT INTO loose SELECT seq, {COLUMNS} FROM {RECORDS}",
    f"DROP TABLE {RECORDS}",
    f"ALTER TABLE loose RENAME TO {RECORDS}",
)
FORGED = "'forged', kind, at, tenant, 'block', body, prev, digest"


@pytest.mark.parametrize("number", ["NULL", "'5'", "x'05'", "5.5", "9e999"])
def test_a_record_without_a_number_is_found_and_hides_no_other(log, number):
    tamper(log, *LOOSE, f"INSERT INTO {RECORDS} SELECT {number}, {FORGED} FROM {RECORDS} WHERE seq = 5")
    tamper(log, f"UPDATE {RECORDS} SET tenant = 'x' WHERE seq = 7")
    assert says(verify(log, KEY)) == [
        (7, "its content or its digests were changed"),
        (0, "inserted"),
    ]


@pytest.mark.postgres
@pytest.mark.parametrize("number", ["5", "NULL"])
def test_a_record_that_shares_a_number_or_has_none_is_found_in_postgresql_too(postgres_url, number):
    fill(postgres_url, 8)
    tamper(
        postgres_url,
        f"ALTER TABLE {RECORDS} DROP CONSTRAINT {RECORDS}_pkey",
        f"ALTER TABLE {RECORDS} ALTER seq DROP NOT NULL",
        f"INSERT INTO {RECORDS} (seq, {COLUMNS}) SELECT {number}, {FORGED} FROM {RECORDS} WHERE seq = 5",
    )
    assert "inserted" in " ".join(fault.what for fault in verify(postgres_url, KEY))
    tamper(postgres_url, f"UPDATE {RECORDS} SET tenant = 'x' WHERE seq = 7")
    assert 7 in {fault.seq for fault in verify(postgres_url, KEY)}


def test_a_second_record_under_the_last_number_of_a_page_is_found(sqlite_url):
    """The walk goes on after that number, and a look-up by id finds what it passed over."""
    fill(sqlite_url, PAGE + 1)
    tamper(sqlite_url, *LOOSE, f"CREATE INDEX by_number ON {RECORDS} (seq)")
    tamper(sqlite_url, f"INSERT INTO {RECORDS} SELECT seq, {FORGED} FROM {RECORDS} WHERE seq = {PAGE}")
    [fault] = verify(sqlite_url, KEY)
    assert fault.what == "1 record stands under no number, or under one that is taken: inserted"


def test_any_damage_to_the_file_is_a_fault_or_an_error_of_ours(log, tmp_path):
    whole = file_of(log).read_bytes()
    chance = random.Random(7)
    seen = set()
    for n in range(120):
        raw = bytearray(whole)
        for _ in range(chance.choice((1, 1, 8, 200))):
            raw[chance.randrange(len(raw))] = chance.randrange(256)
        damaged = tmp_path / f"damaged-{n}.db"
        damaged.write_bytes(raw)
        try:
            seen.add("faults" if verify(f"sqlite:///{damaged}", KEY) else "whole")
        except GuardrailError:
            seen.add("error")
    assert {"faults", "error"} <= seen


def test_records_are_verified_while_others_append(sqlite_url):
    fill(sqlite_url, 50)
    with AuditLog.open(sqlite_url, KEY) as log:
        for n in range(30):
            log.append_wait(entry(f"more{n}"))
            assert verify(sqlite_url, KEY) == []
