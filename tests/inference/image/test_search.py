"""Which faint spots of a frame are looked at closely: those that a small face may have left."""

from __future__ import annotations

import numpy as np
import pytest

from guardrail.inference.image import yunet
from guardrail.inference.image.frame import Frame
from guardrail.inference.image.search import (
    MIDDLE_SKIN,
    MOST_SPOTS,
    MOST_WEAK,
    SPOT_BOX,
    SPOT_SIDE,
    SURE,
    WEAK,
    _spots,
    _weak,
)
from guardrail.inference.image.skin import skin_share, skin_shares

SKIN, GRASS = (205, 150, 125), (60, 120, 60)


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
    _spots(net, Frame(ground(SKIN), scale=1.0), rows(*(row(score) for score in scores)))
    assert len(net.shown) == looks


def test_a_faint_spot_is_looked_at_from_closer_by_than_others():
    net = Blind()
    _spots(net, Frame(ground(SKIN), scale=1.0), rows(row(WEAK), row(WEAK - 0.001)))
    near, close = net.shown
    assert close == SPOT_SIDE < near


def test_shares_of_patches_are_those_of_each():
    patches = np.array([[SKIN, SKIN, GRASS], [GRASS] * 3, [(90, 90, 90)] * 3], np.uint8)
    assert skin_shares(patches).tolist() == [skin_share(patch) for patch in patches] == [pytest.approx(2 / 3), 0.0, 1.0]
