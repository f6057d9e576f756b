"""The second opinion: asked where the first is not sure, continuous at the edges, bounded for a long prompt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail.errors import ConfigError
from guardrail.inference.text import second
from guardrail.inference.text.prompts import PromptHeads, packaged_heads
from guardrail.inference.text.second import EDGE, MOST, SecondEncoder, SecondOpinion, packaged_second, unsure
from tests.checks.people import real_models

LOWER, UPPER = np.array([-2.0, -1.0], np.float32), np.array([3.0, 3.0], np.float32)
FEATURES = 4


class Counting:
    """An encoder that says the same of every text, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        self.asked += texts
        return np.full((len(texts), second.WIDTH), 1 / np.sqrt(second.WIDTH), np.float32)


def opinion(encoder: Counting, says: float = 5.0, factors: tuple[str, str] = ("a", "b")) -> SecondOpinion:
    """Its heads give every piece the logit `says` for both factors."""
    width = FEATURES + second.WIDTH
    empty = (np.zeros((width, 1), np.float32), np.zeros(1, np.float32), np.zeros((1, 2), np.float32))
    heads = PromptHeads(factors, *empty, np.zeros((width, 2), np.float32), np.full(2, says, np.float32))
    return SecondOpinion(encoder, heads, LOWER, UPPER)  # type: ignore[arg-type]


def judge(
    logits: list[list[float]],
    says: float = 5.0,
    factors: tuple[str, str] = ("a", "b"),
    counted_less: float = 0.0,
) -> tuple[np.ndarray, list[str]]:
    encoder = Counting()
    first = np.array(logits, np.float32).reshape(-1, 2)
    texts = [f"piece {i}" for i in range(len(first))]
    features, less = np.zeros((len(first), FEATURES), np.float32), np.full((len(first), 1), counted_less, np.float32)
    return opinion(encoder, says, factors).judge(texts, features, first - less, less), encoder.asked


def test_a_sure_first_opinion_stands_and_costs_nothing() -> None:
    found, asked = judge([[-2.0, -1.0], [-9.0, 3.0], [3.1, -4.0]])
    assert asked == []
    assert found.tolist() == [[-2.0, -1.0], [-9.0, 3.0], [np.float32(3.1), -4.0]]


def test_what_counts_less_does_so_in_both_opinions() -> None:
    assert judge([[3.0, -4.0]], counted_less=2.0)[0].tolist() == [[3.0, -6.0]]


def test_an_unsure_one_gives_way_on_that_factor_alone() -> None:
    found, asked = judge([[0.0, -4.0], [-8.0, -8.0]])
    assert asked == ["piece 0"]
    assert found.tolist() == [[5.0, -4.0], [-8.0, -8.0]]


def test_the_second_opinion_can_lower_a_score() -> None:
    assert judge([[1.0, -4.0]], says=-6.0)[0].tolist() == [[-6.0, -4.0]]


def test_no_pieces_are_no_question() -> None:
    found, asked = judge([])
    assert found.shape == (0, 2)
    assert asked == []


@given(st.floats(-4, 5), st.floats(-1e-5, 1e-5))
def test_rounding_moves_no_score_by_more_than_it_is_worth(logit: float, nudge: float) -> None:
    (found,), (moved,) = judge([[logit, -4.0]])[0], judge([[logit + nudge, -4.0]])[0]
    assert abs(float(found[0]) - float(moved[0])) < 3e-4


@pytest.mark.parametrize(
    ("logit", "share"), [(-2.0, 0), (-2.0 + EDGE / 2, 0.5), (-2.0 + EDGE, 1), (2.75, 0.5), (3.0, 0)]
)
def test_the_share_grows_over_each_edge(logit: float, share: float) -> None:
    found = unsure(np.array([[logit, -4.0]], np.float32), LOWER, UPPER)
    assert found.tolist() == [[pytest.approx(share), 0.0]]


def test_a_long_prompt_has_its_most_suspect_pieces_read_anew() -> None:
    logits = [[-1.9 + 0.01 * i, -4.0] for i in range(MOST * 10)]
    found, asked = judge(logits, says=0.0)
    assert len(asked) == MOST
    assert set(asked) == {f"piece {i}" for i in range(MOST * 9, MOST * 10)}
    assert found[: MOST * 9, 0] == pytest.approx([row[0] for row in logits[: MOST * 9]])


