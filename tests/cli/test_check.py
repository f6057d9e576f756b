"""`guardrail check --jsonl`: in order, in batches, a bad line is named and nothing stops half-way."""

from __future__ import annotations

import io
import json
import os
import threading

import pytest

from guardrail.cli.check import SAY_EVERY_S, PlainProgress, judge_lines
from guardrail.pipeline import Guard
from guardrail.policy import PolicyBook
from guardrail.types import Kind
from tests.stand_ins import Asks, png

POLICY = """
version: 1
name: test
rules:
  - id: gore-block
    when: {prompt.gore: 0.5}
    action: block
  - id: gore-output
    when: {output.blood: 0.5}
    action: block
"""


@pytest.fixture
def texts():
    return Asks(lambda artifact: {"gore": 0.9 if "gore" in artifact.text else 0.1}, ["gore"], [Kind.PROMPT], "texts")


@pytest.fixture
def guard(tmp_path, texts):
    (tmp_path / "policy.yaml").write_text(POLICY)
    pictures = Asks(
        lambda artifact: {"blood": 0.8 if b"blood" in artifact.data else 0.0}, ["blood"], [Kind.OUTPUT], "p"
    )
    made = Guard([texts, pictures], PolicyBook(tmp_path / "policy.yaml"), digest_key=b"d" * 32, threads=2)
    yield made
    made.looker.close()


def run(guard, capsys, *lines, signals_only=False):
    raw = b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
    status = judge_lines(guard, io.BytesIO(raw), signals_only)
    return status, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_each_line_is_answered_in_order_with_all_that_the_contract_names(guard, capsys):
    status, answers = run(guard, capsys, {"id": "a", "prompt": "a cat"}, {"id": "b", "prompt": "gore"})
    assert status == 0
    assert [(answer["id"], answer["action"], answer["stage"]) for answer in answers] == [
        ("a", "allow", "prompt"),
        ("b", "block", "prompt"),
    ]
    assert answers[1]["reasons"] == [{"rule": "gore-block", "saw": {"prompt.gore": 0.9}}]
    assert set(answers[0]) == {"id", "action", "stage", "signals", "errors", "reasons", "took_ms"}
    assert answers[0]["signals"] == {"prompt.gore": 0.1}


def test_ten_thousand_prompts_are_not_ten_thousand_model_calls(guard, texts, capsys):
    status, answers = run(guard, capsys, *({"id": at, "prompt": f"cat {at}"} for at in range(10_000)))
    assert status == 0
    assert [answer["id"] for answer in answers] == list(range(10_000))
    assert len(texts.batches) <= 200


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (b"{not json", "not JSON"),
        (b"[1]", "an object is expected"),
        (b'{"prompt": "x"}', "id: is expected"),
        (b'{"id": 1, "prompt": 7}', "prompt: a text is expected"),
        (b'{"id": 1, "inputs": "a.png"}', "inputs: a list of paths"),
        (b'{"id": 1, "promt": "x"}', "'promt'"),
        (b'{"id": 1, "inputs": ["a.png", 7]}', "inputs[1]: the path of a picture"),
        (b'{"id": 1}', "nothing to judge"),
        (b'{"id": 1, "inputs": ["/no/such/file.png"]}', "inputs[0]: the path of a picture is expected; '/no/such/file"),
        (b'{"id": 1, "outputs": ["/no/such/file.png"]}', "outputs[0]: the path of a picture is expected; '/no/such/fi"),
        (b'{"id": 1, "prompt": "a cat", "mask": "/"}', "mask: the path of a picture is expected; '/' cannot be read"),
        (b'{"id": 1, "inputs": ["a\\u0000b"]}', "'a\\x00b' cannot be read"),
        (b"[" * 100_000, "not JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (b'{"id": 1, "prompt": "blood", "prompt": "a cat"}', "'prompt' stands twice"),
        (b'{"id": 1e999, "prompt": "a cat"}', "1e999 is no number"),
        (b'{"id": NaN, "prompt": "a cat"}', "NaN is no number"),
    ],
)
def test_a_bad_line_is_named_and_its_neighbours_are_judged(guard, capsys, bad, said):
    status, answers = run(guard, capsys, {"id": "a", "prompt": "gore"}, bad, {"id": "z", "prompt": "a cat"})
    assert status == 1
    assert [answer.get("action") for answer in answers] == ["block", None, "allow"]
    assert said in answers[1]["error"]
    assert answers[1]["error"].startswith("line 2: ")


