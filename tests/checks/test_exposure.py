"""Exposure: the check says what the meter measured, and never that it looked where it could not."""

from __future__ import annotations

import pytest

from guardrail.checks import Tools
from guardrail.checks.exposure import Exposure
from guardrail.inference.image.nudity import ExposureMeter
from guardrail.types import Unknown
from tests.checks.people import Measures, blank, broken, photograph, real_models


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
    assert meter.most(picture) is meter.most(picture)


@pytest.mark.weights
def test_the_receipt_names_the_second_net_where_it_looked(tmp_path):
    models = real_models("open-nsfw", "nsfwjs", "yunet", "nanodet")
    check = Exposure.open(Tools(models, tmp_path, lambda purpose: bytes(32)))
    assert [label.partition("@")[0] for label in check.models] == ["open-nsfw", "nsfwjs", "yunet", "nanodet"]
