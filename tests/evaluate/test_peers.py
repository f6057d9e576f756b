"""Peers: what one doesn't answer is never read as clean, and the table says what the logs say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from guardrail.errors import ConfigError
from guardrail.evaluate.engine import Plan, run
from guardrail.evaluate.peers import PeerJudge, find_peers, install, read_peer
from guardrail.evaluate.rows import Row
from guardrail.evaluate.suite import read_suite
from guardrail.evaluate.table import as_markdown, lines
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
    folder.mkdir(parents=True)
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
    assert "| toy | toy@1 |" in as_markdown(found.values())


def test_runs_of_different_rows_are_not_put_beside_each_other(tmp_path):
    suite = read_suite(write_suite(tmp_path / "suite", [row(n, "x", sexual=n % 2, undress=0) for n in range(4)]))
    run(Plan(suite), pool(), tmp_path / "runs/a")
    run(Plan(suite, limit=2), pool(), tmp_path / "runs/b")
    with pytest.raises(ConfigError, match="b and a are not of the same rows"):
        lines([tmp_path / "runs/a", tmp_path / "runs/b"])