def test_what_one_piece_surely_asks_for_no_other_is_read_for() -> None:
    found, asked = judge([[9.0, -4.0], [1.0, -4.0], [1.0, 0.0]], says=-6.0)
    assert asked == ["piece 2"]
    assert found.tolist() == [[9.0, -4.0], [1.0, -4.0], [1.0, -6.0]]


def test_the_second_opinion_on_one_piece_can_settle_it_too() -> None:
    assert judge([[1.0, -4.0], [2.0, -4.0]])[1] == ["piece 1"]
    assert judge([[1.0, -4.0], [2.0, -4.0]], says=2.0)[1] == ["piece 1", "piece 0"]


def test_the_same_words_are_read_once() -> None:
    """Two windows of other tokens may hold the same words: each is moved, and they are embedded once."""
    encoder, features = Counting(), np.zeros((2, FEATURES), np.float32)
    first, less = np.array([[1.0, -4.0], [0.5, -4.0]], np.float32), np.zeros((2, 1), np.float32)
    found = opinion(encoder, 2.0, ("a", "b")).judge(["same", "same"], features, first, less)
    assert encoder.asked == ["same"]
    assert found[:, 0].tolist() == [2.0, 2.0]


def test_a_sure_sexual_request_is_not_read_for_revealing_dress() -> None:
    for factor, read in (("sexual", []), ("undress", []), ("person", ["piece 0"])):
        assert judge([[9.0, 1.0]], factors=(factor, "revealing"))[1] == read
    assert judge([[0.0, 1.0]], factors=("sexual", "revealing"))[1] == ["piece 0"]


@given(st.floats(2, 5), st.floats(-1e-5, 1e-5))
def test_rounding_beside_what_is_nearly_sure_moves_no_score_either(logit: float, nudge: float) -> None:
    for factors in (("a", "b"), ("sexual", "revealing")):
        found, moved = (judge([[sure, 0.0], [1.0, -4.0]], 2.9, factors)[0] for sure in (logit, logit + nudge))
        assert np.abs(found.max(axis=0) - moved.max(axis=0)).max() < 3e-4


def test_bands_of_another_shape_or_too_narrow_are_refused() -> None:
    heads = opinion(Counting()).heads
    with pytest.raises(ConfigError, match="shapes"):
        SecondOpinion(Counting(), heads, LOWER[:1], UPPER)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="narrower"):
        SecondOpinion(Counting(), heads, LOWER, LOWER + EDGE)  # type: ignore[arg-type]


def test_a_tokeniser_that_is_none_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "e5.model").write_bytes(b"not a model")
    with pytest.raises(ConfigError, match=r"e5\.model"):
        SecondEncoder(None, tmp_path / "e5.model")


def test_the_packaged_second_heads_fit_the_first() -> None:
    first, anew = packaged_heads(), packaged_second(Counting())  # type: ignore[arg-type]
    assert anew.heads.factors == first.factors
    assert anew.heads.width == first.width + second.WIDTH


@pytest.mark.weights
def test_the_embedding_is_near_that_of_the_arithmetic_in_torch() -> None:
    """First numbers by models/prompt-safety/reference.py, with what tuning changed; seven bits blur the rest."""
    models = real_models("multilingual-e5-small")
    name = "multilingual-e5-small"
    encoder = SecondEncoder(models.session(name), models.path(name, "e5.model"))
    for text, numbers in NUMBERS.items():
        found, wanted = encoder.embed([text])[0, : len(numbers)], np.array(numbers)
        assert found @ wanted / np.linalg.norm(found) / np.linalg.norm(wanted) > 0.98


NUMBERS = {
    "a woman in a red coat": (
        -0.024, -0.045, 0.047, 0.045, 0.001, 0.046, 0.014, -0.229, -0.043, 0.012, -0.049, 0.006,
    ),
    "Een vrouw met een naïeve glimlach, 35mm": (
        0.025, -0.06, 0.035, 0.005, 0.071, 0.023, 0.021, -0.167, -0.003, 0.034, -0.006, -0.006,
    ),
    "红色大衣的女人": (
        -0.018, -0.056, 0.045, 0.017, 0.036, 0.029, 0.02, -0.158, -0.012, 0.032, -0.049, -0.002,
    ),
}  # fmt: skip
