"""The registry of protected persons: what is in it, who can open it, and that a deletion is one."""

from __future__ import annotations

import hashlib
import hmac
import math
import sqlite3
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from guardrail.checks.registry import MAX_TEMPLATES, Registry, Template
from guardrail.checks.rows import Rows
from guardrail.errors import ConfigError
from guardrail.inference.sealed import SealBroken

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
KEY = bytes(range(32))
MODEL = "sface@0000abcd"


def face(seed: int, *, child: bool = False) -> Template:
    return Template.of(np.random.default_rng(seed).normal(size=128), child=child)


def registry(tmp_path: Path, key: bytes = KEY, model: str = MODEL) -> Registry:
    return Registry(tmp_path / "registry", key, model=model)


def everything_on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_a_person_comes_back_as_enrolled(tmp_path: Path) -> None:
    made = registry(tmp_path).enrol(
        [face(1), face(2, child=True)],
        label="A. Jansen",
        group="staff",
        consent="file 12",
        contact="a@example.org",
        expires=NOW + timedelta(days=30),
        now=NOW,
    )
    assert registry(tmp_path).people() == [made]
    assert (made.label, made.group, made.consent, made.contact) == ("A. Jansen", "staff", "file 12", "a@example.org")
    assert (made.templates, made.child, made.created) == (2, True, NOW)


def test_templates_come_back_as_unit_rows_with_their_owners_expiry(tmp_path: Path) -> None:
    ends = NOW + timedelta(days=1)
    registry(tmp_path).enrol([face(1), face(2, child=True)], label="one", expires=ends, now=NOW)
    registry(tmp_path).enrol([face(3)], label="two", now=NOW)
    found = registry(tmp_path).templates()
    assert found.vectors.shape == (3, 128)
    assert found.vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(found.vectors, axis=1), 1.0, atol=1e-6)
    assert {tuple(row) for row in found.vectors} == {tuple(face(seed).vector) for seed in (1, 2, 3)}
    assert sorted(found.until) == [ends.timestamp(), ends.timestamp(), math.inf]
    assert (found.people, int(found.child.sum())) == (2, 1)


def test_nothing_readable_about_a_person_lies_on_the_disk(tmp_path: Path) -> None:
    registry(tmp_path).enrol([face(1)], label="A. Jansen", contact="a@example.org", consent="file 12", now=NOW)
    disk = everything_on_disk(tmp_path)
    assert face(1).vector.tobytes() not in disk
    assert face(1).vector.tobytes()[:16] not in disk
    for words in (b"Jansen", b"example.org", b"file 12"):
        assert words not in disk


def test_only_the_owner_may_read_the_file(tmp_path: Path) -> None:
    registry(tmp_path).enrol([face(1)], label="x", now=NOW)
    assert stat.S_IMODE((tmp_path / "registry" / "registry.sqlite").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "registry").stat().st_mode) == 0o700


def test_removing_a_person_leaves_none_of_their_bytes_in_any_file(tmp_path: Path) -> None:
    mine = registry(tmp_path)
    gone = mine.enrol([face(seed) for seed in range(20)], label="gone", now=NOW)
    stays = mine.enrol([face(99)], label="stays", now=NOW)
    with sqlite3.connect(mine.file.path) as raw:
        sealed = [row[0] for row in raw.execute("SELECT sealed FROM template WHERE person = ?", (gone.id,))]
        sealed += [row[0] for row in raw.execute("SELECT details FROM person WHERE id = ?", (gone.id,))]
    raw.close()
    before = everything_on_disk(tmp_path)
    assert all(one[16:48] in before for one in sealed)  # what is grepped for was there

    assert mine.remove([gone.id]) == (gone.id,)

    after = everything_on_disk(tmp_path)
    assert not any(one[16:48] in after or one[-32:] in after for one in sealed)
    assert gone.id.encode() not in after
    assert [person.id for person in mine.people()] == [stays.id]
    assert len(mine.templates()) == 1
    assert [path.name for path in mine.file.path.parent.iterdir()] == ["registry.sqlite"]  # no journal, no log


