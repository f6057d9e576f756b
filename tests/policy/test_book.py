"""The book: tenants under the floors of the default, and reloads that happen whole or not at all."""

from __future__ import annotations

import threading

import pytest

from guardrail.errors import ConfigError
from guardrail.policy import PolicyBook, PolicyError, decide
from guardrail.types import SIGNALS, Action, Evidence, Signal

DEFAULT = """\
version: 1
name: house
floors:
  - {id: minor, when: {prompt.minor: 0.3}, action: block}
rules:
  - {id: sexual, when: {prompt.sexual: 0.5}, action: block}
"""
TENANT = "version: 1\nname: studio\nrules:\n  - {id: undress, when: {prompt.undress: 0.5}, action: block}\n"


def evidence(**scores: float) -> Evidence:
    return Evidence(tuple(Signal(name.replace("__", "."), "s", "c", score=score) for name, score in scores.items()))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "house.yaml").write_text(DEFAULT)
    (tmp_path / "studio.yaml").write_text(TENANT)
    return tmp_path


@pytest.fixture
def book(folder):
    return PolicyBook(folder / "house.yaml", tenants={"studio": folder / "studio.yaml"})


def test_a_tenant_has_its_own_rules_under_the_floors_of_the_default(book):
    studio = book.policy_of("studio")
    assert decide(studio, evidence(prompt__sexual=0.9)).action is Action.ALLOW
    assert decide(studio, evidence(prompt__undress=0.5)).rules == ("undress",)
    assert decide(studio, evidence(prompt__minor=0.3)).rules == ("minor",)


def test_an_unknown_tenant_gets_the_default(book):
    assert book.policy_of("stranger") is book.default
    assert book.policy_of("") is book.default


def test_a_reload_takes_all_files_at_once(book, folder):
    before = book.labels()
    (folder / "house.yaml").write_text(DEFAULT.replace("0.3", "0.2"))
    assert book.reload() == []
    assert decide(book.policy_of("studio"), evidence(prompt__minor=0.2)).action is Action.BLOCK
    assert set(book.labels()).isdisjoint(before)  # the tenant's label changed too: its floor did


def test_a_broken_file_keeps_everything_as_it_was_and_says_where(book, folder):
    pages = book.pages
    (folder / "house.yaml").write_text(DEFAULT.replace("0.3", "0.2"))
    (folder / "studio.yaml").write_text(TENANT.replace("0.5", "50"))
    [fault] = book.reload()
    assert fault.startswith(f"{folder / 'studio.yaml'}:4:")
    assert "did you mean 0.5?" in fault
    assert book.pages is pages


def test_a_file_that_has_gone_keeps_the_old_policy(book, folder):
    (folder / "house.yaml").unlink()
    [fault] = book.reload()
    assert "cannot be read" in fault
    assert book.default.name == "house"


@pytest.mark.parametrize("how", ["written", "renamed", "gone", "broken"])
def test_a_file_that_is_another_than_when_it_was_read_has_changed_until_it_is_read_again(book, folder, how):
    assert not book.changed()
    file = folder / "studio.yaml"
    if how == "renamed":
        (folder / "new.yaml").write_text(TENANT)
        (folder / "new.yaml").replace(file)
    elif how == "gone":
        file.unlink()
    else:
        file.write_text(TENANT.replace("0.5", "0.45") if how == "written" else "rules: [")
    assert book.changed()
    assert book.changed()
    book.reload()
    assert not book.changed()


def test_a_file_that_is_saved_while_it_is_read_has_changed(folder):
    class Meanwhile(PolicyBook):
        """Somebody saves a file after it was read, and before the reading is over."""

        def _read(self, available):
            pages = super()._read(available)
            (folder / "house.yaml").write_text(DEFAULT.replace("0.3", "0.25"))
            return pages

    assert Meanwhile(folder / "house.yaml").changed()


