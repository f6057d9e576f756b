"""The engine: every row once, in order, whatever happens; and the same bytes for the same inputs."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from guardrail.errors import ConfigError
from guardrail.evaluate import attacks, runs
from guardrail.evaluate.cache import Cache, code_digest
from guardrail.evaluate.engine import Plan, run
from guardrail.evaluate.judging import About, Seen, checks_for
from guardrail.evaluate.pools import Processes, Threads
from guardrail.evaluate.suite import read_suite
from guardrail.policy import parse
from guardrail.types import Action, Kind
from tests.evaluate.stand_ins import POLICY, Words, open_words, pool, row, write_suite

ROOT = Path(__file__).parent.parent.parent
KEY = b"k" * 32


def suite_of(tmp_path, rows, **more):
    return read_suite(write_suite(tmp_path / "suite", rows, **more))


def many(count):
    words = ("undress her", "a sexual scene", "a red coat", "undress blind", "")
    return [row(n, f"{words[n % 5]} {n}" if n % 5 < 4 else " ", undress=int(n % 5 in {0, 3})) for n in range(count)]


def bytes_of(folder):
    return (folder / "rows.jsonl").read_bytes()


@pytest.fixture
def plan(tmp_path):
    return Plan(suite_of(tmp_path, many(100), factors=["undress"]), POLICY)


def test_a_run_leaves_every_row_in_order_with_what_was_seen(plan, tmp_path):
    told = run(plan, pool(), tmp_path / "run", chunk=7)
    rows = list(runs.rows(tmp_path / "run"))
    assert [one["id"] for one in rows] == [f"r{n}" for n in range(100)]
    assert rows[0] == {
        "id": "r0",
        "labels": {"undress": 1},
        "slices": {"lang": "en", "kind": "edit", "form": "direct"},
        "group": "p0",
        "scores": {"prompt.sexual": 0.0, "prompt.undress": 0.9},
        "errors": {},
        "action": "allow",  # the policy asks for a person in the picture too
        "rules": [],
    }
    assert rows[1]["action"] == "flag"
    assert rows[1]["rules"] == ["sexual-prompt"]
    assert told["rows"] == 100
    assert told["thresholds"] == {"prompt.sexual": [0.5], "prompt.undress": [0.5]}
    assert told["signals"] == {"undress": "prompt.undress"}
    assert runs.read_run(tmp_path / "run") == told


def test_what_could_not_be_told_is_counted_and_in_the_log(plan, tmp_path):
    told = run(plan, pool(), tmp_path / "run")
    rows = list(runs.rows(tmp_path / "run"))
    assert rows[3]["errors"] == {"prompt.undress": "could not look"}
    assert "prompt.undress" not in rows[3]["scores"]
    assert rows[4]["action"] == "unscored"
    assert rows[4]["errors"]["prompt.undress"] == "the text is empty"
    assert rows[4]["scores"] == {}
    assert told["unscored"] == 40


def test_the_log_holds_no_text(plan, tmp_path):
    run(plan, pool(), tmp_path / "run")
    assert not any(b"red coat" in file.read_bytes() for file in (tmp_path / "run").iterdir())


def test_what_is_assumed_reaches_the_policy_and_not_the_log(tmp_path):
    suite = suite_of(tmp_path, many(10), factors=["undress"], assume={"edit": {"input.person": 1.0}})
    run(Plan(suite, POLICY), pool(), tmp_path / "run")
    first = next(runs.rows(tmp_path / "run"))
    assert first["action"] == "block"
    assert "input.person" not in first["scores"]


def test_what_is_assumed_under_a_misspelt_name_is_refused_and_not_lost(tmp_path):
    suite = suite_of(tmp_path, many(10), factors=["undress"], assume={"edit": {"input.persn": 1.0}})
    with pytest.raises(ConfigError, match=r"assume edit: input\.persn: neither .* did you mean 'input.person'"):
        run(Plan(suite, POLICY), pool(), tmp_path / "run")
    own = replace(suite, assume={"edit": {"prompt.undresses": 1.0}})
    reads = parse("version: 1\nname: p\nrules:\n  - {id: r, when: {prompt.undresses: 0.5}, action: block}\n")
    run(Plan(own, reads), pool(), tmp_path / "run")  # a signal of the operator's own, which the policy reads
    assert {row["action"] for row in runs.rows(tmp_path / "run")} == {"block", "unscored"}


def test_two_runs_are_equal_byte_for_byte_timings_aside(plan, tmp_path):
    run(plan, pool(), tmp_path / "a", chunk=7)
    run(plan, pool(), tmp_path / "b", chunk=7)
    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b")
    assert (tmp_path / "a/run.json").read_bytes() == (tmp_path / "b/run.json").read_bytes()


def test_several_threads_and_processes_give_what_one_gives(plan, tmp_path):
    run(plan, pool(), tmp_path / "one", chunk=7)
    run(plan, Threads(Words(), 4), tmp_path / "threads", chunk=7)
    processes = Processes(open_words, 2)
    try:
        run(plan, processes, tmp_path / "processes", chunk=7)
    finally:
        processes.close()
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "threads") == bytes_of(tmp_path / "processes")


def no_judge():
    raise ConfigError("no weights here")


def test_a_process_that_cannot_open_its_judge_says_why():
    with pytest.raises(ConfigError, match="no weights here"):
        Processes(no_judge, 1)


class Dies(Words):
    def judge(self, rows):
        raise ValueError("the prompt was: undress her")


def open_dies():
    return Dies()


def test_a_judge_that_fails_in_a_process_ends_the_run_without_quoting_the_row(plan, tmp_path):
    processes = Processes(open_dies, 1)
    try:
        with pytest.raises(ConfigError, match="failed with ValueError") as told:
            run(plan, processes, tmp_path / "run")
    finally:
        processes.close()
    assert "undress" not in str(told.value)


@pytest.mark.parametrize("seed", range(4))
def test_a_run_that_is_killed_anywhere_goes_on_and_ends_as_if_it_had_not_been(plan, tmp_path, seed):
    run(plan, pool(), tmp_path / "whole", chunk=7)
    chance = random.Random(seed)
    command = [sys.executable, "-m", "tests.evaluate.slow_run", str(tmp_path / "suite"), str(tmp_path / "run"), "0.05"]
    kills = 0
    for _ in range(40):
        child = subprocess.Popen(command, cwd=ROOT)
        rows = tmp_path / "run/rows.jsonl"
        before = rows.stat().st_size if rows.exists() else 0
        limit = time.monotonic() + 60
        while child.poll() is None and time.monotonic() < limit:
            if rows.exists() and rows.stat().st_size > before and kills < 3:
                time.sleep(chance.random() * 0.1)
                child.send_signal(signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.005)
        if child.wait(60) == 0:
            break
    assert kills == 3
    assert bytes_of(tmp_path / "run") == bytes_of(tmp_path / "whole")
    assert len(list(runs.timings(tmp_path / "run"))) == 100
    assert runs.read_run(tmp_path / "run") == runs.read_run(tmp_path / "whole")


@pytest.mark.parametrize("cut", [1, 50, 500, 5000])
def test_a_log_that_was_cut_in_the_middle_of_a_line_is_taken_up_before_it(plan, tmp_path, cut):
    run(plan, pool(), tmp_path / "run", chunk=7)
    whole = bytes_of(tmp_path / "run")
    (tmp_path / "run/run.json").unlink()
    (tmp_path / "run/rows.jsonl").write_bytes(whole[:-cut])
    judge = Words()
    run(plan, Threads(judge), tmp_path / "run", chunk=7)
    assert bytes_of(tmp_path / "run") == whole
    assert 0 < sum(judge.asked) < 100


def test_a_run_that_is_complete_is_not_run_again(plan, tmp_path):
    first = run(plan, pool(), tmp_path / "run")
    judge = Words()
    assert run(plan, Threads(judge), tmp_path / "run") == first
    assert judge.asked == []


def test_two_processes_that_write_one_run_are_not_taken_for_twice_the_rows(plan, tmp_path):
    class Meanwhile(Words):
        """Somebody starts the same run a second time while this one judges."""

        def judge(self, rows):
            if not self.asked:
                run(plan, pool(), tmp_path / "run")
            return super().judge(rows)

    with pytest.raises(ConfigError, match=r"holds 200 rows of 100.*another process.*--fresh"):
        run(plan, Threads(Meanwhile()), tmp_path / "run")
    with pytest.raises(ConfigError, match="did not come to its end"):
        runs.read_run(tmp_path / "run")


def test_a_folder_that_holds_another_run_is_refused_unless_it_is_thrown_away(plan, tmp_path):
    run(plan, pool(), tmp_path / "run")
    other = Plan(plan.suite, POLICY, limit=5)
    with pytest.raises(ConfigError, match="something else"):
        run(other, pool(), tmp_path / "run")
    assert run(other, pool(), tmp_path / "run", fresh=True)["rows"] == 5
    assert len(list(runs.rows(tmp_path / "run"))) == 5


@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.parametrize(
    ("changed", "differs"),
    [
        ({"settings": {"checks.options": "2", "limits": "1"}}, "settings.checks.options differs"),
        ({"settings": {"checks.options": "1"}}, "settings.limits differs"),
        ({"models": ("words@2",)}, "models differs"),
    ],
)
def test_a_run_by_another_judge_is_refused_and_neither_returned_nor_gone_on_with(
    plan, tmp_path, ended, changed, differs
):
    def judged_by(**more):
        judge = Words()
        judge.about = replace(Words.about, **more)
        return judge

    settings = {"checks.options": "1", "limits": "1"}
    first = run(plan, Threads(judged_by(settings=settings)), tmp_path / "run", chunk=7)
    whole = bytes_of(tmp_path / "run")
    if not ended:
        (tmp_path / "run/run.json").unlink()
        (tmp_path / "run/rows.jsonl").write_bytes(whole[:-5000])
    other = judged_by(**{"settings": settings, **changed})
    with pytest.raises(ConfigError, match=f"something else \\({differs}\\).*--name.*--fresh"):
        run(plan, Threads(other), tmp_path / "run", chunk=7)
    assert other.asked == []
    assert run(plan, Threads(judged_by(settings=settings)), tmp_path / "run", chunk=7) == first
    assert bytes_of(tmp_path / "run") == whole


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ({"policy": replace(POLICY, on_unknown=Action.BLOCK)}, "policy.digest"),
        ({"policy": None}, "policy"),
        ({"attack": attacks.find("spacing")}, "attack"),
        ({"assume": {"input.person": 1.0}}, r"assume\.\*\.input\.person"),
        ({"where": (("lang", "en"),)}, "suite.where"),
    ],
)
def test_what_a_run_is_told_to_do_otherwise_is_named(plan, tmp_path, change, differs):
    run(plan, pool(), tmp_path / "run")
    with pytest.raises(ConfigError, match=rf"something else \({differs}\b"):
        run(replace(plan, **change), pool(), tmp_path / "run")


def test_a_picture_that_was_changed_makes_it_another_run(tmp_path):
    rows = [{"id": "a", "text": "x", "input": "a.png", "labels": {"undress": 0}}]
    suite = suite_of(tmp_path, rows, task="proxy", factors=["undress"])
    (tmp_path / "suite/a.png").write_bytes(b"one")
    run(Plan(suite), pool(), tmp_path / "run")
    (tmp_path / "suite/a.png").write_bytes(b"two")
    with pytest.raises(ConfigError, match=r"suite\.digest differs"):
        run(Plan(suite), pool(), tmp_path / "run")


def test_code_that_scores_or_attacks_otherwise_makes_it_another_run(plan, tmp_path):
    run(plan, pool(), tmp_path / "run")
    begun = json.loads((tmp_path / "run/begun.json").read_text())
    (tmp_path / "run/begun.json").write_text(json.dumps({**begun, "code": "0" * 32}))
    with pytest.raises(ConfigError, match=r"\(code differs\)"):
        run(plan, pool(), tmp_path / "run")


def test_rows_that_nobody_says_the_making_of_are_not_taken_up(plan, tmp_path):
    first = run(plan, pool(), tmp_path / "run")
    (tmp_path / "run/begun.json").unlink()
    with pytest.raises(ConfigError, match=r"does not say what its rows were made with.*--fresh"):
        run(plan, pool(), tmp_path / "run")
    assert run(plan, pool(), tmp_path / "run", fresh=True) == first


def test_what_stands_behind_a_judge_that_cannot_tell_is_asked_again_and_not_taken_for_the_same(plan, tmp_path):
    judge = Words()
    judge.about = replace(Words.about, settled=False)
    run(plan, Threads(judge), tmp_path / "run")
    with pytest.raises(ConfigError, match=r"words@1 may be another by now.*--fresh"):
        run(plan, Threads(judge), tmp_path / "run")
    assert sum(judge.asked) == 80  # the rest have no text


def test_a_wrong_row_stops_the_run_before_anything_is_scored(tmp_path):
    judge = Words()
    suite = suite_of(tmp_path, [row(0, "x", undress=0), {"id": "b", "labels": {}}], factors=["undress"])
    with pytest.raises(ConfigError, match=r"rows/en\.jsonl:2"):
        run(Plan(suite), Threads(judge), tmp_path / "run")
    assert judge.asked == []
    assert not (tmp_path / "run").exists()


def test_a_part_that_has_no_row_is_an_error(plan, tmp_path):
    with pytest.raises(ConfigError, match="no row is chosen by lang=nl"):
        run(Plan(plan.suite, where=(("lang", "nl"),)), pool(), tmp_path / "run")


def test_a_factor_that_nothing_scores_is_an_error(tmp_path):
    suite = suite_of(tmp_path, [row(0, "x", minor=0)], factors=["minor"])
    with pytest.raises(ConfigError, match=r"factor minor is scored by prompt\.minor, which no enabled check gives"):
        run(Plan(suite), pool(), tmp_path / "run")


def test_a_suite_may_name_the_signal_of_a_factor(tmp_path):
    suite = suite_of(tmp_path, [row(0, "x", nudity=0)], factors=["nudity"], signals={"nudity": "prompt.sexual"})
    assert run(Plan(suite), pool(), tmp_path / "run")["signals"] == {"nudity": "prompt.sexual"}


def test_what_is_remembered_is_not_asked_again_and_the_log_is_the_same(plan, tmp_path):
    with Cache(tmp_path / "cache.db", KEY, "words") as cache:
        run(plan, pool(), tmp_path / "a", cache=cache, chunk=7)
    judge = Words()
    with Cache(tmp_path / "cache.db", KEY, "words") as cache:
        run(plan, Threads(judge), tmp_path / "b", cache=cache, chunk=7)
    assert sum(judge.asked) == 20  # what could not be told is asked again
    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b")


@pytest.mark.parametrize(("key", "judge"), [(KEY, "other"), (b"o" * 32, "words")])
def test_another_judge_and_another_key_remember_nothing(plan, tmp_path, key, judge):
    with Cache(tmp_path / "cache.db", KEY, "words") as cache:
        run(plan, pool(), tmp_path / "a", cache=cache)
    fresh = Words()
    with Cache(tmp_path / "cache.db", key, judge) as cache:
        run(plan, Threads(fresh), tmp_path / "b", cache=cache)
    assert sum(fresh.asked) == 80


@pytest.mark.parametrize(
    ("file", "counts"),
    [
        ("checks/prompt.py", True),
        ("inference/heads/prompt_words.txt", True),
        ("upstream/gather.py", True),
        ("evaluate/judging.py", True),
        ("evaluate/figures.py", False),
        ("policy/decide.py", False),
        ("checks/__pycache__/prompt.cpython-311.pyc", False),
    ],
)
def test_scores_are_remembered_until_what_scores_is_another(tmp_path, file, counts):
    for one in ("checks/prompt.py", "inference/heads/prompt_words.txt", "pipeline/guard.py", "upstream/gather.py",
                "upstream/limits.py", "evaluate/judging.py", file):  # fmt: skip
        (tmp_path / one).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / one).write_text("before")
    before = code_digest(tmp_path)
    (tmp_path / file).write_text("after")
    assert (code_digest(tmp_path) != before) is counts
    assert code_digest() == code_digest()


def test_the_cache_holds_no_text(plan, tmp_path):
    with Cache(tmp_path / "cache.db", KEY, "words") as cache:
        run(plan, pool(), tmp_path / "a", cache=cache)
    assert b"red coat" not in (tmp_path / "cache.db").read_bytes()


def test_progress_is_told_after_each_chunk(plan, tmp_path):
    told = []
    run(plan, pool(), tmp_path / "run", chunk=40, report=lambda done, total: told.append((done, total)))
    assert told == [(0, 100), (40, 100), (80, 100), (100, 100)]


def test_an_attack_is_put_on_the_rows_and_told_in_the_log(plan, tmp_path):
    told = run(Plan(plan.suite, POLICY, attack=attacks.find("spacing"), seed=3), pool(), tmp_path / "run")
    assert told["attack"] == {"name": "spacing", "seed": 3}
    changed = [one["slices"]["attacked"] for one in runs.rows(tmp_path / "run")]
    assert (changed[0], changed[4]) == ("yes", "no")
    assert {one["scores"].get("prompt.undress") for one in runs.rows(tmp_path / "run")} == {0.0, None}


class Peer(Words):
    about = About(
        ("peer@1",), frozenset({"peer.nsfw"}), claims={"sexual": "peer.nsfw"}, thresholds={"peer.nsfw": (0.5,)}
    )

    def judge(self, rows):
        return [Seen({"peer.nsfw": 0.5}, {}, 1.0, action="") for _ in rows]


def test_a_judge_with_signals_of_its_own_is_asked_about_what_it_claims(tmp_path):
    suite = suite_of(tmp_path, [row(0, "x", sexual=0, undress=1)])
    told = run(Plan(suite), pool(Peer()), tmp_path / "run")
    assert told["signals"] == {"sexual": "peer.nsfw"}
    assert told["thresholds"] == {"peer.nsfw": [0.5]}
    assert told["unscored"] == 0
    other = read_suite(write_suite(tmp_path / "other", [row(0, "x", undress=1)], factors=["undress"]))
    with pytest.raises(ConfigError, match="peer@1 says nothing of undress"):
        run(Plan(other), pool(Peer()), tmp_path / "more")


def test_memory_does_not_grow_with_the_rows(tmp_path):
    import tracemalloc

    def peak(count):
        folder = tmp_path / f"suite{count}"
        suite = read_suite(write_suite(folder, many(count), factors=["undress"]))
        tracemalloc.start()
        run(Plan(suite, POLICY), pool(), tmp_path / f"run{count}", chunk=16)
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    peak(50)  # what is made once
    assert peak(4000) - peak(400) < 500_000


def test_a_run_is_found_by_name_and_by_folder(plan, tmp_path):
    folder = runs.runs_folder(tmp_path) / "mine"
    run(plan, pool(), folder)
    assert runs.find("mine", tmp_path) == folder
    assert runs.find(str(folder), tmp_path / "elsewhere") == folder
    with pytest.raises(ConfigError, match="there are: mine"):
        runs.find("yours", tmp_path)


def test_a_run_that_did_not_end_and_one_of_another_format_are_refused(plan, tmp_path):
    run(plan, pool(), tmp_path / "run")
    told = json.loads((tmp_path / "run/run.json").read_text())
    (tmp_path / "run/run.json").write_text(json.dumps({**told, "format": 2}))
    with pytest.raises(ConfigError, match="format 1"):
        runs.read_run(tmp_path / "run")
    (tmp_path / "run/run.json").unlink()
    with pytest.raises(ConfigError, match="did not come to its end"):
        runs.read_run(tmp_path / "run")


def test_only_checks_that_look_at_what_a_suite_holds_are_opened():
    enabled = ["prompt-safety", "face", "exposure", "pair"]
    assert checks_for(frozenset({Kind.PROMPT}), enabled) == ("prompt-safety",)
    assert checks_for(frozenset({Kind.OUTPUT}), enabled) == ("face", "exposure")
    assert checks_for(frozenset({Kind.PAIR}), [*enabled, "not-installed"]) == ("pair", "not-installed")
