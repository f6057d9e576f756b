"""Ages: the younger of two readings, the mean of two nets, and pixels prepared as each net was taught."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from guardrail.inference import align
from guardrail.inference.ages import AGE_V1, FACEAPI, MEAN_RGB, YEARS, AgeReader
from guardrail.inference.faces import Face
from tests.checks.people import photograph

COLLINS = np.array([(205, 107), (243, 107), (225, 128), (208, 148), (240, 148)], np.float32)


@dataclass
class Named:
    name: str


class AgeV1:
    """A net that takes the mean red of a chip, in grey levels over 4, for its age; or its roughness."""

    def __init__(self, by_roughness: bool = False) -> None:
        self.by_roughness = by_roughness
        self.saw: list[np.ndarray] = []

    def get_inputs(self):
        return [Named("images")]

    def run(self, wanted, feed):
        planes = feed["images"]
        self.saw.append(planes)
        pixels = planes * 256 + MEAN_RGB[None, :, None, None]
        values = (
            np.abs(np.diff(pixels, axis=3)).mean(axis=(1, 2, 3)) if self.by_roughness else pixels[:, 0].mean((1, 2)) / 4
        )
        shares = np.zeros((len(planes), 81), np.float32)
        shares[np.arange(len(planes)), np.clip(np.round(values), 0, 80).astype(int)] = 1
        return [shares]


class FaceApi(AgeV1):
    def __init__(self, age: float) -> None:
        super().__init__()
        self.age = age

    def run(self, wanted, feed):
        self.saw.append(feed["images"])
        assert wanted == ["age"]
        return [np.full((len(feed["images"]), 1), self.age, np.float32)]


class Cache:
    """The part of Models that an age reader uses."""

    def __init__(self, sessions) -> None:
        self.sessions = sessions

    def names(self):
        return (AGE_V1, FACEAPI)

    def has(self, name):
        return name in self.sessions

    def label(self, name):
        return f"{name}@1"

    def session(self, name):
        return self.sessions[name]


def collins() -> Face:
    return Face(0, 0.95, (0.36, 0.12, 0.52, 0.36), COLLINS, 90.0, 20.0, 0.9)


def test_age_v1_sees_red_green_blue_less_its_mean_in_four_variants():
    net, picture = AgeV1(), photograph("collins")
    age = AgeReader(Cache({AGE_V1: net})).age(picture, collins())
    (planes,) = net.saw
    assert planes.shape == (4, 3, 64, 64)
    assert planes.dtype == np.float32
    assert np.allclose(planes[0], planes[1][:, :, ::-1])
    assert np.allclose(planes[2], planes[3][:, :, ::-1])
    red = (planes[0, 0] * 256 + MEAN_RGB[0]).mean()
    blue = (planes[0, 2] * 256 + MEAN_RGB[2]).mean()
    assert red > blue + 20  # a face is redder than it is blue
    assert age == pytest.approx(red / 4, abs=1.5)


def test_the_smoothed_reading_counts_when_it_is_younger():
    net, picture = AgeV1(by_roughness=True), photograph("collins", noise=40.0)
    age = AgeReader(Cache({AGE_V1: net})).age(picture, collins())
    (planes,) = net.saw
    rough, smooth = (np.abs(np.diff(planes[at] * 256, axis=2)).mean() for at in (0, 2))
    assert smooth < rough - 2
    assert age == pytest.approx(smooth, abs=1.0)


def test_two_nets_are_averaged_and_both_are_named():
    first, second = AgeV1(), FaceApi(60.0)
    alone = AgeReader(Cache({AGE_V1: first})).age(photograph("collins"), collins())
    reader = AgeReader(Cache({AGE_V1: first, FACEAPI: second}))
    assert reader.models == ("age-v1@1", "faceapi-age@1")
    assert reader.age(photograph("collins"), collins()) == pytest.approx((alone + 60.0) / 2, abs=0.01)
    assert second.saw[0].shape == (4, 112, 112, 3)
    assert second.saw[0].max() > 1.0  # 0 to 255: this net normalises for itself


def test_the_first_class_stands_for_a_quarter_of_a_year():
    assert YEARS[0] == 0.25
    assert YEARS[1] == 1.0
    assert len(YEARS) == 81


def test_templates_are_upright_faces():
    for template in (align.ARCFACE, align.DLIB):
        assert template[0, 0] < template[2, 0] < template[1, 0]
        assert template[:2, 1].max() < template[2, 1] < template[3:, 1].min()
