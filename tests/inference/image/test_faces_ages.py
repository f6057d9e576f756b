"""Ages: the younger of two readings, the mean of two nets, and pixels prepared as each net was taught."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image, ImageFilter

from guardrail.errors import CheckError
from guardrail.inference.image import align
from guardrail.inference.image.ages import (
    AGE_V1,
    BOX,
    FACEAPI,
    FACEAPI_SIDE,
    MEAN_RGB,
    PLAIN_YEARS,
    SHARES,
    YEARS,
    AgeReader,
    boxed,
    median,
)
from guardrail.inference.image.faces import Face
from tests.checks.people import photograph

COLLINS = np.array([(205, 107), (243, 107), (225, 128), (208, 148), (240, 148)], np.float32)


@dataclass
class Named:
    name: str


class AgeV1:
    """A net that takes the mean red of a chip, in grey levels over 8, for its age; or its roughness."""

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
            np.abs(np.diff(pixels, axis=3)).mean(axis=(1, 2, 3)) if self.by_roughness else pixels[:, 0].mean((1, 2)) / 8
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
    planes, mirrored = net.saw
    assert planes.shape == mirrored.shape == (2, 3, 64, 64)
    assert planes.dtype == np.float32
    assert np.allclose(planes, mirrored[..., ::-1])
    red = (planes[0, 0] * 256 + MEAN_RGB[0]).mean()
    blue = (planes[0, 2] * 256 + MEAN_RGB[2]).mean()
    assert red > blue + 20  # a face is redder than it is blue
    assert age == pytest.approx(red / 8, abs=1.5)


def test_the_smoothed_reading_counts_when_it_is_younger():
    net, picture = AgeV1(by_roughness=True), photograph("collins", noise=40.0)
    age = AgeReader(Cache({AGE_V1: net})).age(picture, collins())
    planes = net.saw[0]
    rough, smooth = (np.abs(np.diff(planes[at] * 256, axis=2)).mean() for at in (0, 1))
    assert smooth < rough - 2
    assert age == pytest.approx(smooth, abs=1.0)


@pytest.mark.parametrize(("age", "readings"), [(PLAIN_YEARS - 0.1, 2), (PLAIN_YEARS, 1)])
def test_mirror_images_are_read_only_below_the_age_at_which_they_could_matter(age, readings):
    old = AgeV1()
    old.run = lambda wanted, feed: [np.eye(81, dtype=np.float32)[[60] * len(feed["images"])]]
    net = FaceApi(age)
    AgeReader(Cache({AGE_V1: old, FACEAPI: net})).age(photograph("collins"), collins())
    assert len(net.saw) == readings


def test_two_nets_are_averaged_and_both_are_named():
    first, second = AgeV1(), FaceApi(60.0)
    alone = AgeReader(Cache({AGE_V1: first})).age(photograph("collins"), collins())
    reader = AgeReader(Cache({AGE_V1: first, FACEAPI: second}))
    assert reader.models == ("age-v1@1", "faceapi-age@1")
    assert reader.age(photograph("collins"), collins()) == pytest.approx(
        SHARES[AGE_V1] * alone + SHARES[FACEAPI] * 60.0, abs=0.01
    )
    assert second.saw[0].shape == (2, 112, 112, 3)
    assert second.saw[0].max() > 1.0  # 0 to 255: this net normalises for itself


def painted_face(**changes):
    """A frame of 400 x 300 that is red in the box of a face and blue around it, and that face."""
    rgb = np.zeros((300, 400, 3), np.uint8)
    rgb[..., 2] = 200
    rgb[60:160, 100:180] = (200, 0, 0)
    eyes = np.array([(125, 95), (155, 95), (140, 115), (128, 135), (152, 135)], np.float32)
    told = {"box": (100 / 400, 60 / 300, 180 / 400, 160 / 300), "landmarks": eyes, **changes}
    return rgb, Face(0, 0.95, told["box"], told["landmarks"], 80.0, 20.0, 0.9)


def test_the_second_net_sees_the_square_around_the_box():
    chip = boxed(*painted_face())
    assert chip.shape == (112, 112, 3)
    red = chip[..., 0] > 100
    assert red[56].sum() == pytest.approx(0.8 * 112, abs=2)
    assert red[:, 56].sum() == pytest.approx(112, abs=2)


def test_a_box_that_leaves_the_picture_is_black_there_and_one_cut_off_goes_by_landmarks():
    rgb, found = painted_face(box=(-0.1, 0.2, 0.2, 0.6))
    by_landmarks = align.chip(rgb, found.landmarks, BOX, FACEAPI_SIDE)
    assert np.array_equal(boxed(rgb, found), by_landmarks)
    near_edge = painted_face(box=(0.01, 0.2, 0.1, 0.9))[1]
    assert not boxed(rgb, near_edge)[:, :20].any()


def test_a_face_askew_is_turned_upright_by_its_landmarks():
    turn = np.array([[0.9, -0.436], [0.436, 0.9]], np.float32)  # 26 degrees
    rgb, upright = painted_face()
    middle = upright.landmarks.mean(axis=0)
    askew = painted_face(landmarks=(upright.landmarks - middle) @ turn.T + middle)[1]
    assert not np.array_equal(boxed(rgb, askew), boxed(rgb, upright))


def test_an_age_that_is_no_number_is_an_error_and_not_an_adult():
    class Broken(FaceApi):
        def run(self, wanted, feed):
            return [np.full((len(feed["images"]), 1), np.nan, np.float32)]

    with pytest.raises(CheckError, match="no finite age"):
        AgeReader(Cache({AGE_V1: AgeV1(), FACEAPI: Broken(1.0)})).age(photograph("collins"), collins())


def test_the_median_is_pillows_to_the_bit():
    noise = np.random.default_rng(5).integers(0, 256, (40, 30, 3)).astype(np.uint8)
    expected = np.asarray(Image.fromarray(noise).filter(ImageFilter.MedianFilter(3)))
    assert np.array_equal(median(noise), expected)


def test_the_first_class_stands_for_a_quarter_of_a_year():
    assert YEARS[0] == 0.25
    assert YEARS[1] == 1.0
    assert len(YEARS) == 81


def test_templates_are_upright_faces():
    for template in (align.ARCFACE, align.DLIB):
        assert template[0, 0] < template[2, 0] < template[1, 0]
        assert template[:2, 1].max() < template[2, 1] < template[3:, 1].min()
