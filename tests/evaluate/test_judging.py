"""The guard as the judge: all that a row holds is looked at, and what can't be read is an error of every signal."""

from __future__ import annotations

import pytest

from guardrail.errors import CheckError
from guardrail.evaluate.judging import GuardJudge
from guardrail.evaluate.rows import Row
from guardrail.pipeline import Guard
from guardrail.types import Kind, Unknown
from tests.stand_ins import Asks, png


def words(artifact):
    if "blind" in artifact.text:
        return {"undress": Unknown("in no script that is known")}
    if "break" in artifact.text:
        raise CheckError("cannot be read")
    return {"undress": 0.123456789 if "some" in artifact.text else 0.9 if "undress" in artifact.text else 0.0}


def bytes_(artifact):
    return {"exposure": 0.9 if b"bare" in artifact.data else 0.1}


def pair(subject):
    return {"same_face": float(subject.input.data == subject.output.data)}


@pytest.fixture
def judge():
    checks = [
        Asks(words, ["undress"], [Kind.PROMPT], "words"),
        Asks(bytes_, ["exposure"], [Kind.INPUT, Kind.OUTPUT], "bytes"),
        Asks(pair, ["same_face"], [Kind.PAIR], "pair"),
    ]
    guard = Guard(checks, None, digest_key=b"d" * 32, threads=1, cache=0)
    yield GuardJudge(guard)
    guard.looker.close()


def seen(judge, **held):
    return judge.judge([Row("r", {}, **held)])[0]


def test_it_says_what_it_judges_with(judge):
    assert judge.about.models == ("bytes@1", "pair@1", "words@1")
    assert "prompt.undress" in judge.about.signals
    assert judge.about.claims == {}


def test_the_highest_of_several_texts_counts(judge):
    assert seen(judge, texts=("a tree", "undress her", "a house")).scores == {"prompt.undress": 0.9}


def test_scores_are_rounded_to_what_the_log_keeps(judge):
    assert seen(judge, texts=("some",)).scores == {"prompt.undress": 0.123457}


@pytest.mark.parametrize(("text", "why"), [("blind", "in no script that is known"), ("break", "cannot be read")])
def test_what_a_check_could_not_tell_is_an_error_and_no_score(judge, text, why):
    said = seen(judge, texts=(text,))
    assert (said.scores, said.errors) == ({}, {"prompt.undress": why})


def test_one_blind_text_beside_a_clear_one_is_both(judge):
    said = seen(judge, texts=("blind", "undress"))
    assert said.scores == {"prompt.undress": 0.9}
    assert "prompt.undress" in said.errors


def test_pictures_are_looked_at_on_their_side_and_in_pairs(judge):
    said = seen(judge, inputs=(png("clothed"),), outputs=(png("bare"),))
    assert said.scores == {"input.exposure": 0.1, "output.exposure": 0.9, "pair.same_face": 0.0}


def test_a_picture_that_went_missing_is_an_error_of_every_signal(judge, tmp_path):
    said = seen(judge, outputs=(tmp_path / "gone.png",))
    assert said.scores == {}
    assert set(said.errors) == set(judge.about.signals)


def test_a_picture_that_is_none_is_an_error(judge):
    said = seen(judge, outputs=(b"not a picture",))
    assert said.scores == {}
    assert set(said.errors) == {"output.exposure"}


def test_rows_keep_their_order_whatever_they_hold(judge):
    rows = [Row("a", {}, texts=("undress",)), Row("b", {}, outputs=(png("bare"),)), Row("c", {}, texts=("a tree",))]
    assert [one.scores for one in judge.judge(rows)] == [
        {"prompt.undress": 0.9},
        {"output.exposure": 0.9},
        {"prompt.undress": 0.0},
    ]