def test_removing_someone_who_is_not_there_says_so_and_removes_nobody(tmp_path: Path) -> None:
    mine = registry(tmp_path)
    with pytest.raises(ConfigError, match="no person 'p-none'"):
        mine.remove(["p-none"])
    there = mine.enrol([face(1)], label="x", now=NOW)
    with pytest.raises(ConfigError, match="no person 'p-none'"):
        mine.remove([there.id, "p-none"])
    assert len(mine.people()) == 1


def test_another_key_is_an_error_that_says_so_and_never_nobody(tmp_path: Path) -> None:
    registry(tmp_path).enrol([face(1)], label="x", now=NOW)
    with pytest.raises(ConfigError, match="another key"):
        registry(tmp_path, key=bytes(32))


def test_nobody_can_be_added_with_another_key(tmp_path: Path) -> None:
    wrong = registry(tmp_path, key=bytes(32))  # opened before there was a file
    registry(tmp_path).enrol([face(1)], label="x", now=NOW)
    with pytest.raises(ConfigError, match="another key"):
        wrong.enrol([face(2)], label="y", now=NOW)
    assert len(registry(tmp_path).people()) == 1


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE template SET sealed = (SELECT sealed FROM template ORDER BY person LIMIT 1)",
        "UPDATE template SET place = place + 7",
        "DELETE FROM template WHERE person = (SELECT min(id) FROM person)",
        "DELETE FROM person WHERE id = (SELECT min(id) FROM person)",
        "UPDATE template SET sealed = zeroblob(64)",
        "UPDATE person SET details = (SELECT details FROM person ORDER BY id LIMIT 1)",
        "UPDATE template SET model = 'sface@ffffffff'",
    ],
)
def test_a_row_that_was_changed_moved_or_taken_out_is_found(tmp_path: Path, change: str) -> None:
    mine = registry(tmp_path)
    mine.enrol([face(1)], label="x", now=NOW)
    mine.enrol([face(2)], label="y", now=NOW)
    raw = sqlite3.connect(mine.file.path)
    raw.execute(change)
    raw.commit()
    raw.close()
    with pytest.raises(ConfigError, match="was changed, moved or cut"):
        mine.templates()


def test_a_damaged_entry_can_still_be_removed(tmp_path: Path) -> None:
    mine = registry(tmp_path)
    person = mine.enrol([face(1)], label="x", now=NOW)
    raw = sqlite3.connect(mine.file.path)
    raw.execute("UPDATE template SET sealed = zeroblob(64)")
    raw.commit()
    raw.close()
    mine.remove([person.id])
    assert len(mine.templates()) == 0


def test_templates_of_another_model_are_an_error_because_they_would_match_nobody(tmp_path: Path) -> None:
    registry(tmp_path).enrol([face(1)], label="x", now=NOW)
    with pytest.raises(ConfigError, match="would match nobody"):
        registry(tmp_path, model="sface@11112222").templates()


def test_templates_expire_at_their_moment_and_not_before(tmp_path: Path) -> None:
    mine = registry(tmp_path)
    mine.enrol([face(1)], label="x", expires=NOW + timedelta(seconds=10), now=NOW)
    mine.enrol([face(2)], label="y", now=NOW)
    found = mine.templates()
    assert len(found.at(NOW.timestamp() + 9.99)) == 2
    assert len(found.at(NOW.timestamp() + 10.0)) == 1
    assert len(found) == 2  # looking at it later changes nothing


def test_what_is_left_is_gathered_once_until_the_next_expires(tmp_path: Path) -> None:
    mine, start = registry(tmp_path), NOW.timestamp()
    for seed, seconds in ((1, 10), (2, 20), (3, 30)):
        mine.enrol([face(seed)], label="x", expires=NOW + timedelta(seconds=seconds), now=NOW)
    found = mine.templates()
    two = found.at(start + 10.0)
    assert len(two) == 2
    assert found.at(start + 19.99) is two
    assert len(found.at(start + 20.0)) == 1
    assert len(found.at(start + 10.0)) == 2  # a clock that was put back
    assert len(found.at(start + 30.0)) == 0
    assert found.at(start + 5.0) is found


def test_protection_that_has_ended_already_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not in the future"):
        registry(tmp_path).enrol([face(1)], label="x", expires=NOW, now=NOW)