def test_of_several_pictures_the_one_that_cannot_be_read_is_named(guard, capsys, tmp_path):
    (tmp_path / "out.png").write_bytes(png("x"))
    there, gone = str(tmp_path / "out.png"), str(tmp_path / "gone.png")
    status, [answer] = run(guard, capsys, {"id": "q", "inputs": [there], "mask": there, "outputs": [there, gone]})
    assert (status, answer["id"]) == (1, "q")
    assert answer["error"] == (
        f"line 1: outputs[1]: the path of a picture is expected; {gone!r} cannot be read: No such file or directory"
    )


def test_pictures_are_read_and_judged(guard, capsys, tmp_path):
    (tmp_path / "out.png").write_bytes(png("blood"))
    _, [answer] = run(guard, capsys, {"id": 1, "prompt": "a cat", "outputs": [str(tmp_path / "out.png")]})
    assert (answer["action"], answer["stage"]) == ("block", "output")


def test_a_line_is_judged_by_the_policy_of_its_tenant(tmp_path, texts, capsys):
    (tmp_path / "policy.yaml").write_text(POLICY.partition("  - id: gore-output")[0])
    lenient = POLICY.partition("  - id: gore-output")[0].replace("action: block", "action: flag")
    (tmp_path / "studio.yaml").write_text(lenient.replace("gore-block", "gore-flag"))
    book = PolicyBook(tmp_path / "policy.yaml", tenants={"studio": tmp_path / "studio.yaml"})
    guard = Guard([texts], book, digest_key=b"d" * 32, threads=1)
    asked = [{"id": name, "prompt": "gore", **more} for name, more in (("a", {}), ("b", {"tenant": "studio"}))]
    _, answers = run(guard, capsys, *asked, {"id": "c", "prompt": "gore", "tenant": "nobody we know"})
    assert [answer["action"] for answer in answers] == ["block", "flag", "block"]
    guard.looker.close()


def test_signals_only_skips_the_policy(guard, capsys):
    _, [answer] = run(guard, capsys, {"id": 1, "prompt": "gore"}, signals_only=True)
    assert set(answer) == {"id", "signals", "errors", "took_ms"}


def test_a_lone_surrogate_and_an_empty_prompt_are_no_reason_to_stop(guard, capsys):
    status, answers = run(guard, capsys, b'{"id": "\\ud800", "prompt": "\\ud800"}', {"id": 2, "prompt": ""})
    assert status == 0
    assert [answer["action"] for answer in answers] == ["allow", "allow"]


def test_no_lines_are_no_answers(guard, capsys):
    assert run(guard, capsys) == (0, [])


def test_progress_is_said_in_plain_lines_where_there_is_no_terminal(guard, capsys):
    assert judge_lines(guard, io.BytesIO(b'{"id": 1, "prompt": "a cat"}\n' * 300), False) == 0
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith("guardrail check: 300 lines judged in all")


def test_progress_is_said_every_few_seconds_and_not_more_often():
    said, now = [], [0.0]
    told = PlainProgress(said.append, clock=lambda: now[0])
    for at in (1.0, SAY_EVERY_S - 0.1, SAY_EVERY_S, SAY_EVERY_S + 1.0, 2 * SAY_EVERY_S):
        now[0] = at
        told.judged(10)
    assert [line.split(" judged ")[0] for line in said] == ["guardrail check: 30 lines", "guardrail check: 50 lines"]


def test_who_asks_and_waits_is_answered_before_the_input_ends(guard, monkeypatch):
    asked, asks = os.pipe()
    answered = threading.Event()

    class Out(io.StringIO):
        def flush(self):
            if "\n" in self.getvalue():
                answered.set()

    monkeypatch.setattr("sys.stdout", Out())
    with os.fdopen(asked, "rb") as source:
        judging = threading.Thread(target=judge_lines, args=(guard, source, False))
        judging.start()
        os.write(asks, b'{"id": 1, "prompt": "a cat"}\n')
        came = answered.wait(5)
        os.close(asks)
        judging.join(10)
    assert came


def test_an_input_that_breaks_off_is_not_taken_for_its_end_and_what_came_is_judged(guard, capsys):
    def lines():
        yield b'{"id": 1, "prompt": "a cat"}\n'
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="gone"):
        judge_lines(guard, lines(), False)
    assert [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()] == [1]


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_lines_of_a_pipe_are_cut_where_they_end_however_they_come(guard, capsys, end):
    asked, asks = os.pipe()
    raw = b"\n".join(json.dumps({"id": at, "prompt": "cat " * 5000}).encode() for at in range(20)) + end

    def write():
        for start in range(0, len(raw), 70_001):
            os.write(asks, raw[start : start + 70_001])
        os.close(asks)

    writing = threading.Thread(target=write)
    writing.start()
    with os.fdopen(asked, "rb") as source:
        assert judge_lines(guard, source, False) == 0
    writing.join(10)
    assert [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()] == list(range(20))
