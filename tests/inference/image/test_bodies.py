"""Bodies: boxes where the answers say, in fractions of the frame, the surest first; and people without a head."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from guardrail.errors import CheckError
from guardrail.inference.image.bodies import (
    BINS,
    GREY,
    MOST_BODIES,
    NOTHING,
    STRIDES,
    TRACE,
    BodyFinder,
    bodies_in,
    padded,
)
from guardrail.inference.image.frame import Frame
from guardrail.inference.weights import Models
from tests.checks.people import PICTURES, blank, photograph, real_models


class Answers:
    """A session that sees a body with this logit at each cell (stride, row, column), five strides to every side."""

    def __init__(self, cells: dict[tuple[int, int, int], float]) -> None:
        self.cells = cells
        self.fed: tuple[int, ...] = ()

    def run(self, wanted, feed):
        self.fed = feed["image"].shape
        height, width = (2 * (edge - 1) for edge in self.fed[1:3])
        maps = []
        for stride in STRIDES:
            heads = np.zeros((1, 1 + 4 * BINS, height // stride, width // stride), np.float32)
            heads[0, 0] = -12.0
            heads[0, 1 + 5 :: BINS] = 30.0
            for (where, row, column), logit in self.cells.items():
                if where == stride:
                    heads[0, 0, row, column] = logit
            maps.append(heads)
        return maps


def frame(image: Image.Image) -> Frame:
    return Frame(np.array(image.convert("RGBX")), scale=1.0)


EMPTY = frame(Image.new("RGB", (640, 480)))


def test_a_box_lies_where_its_cell_and_its_edges_say():
    session = Answers({(16, 7, 10): 3.0})
    (body,) = bodies_in(session, EMPTY)
    assert session.fed == (1, 129, 161, 16)
    assert body.box == pytest.approx((88 / 320, 40 / 240, 248 / 320, 200 / 240))
    assert body.score == pytest.approx(1 / (1 + np.exp(-3.0)))


@pytest.mark.parametrize(("score", "seen"), [(TRACE + 0.001, 1), (TRACE - 0.001, 0)])
def test_what_leaves_hardly_a_trace_is_left_out(score, seen):
    assert len(bodies_in(Answers({(16, 7, 10): float(np.log(score / (1 - score)))}), EMPTY)) == seen


def test_a_view_lies_in_blocks_with_nothing_around_it_and_a_grey_margin():
    view = np.zeros((40, 50, 3), np.uint8)
    view[...] = (255, 0, 128)
    canvas = padded(view).reshape(33, 33, 2, 2, 4).transpose(0, 2, 1, 3, 4).reshape(66, 66, 4)
    assert (canvas[[0, -1], :, :3] == NOTHING).all()
    assert (canvas[:, [0, -1], :3] == NOTHING).all()
    assert (canvas[1:41, 1:51, :3] == (255, 0, 128)).all()
    assert (canvas[41:65, 1:65, :3] == GREY).all()
    assert (canvas[1:65, 51:65, :3] == GREY).all()


def test_of_two_boxes_in_one_place_the_surer_stays():
    (body,) = bodies_in(Answers({(16, 7, 10): 2.0, (16, 7, 11): 1.0}), EMPTY)
    assert body.box[0] == pytest.approx(88 / 320)


def test_a_crowd_is_cut_off_at_its_surest():
    found = bodies_in(
        Answers({(8, row, column): row / 10 for row in range(2, 26, 4) for column in range(2, 36, 4)}), EMPTY
    )
    assert len(found) == MOST_BODIES
    assert [body.score for body in found] == sorted((body.score for body in found), reverse=True)


@pytest.mark.parametrize(("size", "to"), [((320, 240), (256, 320)), ((320, 256), (256, 320)), ((1, 1), (32, 32))])
def test_a_view_is_padded_so_that_32_divides_its_sides(size, to):
    blocks = padded(np.zeros((size[1], size[0], 3), np.uint8))
    assert blocks.shape == (1, to[0] // 2 + 1, to[1] // 2 + 1, 16)


def test_without_the_weights_there_is_no_finder(tmp_path):
    assert BodyFinder.where_present(Models(tmp_path)) is None


@pytest.mark.weights
@pytest.mark.parametrize(("name", "least"), [("collins", 0.4), ("hopper", 0.6)])
def test_somebody_is_seen_without_a_head(name, least):
    finder = BodyFinder(real_models("nanodet"))
    image = Image.open(PICTURES / f"{name}.jpg")
    shoulders = photograph(name, crop=(0, round(image.height * 0.52), image.width, image.height))
    assert finder.bodies(shoulders)[0].score > least  # the float graph says 0.48 and 0.71
    assert finder.bodies(shoulders) is finder.bodies(shoulders)


@pytest.mark.weights
def test_hills_and_a_ball_are_nobody():
    finder = BodyFinder(real_models("nanodet"))
    assert all(body.score < 0.55 for seed in range(8) for body in finder.bodies(blank(seed=seed, side=512)))
    ball = Image.new("RGB", (512, 384), "white")
    ImageDraw.Draw(ball).ellipse((150, 80, 360, 290), fill="orange")
    assert all(body.score < 0.5 for body in bodies_in(real_models("nanodet").session("nanodet"), frame(ball)))


@pytest.mark.parametrize("head", [0, 1])
def test_an_answer_that_is_no_number_is_an_error_and_not_nobody(head):
    class Broken(Answers):
        def run(self, wanted, feed):
            maps = super().run(wanted, feed)
            maps[0][0, head, 0, 0] = np.nan
            return maps

    with pytest.raises(CheckError, match="nanodet gave no finite answer"):
        bodies_in(Broken({}), EMPTY)