def test_a_person_has_one_to_twenty_templates(tmp_path: Path) -> None:
    mine = registry(tmp_path)
    with pytest.raises(ConfigError, match="1 to 20 templates"):
        mine.enrol([], label="x", now=NOW)
    with pytest.raises(ConfigError, match="1 to 20 templates"):
        mine.enrol([face(seed) for seed in range(MAX_TEMPLATES + 1)], label="x", now=NOW)
    person = mine.enrol([face(seed) for seed in range(MAX_TEMPLATES - 1)], label="x", now=NOW)
    person = mine.add_templates(person.id, [face(50, child=True)])
    assert (person.templates, person.child) == (MAX_TEMPLATES, True)
    with pytest.raises(ConfigError, match="would make 21"):
        mine.add_templates(person.id, [face(51)])
    assert len(mine.templates()) == MAX_TEMPLATES


@pytest.mark.parametrize(
    ("numbers", "why"),
    [
        ([1.0] * 127, "its shape is"),
        ([0.0] * 128, "not all zero"),
        ([math.nan] * 128, "finite"),
        ([math.inf] + [0.0] * 127, "finite"),
        ("words", "something else"),
        ({"a": 1}, "something else"),
    ],
)
def test_what_is_no_template_is_refused_with_the_name_of_where_it_came_from(numbers: object, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as error:
        Template.of(numbers, named="me.json")
    assert str(error.value).startswith("me.json")


def test_no_repr_shows_a_template_or_a_persons_words(tmp_path: Path) -> None:
    person = registry(tmp_path).enrol([face(1)], label="A. Jansen", contact="a@example.org", now=NOW)
    shown = repr(person) + repr(face(1)) + repr(registry(tmp_path).templates())
    assert "Jansen" not in shown
    assert "example" not in shown
    assert "array" not in shown


def test_a_file_of_something_else_is_not_taken_for_a_registry(tmp_path: Path) -> None:
    folder = tmp_path / "registry"
    folder.mkdir()
    (folder / "registry.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(ConfigError, match=r"registry\.sqlite cannot be used"):
        registry(tmp_path)
    (folder / "registry.sqlite").unlink()
    raw = sqlite3.connect(folder / "registry.sqlite")
    raw.execute("CREATE TABLE other (x)")
    raw.commit()
    raw.close()
    with pytest.raises(ConfigError, match="is no registry file"):
        registry(tmp_path)


def test_a_change_that_fails_half_way_leaves_nothing_behind(tmp_path: Path) -> None:
    mine = registry(tmp_path)
    mine.enrol([face(1)], label="x", now=NOW)
    before = mine.file.revision()
    with pytest.raises(ConfigError):
        mine.add_templates("p-none", [face(2)])
    assert mine.file.revision() == before
    assert len(mine.templates()) == 1


# Backups and keys


def backup_of(mine: Registry, key: bytes = KEY) -> Registry:
    return Registry(mine.file.path.parent.parent, key, model=MODEL, name="backup.sqlite")


def test_a_backup_is_sealed_for_its_owner_only_and_brings_everyone_back(tmp_path: Path) -> None:
    mine = registry(tmp_path)
    person = mine.enrol([face(1), face(2, child=True)], label="A. Jansen", contact="a@example.org", now=NOW)
    assert mine.copy_to(tmp_path / "backup.sqlite") == 1
    written = (tmp_path / "backup.sqlite").read_bytes()
    assert b"Jansen" not in written
    assert face(1).vector.tobytes()[:16] not in written
    assert stat.S_IMODE((tmp_path / "backup.sqlite").stat().st_mode) == 0o600

    other = registry(tmp_path / "elsewhere")
    assert other.take(backup_of(mine), now=NOW) == (person.id,)
    assert other.people() == [person]
    assert {tuple(row) for row in other.templates().vectors} == {tuple(face(one).vector) for one in (1, 2)}
    assert other.take(backup_of(mine), now=NOW) == ()  # a second time changes nothing
    assert len(other.templates()) == 2


def test_a_backup_brings_nobody_back_whose_protection_has_ended(tmp_path: Path) -> None:
    mine = registry(tmp_path)
    mine.enrol([face(1)], label="x", expires=NOW + timedelta(days=1), now=NOW)
    stays = mine.enrol([face(2)], label="y", now=NOW)
    mine.copy_to(tmp_path / "backup.sqlite")
    other = registry(tmp_path / "elsewhere")
    assert other.take(backup_of(mine), now=NOW + timedelta(days=1)) == (stays.id,)


def test_who_was_removed_does_not_come_back_with_a_backup(tmp_path: Path) -> None:
    mine = registry(tmp_path)
    gone, stays = (mine.enrol([face(seed)], label="x", now=NOW) for seed in (1, 2))
    mine.copy_to(tmp_path / "backup.sqlite")
    mine.remove([gone.id])
    assert mine.removed_in(backup_of(mine)) == (gone.id,)
    assert mine.take(backup_of(mine), now=NOW) == ()
    assert mine.people() == [stays]
    # Who is there no longer for another reason than a removal comes back.
    other = registry(tmp_path / "elsewhere")
    assert other.removed_in(backup_of(mine)) == ()
    assert set(other.take(backup_of(mine), now=NOW)) == {gone.id, stays.id}


def test_who_was_removed_comes_back_when_that_is_said_aloud_and_can_be_removed_again(tmp_path: Path) -> None:
    mine = registry(tmp_path)
    gone = mine.enrol([face(1)], label="x", now=NOW)
    mine.copy_to(tmp_path / "backup.sqlite")
    mine.remove([gone.id])
    assert mine.take(backup_of(mine), now=NOW, restore_removed=True) == (gone.id,)
    assert mine.people() == [gone]
    assert mine.removed_in(backup_of(mine)) == ()
    mine.remove([gone.id])
    assert mine.take(backup_of(mine), now=NOW) == ()


def test_a_removal_holds_under_a_new_key_for_a_backup_of_the_old_one(tmp_path: Path) -> None:
    mine, fresh = registry(tmp_path), bytes(reversed(range(32)))
    gone = mine.enrol([face(1)], label="x", now=NOW)
    mine.copy_to(tmp_path / "backup.sqlite")
    mine.remove([gone.id])
    mine.rekey(fresh)
    after = registry(tmp_path, key=fresh)
    assert after.take(backup_of(mine), now=NOW) == ()
    assert after.removed_in(backup_of(mine)) == (gone.id,)


def test_what_one_backup_knows_of_removals_holds_for_an_older_one(tmp_path: Path) -> None:
    mine = registry(tmp_path)
    gone, stays = (mine.enrol([face(seed)], label="x", now=NOW) for seed in (1, 2))
    mine.copy_to(tmp_path / "older.sqlite")
    mine.remove([gone.id])
    mine.copy_to(tmp_path / "newer.sqlite")
    other = registry(tmp_path / "elsewhere", key=bytes(32))
    own = other.enrol([face(3)], label="y", now=NOW)
    other.remove([own.id])  # it has a key of its own for its marks
    newer, older = (Registry(tmp_path, KEY, model=MODEL, name=f"{name}.sqlite") for name in ("newer", "older"))
    assert other.take(newer, now=NOW) == (stays.id,)
    assert other.take(older, now=NOW) == ()
    assert other.removed_in(older) == (gone.id,)


def test_who_was_brought_back_stays_though_a_backup_knows_of_the_removal(tmp_path: Path) -> None:
    mine = registry(tmp_path)
    gone = mine.enrol([face(1)], label="x", now=NOW)
    mine.copy_to(tmp_path / "older.sqlite")
    mine.remove([gone.id])
    mine.enrol([face(2)], label="y", now=NOW)
    mine.copy_to(tmp_path / "newer.sqlite")
    newer, older = (Registry(tmp_path, KEY, model=MODEL, name=f"{name}.sqlite") for name in ("newer", "older"))
    mine.take(older, now=NOW, restore_removed=True)
    assert mine.take(newer, now=NOW) == ()
    assert gone in mine.people()
    assert mine.removed_in(older) == ()
    mine.remove([gone.id])
    assert mine.take(older, now=NOW) == ()


def test_what_stays_of_a_removed_person_is_a_mark_that_says_nothing_without_the_key(tmp_path: Path) -> None:
    mine = registry(tmp_path)
    gone = mine.enrol([face(1)], label="x", now=NOW)
    mine.remove([gone.id])
    with closing(sqlite3.connect(mine.file.path)) as raw:
        ((name, mark),) = raw.execute("SELECT key, mark FROM removed").fetchall()
        ((sealed,),) = raw.execute("SELECT sealed FROM removal_key").fetchall()
        assert [raw.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("person", "template")] == [
            0,
            0,
        ]
    assert (len(name), len(mark)) == (8, 16)
    assert mark != hashlib.sha256(gone.id.encode()).digest()[:16]
    key = Rows(KEY).open_removal_key(name, sealed)
    assert mark == hmac.digest(key, gone.id.encode(), "sha256")[:16]
    with pytest.raises(SealBroken):
        Rows(bytes(32)).open_removal_key(name, sealed)


@pytest.mark.parametrize("damage", ["UPDATE removal_key SET sealed = zeroblob(61)", "DELETE FROM removal_key"])
def test_where_nobody_can_tell_who_was_removed_no_backup_is_taken(tmp_path: Path, damage: str) -> None:
    mine = registry(tmp_path)
    gone = mine.enrol([face(1)], label="x", now=NOW)
    mine.copy_to(tmp_path / "backup.sqlite")
    mine.remove([gone.id])
    with closing(sqlite3.connect(mine.file.path)) as raw:
        raw.execute(damage)
        raw.commit()
    with pytest.raises(ConfigError, match="what is kept of removed persons was changed"):
        mine.take(backup_of(mine), now=NOW)
    assert mine.people() == []


def test_a_registry_and_a_backup_of_the_format_before_go_on(tmp_path: Path) -> None:
    mine = registry(tmp_path)
    gone, stays = (mine.enrol([face(seed)], label="x", now=NOW) for seed in (1, 2))
    with closing(sqlite3.connect(mine.file.path)) as raw:
        raw.executescript("DROP TABLE removed; DROP TABLE removal_key; PRAGMA user_version = 1")
    assert {person.id for person in registry(tmp_path).people()} == {gone.id, stays.id}
    mine.copy_to(tmp_path / "backup.sqlite")
    mine.remove([gone.id])
    assert mine.take(backup_of(mine), now=NOW) == ()
    assert set(registry(tmp_path / "elsewhere").take(backup_of(mine), now=NOW)) == {gone.id, stays.id}


def test_a_backup_made_under_another_key_is_taken_over_under_ones_own(tmp_path: Path) -> None:
    theirs = registry(tmp_path, key=bytes(32))
    theirs.enrol([face(1)], label="x", now=NOW)
    theirs.copy_to(tmp_path / "backup.sqlite")
    with pytest.raises(ConfigError, match="another key"):
        backup_of(theirs)
    mine = registry(tmp_path / "elsewhere")
    assert len(mine.take(backup_of(theirs, bytes(32)), now=NOW)) == 1
    assert len(registry(tmp_path / "elsewhere").templates()) == 1


def test_a_backup_overwrites_no_file_and_an_empty_registry_has_none(tmp_path: Path) -> None:
    mine = registry(tmp_path)
    with pytest.raises(ConfigError, match="nothing to copy"):
        mine.copy_to(tmp_path / "backup.sqlite")
    mine.enrol([face(1)], label="x", now=NOW)
    (tmp_path / "there").write_text("mine")
    with pytest.raises(ConfigError, match="is there already"):
        mine.copy_to(tmp_path / "there")
    assert (tmp_path / "there").read_text() == "mine"
    with pytest.raises(ConfigError, match="cannot write"):
        mine.copy_to(tmp_path / "nowhere" / "backup.sqlite")


@pytest.mark.parametrize("cut", [0.2, 0.5, 0.9])
def test_a_truncated_backup_adds_nobody(tmp_path: Path, cut: float) -> None:
    mine = registry(tmp_path)
    mine.enrol([face(seed) for seed in range(20)], label="x", now=NOW)
    mine.copy_to(tmp_path / "backup.sqlite")
    whole = (tmp_path / "backup.sqlite").read_bytes()
    (tmp_path / "backup.sqlite").write_bytes(whole[: int(len(whole) * cut)])
    other = registry(tmp_path / "elsewhere")
    with pytest.raises(ConfigError):
        other.take(backup_of(mine), now=NOW)
    assert other.people() == []


def test_a_damaged_registry_is_not_backed_up_as_if_it_were_whole(tmp_path: Path) -> None:
    mine = registry(tmp_path)
    mine.enrol([face(1)], label="x", now=NOW)
    raw = sqlite3.connect(mine.file.path)
    raw.execute("UPDATE template SET sealed = zeroblob(64)")
    raw.commit()
    raw.close()
    with pytest.raises(ConfigError, match="was changed, moved or cut"):
        mine.copy_to(tmp_path / "backup.sqlite")
    assert not (tmp_path / "backup.sqlite").exists()


def test_after_a_new_key_the_old_one_opens_nothing_and_nobody_is_lost(tmp_path: Path) -> None:
    mine, fresh = registry(tmp_path), bytes(reversed(range(32)))
    one = mine.enrol([face(1), face(2)], label="one", now=NOW)
    two = mine.enrol([face(3, child=True)], label="two", now=NOW + timedelta(seconds=1))
    with sqlite3.connect(mine.file.path) as raw:
        before = [row[0] for row in raw.execute("SELECT sealed FROM template UNION SELECT details FROM person")]
    raw.close()
    assert mine.rekey(fresh) == 2
    with pytest.raises(ConfigError, match="another key"):
        registry(tmp_path)
    after = registry(tmp_path, key=fresh)
    assert after.people() == [one, two]
    assert len(after.templates()) == 3
    disk = everything_on_disk(tmp_path)
    assert not any(sealed[16:48] in disk for sealed in before)
    assert mine.people() == [one, two]  # it goes on under the new key


def test_a_new_key_for_a_damaged_registry_changes_nothing(tmp_path: Path) -> None:
    mine = registry(tmp_path)
    mine.enrol([face(1)], label="x", now=NOW)
    mine.enrol([face(2)], label="y", now=NOW)
    raw = sqlite3.connect(mine.file.path)
    raw.execute("UPDATE template SET sealed = zeroblob(64) WHERE person = (SELECT max(id) FROM person)")
    raw.commit()
    raw.close()
    before = mine.file.path.read_bytes()
    with pytest.raises(ConfigError, match="was changed, moved or cut"):
        mine.rekey(bytes(32))
    assert mine.file.path.read_bytes() == before
    assert len(registry(tmp_path).people()) == 2


def test_several_commands_that_add_at_once_lose_nobody(tmp_path: Path) -> None:
    registry(tmp_path).enrol([face(0)], label="first", now=NOW)
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda seed: registry(tmp_path).enrol([face(seed)], label="x", now=NOW).id, range(1, 13)))
    assert {person.id for person in registry(tmp_path).people()} >= set(made)
    assert len(registry(tmp_path).templates()) == 13


