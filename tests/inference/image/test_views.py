"""Views: no part of a frame is left unseen, and a body in a large picture is seen large."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from guardrail.inference.image.bodies import SEEN, Body
from guardrail.inference.image.faces import AGE_FACE
from guardrail.inference.image.frame import Frame
from guardrail.inference.image.skin import skin_share
from guardrail.inference.image.views import BODY_FACE_PX, EDGE_SKIN, MOST_BODIES, MOST_TILES, SIDE, views
from tests.checks.people import face

SKIN = (205, 150, 125)
DARK_SKIN = (95, 60, 45)
GREEN = (60, 120, 60)


def plain(width: int, height: int, colour=GREEN) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


def as_frame(rgb: np.ndarray) -> Frame:
    return Frame(np.array(Image.fromarray(rgb).convert("RGBX")), scale=1.0)


def small_face(left: float, top: float, height: float, **more: float):
    """A face whose box begins at fractions of a square frame of 1,000 pixels."""
    box = (left, top, left + 0.8 * height, top + height)
    return face(box=box, size_px=more.pop("size_px", 800 * height), **more)


def test_a_square_picture_has_one_view():
    (view,) = views(as_frame(plain(512, 512)))
    assert [look.shape for look in (*view.looks, view.whole)] == [(SIDE, SIDE, 3)] * 2


@pytest.mark.parametrize("colour", [SKIN, DARK_SKIN])
def test_skin_at_the_very_edge_gets_a_look_of_its_own(colour):
    rgb = plain(512, 512)
    rgb[:, :32] = rgb[:32] = colour
    (view,) = views(as_frame(rgb))
    assert len(view.looks) == 2
    assert np.abs(view.looks[1][:, 4].astype(int) - colour).max() < 12
    assert np.abs(view.looks[0][:, 4].astype(int) - colour).max() > 12


def test_an_edge_with_less_skin_than_the_threshold_gets_none():
    edge = np.array([[SKIN]] * 24 + [[GREEN]] * 76, np.uint8).reshape(-1, 3)
    assert skin_share(edge) == pytest.approx(0.24)
    assert skin_share(edge) < EDGE_SKIN


def test_a_blurred_margin_of_skin_in_a_picture_without_any_edge_gets_none():
    slope = np.linspace(0, 40, 512, dtype=np.float32)[None, :, None]
    (view,) = views(as_frame((np.array(SKIN, np.float32) - slope).repeat(512, axis=0).astype(np.uint8)))
    assert len(view.looks) == 1


def test_a_picture_without_colour_could_be_skin_anywhere():
    assert skin_share(np.full((10, 3), 90, np.uint8)) == 1.0


@pytest.mark.parametrize(("size", "count"), [((510, 320), 1), ((520, 320), 1 + 2), ((320, 1600), 1 + 5)])
def test_a_long_picture_is_cut_into_squares_too(size, count):
    assert len(views(as_frame(plain(*size)))) == count


def test_a_very_long_picture_has_bounded_views_and_no_gap():
    rgb = plain(64, 1280)
    for start in range(0, 1280, 160):
        rgb[start : start + 40] = (0, 0, 250)
    looks = [view.whole for view in views(as_frame(rgb))]
    assert len(looks) == 1 + MOST_TILES
    blue = sum(float((look[..., 2].astype(int) - look[..., 1] > 120).mean()) for look in looks[1:])
    assert blue > 1.0


def test_the_body_below_a_small_face_gets_a_view_that_shows_it_large():
    rgb = plain(1000, 1000)
    rgb[400:800, 420:620] = SKIN
    usual, body = views(as_frame(rgb), [small_face(0.48, 0.4, 0.1)])
    share = [float((np.abs(view.whole.astype(int) - SKIN).max(axis=2) < 12).mean()) for view in (usual, body)]
    assert share[0] == pytest.approx(0.08, abs=0.008)
    assert share[1] == pytest.approx(0.08 / 0.25, abs=0.03)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_the_body_of_a_turned_face_is_looked_at_where_it_lies_and_upright(quarters):
    upright = plain(1000, 1000)
    upright[400:800, 420:620] = SKIN
    upright[780:800, 420:620] = DARK_SKIN  # the feet
    (*_, expected) = views(as_frame(upright), [small_face(0.48, 0.4, 0.1)])
    x0, y0, x1, y1 = 0.48, 0.4, 0.56, 0.5
    box = {1: (1 - y1, x0, 1 - y0, x1), 2: (1 - x1, 1 - y1, 1 - x0, 1 - y0), 3: (y0, 1 - x1, y1, 1 - x0)}[quarters]
    turned = face(box=box, size_px=80, turn_deg=90 * quarters)
    (*_, body) = views(as_frame(np.rot90(upright, -quarters)), [turned])
    assert np.abs(body.whole.astype(int) - expected.whole).mean() < 1.0
    assert body.close == pytest.approx(expected.close, abs=0.001)


@pytest.mark.parametrize(("turn", "quarters"), [(44, 0), (46, 1), (180, 2), (270, 3), (316, 0)])
def test_a_frame_is_looked_at_as_a_turned_face_stands_upright_too(turn, quarters):
    rgb = plain(512, 512)
    rgb[:128] = SKIN
    first, *more = views(as_frame(rgb), [face(box=(0.2, 0.2, 0.7, 0.7), turn_deg=turn)])
    assert len(more) == (1 if quarters else 0)
    for view in more:
        assert [len(view.looks), view.close] == [len(first.looks), first.close]
        assert (view.square == np.rot90(first.square, quarters)).all()


LEANING = face(box=(0.38, 0.15, 0.72, 0.37), turn_deg=46)
BELOW = Body(0, SEEN, (0.2, 0.05, 0.9, 1.0))


@pytest.mark.parametrize(
    ("turn", "body", "looks"),
    [
        (46, BELOW, 1),
        (314, BELOW, 1),
        (67, BELOW, 1),
        (68, BELOW, 2),  # nearer to lying than to leaning
        (46, replace(BELOW, score=SEEN - 0.01), 2),
        (46, replace(BELOW, box=(0.5, 0.05, 1.0, 1.0)), 2),  # the head is at a side of the body
        (46, replace(BELOW, box=(0.2, 0.0, 0.9, 0.7)), 2),  # or too deep in it
        (46, replace(BELOW, box=(0.0, 0.5, 1.0, 1.0)), 2),  # somebody else's
    ],
)
def test_a_head_that_leans_on_a_body_that_stands_turns_nothing(turn, body, looks):
    leaning = replace(LEANING, turn_deg=turn)
    assert len(views(as_frame(plain(512, 512)), [leaning], bodies=[body])) == looks


def test_whose_head_leans_is_told_by_the_surest_body_that_holds_it():
    lying = Body(0, 0.9, (0.45, 0.1, 1.0, 0.6))
    assert len(views(as_frame(plain(512, 512)), [LEANING], bodies=[BELOW, lying])) == 2
    assert len(views(as_frame(plain(512, 512)), [LEANING], bodies=[BELOW, replace(lying, score=0.5)])) == 1


def test_the_body_below_a_small_head_that_leans_is_looked_at_as_it_stands():
    rgb = plain(1000, 1000)
    rgb[400:800, 420:620] = SKIN
    small = small_face(0.48, 0.4, 0.1)
    (_, standing) = views(as_frame(rgb), [small])
    body = Body(0, SEEN, (0.42, 0.36, 0.62, 0.95))
    (_, leaning) = views(as_frame(rgb), [replace(small, turn_deg=50)], bodies=[body])
    assert (leaning.whole == standing.whole).all()


def test_where_somebody_is_suspected_and_no_face_is_sure_a_frame_is_looked_at_in_every_quarter_turn():
    rgb = plain(600, 400)
    rgb[:128, :64] = SKIN
    (upright,) = views(as_frame(rgb))
    found = views(as_frame(rgb), [face(score=AGE_FACE - 0.01, turn_deg=90)], suspected=True)
    assert len(found) == 4
    assert all((view.square == np.rot90(upright.square, turn)).all() for turn, view in enumerate(found))
    assert len(views(as_frame(rgb), [face(score=AGE_FACE)], suspected=True)) == 1
    assert len(views(as_frame(rgb), [face(score=AGE_FACE, turn_deg=90)], suspected=True)) == 2
    assert len(views(as_frame(plain(300, 1500)), suspected=True)) == 4 * (1 + 5)


def test_a_dressed_body_gets_no_view_of_its_own():
    assert len(views(as_frame(plain(1000, 1000)), [small_face(0.48, 0.4, 0.1)])) == 1


@pytest.mark.parametrize(("height", "count"), [(0.12, 2), (0.125, 1)])
def test_a_face_that_the_usual_view_shows_large_asks_for_no_other(height, count):
    assert len(views(as_frame(plain(1000, 1000, SKIN)), [small_face(0.4, 0.1, height)])) == count


def test_a_face_of_few_pixels_or_an_unsure_one_asks_for_no_other_view():
    rgb = plain(1000, 1000, SKIN)
    assert len(views(as_frame(rgb), [small_face(0.4, 0.1, 0.1, size_px=BODY_FACE_PX)])) == 2
    assert len(views(as_frame(rgb), [small_face(0.4, 0.1, 0.1, size_px=BODY_FACE_PX - 1)])) == 1
    assert len(views(as_frame(rgb), [small_face(0.4, 0.1, 0.1, score=0.65)])) == 1


def test_a_crowd_has_bounded_views():
    crowd = [small_face(0.1 * at, 0.5, 0.08) for at in range(9)]
    assert len(views(as_frame(plain(1000, 1000, SKIN)), crowd)) == 1 + MOST_BODIES


@pytest.mark.parametrize("place", [(0.0, 0.0), (0.9, 0.9), (0.9, 0.0)])
def test_a_body_at_the_edge_is_seen_inside_the_frame(place):
    for view in views(as_frame(plain(1000, 1000, SKIN)), [small_face(*place, 0.1)]):
        assert view.whole.shape == (SIDE, SIDE, 3)
        assert np.abs(view.whole.astype(int) - SKIN).max() < 3


def test_a_view_knows_how_much_of_it_a_face_covers():
    (view,) = views(as_frame(plain(1000, 1000)), [small_face(0.2, 0.2, 0.5)])
    assert view.close == pytest.approx(0.8 * 0.5 * 0.5)
