"""Pixels for a tower: open_clip's transform without torch."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from guardrail.errors import ConfigError
from guardrail.inference.clip.preprocess import Preprocess
from guardrail.inference.image.frame import Frame
from tests.checks.pictures import scene

TOLD = {
    "height": 224,
    "width": 224,
    "mean": [0.48, 0.46, 0.41],
    "std": [0.27, 0.26, 0.28],
    "interpolation": "bicubic",
    "resize": "shortest",
    "fill": 0,
}


def made(**changes: object) -> Preprocess:
    return Preprocess.read({**TOLD, **changes}, "clip.json")


def frame(pixels: np.ndarray) -> Frame:
    return Frame(np.dstack([pixels, np.zeros_like(pixels[..., :1])]), scale=1.0)


def test_the_usual_view_is_the_middle_of_the_shorter_edge():
    picture = np.zeros((100, 150, 3), np.uint8)
    picture[:, 25:125] = 200
    assert made(height=100, width=100).view(picture).min() == 200


def test_a_view_has_the_towers_size_whatever_the_picture_has():
    for resize in ("shortest", "longest", "squash"):
        for height, width in ((1, 1), (3, 700), (224, 224), (225, 224), (640, 200)):
            view = made(height=64, width=48, resize=resize).view(np.zeros((height, width, 3), np.uint8))
            assert view.shape == (64, 48, 3), (resize, height, width)


def test_the_longest_edge_fits_and_the_rest_is_filled():
    view = made(height=64, width=64, resize="longest", fill=9).view(np.full((100, 50, 3), 200, np.uint8))
    assert view[:, :15].max() == 9
    assert view[:, 17:47].min() == 200


def test_numbers_are_scaled_by_mean_and_deviation():
    (given,) = made().inputs(frame(np.full((300, 300, 3), 255, np.uint8)))
    assert given.shape == (1, 3, 224, 224)
    assert given.dtype == np.float32
    expected = [(1 - mean) / std for mean, std in zip(TOLD["mean"], TOLD["std"], strict=True)]
    np.testing.assert_allclose(given[0, :, 0, 0], expected, rtol=1e-6)


def test_what_stands_at_either_end_of_a_long_picture_is_looked_at():
    picture = np.zeros((200, 1000, 3), np.uint8)
    picture[:, :150] = (255, 0, 0)
    picture[:, -150:] = (0, 255, 0)
    views = made().inputs(frame(picture))
    assert len(views) == 6
    redness = [float(view[0, 0].mean()) for view in views]
    greenness = [float(view[0, 1].mean()) for view in views]
    assert int(np.argmax(redness)) == 1
    assert int(np.argmax(greenness)) == 5


def test_a_picture_up_to_the_limit_has_one_view_and_beyond_it_tiles():
    assert len(made().inputs(frame(scene(0, 160, 100)))) == 1
    assert len(made().inputs(frame(scene(0, 161, 100)))) == 3
    assert len(made().inputs(frame(scene(0, 100, 161)))) == 3
    assert len(made().inputs(frame(scene(0, 2400, 100)))) == 7


@pytest.mark.parametrize(
    "changes",
    [
        {"height": 0},
        {"width": 5000},
        {"std": [0.2, 0.2, 0.0]},
        {"mean": [0.2, 0.2]},
        {"mean": [0.2, 0.2, float("nan")]},
        {"interpolation": "random"},
        {"resize": "none"},
        {"fill": "grey"},
        {"mean": "0.5"},
    ],
)
def test_a_transform_that_no_tower_means_is_refused(changes):
    with pytest.raises(ConfigError, match=r"clip\.json: preprocess"):
        made(**changes)


def test_a_missing_word_of_the_transform_is_refused():
    with pytest.raises(ConfigError, match="KeyError"):
        Preprocess.read({name: value for name, value in TOLD.items() if name != "resize"}, "clip.json")


def test_the_way_of_resizing_is_the_one_asked_for():
    picture = scene(1, 500, 500)
    smooth = np.asarray(Image.fromarray(picture).resize((224, 224), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(made(interpolation="bilinear").view(picture), smooth)
    assert not np.array_equal(made().view(picture), smooth)
