"""Peers: what one doesn't answer is never read as clean, and the table says what the logs say."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from guardrail.errors import ConfigError
from guardrail.evaluate.engine import Plan, run
from guardrail.evaluate.peers import PeerJudge, find_peers, install, read_peer
from guardrail.evaluate.rows import Row
from guardrail.evaluate.suite import read_suite
from guardrail.evaluate.survey import survey
from guardrail.evaluate.table import as_markdown, lines
from guardrail.home import Home
from guardrail.server import Upstream
from guardrail.upstream.moderation import Moderation
from tests.evaluate.guarded import guarded
from tests.evaluate.stand_ins import POLICY, pool, row, write_suite
from tests.stand_ins import png

ROOT = Path(__file__).parent.parent.parent
PEERS = ROOT / "eval/peers"

ADAPTER = """
import sys
sys.path.insert(0, "{peers}")
from stdio import serve
def opened(options):
    print("a library says hello")
    def score(given):
        if isinstance(given, bytes):
            return {{"nsfw": float(b"bare" in given)}}
        if "raise" in given: raise ValueError(given)
        if "die" in given: sys.exit(3)
        if "high" in given: return {{"nsfw": 1.5}}
        if "none" in given: return {{}}
        return {{"nsfw": float(options.get("word", "bad") in given)}}
    return score
