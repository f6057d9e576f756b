"""Files that a command changes while a server reads them."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from pathlib import Path

import pytest

from guardrail.checks.store import READ_WAIT_S, STALE_S, StateFile, Watched
from guardrail.errors import CheckError, ConfigError

SCHEMA = "CREATE TABLE word (text TEXT NOT NULL)"


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def words_file(tmp_path: Path) -> StateFile:
    return StateFile(tmp_path / "state" / "words.sqlite", what="words", application=0x12345678, schema=SCHEMA)


def put(file: StateFile, text: str) -> None:
    with file.writing() as connection:
        connection.execute("INSERT INTO word VALUES (?)", (text,))


def watch(file: StateFile, clock: Clock) -> Watched[list[str]]:
    def load(wait_s: float) -> list[str]:
        with file.reading(wait_s) as connection:
            return [row[0] for row in connection.execute("SELECT text FROM word")]

    return Watched(file, load, [], every_s=1.0, clock=clock)


def test_nothing_is_made_on_disk_until_the_first_change(tmp_path: Path) -> None:
    file = words_file(tmp_path)
    assert watch(file, Clock()).get() == []
    assert file.revision() == 0
    assert not file.path.parent.exists()


def test_a_change_is_seen_after_a_second_and_not_asked_for_before(tmp_path: Path) -> None:
    file, clock = words_file(tmp_path), Clock()
    watched = watch(file, clock)
    put(file, "one")
    clock.now = 0.99
    assert watched.get() == []
    clock.now = 1.0
    assert watched.get() == ["one"]


def test_two_changes_within_one_tick_of_the_file_system_are_both_seen(tmp_path: Path) -> None:
    file, clock = words_file(tmp_path), Clock()
    put(file, "one")
    watched = watch(file, clock)
    before = file.path.stat()
    put(file, "two")
    import os

    os.utime(file.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.path.stat().st_size == before.st_size
    clock.now = 1.0
    assert watched.get() == ["one", "two"]


def test_a_backup_put_back_is_seen(tmp_path: Path) -> None:
    file, clock = words_file(tmp_path), Clock()
    put(file, "one")
    shutil.copy(file.path, tmp_path / "backup")
    put(file, "two")
    watched = watch(file, clock)
    assert watched.get() == ["one", "two"]
    shutil.move(tmp_path / "backup", file.path)
    clock.now = 1.0
    assert watched.get() == ["one"]


def test_a_file_that_is_gone_is_not_an_empty_one(tmp_path: Path) -> None:
    file, clock = words_file(tmp_path), Clock()
    put(file, "one")
    watched = watch(file, clock)
    file.path.rename(tmp_path / "away")
    clock.now = 1.0
    with pytest.raises(CheckError, match="is gone"):
        watched.get()
    (tmp_path / "away").rename(file.path)
    clock.now = 1.5
    with pytest.raises(CheckError, match="is gone"):  # not asked again yet
        watched.get()
    clock.now = 2.0
    assert watched.get() == ["one"]


def test_a_file_cut_to_nothing_is_not_an_empty_one(tmp_path: Path) -> None:
    file, clock = words_file(tmp_path), Clock()
    put(file, "one")
    watched = watch(file, clock)
    file.path.write_bytes(b"")
    clock.now = 1.0
    with pytest.raises(CheckError, match="is gone"):
        watched.get()


def test_a_damaged_file_is_an_error_until_it_is_whole_again(tmp_path: Path) -> None:
    file, clock = words_file(tmp_path), Clock()
    put(file, "one")
    whole = file.path.read_bytes()
    watched = watch(file, clock)
    file.path.write_bytes(b"x" * len(whole))
    clock.now = 1.0
    with pytest.raises(CheckError, match="cannot be used"):
        watched.get()
    file.path.write_bytes(whole)
    clock.now = 2.0
    assert watched.get() == ["one"]


def test_an_error_of_any_kind_is_one_for_every_request_until_it_passes(tmp_path: Path) -> None:
    file, clock, broken = words_file(tmp_path), Clock(), list[Exception]()

    def load(wait_s: float) -> list[str]:
        if broken:
            raise broken[0]
        return ["read"]

    put(file, "one")
    watched = Watched(file, load, [], every_s=1.0, clock=clock)
    put(file, "two")
    broken.append(MemoryError())
    for clock.now in (1.0, 1.1, 2.0, 2.5):
        with pytest.raises(CheckError, match="MemoryError"):
            watched.get()
    broken.clear()
    clock.now = 3.0
    assert watched.get() == ["read"]


@pytest.mark.parametrize(("idle_s", "told"), [(STALE_S - 1.0, ["one"]), (STALE_S, ["one", "two"])])
def test_after_a_long_pause_nobody_gets_what_was_read_before_it(tmp_path: Path, idle_s: float, told: list[str]) -> None:
    """Two requests at once: one looks what the file holds now, the other one goes on with what is held, or waits."""
    file, clock = words_file(tmp_path), Clock()
    reading, go_on = threading.Event(), threading.Event()

    def load(wait_s: float) -> list[str]:
        with file.reading(wait_s) as connection:
            found = [row[0] for row in connection.execute("SELECT text FROM word")]
        if len(found) > 1:
            reading.set()
            assert go_on.wait(10)
        return found

    put(file, "one")
    watched = Watched(file, load, [], every_s=1.0, clock=clock)
    put(file, "two")
    clock.now = idle_s
    said = list[list[str]]()
    first = threading.Thread(target=watched.get)
    first.start()
    assert reading.wait(10)
    second = threading.Thread(target=lambda: said.append(watched.get()))
    second.start()
    second.join(0.3)
    assert second.is_alive() == (told == ["one", "two"])
    go_on.set()
    first.join(10)
    second.join(10)
    assert said == [told]


def test_a_locked_file_is_waited_out_and_then_is_an_error(tmp_path: Path) -> None:
    file, clock = words_file(tmp_path), Clock()
    put(file, "one")
    watched = watch(file, clock)
    writer = sqlite3.connect(file.path, isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    clock.now = STALE_S - 0.01
    assert watched.get() == ["one"]
    clock.now = STALE_S + 1.0
    with pytest.raises(CheckError, match="being written"):
        watched.get()
    writer.execute("ROLLBACK")
    writer.close()
    clock.now += 1.0
    assert watched.get() == ["one"]
    assert READ_WAIT_S <= 0.1  # what a request may wait for a command


def test_a_file_of_a_later_format_is_refused(tmp_path: Path) -> None:
    file = words_file(tmp_path)
    put(file, "one")
    raw = sqlite3.connect(file.path)
    raw.execute("PRAGMA user_version = 2")
    raw.close()
    with pytest.raises(ConfigError, match="format 2, this version of guardrail reads format 1"):
        file.revision()


def test_readers_see_whole_changes_while_writers_write(tmp_path: Path) -> None:
    file = words_file(tmp_path)
    put(file, "start")
    stop, seen = threading.Event(), set[tuple[int, int]]()

    def write() -> None:
        for at in range(20):
            with file.writing() as connection:
                connection.execute("INSERT INTO word VALUES (?)", (f"a{at}",))
                connection.execute("INSERT INTO word VALUES (?)", (f"b{at}",))
        stop.set()

    def read() -> None:
        while not stop.is_set():
            with file.reading() as connection:
                count = connection.execute("SELECT count(*) FROM word").fetchone()[0]
                revision = connection.execute("SELECT revision FROM state").fetchone()[0]
            seen.add((revision, count))

    threads = [threading.Thread(target=write), threading.Thread(target=read), threading.Thread(target=read)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert all(count % 2 for _, count in seen)
    assert [count for _, count in sorted(seen)] == sorted({count for _, count in seen})


def test_a_change_that_a_killed_command_left_half_made_is_undone(tmp_path: Path) -> None:
    file = words_file(tmp_path)
    put(file, "one")
    killed = sqlite3.connect(file.path, isolation_level=None)
    killed.execute("PRAGMA cache_size = 1")  # pages go to the file before the commit
    killed.execute("BEGIN IMMEDIATE")
    killed.executemany("INSERT INTO word VALUES (?)", [("half made " * 100,)] * 200)
    copy = words_file(tmp_path / "after")
    shutil.copytree(file.path.parent, copy.path.parent)  # what a power cut leaves: the file and its journal
    killed.close()
    assert {path.name for path in copy.path.parent.iterdir()} == {"words.sqlite", "words.sqlite-journal"}
    assert b"half made" in copy.path.read_bytes()
    assert watch(copy, Clock()).get() == ["one"]
    assert b"half made" not in copy.path.read_bytes()


def test_a_read_only_file_can_be_read(tmp_path: Path) -> None:
    file = words_file(tmp_path)
    put(file, "one")
    file.path.chmod(0o400)
    file.path.parent.chmod(0o500)
    assert watch(file, Clock()).get() == ["one"]
    file.path.parent.chmod(0o700)


def test_reading_cannot_write(tmp_path: Path) -> None:
    file = words_file(tmp_path)
    put(file, "one")
    with pytest.raises(ConfigError, match="cannot be used"), file.reading() as connection:
        connection.execute("DELETE FROM word")


def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    with pytest.raises(ConfigError, match="cannot write"):
        put(words_file(tmp_path), "one")


# A file of an older format


def grown(tmp_path: Path) -> StateFile:
    """The file of `words_file` as a later version has it: each word has a length."""
    return StateFile(
        tmp_path / "state" / "words.sqlite",
        what="words",
        application=0x12345678,
        schema="CREATE TABLE word (text TEXT NOT NULL, length INTEGER NOT NULL DEFAULT 0)",
        upgrades=(
            "ALTER TABLE word ADD COLUMN length INTEGER NOT NULL DEFAULT 0; UPDATE word SET length = length(text)",
        ),
    )


def lengths(file: StateFile) -> list[tuple[str, int]]:
    with file.reading() as connection:
        return connection.execute("SELECT text, length FROM word ORDER BY text").fetchall()


def test_a_file_of_an_older_format_is_read_as_it_is_and_brought_on_by_the_first_change(tmp_path: Path) -> None:
    old, new = words_file(tmp_path), grown(tmp_path)
    put(old, "one")
    before = old.path.read_bytes()
    assert new.revision() > 0
    assert old.path.read_bytes() == before
    with new.writing() as connection:
        connection.execute("INSERT INTO word VALUES ('three', 5)")
    assert lengths(new) == [("one", 3), ("three", 5)]


def test_a_file_of_a_newer_format_is_refused_and_says_so(tmp_path: Path) -> None:
    with grown(tmp_path).writing() as connection:
        connection.execute("INSERT INTO word VALUES ('one', 3)")
    with pytest.raises(ConfigError, match="has format 2, this version of guardrail reads format 1"):
        words_file(tmp_path).revision()


def test_an_upgrade_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    old, new = words_file(tmp_path), grown(tmp_path)
    put(old, "one")
    with pytest.raises(ConfigError, match="no such table"), new.writing() as connection:
        connection.execute("INSERT INTO words VALUES ('three', 5)")
    put(old, "two")
    with old.reading() as connection:
        assert [row[0] for row in connection.execute("SELECT text FROM word")] == ["one", "two"]
