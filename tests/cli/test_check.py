"""`guardrail check --jsonl`: in order, in batches, a bad line is named and nothing stops half-way."""

from __future__ import annotations

import io
import json

import pytest

from guardrail.cli.check import judge_lines
from guardrail.pipeline import Guard
from guardrail.policy import PolicyBook
from guardrail.types import Kind
from tests.stand_ins import Asks

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
    made = Guard([texts, pictures], PolicyBook.open(tmp_path / "policy.yaml"), digest_key=b"d" * 32, threads=2)
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
        (b'{"id": 1}', "nothing to judge"),
        (b'{"id": 1, "inputs": ["/no/such/file.png"]}', "cannot be read"),
        (b'{"id": 1, "inputs": ["a\\u0000b"]}', "cannot be read"),
        (b"[" * 100_000, "not JSON"),
        (b"\xff\xfe", "not JSON"),
    ],
)
def test_a_bad_line_is_named_and_its_neighbours_are_judged(guard, capsys, bad, said):
    status, answers = run(guard, capsys, {"id": "a", "prompt": "gore"}, bad, {"id": "z", "prompt": "a cat"})
    assert status == 1
    assert [answer.get("action") for answer in answers] == ["block", None, "allow"]
    assert said in answers[1]["error"]


def test_pictures_are_read_and_judged(guard, capsys, tmp_path):
    (tmp_path / "out.png").write_bytes(b"blood")
    _, [answer] = run(guard, capsys, {"id": 1, "prompt": "a cat", "outputs": [str(tmp_path / "out.png")]})
    assert (answer["action"], answer["stage"]) == ("block", "output")


def test_signals_only_skips_the_policy(guard, capsys):
    _, [answer] = run(guard, capsys, {"id": 1, "prompt": "gore"}, signals_only=True)
    assert set(answer) == {"id", "signals", "errors", "took_ms"}


def test_a_lone_surrogate_and_an_empty_prompt_are_no_reason_to_stop(guard, capsys):
    status, answers = run(guard, capsys, b'{"id": "\\ud800", "prompt": "\\ud800"}', {"id": 2, "prompt": ""})
    assert status == 0
    assert [answer["action"] for answer in answers] == ["allow", "allow"]


def test_no_lines_are_no_answers(guard, capsys):
    assert run(guard, capsys) == (0, [])