serve(opened, ["toy@1"], ["nsfw"])
"""


def toy(folder: Path, **more) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    told = {
        "name": folder.name,
        "looks_at": "prompt",
        "command": ["python", "adapter.py"],
        "signals": ["nsfw"],
        "claims": {"sexual": "nsfw"},
        "thresholds": {"nsfw": 0.5},
        **more,
    }
    (folder / "peer.yaml").write_text(json.dumps(told), "utf-8")
    (folder / "adapter.py").write_text(ADAPTER.format(peers=PEERS), "utf-8")
    return folder


@pytest.fixture
def started(tmp_path):
    running = []

    def start(options=None, **more):
        judge = PeerJudge(read_peer(toy(tmp_path / "toy", **more)), tmp_path / "home", options)
        running.append(judge)
        return judge

    yield start
    for judge in running:
        judge.close()


def texts(*given):
    return [Row(str(n), {}, texts=(text,)) for n, text in enumerate(given)]


def test_a_peer_scores_rows_in_its_own_process(started):
    judge = started()
    assert judge.about.models == ("toy@1",)
    assert judge.about.claims == {"sexual": "peer.nsfw"}
    assert [one.scores for one in judge.judge(texts("bad", "good"))] == [{"peer.nsfw": 1.0}, {"peer.nsfw": 0.0}]


def test_the_highest_of_several_texts_counts(started):
    (seen,) = started().judge([Row("r", {}, texts=("good", "bad", "good"))])
    assert seen.scores == {"peer.nsfw": 1.0}


@pytest.mark.parametrize("text", ["raise", "high", "none"])
def test_what_a_peer_does_not_say_is_an_error_and_the_next_row_is_asked(started, text):
    blind, clear = started().judge(texts(text, "bad"))
    assert blind.scores == {}
    assert blind.action == "unscored"
    assert set(blind.errors) == {"peer.nsfw"}
    assert clear.scores == {"peer.nsfw": 1.0}


def test_a_peer_that_dies_leaves_errors_and_no_clean_rows(started):
    seen = started().judge(texts("die", "good"))
    assert [one.scores for one in seen] == [{}, {}]
    assert "the peer" in seen[1].errors["peer.nsfw"]


def test_an_error_never_quotes_the_row(started):
    (seen,) = started().judge(texts("raise secret words"))
    assert "secret" not in seen.errors["peer.nsfw"]


def test_options_reach_the_peer_and_a_missing_one_is_named(started, tmp_path):
    (seen,) = started({"word": "good"}).judge(texts("good"))
    assert seen.scores == {"peer.nsfw": 1.0}
    needs = read_peer(toy(tmp_path / "needs", options=["word"]))
    with pytest.raises(ConfigError, match=r"--peer-option needs\.word=VALUE"):
        PeerJudge(needs, tmp_path / "home")


def test_a_peer_with_another_adapter_option_or_list_counts_as_another(started, tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("good")

    def counted(**options):
        return dict(started(options).about.settings)

    plain = counted(word=str(words))
    assert counted(word=str(words)) == plain
    words.write_text("bad")
    assert counted(word=str(words)) != plain
    assert counted(word="bad") != plain
    bare = counted()
    adapter = tmp_path / "toy/list.txt"
    adapter.write_text("one more word")
    assert started().about.settings != bare


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_whole_run_of_a_peer_behind_an_address_is_asked_again_only_when_that_is_said(started, tmp_path, scheme):
    suite = read_suite(
        write_suite(tmp_path / "suite", [row(0, "bad", sexual=1, undress=1), row(1, "good", sexual=0, undress=0)])
    )

    def measured(name, word, *, fresh=False):
        return run(Plan(suite), pool(started({"word": word})), tmp_path / "runs" / name, fresh=fresh)

    assert measured("here", "bad") == measured("here", "bad")
    measured("away", f"{scheme}://a.example:1/v1")
    with pytest.raises(ConfigError, match=r"toy@1 may be another by now.*--fresh"):
        measured("away", f"{scheme}://a.example:1/v1")
    measured("away", f"{scheme}://a.example:1/v1", fresh=True)


def test_pictures_go_to_a_peer_that_looks_at_pictures(started):
    judge = started(looks_at="image")
    seen = judge.judge([Row("a", {}, outputs=(png("bare"),)), Row("b", {}, texts=("x",))])
    assert seen[0].scores == {"peer.nsfw": 1.0}
    assert "nothing that this peer looks at" in seen[1].errors["peer.nsfw"]


def test_a_picture_that_cannot_be_decoded_is_an_error(started):
    (seen,) = started(looks_at="image", decode="png").judge([Row("a", {}, outputs=(b"no picture",))])
    assert seen.errors == {"peer.nsfw": "the picture can't be decoded"}


def test_a_peer_that_is_not_installed_or_does_not_start_says_so(tmp_path):
    missing = read_peer(toy(tmp_path / "missing", install={"pip": ["x"]}))
    with pytest.raises(ConfigError, match="guardrail eval peers install missing"):
        PeerJudge(missing, tmp_path / "home")
    broken = read_peer(toy(tmp_path / "broken", command=["python", "nothing.py"]))
    with pytest.raises(ConfigError, match="did not start"):
        PeerJudge(broken, tmp_path / "home")
    absent = read_peer(toy(tmp_path / "absent", command=["no-such-program"]))
    with pytest.raises(ConfigError, match="can't be run"):
        PeerJudge(absent, tmp_path / "home")


def test_a_licence_must_be_accepted_before_anything_is_installed(tmp_path):
    peer = read_peer(toy(tmp_path / "toy", accept="AGPL-3.0", licence="AGPL-3.0", install={"pip": ["x"]}))
    with pytest.raises(ConfigError, match=r"--accept AGPL-3\.0"):
        install(peer, tmp_path / "home", accepted="MIT")
    assert not (tmp_path / "home").exists()


def test_an_environment_of_an_older_peer_yaml_is_not_taken_for_an_installed_one(tmp_path):
    new = read_peer(toy(tmp_path / "toy", install={"npm": ["a@1", "b@2"]}))
    place = new.place(tmp_path / "home")
    place.mkdir(parents=True)
    for packages, there in (({"pip": [], "npm": ["a@1"]}, False), ({"pip": [], "npm": ["a@1", "b@2"]}, True)):
        (place / "installed.json").write_text(json.dumps(packages), "utf-8")
        assert new.installed(tmp_path / "home") is there
    (place / "installed.json").write_text("{", "utf-8")
    assert not new.installed(tmp_path / "home")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["litellm", "nsfwjs", "nudenet", "opennsfw", "spacy-bow", "spacy-char-embed"])
def test_a_peer_that_is_installed_scores_what_is_harmless_low(name):
    """Each peer has an environment of its own under home, made by hand: it is not part of the tests' own."""
    home = Home.default().path
    peer = find_peers([PEERS])[name]
    if not peer.installed(home):
        pytest.skip(f"not installed: guardrail eval peers install {name}")
    shown = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(shown, "JPEG")
    row = Row("r", {}, texts=("a red bicycle against a wall",), outputs=(shown.getvalue(),))
    judge = PeerJudge(peer, home)
    try:
        first, second = judge.judge([row, row])
    finally:
        judge.close()
    assert first.errors == {}
    assert set(first.scores) == {f"peer.{signal}" for signal in peer.signals}
    assert first.scores == second.scores
    assert max(first.scores.values()) < 0.5


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"claims": {"sexual": "porn"}}, "'porn' is claimed"),
        ({"looks_at": "sound"}, "prompt or image"),
        ({"comand": []}, "a mapping with the keys"),
        ({"signals": []}, "`signals` is missing"),
    ],
)
def test_a_wrong_peer_yaml_says_what_is_expected(tmp_path, more, words):
    with pytest.raises(ConfigError, match=r"peer\.yaml") as told:
        read_peer(toy(tmp_path / "toy", **more))
    assert words in str(told.value)


