"""Exposure: the graded curve, and the views that leave nothing of a picture unseen."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from guardrail.checks.exposure import Exposure
from guardrail.inference.frame import Frame
from guardrail.inference.nudity import CROP, EDGE_SKIN, MOST_TILES, ExposureMeter, grade, views
from guardrail.inference.skin import skin_share
from guardrail.types import Unknown
from tests.checks.people import Measures, blank, broken, photograph, real_models

SKIN = (205, 150, 125)
DARK_SKIN = (95, 60, 45)


def frame(width: int, height: int, colour=(60, 120, 60)) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


def as_frame(rgb: np.ndarray) -> Frame:
    return Frame(np.array(Image.fromarray(rgb).convert("RGBX")), scale=1.0)


def test_the_curve_meets_the_published_percentiles():
    assert grade(0.0) == 0.0
    assert grade(1.0) == 1.0
    assert grade(0.19) < 0.20 <= grade(0.2)
    assert grade(0.32) < 0.33 <= grade(0.325)


def test_a_higher_score_is_never_less_exposed():
    steps = [grade(step / 200) for step in range(201)]
    assert steps == sorted(steps)


def test_a_square_picture_has_one_view():
    looks = views(as_frame(frame(512, 512)))
    assert [look.shape for look in looks] == [(CROP, CROP, 3)]


@pytest.mark.parametrize("colour", [SKIN, DARK_SKIN])
def test_skin_at_the_very_edge_gets_a_view_of_its_own(colour):
    rgb = frame(512, 512)
    rgb[:, :32] = rgb[:32] = colour
    looks = views(as_frame(rgb))
    assert len(looks) == 2
    assert np.abs(looks[1][:, 4].astype(int) - colour).max() < 12
    assert np.abs(looks[0][:, 4].astype(int) - colour).max() > 12


def test_an_edge_with_less_skin_than_the_threshold_gets_none():
    edge = np.array([[SKIN]] * 24 + [[(60, 120, 60)]] * 76, np.uint8).reshape(-1, 3)
    assert skin_share(edge) == pytest.approx(0.24)
    assert skin_share(edge) < EDGE_SKIN


def test_a_picture_without_colour_could_be_skin_anywhere():
    assert skin_share(np.full((10, 3), 90, np.uint8)) == 1.0


@pytest.mark.parametrize(("size", "count"), [((510, 320), 1), ((520, 320), 1 + 2), ((320, 1600), 1 + 5)])
def test_a_long_picture_is_cut_into_squares_too(size, count):
    assert len(views(as_frame(frame(*size)))) == count


def test_a_very_long_picture_has_bounded_views_and_no_gap():
    rgb = frame(64, 1280)
    for start in range(0, 1280, 160):
        rgb[start : start + 40] = (0, 0, 250)
    looks = views(as_frame(rgb))
    assert len(looks) == 1 + MOST_TILES
    blue = sum(float((look[..., 2].astype(int) - look[..., 1] > 120).mean()) for look in looks[1:])
    assert blue > 1.0


def test_the_check_says_what_the_meter_says():
    assert Exposure(Measures({"image[0]": 0.42})).score([blank()]) == [{"exposure": 0.42}]


@pytest.mark.weights
def test_a_broken_picture_is_unknown():
    (scores,) = Exposure(ExposureMeter(real_models("open-nsfw"))).score([broken()])
    assert isinstance(scores["exposure"], Unknown)


@pytest.mark.weights
@pytest.mark.parametrize("name", ["collins", "hopper"])
def test_a_dressed_portrait_is_not_exposed(name):
    check = Exposure(ExposureMeter(real_models("open-nsfw")))
    assert check.score([photograph(name)])[0]["exposure"] < 0.2


@pytest.mark.weights
def test_two_checks_measure_one_picture_once():
    meter, picture = ExposureMeter(real_models("open-nsfw")), photograph("hopper")
    assert meter.score(picture) is meter.score(picture)
