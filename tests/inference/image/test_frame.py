"""Frames: what is cut out of one is the same however it is cut."""

from __future__ import annotations

import numpy as np
import pytest

from guardrail.inference.image.closeup import looked
from guardrail.inference.image.frame import Frame
from tests.inference.image.test_search import Blind

WIDE, HIGH = 320, 200
PIXELS = np.random.default_rng(4).integers(0, 256, (HIGH, WIDE, 4), np.uint8)


def frame() -> Frame:
    return Frame(PIXELS.copy(), scale=1.0)


def box(*edges: float) -> np.ndarray:
    return np.array(edges, np.float32)


class Keeps(Blind):
    """A detector that sees nothing and keeps what it was shown."""

    def run(self, wanted, feed):
        self.seen = feed["x"].copy()
        return super().run(wanted, feed)


@pytest.mark.parametrize(
    ("edges", "held"),
    [((0, 0, WIDE, HIGH), True), ((-0.5, 0, 9, 9), False), ((0, -0.5, 9, 9), False), ((300, 9, WIDE + 0.5, 29), False)],
)
def test_a_box_is_held_that_lies_within_the_frame(edges, held):
    assert frame().holds(box(*edges)) is held


def test_a_plain_resize_enlarges_to_the_pixels_of_a_transformation_but_for_a_grey_level():
    scale, left, top = 72 / 96, 40.5, 61.25
    plain = frame().enlarged(box(left, top, left + 72, top + 72), 96)
    other = frame().sampled(np.array([[scale, 0, left], [0, scale, top]]), 96, 1)
    assert plain.shape == other.shape == (96, 96, 3)
    assert np.abs(plain.astype(int) - other).max() <= 1


def test_what_lies_beyond_the_frame_is_black():
    seen = frame().sampled(np.array([[1.0, 0, WIDE - 48.0], [0, 1.0, 0]]), 96, 1)
    assert (seen[:, :48] == PIXELS[:96, WIDE - 48 :, :3]).all()
    assert (seen[:, 48:] == 0).all()


@pytest.mark.parametrize("turn", [0, 45, 90, 200])
@pytest.mark.parametrize("edge", [72.0, 120.0, 200.0, 260.0], ids=["enlarged", "as it is", "halved", "nearly a third"])
def test_a_frame_and_its_pixels_are_looked_at_alike(edge, turn):
    region = box(30, -10, 30 + edge, edge - 10)
    of_frame, of_pixels = Keeps(), Keeps()
    looked(of_frame, frame(), region, turn, 96)
    looked(of_pixels, PIXELS[..., :3], region, turn, 96)
    # Where a sample falls between two pixels by halves, the last bit of where the cut begins decides.
    assert np.abs(of_frame.seen - of_pixels.seen).max() <= 1