FULL_DISK = """
import resource, signal, sys
from datetime import UTC, datetime
from pathlib import Path
import numpy as np
from guardrail.checks.registry import Registry, Template
from guardrail.errors import ConfigError

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
mine = Registry(Path(sys.argv[1]), bytes(range(32)), model="sface@0000abcd")
room = mine.file.path.stat().st_size
faces = [Template.of(np.random.default_rng(seed).normal(size=128)) for seed in range(20)]

def add():
    for _ in range(20):
        mine.enrol(faces, label="x", now=datetime.now(UTC))

for limit, work in ((room, add), (4096, lambda: mine.copy_to(Path(sys.argv[2])))):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, room))
    try:
        work()
    except ConfigError as error:
        print(error)
"""


def test_a_full_disk_is_said_and_leaves_the_registry_as_it_was(tmp_path: Path) -> None:
    mine = registry(tmp_path)
    mine.enrol([face(1)], label="x", now=NOW)
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "registry"), str(tmp_path / "backup.sqlite")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 2, done.stdout
    assert "cannot be used" in done.stdout
    assert not (tmp_path / "backup.sqlite").exists()
    people = registry(tmp_path).people()
    assert len(registry(tmp_path).templates()) == sum(person.templates for person in people)
    assert people[0].label == "x"
    registry(tmp_path).enrol([face(2)], label="y", now=NOW)
