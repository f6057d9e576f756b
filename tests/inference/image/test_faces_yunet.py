"""Decoding the detector: cells become boxes, overlaps go, and padding changes nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from guardrail.errors import CheckError
from guardrail.inference.image import yunet


@dataclass
class Named:
    name: str


class OneCell:
    """A detector graph that fires on chosen cells of the stride-16 grid, with boxes of 32 x 48 pixels."""

    def __init__(self, cells: dict[tuple[int, int], float]) -> None:
        self.cells = cells
        self.saw: list[tuple[int, ...]] = []

    def get_inputs(self):
        return [Named("input")]

    def run(self, wanted, feed):
        pixels = feed["input"]
        self.saw.append(pixels.shape)
        answers = []
        for stride in yunet.STRIDES:
            rows, columns = pixels.shape[2] // stride, pixels.shape[3] // stride
            heads = np.zeros((1, 16, rows, columns), np.float32)
            heads[0, :2] = -30.0
            heads[0, 4:6] = np.log(np.array([32, 48]) / stride)[:, None, None]
            heads[0, 6:] = np.arange(10, dtype=np.float32)[:, None, None] / 10
            if stride == 16:
                for (row, column), value in self.cells.items():
                    heads[0, :2, row, column] = np.log(value / (1 - value))
            answers.append(heads)
        return answers


def test_a_cell_becomes_a_box_and_landmarks_in_pixels():
    (row,) = yunet.detect(OneCell({(3, 5): 0.9}), np.zeros((128, 200, 3), np.uint8), 0.6)
    assert np.allclose(row[:4], [80 - 16, 48 - 24, 80 + 16, 48 + 24])
    assert np.allclose(row[4:8], [80, 48 + 1.6, 80 + 3.2, 48 + 4.8])
    assert np.isclose(row[14], 0.9)


def test_rows_are_scaled_back_to_the_picture():
    (row,) = yunet.detect(OneCell({(3, 5): 0.9}), np.zeros((128, 200, 3), np.uint8), 0.6, scale=2)
    assert np.allclose(row[:4], [128, 48, 192, 144])
    assert np.isclose(row[14], 0.9)


def test_the_picture_is_padded_to_whole_cells():
    graph = OneCell({})
    yunet.detect(graph, np.zeros((33, 97, 3), np.uint8), 0.6)
    assert graph.saw == [(1, 3, 64, 128)]


def test_a_score_below_the_threshold_is_no_face_and_one_at_it_is():
    view = np.zeros((64, 64, 3), np.uint8)
    assert len(yunet.detect(OneCell({(1, 1): 0.59}), view, 0.6)) == 0
    assert len(yunet.detect(OneCell({(1, 1): 0.61}), view, 0.6)) == 1


def test_of_overlapping_boxes_the_best_stays_and_neighbours_do_too():
    found = yunet.detect(OneCell({(2, 2): 0.8, (2, 3): 0.9, (2, 8): 0.7}), np.zeros((96, 200, 3), np.uint8), 0.5)
    assert np.allclose(found[:, 14], [0.9, 0.7])


def test_a_picture_made_of_faces_costs_a_bounded_search():
    cells = {(row, column): 0.9 for row in range(60) for column in range(60)}
    found = yunet.detect(OneCell(cells), np.zeros((960, 960, 3), np.uint8), 0.5)
    assert len(found) <= yunet.MOST_BEFORE_NMS


@pytest.mark.parametrize("head", [0, 1, 2, 15])
def test_an_answer_that_is_no_number_is_an_error_and_not_nobody(head):
    class Broken(OneCell):
        def run(self, wanted, feed):
            answers = super().run(wanted, feed)
            answers[2][0, head, 0, 0] = np.nan
            return answers

    with pytest.raises(CheckError, match="yunet gave no finite answer"):
        yunet.detect(Broken({}), np.zeros((128, 200, 3), np.uint8), 0.6)
