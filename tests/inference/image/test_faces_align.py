"""Alignment: landmarks land where the template says, whatever the turn and size of the face."""

from __future__ import annotations

import numpy as np
import pytest

from guardrail.inference.image.align import ARCFACE, DLIB, chip, similarity

COLOURS = np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255)], np.uint8)


def turned(points: np.ndarray, degrees: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    angle = np.radians(degrees)
    matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (points @ matrix.T + shift).astype(np.float32)


def dotted(landmarks: np.ndarray, radius: int, side: int = 600) -> np.ndarray:
    rgb = np.full((side, side, 3), 90, np.uint8)
    down, across = np.mgrid[:side, :side]
    for (x, y), colour in zip(landmarks, COLOURS, strict=True):
        rgb[(across + 0.5 - x) ** 2 + (down + 0.5 - y) ** 2 <= radius**2] = colour
    return rgb


@pytest.mark.parametrize("degrees", [0, 30, 90, 180, 271])
def test_the_similarity_finds_the_turn_that_was_made(degrees):
    source = ARCFACE * 100
    target = turned(source, degrees, 1.7, (20, 35))
    matrix = similarity(source, target)
    assert np.allclose(source @ matrix[:, :2].T + matrix[:, 2], target, atol=1e-3)


def test_a_mirrored_face_is_not_unmirrored():
    mirrored = DLIB * [-1, 1] + [1, 0]
    matrix = similarity(DLIB, mirrored.astype(np.float32))
    assert np.linalg.det(matrix[:, :2]) > 0


def test_landmarks_that_are_all_equal_are_refused():
    with pytest.raises(ValueError, match="landmarks"):
        similarity(np.ones((5, 2), np.float32), DLIB)


@pytest.mark.parametrize(("template", "side"), [(ARCFACE, 112), (DLIB, 64)])
@pytest.mark.parametrize("degrees", [0, 45, 180])
def test_every_landmark_lands_on_the_template(template, side, degrees):
    scale = 330.0
    landmarks = turned(template - 0.5, degrees, scale, (300, 300))
    cut = chip(dotted(landmarks, radius=20), landmarks, template, side)
    assert cut.shape == (side, side, 3)
    for (x, y), colour in zip(template * side, COLOURS, strict=True):
        assert np.abs(cut[int(y), int(x)].astype(int) - colour).max() < 40


def test_a_face_at_the_edge_is_padded_with_black():
    landmarks = turned(ARCFACE, 0, 112, (-56, 0))
    cut = chip(np.full((200, 200, 3), 200, np.uint8), landmarks, ARCFACE, 112)
    assert cut[56, 5].max() == 0
    assert cut[56, 100].min() == 200


def test_a_large_face_is_averaged_and_not_sampled():
    stripes = np.zeros((800, 800, 3), np.uint8)
    stripes[:, ::2] = 255
    cut = chip(stripes, turned(ARCFACE, 0, 700, (50, 50)), ARCFACE, 112)
    assert cut.std() < 8
    assert abs(cut.mean() - 127) < 8
