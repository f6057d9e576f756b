"""One face looked at again: whether it is one, which way up it is, and where its landmarks are."""

from __future__ import annotations

import numpy as np
import pytest

from guardrail.inference.image import yunet
from guardrail.inference.image.align import ARCFACE
from guardrail.inference.image.closeup import (
    ACROSS,
    CONFIRMED,
    FACE,
    LEANING,
    TURN_SIDE,
    best_turn,
    leans,
    read_again,
    seen_again,
    sharpened,
)
from guardrail.inference.image.search import AGE_FACE


class Again:
    """A detector that sees a face in the middle of what it is shown: with `score`, every other time with `mirrored`."""

    def __init__(self, score: float, mirrored: float) -> None:
        self.scores = [score, mirrored] * 2

    def get_inputs(self):
        return [type("Named", (), {"name": "x"})()]

    def run(self, wanted, feed):
        score, (height, width) = self.scores.pop(0), feed["x"].shape[2:]
        answers = []
        for stride in yunet.STRIDES:
            heads = np.zeros((1, 16, height // stride, width // stride), np.float32)
            heads[0, :2] = -30.0
            heads[0, 4:6] = np.log(4.0)
            if stride == 16:
                heads[0, :2, 4, 4] = np.log(score / (1 - score)) if score else -30.0
            answers.append(heads)
        return answers


@pytest.mark.parametrize(
    ("near", "mirrored", "left"),
    [
        (0.9, 0.9, 0.75),
        (CONFIRMED, CONFIRMED + 0.001, 0.75),
        (CONFIRMED, CONFIRMED - 0.02, CONFIRMED - 0.01),
        (0.5, 0.3, FACE),
        (0.0, 0.0, FACE),
        (0.99, 0.0, FACE),
    ],
)
def test_a_doubtful_face_that_is_none_from_close_by_keeps_less_than_an_age_is_read_at(near, mirrored, left):
    row = np.zeros(15, np.float32)
    row[:4], row[14] = (100, 100, 180, 180), 0.75
    assert seen_again(Again(near, mirrored), np.zeros((300, 300, 3), np.uint8), row, 0) == pytest.approx(left)
    assert FACE < AGE_FACE


@pytest.mark.parametrize(("near", "taken"), [(FACE + 0.01, True), (FACE - 0.01, False)])
def test_a_small_face_keeps_its_box_and_score_and_takes_the_landmarks_seen_from_close_by(near, taken):
    row = np.zeros(15, np.float32)
    row[:4], row[14] = (100, 100, 130, 130), 0.9
    sharp = sharpened(Again(near, 0.0), np.zeros((300, 300, 3), np.uint8), row)
    assert sharp[:4].tolist() == row[:4].tolist()
    assert sharp[14] == row[14]
    assert bool(((sharp[4:14] > 100) & (sharp[4:14] < 130)).all()) is taken
    assert bool((sharp[4:14] == row[4:14]).all()) is not taken


def leaning(degrees: float) -> np.ndarray:
    """A row of a face of 80 pixels in the middle of 300, turned clockwise by `degrees`."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    points = (ARCFACE - 0.5) @ np.array([[cos, sin], [-sin, cos]]) * 80 + 150
    return np.concatenate([(110, 110, 190, 190), points.ravel(), (0.9,)]).astype(np.float32)


@pytest.mark.parametrize("degrees", [LEANING + 0.5, -LEANING - 0.5, 90, 180, 270])
def test_a_face_leans_beyond_a_few_degrees_either_way(degrees):
    assert leans(leaning(degrees))


@pytest.mark.parametrize("degrees", [LEANING - 0.5, 0.5 - LEANING, 0, 360])
def test_a_face_that_is_nearly_upright_does_not_lean(degrees):
    assert not leans(leaning(degrees))


def test_landmarks_in_one_place_lean_nowhere():
    assert not leans(np.zeros(15, np.float32))


class Turns:
    """A detector that sees an upright face in the middle of what it is shown, with the score of that turn in order."""

    def __init__(self, *scores: float, half: float = 0.2) -> None:
        self.scores = list(scores)
        self.half = half  # of the face, as a share of what is shown
        self.sides: list[int] = []

    def get_inputs(self):
        return [type("Named", (), {"name": "x"})()]

    def run(self, wanted, feed):
        height, width = feed["x"].shape[2:]
        score = self.scores.pop(0) if self.scores else 0.9
        self.sides.append(width)
        side = TURN_SIDE if width == TURN_SIDE else 144
        answers = []
        for stride in yunet.STRIDES:
            heads = np.zeros((1, 16, height // stride, width // stride), np.float32)
            heads[0, :2] = -30.0
            if stride == 8 and score:
                at = side // 16
                heads[0, :2, at, at] = np.log(score / (1 - score))
                heads[0, 4:6, at, at] = np.log(self.half * side / 4)
                heads[0, 6:, at, at] = ((ARCFACE - 0.5) * side * 2 * self.half / 8).ravel()
            answers.append(heads)
        return answers


PLAIN = np.zeros((300, 300, 3), np.uint8)


@pytest.mark.parametrize(("more", "angle"), [(ACROSS + 0.01, 90), (ACROSS - 0.01, 0)])
def test_a_quarter_turn_has_to_be_plainly_better(more, angle):
    row, found = leaning(0), Turns(0.80, 0.3, 0.80 + more, 0.3, 0.3, 0.3, 0.3, 0.3)
    best, turn = best_turn(found, PLAIN, row, 0)
    assert turn == angle
    assert (best is row) is (angle == 0)
    assert len(found.sides) == (9 if angle else 8)
    points = best[4:14].reshape(5, 2)
    along = points[1] - points[0]
    assert np.degrees(np.arctan2(along[1], along[0])) == pytest.approx(angle, abs=3)


def test_a_face_of_another_size_in_the_same_place_is_another():
    row = leaning(0)
    assert best_turn(Turns(*[0.9] * 8, half=0.5), PLAIN, row, 0)[0] is row
    assert best_turn(Turns(*[0.9] * 8, half=0.08), PLAIN, row, 90) == (row, 90)


def test_what_is_seen_in_no_turn_stays_as_it_was():
    row = leaning(40)
    best, turn = best_turn(Turns(*[0.0] * 8), PLAIN, row, 0)
    assert best is row
    assert turn == 0


@pytest.mark.parametrize(
    ("scores", "is_turned"),
    [
        ((0.80, 0.82, 0.80, 0.82, 0.80, 0.82), True),
        ((0.78, 0.83, 0.82, 0.83, 0.88, 0.0), False),  # an upright face in a coarse JPEG
        ((0.82, 0.80), False),
        ((0.0, 0.0), False),
    ],
)
def test_a_face_is_read_upside_down_where_three_looks_take_that_for_more_of_one(scores, is_turned):
    row, looks = leaning(10), Turns(*scores)
    points = read_again(looks, PLAIN, row, 0, noisy=False)
    assert len(looks.sides) == len(scores)
    assert bool((points == row[4:14].reshape(5, 2)).all()) is not is_turned
    assert bool(points[0, 1] > points[3, 1]) is is_turned  # the eyes below the mouth


@pytest.mark.parametrize(("scores", "roll"), [((0.9, 0.7, 0.7), 50), ((0.7, 0.9, 0.7), 0), ((0.7, 0.7, 0.9), 230)])
def test_a_noisy_face_is_read_in_the_turn_where_it_looks_most_like_one(scores, roll):
    row = leaning(90)
    points = read_again(Turns(*scores), PLAIN, row, 50, noisy=True)
    across = points[1] - points[0]
    assert abs((np.degrees(np.arctan2(across[1], across[0])) - roll + 180) % 360 - 180) < 2


def test_a_noisy_face_that_is_not_seen_again_keeps_its_landmarks():
    row = leaning(20)
    assert (read_again(Turns(0.0, 0.0, 0.0), PLAIN, row, 20, noisy=True) == row[4:14].reshape(5, 2)).all()


def test_a_noisy_face_is_looked_at_softened():
    class Keeps(Turns):
        def run(self, wanted, feed):
            self.spread = float(feed["x"][0, :, 40:100, 40:100].std())
            return super().run(wanted, feed)

    grains = np.random.default_rng(1).normal(128, 25, (300, 300, 3)).clip(0, 255).astype(np.uint8)
    plain, soft = Keeps(), Keeps()
    for looks, noisy in ((plain, False), (soft, True)):
        read_again(looks, grains, leaning(0), 0, noisy=noisy)
    assert soft.spread < 0.6 * plain.spread
