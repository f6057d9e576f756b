"""The block bank: adding, withdrawing for good, and hash lists that are read whole or not at all."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from guardrail.checks.bank import Bank, Entry, Retraction
from guardrail.checks.hashes import Hashes
from guardrail.checks.hashlist import csv_lines, plain_lines, read_list
from guardrail.checks.store import format_in
from guardrail.errors import ConfigError
from guardrail.inference.image.pdq import MATCH_BITS

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
LATER = datetime(2026, 5, 2, 12, 0, tzinfo=UTC)


def digits(seed: int) -> str:
    return np.random.default_rng(seed).bytes(32).hex()


def flipped(one: str, bits: int, seed: int = 0) -> bytes:
    """A hash that differs from `one` in exactly so many bits."""
    value = int(one, 16)
    for at in np.random.default_rng(seed).choice(256, bits, replace=False):
        value ^= 1 << int(at)
    return value.to_bytes(32, "big")


def listed(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "list.txt"
    path.write_text(text, encoding="utf-8")
    return path


def old_bank(folder: Path) -> Bank:
    """A bank file as the format before wrote it: two sources gave one hash, another was withdrawn."""
    bank = Bank(folder)
    bank.add([Entry(pdq=digits(1), source=one) for one in "ab"] + [Entry(pdq=digits(2), source="a")], now=NOW)
    bank.withdraw([digits(2)], now=NOW)
    with closing(sqlite3.connect(bank.file.path)) as connection:
        rows = connection.execute("SELECT * FROM entry").fetchall()
        connection.executescript(f"DROP TABLE entry; {FORMAT_1}; PRAGMA user_version = 1")
        connection.executemany("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?)", rows)
        connection.commit()
    return bank


FORMAT_1 = """
CREATE TABLE entry (
    pdq TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    source TEXT NOT NULL,
    note TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('active', 'withdrawn')),
    added TEXT NOT NULL,
    PRIMARY KEY (pdq, sha256, source)
) WITHOUT ROWID;
CREATE INDEX entry_sha256 ON entry (sha256)
"""


# Matching


@pytest.mark.parametrize("bits", [0, 1, 30, 31])
@pytest.mark.parametrize("seed", range(5))
def test_a_hash_within_31_bits_is_found_at_its_distance(bits: int, seed: int) -> None:
    hashes = Hashes.of([digits(one) for one in range(500)], (), 1)
    assert hashes.nearest(flipped(digits(seed), bits, seed)) == bits


@pytest.mark.parametrize("seed", range(5))
def test_a_hash_32_bits_away_is_not_found(seed: int) -> None:
    hashes = Hashes.of([digits(one) for one in range(500)], (), 1)
    assert hashes.nearest(flipped(digits(seed), 32, seed)) > MATCH_BITS


@pytest.mark.parametrize("half", ["00" * 16 + "ff" * 16, "ff" * 16 + "00" * 16, "ff" * 32])
def test_distances_over_128_do_not_wrap_round_to_a_match(half: str) -> None:
    assert Hashes.of(["00" * 32], (), 1).nearest(bytes.fromhex(half)) > MATCH_BITS


def test_all_31_bits_may_lie_in_either_half() -> None:
    hashes = Hashes.of(["00" * 32], (), 1)
    assert hashes.nearest(((1 << 31) - 1).to_bytes(32, "big")) == 31
    assert hashes.nearest((((1 << 31) - 1) << 225).to_bytes(32, "big")) == 31


def test_an_empty_bank_matches_nothing() -> None:
    assert Hashes.of((), (), 0).nearest(bytes(32)) > MATCH_BITS


# Adding and withdrawing


def test_what_was_added_is_listed_and_matches(tmp_path: Path) -> None:
    bank = Bank(tmp_path)
    assert bank.add([Entry(pdq=digits(1), source="hotline", note="case 7")], now=NOW).new == 1
    (entry,) = Bank(tmp_path).entries()
    assert (entry.pdq, entry.source, entry.note, entry.status) == (digits(1), "hotline", "case 7", "active")
    assert entry.added == "2026-05-01T12:00:00+00:00"
    assert bank.hashes().nearest(bytes.fromhex(digits(1))) == 0


def test_adding_the_same_again_changes_nothing(tmp_path: Path) -> None:
    bank = Bank(tmp_path)
    bank.add([Entry(pdq=digits(1), source="a")], now=NOW)
    done = bank.add([Entry(pdq=digits(1), source="a"), Entry(pdq=digits(1), source="b")], now=LATER)
    assert (done.there, done.new) == (1, 1)
    assert len(bank.hashes().words) == 1  # one hash of two sources is looked up once


@pytest.mark.parametrize("by", ["pdq", "sha256"])
def test_withdrawing_either_hash_of_a_picture_takes_all_of_it_off(tmp_path: Path, by: str) -> None:
    bank = Bank(tmp_path)
    entry = Entry(pdq=digits(1), sha256=digits(2), note="private words")
    bank.add([entry, Entry(sha256=digits(2), source="elsewhere"), Entry(pdq=digits(3))], now=NOW)
    assert bank.withdraw([getattr(entry, by)], now=LATER) == 2
    hashes = bank.hashes()
    assert hashes.nearest(bytes.fromhex(digits(1))) > MATCH_BITS
    assert not hashes.has(bytes.fromhex(digits(2)))
    assert len(hashes) == 1
    assert all(one.note == "" for one in bank.entries(withdrawn=True))


def test_a_withdrawn_hash_does_not_come_back_with_an_old_list_of_any_source(tmp_path: Path) -> None:
    bank = Bank(tmp_path)
    bank.add([Entry(pdq=digits(1), source="a")], now=NOW)
    bank.withdraw([digits(1)], now=NOW)
    done = bank.add([Entry(pdq=digits(1), source="a"), Entry(pdq=digits(1), source="b")], now=LATER)
    assert (done.withdrawn, done.new, done.there) == (2, 0, 0)
    assert len(bank.hashes()) == 0
    assert bank.add([Entry(pdq=digits(1))], now=LATER, again=True).new == 1
    assert len(bank.hashes()) == 1


def test_erasing_leaves_not_even_the_mark(tmp_path: Path) -> None:
    bank = Bank(tmp_path)
    bank.add([Entry(pdq=digits(1)), Entry(pdq=digits(2))], now=NOW)
    assert digits(1).encode() in bank.file.path.read_bytes()
    bank.withdraw([digits(1)], now=NOW, erase=True)
    disk = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert digits(1).encode() not in disk
    assert digits(2).encode() in disk
    assert bank.add([Entry(pdq=digits(1))], now=LATER).new == 1


def test_withdrawing_what_is_not_there_says_so(tmp_path: Path) -> None:
    bank = Bank(tmp_path)
    with pytest.raises(ConfigError, match="no active entry"):
        bank.withdraw([digits(1)], now=NOW)
    bank.add([Entry(pdq=digits(2))], now=NOW)
    with pytest.raises(ConfigError, match="no active entry"):
        bank.withdraw([digits(1)], now=NOW)
    with pytest.raises(ConfigError, match="64 lower-case hex"):
        bank.withdraw(["xyz"], now=NOW)


def test_several_hashes_are_withdrawn_at_once_or_none_is(tmp_path: Path) -> None:
    bank = Bank(tmp_path)
    bank.add([Entry(pdq=digits(1), sha256=digits(2)), Entry(pdq=digits(3))], now=NOW)
    with pytest.raises(ConfigError, match="no active entry"):
        bank.withdraw([digits(3), digits(4)], now=LATER)
    assert len(bank.entries()) == 2
    assert bank.withdraw([digits(1), digits(2), digits(3)], now=LATER) == 2
    assert bank.entries() == []


def test_erasing_takes_the_other_hash_of_the_picture_along_even_when_withdrawn_before(tmp_path: Path) -> None:
    bank = Bank(tmp_path)
    bank.add([Entry(pdq=digits(1), sha256=digits(2)), Entry(sha256=digits(2), source="b")], now=NOW)
    bank.withdraw([digits(1)], now=NOW)
    assert bank.withdraw([digits(1)], now=LATER, erase=True) == 2
    assert bank.entries(withdrawn=True) == []


def test_removing_a_source_leaves_what_others_gave_and_what_was_withdrawn(tmp_path: Path) -> None:
    bank = Bank(tmp_path)
    bank.add([Entry(pdq=digits(one), source="a") for one in range(3)], now=NOW)
    bank.add([Entry(pdq=digits(1), source="b")], now=NOW)
    bank.withdraw([digits(0)], now=NOW)
    assert bank.remove_source("a") == 2
    assert [(one.pdq, one.source) for one in bank.entries()] == [(digits(1), "b")]
    assert bank.add([Entry(pdq=digits(0), source="a")], now=LATER).withdrawn == 1
    with pytest.raises(ConfigError, match="no active entry"):
        bank.remove_source("a")


@pytest.mark.parametrize("bad", ["", "ab", "G" * 64, "A" * 64, "0" * 64, "f" * 64])
def test_what_is_no_hash_is_no_entry(bad: str) -> None:
    with pytest.raises(ConfigError):
        Entry(pdq=bad)


# Hash lists


def test_every_form_of_line_is_read(tmp_path: Path) -> None:
    path = listed(
        tmp_path,
        f"\ufeff# a comment\n\npdq {digits(1)}\n{digits(2).upper()}\nsha256 {digits(3)} a note\n"
        f"HASH_PDQ,{digits(4)},another note\n{digits(5)},noted\nvideo_md5 {digits(6)[:32]}\n",
    )
    found = read_list(path, source="x")
    assert [(one.pdq, one.sha256, one.note) for one in found.entries] == [
        (digits(1), "", ""),
        (digits(2), "", ""),
        ("", digits(3), "a note"),
        (digits(4), "", "another note"),
        (digits(5), "", "noted"),
    ]
    assert {one.source for one in found.entries} == {"x"}
    assert found.other_kinds == 1


def test_a_csv_with_a_header_is_read_by_its_columns(tmp_path: Path) -> None:
    path = listed(
        tmp_path,
        "id,signalType,hashValue,hashStatus,quality\n"
        f"1,ImagePDQ,{digits(1)},Active,90\n2,ImagePDQ,{digits(2)},Withdrawn,90\n3,ImagePDQ,{digits(3)},Deleted,\n"
        f"4,VideoMD5,{digits(4)[:32]},Active,\n5,ImagePDQ,{digits(5)},Active,49\n6,ImagePDQ,{digits(6)},Received,50\n",
    )
    found = read_list(path, source="x")
    assert [one.pdq for one in found.entries] == [digits(1), digits(6)]
    assert found.withdrawn == [Retraction(digits(2), "x"), Retraction(digits(3), "x")]
    assert (found.other_kinds, found.low_quality) == (1, 1)


def test_what_a_list_says_was_withdrawn_stops_matching(tmp_path: Path) -> None:
    bank = Bank(tmp_path / "bank")
    bank.add([Entry(pdq=digits(1), source="feed")], now=NOW)
    found = read_list(
        listed(tmp_path, f"hash,status\n{digits(1)},withdrawn\n{digits(2)},withdrawn\n{digits(3)},active\n"),
        source="feed",
    )
    done = bank.add(found.entries, withdrawn=found.withdrawn, now=LATER)
    assert (done.new, done.taken_off) == (1, 1)
    assert [one.pdq for one in bank.entries()] == [digits(3)]
    # A withdrawal that came before the hash itself counts too.
    assert bank.add([Entry(pdq=digits(2), source="feed")], now=LATER).withdrawn == 1
    assert bank.add([Entry(sha256=digits(2), source="feed")], now=LATER).withdrawn == 1


def test_a_source_takes_back_what_it_gave_and_not_what_another_gave_too(tmp_path: Path) -> None:
    bank = Bank(tmp_path / "bank")
    bank.add([Entry(pdq=digits(1), source="a"), Entry(pdq=digits(1), source="b", note="case 7")], now=NOW)
    assert bank.add([], withdrawn=[Retraction(digits(1), "a")], now=LATER).taken_off == 1
    assert [(one.source, one.note) for one in bank.entries()] == [("b", "case 7")]
    assert bank.hashes().nearest(bytes.fromhex(digits(1))) == 0
    assert bank.matching([digits(1), digits(2)]) == 1
    assert bank.add([], withdrawn=[Retraction(digits(1), "b")], now=LATER).taken_off == 1
    assert len(bank.hashes()) == 0
    assert bank.matching([digits(1)]) == 0
    assert {one.status for one in bank.entries(withdrawn=True)} == {"retracted"}


def test_a_source_that_never_gave_a_hash_cannot_take_it_off(tmp_path: Path) -> None:
    bank = Bank(tmp_path / "bank")
    bank.add([Entry(pdq=digits(1), source="a")], now=NOW)
    assert bank.add([], withdrawn=[Retraction(digits(1), "b")], now=LATER).taken_off == 0
    assert [one.source for one in bank.entries()] == ["a"]


@pytest.mark.parametrize("first", ["a", "b"])
def test_what_a_source_took_back_stays_out_of_its_own_lists_alone(tmp_path: Path, first: str) -> None:
    bank = Bank(tmp_path / "bank")
    bank.add([Entry(pdq=digits(1), source="a")] if first == "a" else [], now=NOW)
    bank.add([], withdrawn=[Retraction(digits(1), "a")], now=NOW)
    done = bank.add([Entry(pdq=digits(1), source="a"), Entry(pdq=digits(1), source="b")], now=LATER)
    assert (done.withdrawn, done.new) == (1, 1)
    assert [one.source for one in bank.entries()] == ["b"]
    assert bank.add([Entry(pdq=digits(1), source="a")], now=LATER, again=True).new == 1
    assert [one.source for one in bank.entries()] == ["a", "b"]


def test_a_source_takes_back_both_hashes_of_its_picture_and_leaves_those_that_another_gave(tmp_path: Path) -> None:
    bank = Bank(tmp_path / "bank")
    picture = Entry(pdq=digits(1), sha256=digits(2), source="a")
    bank.add([picture, Entry(pdq=digits(3), sha256=digits(2), source="b")], now=NOW)
    assert bank.add([], withdrawn=[Retraction(digits(1), "a")], now=LATER).taken_off == 1
    hashes = bank.hashes()
    assert hashes.nearest(bytes.fromhex(digits(1))) > MATCH_BITS
    assert hashes.nearest(bytes.fromhex(digits(3))) == 0
    assert hashes.has(bytes.fromhex(digits(2)))


def test_the_operators_word_holds_for_every_source_and_outlives_what_a_source_takes_back(tmp_path: Path) -> None:
    bank = Bank(tmp_path / "bank")
    bank.add([Entry(pdq=digits(1), source="a"), Entry(pdq=digits(1), source="b")], now=NOW)
    assert bank.withdraw([digits(1)], now=NOW) == 2
    assert bank.add([], withdrawn=[Retraction(digits(1), "c")], now=NOW).taken_off == 0
    done = bank.add([Entry(pdq=digits(1), source=one) for one in "abcd"], now=LATER)
    assert (done.withdrawn, done.new) == (4, 0)


def test_erasing_leaves_no_mark_of_what_a_source_took_back(tmp_path: Path) -> None:
    bank = Bank(tmp_path / "bank")
    bank.add([Entry(pdq=digits(1), source="a"), Entry(pdq=digits(1), source="b")], now=NOW)
    bank.add([], withdrawn=[Retraction(digits(1), "a"), Retraction(digits(2), "a")], now=NOW)
    assert bank.withdraw([digits(1), digits(2)], now=LATER, erase=True) == 3
    assert bank.entries(withdrawn=True) == []


def test_a_bank_of_the_format_before_goes_on_and_what_was_withdrawn_in_it_stays_so_for_all(tmp_path: Path) -> None:
    bank = old_bank(tmp_path / "bank")
    before = bank.file.path.read_bytes()
    assert [(one.pdq, one.source) for one in Bank(tmp_path / "bank").entries()] == [(digits(1), "a"), (digits(1), "b")]
    assert len(bank.hashes()) == 1
    assert bank.file.path.read_bytes() == before  # reading changes nothing: it may be mounted read-only
    assert bank.add([Entry(pdq=digits(2), source="c")], now=LATER).withdrawn == 1
    bank.add([], withdrawn=[Retraction(digits(1), "a")], now=LATER)
    assert [(one.pdq, one.source, one.status) for one in bank.entries(withdrawn=True)] == [
        (digits(1), "a", "retracted"),
        (digits(2), "a", "withdrawn"),
        (digits(1), "b", "active"),
    ]
    with bank.file.reading() as connection:
        assert format_in(connection) == 2


def test_a_note_cannot_steer_the_terminal_that_shows_it(tmp_path: Path) -> None:
    (entry,) = read_list(listed(tmp_path, f"pdq {digits(1)} gone\x1b[2J\x07 ok\n"), source="x").entries
    assert entry.note == "gone[2J ok"


def test_bad_lines_are_named_and_then_nothing_is_imported(tmp_path: Path) -> None:
    path = listed(tmp_path, f"pdq {digits(1)}\npdq short\n\nwhat {digits(2)}\n{'0' * 64}\n")
    with pytest.raises(ConfigError, match="Nothing was imported") as error:
        read_list(path, source="x")
    said = str(error.value)
    assert "line 2: a hash of 64 hex digits is expected" in said
    assert "line 4: neither a hash" in said
    assert "line 5: this is the PDQ hash of an empty picture" in said
    assert "line 1" not in said
    assert "short" not in said  # a stranger's line is not quoted


def test_of_many_bad_lines_ten_are_named_and_the_rest_counted(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"line 10: .*; and 15 more") as error:
        read_list(listed(tmp_path, "bad\n" * 25), source="x")
    assert "line 11:" not in str(error.value)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("{hash},gone,90", "the status is none of"),
        ("{hash},active,much", "the quality is no number"),
        ('"{hash},active,90', "a quote is not closed"),
        (",active,90", "a hash of 64 hex digits"),
    ],
)
def test_a_bad_row_of_a_csv_says_what_is_wrong(tmp_path: Path, row: str, why: str) -> None:
    path = listed(tmp_path, "hash,status,quality\n" + row.format(hash=digits(1)) + "\n")
    with pytest.raises(ConfigError, match=f"line 2: {why}"):
        read_list(path, source="x")


def test_an_endless_line_a_binary_file_an_empty_one_and_a_missing_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="line 1 has over 4096 characters"):
        read_list(listed(tmp_path, "a" * 5000), source="x")
    with pytest.raises(ConfigError, match="there is no hash"):
        read_list(listed(tmp_path, "# nothing\n"), source="x")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_list(tmp_path / "binary", source="x")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_list(tmp_path / "none", source="x")


def test_a_change_that_fails_leaves_the_bank_as_it_was(tmp_path: Path) -> None:
    bank = Bank(tmp_path)
    bank.add([Entry(pdq=digits(1))], now=NOW)

    def breaks() -> object:
        yield Entry(pdq=digits(2))
        raise ConfigError("the list ends here")

    with pytest.raises(ConfigError, match="ends here"):
        bank.add(breaks(), now=LATER)
    assert [one.pdq for one in bank.entries()] == [digits(1)]


# JSON, as exchanges answer


def page(*records: object, **more: object) -> str:
    return json.dumps({"count": len(records), "hashRecords": records, **more})


def record(seed: int, status: str = "Active", kind: str = "ImagePDQ") -> dict[str, object]:
    return {
        "lastModtimestamp": 1_700_000_000,
        "signalType": kind,
        "hashValue": digits(seed),
        "hashStatus": status,
        "caseNumbers": {"1": status},
        "CSPFeedbacks": [{"feedbackValue": "Blocked", "source": "x", "tags": ["a"]}],
    }


def test_a_page_of_an_exchange_is_read_by_the_status_of_each_hash(tmp_path: Path) -> None:
    text = page(
        record(1),
        record(2, "Received"),
        record(3, "Withdrawn"),
        record(4, "Deleted"),
        record(5, kind="VideoMD5"),
        record(6, kind="Unknown"),
        hasMoreRecords=True,
        nextPageToken="t",
    )
    found = read_list(listed(tmp_path, text), source="hotline")
    assert [(one.pdq, one.source, one.note) for one in found.entries] == [
        (digits(1), "hotline", ""),
        (digits(2), "hotline", ""),
    ]
    assert found.withdrawn == [Retraction(digits(3), "hotline"), Retraction(digits(4), "hotline")]
    assert (found.other_kinds, found.more) == (2, True)


def test_a_withdrawal_in_a_later_page_takes_the_hash_off_for_good(tmp_path: Path) -> None:
    bank = Bank(tmp_path / "bank")
    for text in (page(record(1), record(2)), page(record(1, "Withdrawn")), page(record(1), record(2))):
        found = read_list(listed(tmp_path, text), source="hotline")
        bank.add(found.entries, withdrawn=found.withdrawn, now=NOW)
    assert [one.pdq for one in bank.entries()] == [digits(2)]


def test_an_update_that_says_a_hash_should_be_deleted_withdraws_it(tmp_path: Path) -> None:
    text = json.dumps(
        {
            "data": [
                {"id": 1, "indicator": digits(1), "type": "HASH_PDQ", "should_delete": False, "status": "MALICIOUS"},
                {"id": 2, "indicator": digits(2), "type": "HASH_PDQ", "should_delete": True},
                {"id": 3, "indicator": "http://x", "type": "URI"},
            ],
            "paging": {"next": "https://graph.example/next"},
        }
    )
    found = read_list(listed(tmp_path, text), source="x")
    assert [one.pdq for one in found.entries] == [digits(1)]
    assert (found.withdrawn, found.other_kinds, found.more) == ([Retraction(digits(2), "x")], 1, True)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"hashRecords": [', "broken or truncated JSON"),
        ("[" * 100_000, "broken or truncated JSON"),
        ('{"hashRecords": {}}', "a list of at most"),
        ('{"other": []}', "a list of at most"),
        ('["x"]', "record 1: a record with a hash"),
        (page(record(1), record(2, "Lost")), "record 2: the status is none of"),
        (page({"signalType": "ImagePDQ", "hashValue": [1]}), "record 1: its hash is no text"),
        (page({"signalType": "ImagePDQ", "hashValue": "ab"}), "record 1: a hash of 64"),
        (page(), "there is no hash in this file"),
    ],
)
def test_a_broken_page_is_refused_whole_and_says_where(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as error:
        read_list(listed(tmp_path, text), source="x")
    assert digits(1) not in str(error.value)


def test_a_quality_that_is_no_number_at_all_is_too_low(tmp_path: Path) -> None:
    found = read_list(listed(tmp_path, f"pdq,quality\n{digits(1)},nan\n{digits(2)},50\n"), source="x")
    assert ([one.pdq for one in found.entries], found.low_quality) == ([digits(2)], 1)


@pytest.mark.parametrize("damage", ["'ab'", "'zz' || substr(pdq, 3)", "' ' || substr(pdq, 2)", "pdq || pdq"])
def test_a_file_that_holds_what_is_no_hash_is_an_error_and_not_a_shorter_bank(tmp_path: Path, damage: str) -> None:
    bank = Bank(tmp_path / "bank")
    bank.add([Entry(pdq=digits(1)), Entry(pdq=digits(2))], now=NOW)
    with bank.file.writing() as connection:
        connection.execute(f"UPDATE entry SET pdq = {damage} WHERE pdq = ?", (digits(1),))
    with pytest.raises(ConfigError, match="holds what is no hash"):
        bank.hashes()


# Handing it on


def test_what_is_written_as_lines_is_what_others_read_and_leaves_withdrawals_out(tmp_path: Path) -> None:
    bank = Bank(tmp_path / "bank")
    bank.add([Entry(pdq=digits(1), sha256=digits(2)), Entry(pdq=digits(3), note="mine")], now=NOW)
    bank.withdraw([digits(3)], now=NOW)
    text = "".join(plain_lines(bank.each_entry(withdrawn=True)))
    assert text == f"pdq {digits(1)}\nsha256 {digits(2)}\n"
    assert [one.pdq or one.sha256 for one in read_list(listed(tmp_path, text), source="x").entries] == [
        digits(1),
        digits(2),
    ]


def test_a_withdrawal_travels_with_the_csv(tmp_path: Path) -> None:
    bank, other = Bank(tmp_path / "bank"), Bank(tmp_path / "other")
    bank.add([Entry(pdq=digits(1), note='a "note", with a comma'), Entry(pdq=digits(2))], now=NOW)
    other.add([Entry(pdq=digits(2), source="x")], now=NOW)
    bank.withdraw([digits(2)], now=NOW)
    found = read_list(listed(tmp_path, "".join(csv_lines(bank.each_entry(withdrawn=True)))), source="x")
    other.add(found.entries, withdrawn=found.withdrawn, now=LATER)
    assert [(one.pdq, one.note) for one in other.entries()] == [(digits(1), 'a "note", with a comma')]


def test_a_hash_that_one_source_took_back_and_another_holds_is_handed_on_as_active(tmp_path: Path) -> None:
    bank, other = Bank(tmp_path / "bank"), Bank(tmp_path / "other")
    bank.add([Entry(pdq=digits(one), source="a") for one in (1, 2)], now=NOW)
    bank.add([Entry(pdq=digits(1), source="b")], now=LATER)
    bank.add([], withdrawn=[Retraction(digits(1), "a"), Retraction(digits(2), "a")], now=LATER)
    lines = list(csv_lines(bank.each_entry(withdrawn=True)))
    assert lines[1:] == [f"pdq,{digits(1)},Active,\n", f"pdq,{digits(2)},Withdrawn,\n"]
    found = read_list(listed(tmp_path, "".join(lines)), source="x")
    other.add(found.entries, withdrawn=found.withdrawn, now=LATER)
    assert [one.pdq for one in other.entries()] == [digits(1)]
    # What the source itself hands on, it withdraws.
    assert "".join(csv_lines(bank.each_entry(withdrawn=True, source="a"))).count("Withdrawn") == 2


def test_one_source_is_handed_on_alone(tmp_path: Path) -> None:
    bank = Bank(tmp_path / "bank")
    bank.add([Entry(pdq=digits(1), source="a"), Entry(pdq=digits(2), source="b")], now=NOW)
    assert [one.pdq for one in bank.entries(source="b")] == [digits(2)]
    assert bank.entries(source="c") == []