def test_a_file_that_is_saved_while_it_is_read_again_is_not_taken_by_halves(folder):
    """The first half of a policy is a policy too: one with fewer rules."""
    half, rest = DEFAULT.split("rules:\n")
    rest = f"rules:\n{rest}"

    class Slow(PolicyBook):
        """Whoever saves the file has written half of it when it is read, and the rest before the reading is over."""

        rest = ""

        def _read(self, available):
            pages = super()._read(available)
            with (folder / "house.yaml").open("a") as file:
                file.write(self.rest)
            self.rest = ""
            return pages

    book = Slow(folder / "house.yaml")
    before = book.pages
    (folder / "house.yaml").write_text(half)
    book.rest = rest
    [fault] = book.reload()
    assert "house.yaml: was saved while it was read" in fault
    assert book.pages is before
    assert book.changed()
    assert book.reload() == []
    assert [rule.id for rule in book.default.rules] == ["minor", "sexual"]


def test_a_file_that_is_still_being_saved_is_left_until_it_rests(book, folder):
    """A save over a slow line stops for longer than a reading takes; what is there by then may be a policy too."""
    half, rest = DEFAULT.split("rules:\n")
    assert not book.saved()
    for text in (half, f"{half}rules:\n{rest}"):
        (folder / "house.yaml").write_text(text)
        assert not book.saved()
    assert book.saved()
    assert book.saved(), "until it is read"
    book.reload()
    assert not book.saved()


def test_what_was_saved_before_the_first_look_is_read_at_once(book, folder):
    """At the start: what was saved meanwhile holds as soon as requests are taken."""
    (folder / "house.yaml").write_text(DEFAULT.replace("0.3", "0.25"))
    assert book.saved()


def test_all_broken_files_are_told_at_once(book, folder):
    (folder / "house.yaml").write_text("")
    (folder / "studio.yaml").write_text("x")
    assert len(book.reload()) == 2


def test_a_broken_file_refuses_to_start(folder):
    (folder / "studio.yaml").write_text("version: 1\n")
    with pytest.raises(PolicyError, match=r"studio\.yaml"):
        PolicyBook(folder / "house.yaml", tenants={"studio": folder / "studio.yaml"})
    with pytest.raises(ConfigError, match="no policy named"):
        PolicyBook("nonsense")


def test_rules_nobody_can_trigger_are_refused_at_start_and_at_reload(book, folder):
    book.require(SIGNALS)
    with pytest.raises(PolicyError, match=r"studio\.yaml.*'prompt.undress'"):
        book.require(["prompt.minor", "prompt.sexual"])
    book.require(SIGNALS)
    (folder / "studio.yaml").write_text(TENANT.replace("prompt.undress", "prompt.undres"))
    [fault] = book.reload()
    assert "did you mean 'prompt.undress'?" in fault
    assert book.reload(["prompt.undres", *SIGNALS]) == []


def test_a_candidate_is_decided_as_if_it_were_in_force(folder):
    (folder / "next.yaml").write_text(TENANT.replace("name: studio", "name: next\nmode: shadow"))
    book = PolicyBook(folder / "house.yaml", shadow=[folder / "next.yaml"])
    [candidate] = book.shadow
    decision = decide(candidate, evidence(prompt__undress=0.5))
    assert (decision.action, decision.rules) == (Action.BLOCK, ("undress",))
    assert decide(book.default, evidence(prompt__undress=0.5)).action is Action.ALLOW


def test_the_files_to_watch_are_named_once_and_shipped_policies_are_not_among_them(folder):
    book = PolicyBook("default", tenants={"a": str(folder / "studio.yaml"), "b": str(folder / "studio.yaml")})
    assert book.files == (folder / "studio.yaml",)
    assert len(book.labels()) == 2


def test_no_reader_ever_sees_half_a_reload(book, folder):
    # Both files carry the same threshold; a reader that saw one old and one new would catch them unlike.
    seen: list[tuple[float, float]] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            pages = book.pages
            seen.append(
                (pages.default.floors[0].when[0].at_least, pages.policy_of("studio").floors[0].when[0].at_least)
            )

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(20):
        (folder / "house.yaml").write_text(DEFAULT.replace("0.3", f"0.{turn % 9 + 1}"))
        assert book.reload() == []
    stop.set()
    reader.join()
    assert seen
    assert all(default == tenant for default, tenant in seen)