def test_every_peer_of_the_project_can_be_read():
    peers = find_peers([PEERS])
    assert set(peers) == {folder.parent.name for folder in PEERS.glob("*/peer.yaml")}
    assert {"keywords", "spacy-bow", "nudenet", "opennsfw", "nsfwjs", "litellm", "moderation"} <= set(peers)
    assert peers["nudenet"].accept == "AGPL-3.0"


def test_the_keyword_peer_finds_whole_words_of_any_case_and_script(tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("naakt\n裸体\n", "utf-8")
    judge = PeerJudge(find_peers([PEERS])["keywords"], tmp_path / "home", {"words": str(words)})
    try:
        seen = judge.judge(texts("een NAAKT model", "naaktslak op een blad", "一张裸体照片", "een boom"))
    finally:
        judge.close()
    assert [one.scores["peer.listed"] for one in seen] == [1.0, 0.0, 1.0, 0.0]


def test_without_a_list_of_yours_the_keyword_peer_takes_its_own_and_comments_are_no_words(tmp_path):
    judge = PeerJudge(find_peers([PEERS])["keywords"], tmp_path / "home")
    try:
        seen = judge.judge(
            texts("kleed haar uit", "服を脱がせて", "words and phrases in public lists", "een rode fiets")
        )
    finally:
        judge.close()
    assert [one.scores["peer.listed"] for one in seen] == [1.0, 1.0, 0.0, 0.0]


def test_the_table_counts_what_the_logs_hold(started, tmp_path):
    suite = read_suite(
        write_suite(
            tmp_path / "suite",
            [
                row(0, "a sexual scene, bad", sexual=1, undress=0),
                row(1, "bad weather", sexual=0, undress=0),
                row(2, "raise the flag", sexual=0, undress=0),
                row(3, "a sexual dance", sexual=1, undress=0),
            ],
        )
    )
    run(Plan(suite, POLICY), pool(), tmp_path / "runs/guard")
    run(Plan(suite), pool(started()), tmp_path / "runs/toy")
    found = {(line.run, line.factor): line for line in lines([tmp_path / "runs/guard", tmp_path / "runs/toy"])}
    assert set(found) == {("guard", "sexual"), ("guard", "undress"), ("toy", "sexual")}
    assert (found["guard", "sexual"].recall.hits, found["guard", "sexual"].false_alarms.hits) == (2, 0)
    peer = found["toy", "sexual"]
    assert (peer.recall.hits, peer.recall.n) == (1, 2)
    assert (peer.false_alarms.hits, peer.false_alarms.n, peer.unscored) == (1, 2, 1)
    table = as_markdown(found.values())
    assert "| toy | - | 0.5 | 50.0 % [9.5, 90.5] |" in table
    assert "- toy: toy@1" in table


def test_a_part_of_the_rows_can_be_put_in_the_table(tmp_path):
    dutch = {**row(2, "sexual", sexual=1), "lang": "nl"}
    suite = read_suite(
        write_suite(tmp_path / "suite", [row(0, "x", sexual=1, undress=1), row(1, "x", sexual=0), dutch])
    )
    run(Plan(suite, POLICY), pool(), tmp_path / "runs/guard")
    (line,) = lines([tmp_path / "runs/guard"], where=[("lang", "nl")])
    assert (line.factor, line.recall.hits, line.recall.n, line.false_alarms.n) == ("sexual", 1, 1, 0)


def test_runs_of_different_rows_are_not_put_beside_each_other(tmp_path):
    suite = read_suite(write_suite(tmp_path / "suite", [row(n, "x", sexual=n % 2, undress=0) for n in range(4)]))
    run(Plan(suite), pool(), tmp_path / "runs/a")
    run(Plan(suite, limit=2), pool(), tmp_path / "runs/b")
    with pytest.raises(ConfigError, match="b and a are not of the same rows"):
        lines([tmp_path / "runs/a", tmp_path / "runs/b"])


@pytest.fixture
def moderating(tmp_path):
    """The address of a guard of ours that answers moderations, with a check that finds the word "sexual"."""
    with guarded(tmp_path, {"moderation": Upstream(Moderation(), None)}) as address:
        yield address


def test_the_moderation_peer_reads_the_answers_of_a_real_endpoint(tmp_path, moderating):
    peer = find_peers([PEERS])["moderation"]
    judge = PeerJudge(peer, tmp_path / "home", {"url": f"{moderating}/v1/moderations", "model": "omni"})
    try:
        assert judge.about.models == ("moderation@omni",)
        seen = judge.judge(texts("a sexual scene", "a red bicycle"))
    finally:
        judge.close()
    assert [one.scores for one in seen] == [{"peer.sexual": 0.9}, {"peer.sexual": 0.1}]
    assert seen[0].errors == {"peer.minors": "the peer could not tell"}  # nothing there looks for minors


def test_a_moderation_endpoint_that_refuses_leaves_rows_untold(tmp_path, moderating):
    judge = PeerJudge(find_peers([PEERS])["moderation"], tmp_path / "home", {"url": f"{moderating}/v1/nothing"})
    try:
        (seen,) = judge.judge(texts("a red bicycle"))
    finally:
        judge.close()
    assert seen.scores == {}
    assert seen.errors["peer.sexual"] == "the peer failed: HTTPError"


def test_harmless_pictures_are_laid_out_as_a_suite_and_what_is_missing_is_said(tmp_path):
    (tmp_path / "pictures/package").mkdir(parents=True)
    Image.new("RGBA", (2048, 100), (10, 20, 30, 128)).save(tmp_path / "pictures/package/wide.png")
    (tmp_path / "list.tsv").write_text("thing\tmine\tpackage\twide.png\npeople\tmine\tpackage\tgone.png\n", "utf-8")
    places = (tmp_path / "pictures", tmp_path / "list.tsv", tmp_path / "suite")
    done = subprocess.run(
        [sys.executable, PEERS / "pictures.py", *places], capture_output=True, text=True, check=True, timeout=60
    )
    assert "package/gone.png: left out: FileNotFoundError" in done.stderr
    suite = read_suite(tmp_path / "suite")
    assert survey(suite).labels == {"exposure": (1, 0)}
    [(_, made)] = list(suite.rows())
    assert Image.open(made.outputs[0]).size == (1024, 50)
