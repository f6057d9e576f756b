"""Faceless: each face answers for one body, whose head it is on, and for no other."""

from __future__ import annotations

import pytest

from guardrail.inference.image.bodies import Body
from guardrail.inference.image.faceless import DEEPEST, TALLEST, faceless
from tests.checks.people import face

SQUARE = (1000, 1000)
LEFT = Body(0, 0.8, (0.05, 0.1, 0.35, 1.0))
RIGHT = Body(0, 0.7, (0.60, 0.1, 0.90, 1.0))
FACE_LEFT = face(box=(0.15, 0.12, 0.25, 0.22))
FACE_RIGHT = face(box=(0.70, 0.12, 0.80, 0.22))


def test_a_body_with_a_face_at_its_top_has_one_and_the_body_beside_it_has_none():
    assert faceless([LEFT, RIGHT], [FACE_LEFT], SQUARE) == [RIGHT]
    assert faceless([LEFT, RIGHT], [FACE_LEFT, FACE_RIGHT], SQUARE) == []


def test_without_faces_every_body_is_faceless_and_without_bodies_none_is():
    assert faceless([LEFT, RIGHT], [], SQUARE) == [LEFT, RIGHT]
    assert faceless([], [FACE_LEFT], SQUARE) == []


def test_one_face_between_two_bodies_is_one_persons():
    before = Body(0, 0.9, (0.0, 0.1, 0.4, 1.0))
    assert len(faceless([LEFT, before], [FACE_LEFT], SQUARE)) == 1


def test_bodies_that_overlap_share_their_faces_out_so_that_all_have_one():
    # The first body could have either face, the second the left one alone: taken as they come, the second had none.
    wide = Body(0, 0.9, (0.0, 0.1, 1.0, 1.0))
    narrow = Body(0, 0.8, (0.1, 0.1, 0.3, 1.0))
    assert faceless([wide, narrow], [FACE_LEFT, FACE_RIGHT], SQUARE) == []


@pytest.mark.parametrize(("depth", "own"), [(DEEPEST - 0.01, True), (DEEPEST + 0.01, False)])
def test_a_face_before_somebodys_belly_is_another_persons(depth, own):
    top = 0.1 + (depth - 0.5) * 0.1
    found = faceless([LEFT], [face(box=(0.15, top, 0.25, top + 0.1))], SQUARE)
    assert found == ([] if own else [LEFT])


@pytest.mark.parametrize(("times", "own"), [(TALLEST - 0.1, True), (TALLEST + 0.1, False)])
def test_a_face_that_is_tiny_for_a_body_is_somebody_behind_it(times, own):
    edge = 0.9 / times
    found = faceless([LEFT], [face(box=(0.2, 0.11, 0.2 + edge, 0.11 + edge))], SQUARE)
    assert found == ([] if own else [LEFT])


@pytest.mark.parametrize(
    ("turn", "box"),
    [
        (90, (0.12, 0.45, 0.22, 0.55)),
        (270, (0.88, 0.45, 0.98, 0.55)),
        (-90, (0.88, 0.45, 0.98, 0.55)),
        (180, (0.5, 0.60, 0.6, 0.70)),
    ],
)
def test_the_face_of_somebody_who_lies_is_at_an_end_of_the_body(turn, box):
    lying = Body(0, 0.8, (0.1, 0.3, 1.0, 0.75))
    assert faceless([lying], [face(box=box, turn_deg=turn)], SQUARE) == []


def test_sizes_are_those_of_pixels_and_not_of_shares_of_the_frame():
    # In a frame four times as wide as high a face is four times as high a share of it as wide.
    body = Body(0, 0.8, (0.1, 0.1, 0.2, 1.0))
    assert faceless([body], [face(box=(0.14, 0.5, 0.155, 0.56))], (4000, 1000)) == [body]
    assert faceless([body], [face(box=(0.13, 0.12, 0.17, 0.28))], (4000, 1000)) == []
