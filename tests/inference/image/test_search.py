"""Which faint spots of a frame are looked at closely: those that a small face may have left."""

from __future__ import annotations

import numpy as np
import pytest

from guardrail.inference.image import yunet
from guardrail.inference.image.closeup import NEAR_SIDE
from guardrail.inference.image.frame import Frame
from guardrail.inference.image.search import (
    AGE_FACE,
    FAINTEST,
    HINT,
    MIDDLE_SKIN,
    MOST_CLOSER,
    MOST_SPOTS,
    MOST_WEAK,
    SPOT,
    SPOT_BOX,
    SPOT_SIDE,
    SURE,
    WEAK,
    _first,
    _spots,
    _weak,
)
from guardrail.inference.image.skin import skin_share, skin_shares

SKIN, GRASS = (205, 150, 125), (60, 120, 60)
WIDE_LOOK = -(-NEAR_SIDE // 32) * 32  # as the net is shown it


class Blind:
    """A detector that sees no face, and keeps the width of what it was shown."""

    def __init__(self) -> None:
        self.shown: list[int] = []

    def get_inputs(self):
        return [type("Named", (), {"name": "x"})()]

    def run(self, wanted, feed):
        height, width = feed["x"].shape[2:]
        self.shown.append(width)
        return [np.full((1, 16, height // stride, width // stride), -30.0, np.float32) for stride in yunet.STRIDES]


def ground(colour: tuple[int, int, int] = GRASS, side: int = 1000) -> np.ndarray:
    return np.full((side, side, 4), (*colour, 0), np.uint8)


EMPTY = Frame(ground(), scale=1.0)


def row(score: float, edge: float = 40.0, at: tuple[float, float] = (500.0, 500.0)) -> np.ndarray:
    x, y = at
    return np.array([x - edge / 2, y - edge / 2, x + edge / 2, y + edge / 2, *[0.0] * 10, score], np.float32)


def rows(*each: np.ndarray) -> yunet.Found:
    return np.stack(each) if each else np.zeros((0, 15), np.float32)


@pytest.mark.parametrize(("edge", "kept"), [(SPOT_BOX - 1, 1), (SPOT_BOX, 0)])
def test_a_small_face_leaves_no_large_box(edge, kept):
    assert len(_weak(Frame(ground(SKIN), scale=1.0), rows(row(0.02, edge)))) == kept


@pytest.mark.parametrize(("columns", "kept"), [(6, 1), (5, 0)])
def test_a_small_face_has_skin_tones_in_its_middle(columns, kept):
    pixels = ground()  # seen at half its size, where the middle has eleven columns
    pixels[480:520, 480 : 490 + 2 * columns, :3] = SKIN
    assert (columns / 11 >= MIDDLE_SKIN) is bool(kept)
    assert len(_weak(Frame(pixels, scale=1.0), rows(row(0.02)))) == kept


def test_where_there_is_no_colour_it_could_be_skin():
    assert len(_weak(Frame(ground((90, 90, 90)), scale=1.0), rows(row(0.02)))) == 1


def test_spots_at_the_edge_and_beyond_it_and_no_spots_are_fine():
    frame = Frame(ground(SKIN), scale=1.0)
    assert len(_weak(frame, rows(row(0.02, at=(0, 0)), row(0.02, at=(1010, 1010))))) == 2
    assert len(_weak(frame, rows())) == 0


@pytest.mark.parametrize(
    ("scores", "looks"),
    [
        ([WEAK] * (MOST_SPOTS + 3), MOST_SPOTS + 3),
        ([WEAK] * (MOST_SPOTS + 30), MOST_SPOTS + MOST_WEAK),
        ([WEAK - 0.001] * 30, MOST_WEAK),
        ([SURE, *[WEAK - 0.001] * 30], 0),
        ([], 0),
    ],
    ids=["some", "many", "faint", "beside a face", "none"],
)
def test_the_number_of_spots_that_are_looked_at_is_bounded(scores, looks):
    net = Blind()
    _spots(net, Frame(ground(SKIN), scale=1.0), rows(*(row(score) for score in scores)), rows())
    assert len(net.shown) == looks


def test_a_faint_spot_is_looked_at_from_closer_by_than_others():
    net = Blind()
    _spots(net, Frame(ground(SKIN), scale=1.0), rows(row(WEAK), row(WEAK - 0.001)), rows())
    near, close = net.shown
    assert close == SPOT_SIDE < near


@pytest.mark.parametrize(("weak", "looks"), [(0, 2), (MOST_WEAK - 1, MOST_WEAK), (MOST_WEAK, MOST_WEAK)])
def test_where_few_spots_are_left_the_best_of_the_faintest_that_lie_apart_fill_up_their_number(weak, looks):
    net = Blind()
    spots = rows(*(row(WEAK - 0.001, at=(40 + 50.0 * at, 100)) for at in range(weak)))
    one, beside, other = (row(FAINTEST + 0.001, at=(x, 700)) for x in (300, 304, 600))
    _spots(net, Frame(ground(SKIN), scale=1.0), spots, rows(one, beside, other))
    assert len(net.shown) == looks


def test_the_faintest_are_left_out_beside_a_face_where_a_spot_is_and_without_skin():
    faint = rows(row(FAINTEST, at=(500, 500)))
    for pixels, spots, looks in (
        (ground(SKIN), rows(row(SURE, at=(100, 100))), 0),
        (ground(SKIN), rows(row(WEAK - 0.001, at=(504, 500))), 1),
        (ground(), rows(), 0),
    ):
        net = Blind()
        _spots(net, Frame(pixels, scale=1.0), spots, faint)
        assert len(net.shown) == looks


class Cells(Blind):
    """A detector that sees boxes of 24 pixels with these scores, a row of the finest grid for each."""

    def __init__(self, *scores: float) -> None:
        super().__init__()
        self.scores = scores

    def run(self, wanted, feed):
        heads = super().run(wanted, feed)
        for at, score in enumerate(self.scores):
            heads[0][0, :2, 4 * at, 4] = np.log(score / (1 - score))
            heads[0][0, 4:6] = np.log(24 / yunet.STRIDES[0])
        return heads


class Hints(Cells):
    """A detector that sees a box of this score in its first look, and nothing in those after it."""

    def run(self, wanted, feed):
        answer = super().run(wanted, feed)
        self.scores = ()
        return answer


@pytest.mark.parametrize(
    ("hint", "edge", "colour", "beside", "sides"),
    [
        (HINT + 0.01, 80.0, SKIN, 0.0, [WIDE_LOOK, SPOT_SIDE]),
        (HINT - 0.01, 80.0, SKIN, 0.0, [WIDE_LOOK]),
        (AGE_FACE + 0.01, 80.0, SKIN, 0.0, [WIDE_LOOK]),  # a face already
        (HINT + 0.01, 38.0, SKIN, 0.0, [WIDE_LOOK]),  # looked at as closely before
        (HINT + 0.01, 80.0, GRASS, 0.0, [WIDE_LOOK]),  # no skin tone
        (HINT + 0.01, 80.0, SKIN, SURE, [WIDE_LOOK]),  # beside a face
    ],
    ids=["hint", "less", "face", "small", "grass", "beside"],
)
def test_a_spot_that_is_wider_than_the_face_in_it_is_looked_at_once_more_from_closer_by(
    hint, edge, colour, beside, sides
):
    net = Hints(hint)
    spot = row(0.15, edge)
    spots = rows(row(beside, at=(100, 100)), spot) if beside else rows(spot)
    _spots(net, Frame(ground(colour), scale=1.0), spots, rows())
    assert net.shown == sides


def test_the_number_of_looks_from_closer_by_is_bounded():
    class Sees(Hints):
        def run(self, wanted, feed):
            self.scores = (HINT + 0.01,) if feed["x"].shape[3] == WIDE_LOOK else ()
            return Cells.run(self, wanted, feed)

    net = Sees()
    spots = rows(*[row(0.15, 80.0)] * MOST_SPOTS, *[row(WEAK - 0.001)] * 20)
    _spots(net, Frame(ground(SKIN), scale=1.0), spots, rows())
    assert net.shown.count(WIDE_LOOK) == MOST_SPOTS
    assert net.shown.count(SPOT_SIDE) == MOST_CLOSER + MOST_WEAK


def test_the_first_look_tells_spots_from_what_is_fainter_and_drops_the_rest():
    spots, faint = _first(Cells(0.5, SPOT + 1e-4, SPOT - 1e-4, FAINTEST + 1e-4, FAINTEST - 1e-4), EMPTY)
    assert spots[:, 14] == pytest.approx([0.5, SPOT + 1e-4], abs=1e-5)
    assert faint[:, 14] == pytest.approx([SPOT - 1e-4, FAINTEST + 1e-4], abs=1e-5)


def test_shares_of_patches_are_those_of_each():
    patches = np.array([[SKIN, SKIN, GRASS], [GRASS] * 3, [(90, 90, 90)] * 3], np.uint8)
    assert skin_shares(patches).tolist() == [skin_share(patch) for patch in patches] == [pytest.approx(2 / 3), 0.0, 1.0]
