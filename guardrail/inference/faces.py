"""Faces: where they are in a picture, how well they can be read, and what makes them comparable.

A face that lies on its side is found all the same, with a high score and landmarks that are invented: it reads as a
stranger of another age. Whatever is not found with full confidence is therefore looked at again in other turns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from guardrail.inference import align, yunet
from guardrail.inference.align import Pixels, Points
from guardrail.inference.frame import Frame
from guardrail.inference.image import picture
from guardrail.inference.skin import skin_share
from guardrail.inference.weights import Models
from guardrail.types import Artifact

# Of the 79 false faces that reach 0.5 among 500 hard negatives 45 are left at 0.6 and 22 at 0.7, of 106 true ones 94 %
# and 91 % (YuNet at 640 pixels; half of those pictures are animals and objects).
FACE = 0.6
AGE_FACE = 0.7
# Of 282 views of portraits on their side or head 94 % left a trace of 0.2 upright (at 512 pixels), and 11 % of 106
# wallpapers did. Of those views 95 % had a share of skin tones of 0.09 or more.
TRACE = 0.2
SKIN = 0.09
SIDE, SMALL_SIDE, NEAR_SIDE = 640, 256, 144
# Where a large picture leaves a trace and no face. Of 325 such pictures of places and things 94 did, and closer by 3 of
# those a face was found; a portrait of 200 pixels in a picture of 2,000 is missed at SIDE (0.54) and found here (0.82).
CLOSER = 960
LONG = 2.0  # a picture longer than this is searched at a longer side
MOST_TURNED = 4  # faces of one frame that are looked at in other turns: each costs five small passes
# Upright faces score 0.93 in the median; the false landmarks of the same faces on their side or head reached 0.90,
# at 45 degrees 0.92 (95th percentiles over 93 pictures of about 15 people).
SURE = 0.92
MOST_FACES = 24  # faces kept of one frame, the largest first

# Below these a face is there and cannot be read: 20 pixels is the smallest size at which the age figures were
# measured, 16 the smallest at which an identity survived.
READABLE_PX = 20.0
READABLE_FRONTALITY = 0.2


@dataclass(frozen=True, eq=False)
class Face:
    """A face in one frame of a picture.

    `box` is x0, y0, x1, y1 as fractions of the frame; `landmarks` are (5, 2) pixels of `Frame.rgb`: right eye (left
    in the picture), left eye, nose, right and left mouth corner. `score` is the detector's, not a probability.
    `size_px` is the shorter edge of the box in pixels, `sharpness` the standard deviation of the Laplacian on a
    64-pixel grey chip, `frontality` 1 for a face seen from the front and 0 for a profile, `turn_deg` the angle by
    which the picture had to be turned for the face to be found.
    """

    frame: int
    score: float
    box: tuple[float, float, float, float]
    landmarks: Points = field(repr=False)
    size_px: float
    sharpness: float
    frontality: float
    turn_deg: int = 0

    @property
    def readable(self) -> bool:
        """True when it is large and frontal enough to tell an age or compare an identity."""
        return self.size_px >= READABLE_PX and self.frontality >= READABLE_FRONTALITY

    @property
    def area(self) -> float:
        """Share of the frame that the box covers."""
        x0, y0, x1, y1 = self.box
        return max(0.0, x1 - x0) * max(0.0, y1 - y0)


class FaceFinder:
    """Finds the faces of a picture, and gives each a template when somebody asks."""

    def __init__(self, models: Models) -> None:
        self._models = models

    @property
    def models(self) -> tuple[str, ...]:
        """What finds: for the receipt. The template model is named by the checks that compare."""
        return (self._models.label("yunet"),)

    @property
    def template_model(self) -> str:
        return self._models.label("sface")

    def faces(self, artifact: Artifact) -> tuple[Face, ...]:
        """Every face with a score of FACE or more in every frame, the largest first. Searched once per artifact.

        Raises CheckError when the picture cannot be read.
        """
        return artifact.once("faces", lambda: self._search(artifact))

    def embed(self, artifact: Artifact, face: Face) -> NDArray[np.float32]:
        """The SFace template of a face found in this artifact: 128 numbers of unit length, made once per face.

        Two templates are compared by their dot product: 0.363 is the published threshold for one pair of adults.
        """
        key = f"face-template:{face.frame}:{face.landmarks.tobytes().hex()}"
        return artifact.once(key, lambda: self._template(_frame(artifact, face), face))

    def _search(self, artifact: Artifact) -> tuple[Face, ...]:
        session = self._models.session("yunet")
        found = [face for at, frame in enumerate(picture(artifact).frames) for face in faces_in(session, frame, at)]
        return tuple(sorted(found, key=lambda face: -face.area))

    def _template(self, rgb: Pixels, face: Face) -> NDArray[np.float32]:
        session = self._models.session("sface")
        chip = align.chip(rgb, face.landmarks, align.ARCFACE, 112)
        batch = np.ascontiguousarray(chip.transpose(2, 0, 1)[None], dtype=np.float32)
        (raw,) = session.run(None, {session.get_inputs()[0].name: batch})
        vector = np.asarray(raw[0], np.float32)
        return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9), np.float32)


def faces_in(session: Any, frame: Frame, at: int = 0) -> list[Face]:
    """The faces of one frame, the `at`-th. `session` is YuNet's. At most MOST_FACES, the largest first."""
    rows, turns = _rows(session, frame)
    areas = np.clip(rows[:, 2] - rows[:, 0], 0, None) * np.clip(rows[:, 3] - rows[:, 1], 0, None)
    largest = np.argsort(-areas, kind="stable")[:MOST_FACES]
    faces = [_face(frame.rgb, rows[i], turns[i], at) for i in largest]
    return sorted(faces, key=lambda face: -face.area)


def chip_of(artifact: Artifact, face: Face, template: Points, side: int) -> Pixels:
    """The chip of a face found in this artifact, cut by another model's template. uint8 (side, side, 3)."""
    return align.chip(_frame(artifact, face), face.landmarks, template, side)


def _rows(session: Any, frame: Frame) -> tuple[yunet.Found, list[int]]:
    """Detector rows of one frame and the turn each was found at.

    One pass is the rule. A frame in which nothing reaches TRACE, and that has few skin tones, is done with it. Else
    a larger scale is tried (somebody small in a large picture), a smaller one (a face that fills the frame, noise),
    the whole frame in other turns where no face was found, and each face without full confidence in other turns.
    """
    rgb = frame.rgb
    rows = _at(session, frame, SIDE)
    if not len(rows) and skin_share(frame.shrunk(SMALL_SIDE)[::4, ::4].reshape(-1, 3)) < SKIN:
        return rows, []
    if len(rows) and rows[0, 14] < FACE and _factor(frame, CLOSER) < _factor(frame, SIDE):
        rows = np.concatenate([rows, _at(session, frame, CLOSER)])
        rows = rows[np.argsort(-rows[:, 14], kind="stable")]
    if len(rows) and rows[0, 14] < AGE_FACE:
        rows = np.concatenate([rows, _at(session, frame, SMALL_SIDE)])
    rows = rows[rows[:, 14] >= FACE]
    turns = np.zeros(len(rows), np.int64)
    if not len(rows):
        rows, turns = _whole(session, frame, (90, 180, 270), SMALL_SIDE)
    for i in [i for i in np.argsort(-rows[:, 14], kind="stable") if rows[i, 14] < SURE][:MOST_TURNED]:
        rows[i], turns[i] = _best_turn(session, rgb, rows[i], int(turns[i]))
    if turns.any():
        # One face lies on its side, so the picture does: look for its neighbours the same way.
        most = int(np.bincount(np.round(turns[turns > 0] / 90).astype(int) % 4).argmax()) * 90
        if most:
            more, at = _whole(session, frame, (most,), SIDE)
            rows, turns = np.concatenate([rows, more]), np.concatenate([turns, at])
    order = np.argsort(-rows[:, 14], kind="stable")
    kept = order[yunet.keep(rows[order])]
    return rows[kept], [int(turn) for turn in turns[kept]]


def _at(session: Any, frame: Frame, side: int) -> yunet.Found:
    side = _as_many(frame, side)
    view = frame.shrunk(side)  # a whole factor: a tenth of the cost of any other size
    return yunet.detect(session, view, TRACE, frame.shrink_factor(side))


def _factor(frame: Frame, side: int) -> int:
    return frame.shrink_factor(_as_many(frame, side))


def _as_many(frame: Frame, side: int) -> int:
    """The long side at which a strip or a panorama has as many pixels as a square of `side`.

    By its long side alone a strip of 24 to 1 would be shrunk to a height of 27 pixels, and who stands in it to nothing.
    """
    aspect = max(frame.width, frame.height) / min(frame.width, frame.height)
    return round(side * math.sqrt(aspect)) if aspect > LONG else side


def _whole(session: Any, frame: Frame, turns: Sequence[int], side: int) -> tuple[yunet.Found, NDArray[np.int64]]:
    """Faces of the whole frame after quarter turns, which cost no resampling; and the turn of each."""
    side = _as_many(frame, side)
    view, factor = frame.shrunk(side), frame.shrink_factor(side)
    found = []
    for turn in turns:
        turned = np.rot90(view, turn // 90)
        centre = np.array(turned.shape[1::-1], np.float32) / 2
        rows = yunet.detect(session, turned, FACE)
        found.append(
            _turn_back(rows, _turn(turn), centre, np.array(view.shape[1::-1], np.float32) / 2) * _scaled(factor)
        )
    return np.concatenate(found), np.repeat(np.array(turns, np.int64), [len(one) for one in found])


def _turn(degrees: int) -> NDArray[np.float64]:
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[cos, -sin], [sin, cos]], np.float64)


def _scaled(factor: float) -> NDArray[np.float32]:
    """What rows are multiplied by when pixels grow by `factor`; the score stays."""
    return np.array([factor] * 14 + [1.0], np.float32)


def _turn_back(rows: yunet.Found, matrix: NDArray[np.float64], centre: NDArray[Any], to: NDArray[Any]) -> yunet.Found:
    """Rows of a turned view in the pixels that `matrix` leads back to; a box becomes a square of its mean edge."""
    scale = math.sqrt(abs(float(np.linalg.det(matrix))))
    points = (rows[:, 4:14].reshape(-1, 5, 2) - centre) @ matrix.T + to
    middle = ((rows[:, :2] + rows[:, 2:4]) / 2 - centre) @ matrix.T + to
    half = (rows[:, 2:4] - rows[:, :2]).mean(axis=1, keepdims=True) / 2 * scale
    return np.concatenate(
        [middle - half, middle + half, points.reshape(-1, 10), rows[:, 14:]],
        axis=1,
        dtype=np.float32,
        casting="same_kind",
    )


def _best_turn(session: Any, rgb: Pixels, row: NDArray[np.float32], angle: int) -> tuple[NDArray[np.float32], int]:
    """The face of `row`, found at `angle`, in the turn in which it scores best; `row` itself when none is better."""
    centre, half = (row[:2] + row[2:4]) / 2, 0.95 * float(max(row[2] - row[0], row[3] - row[1]))
    around = np.concatenate([centre - half, centre + half]).astype(np.float32)
    best = row
    for quarter in (90, 180, 270) if angle == 0 else ():
        best, angle = _better(session, rgb, around, quarter, best, angle)
    # A face at 45 degrees is found upright or at a right angle too, so its neighbours on both sides settle it.
    for eighth in ((angle - 45) % 360, (angle + 45) % 360):
        best, angle = _better(session, rgb, around, eighth, best, angle)
    return best, angle


def _better(
    session: Any, rgb: Pixels, around: NDArray[np.float32], turn: int, best: NDArray[np.float32], angle: int
) -> tuple[NDArray[np.float32], int]:
    for found in _turned(session, rgb, around, turn, NEAR_SIDE)[:1]:
        if found[14] > best[14] + (0.02 if angle == 0 else 0.0):
            return found, turn
    return best, angle


def _turned(session: Any, rgb: Pixels, region: NDArray[np.float32], turn: int, side: int) -> yunet.Found:
    """Faces in the square around `region` (x0, y0, x1, y1), looked at after a turn of `turn` degrees at `side` pixels.

    Rows come back in pixels of `rgb`.
    """
    centre = (region[:2] + region[2:4]) / 2
    edge = float(max(region[2] - region[0], region[3] - region[1]))
    scale = edge / side
    matrix = _turn(turn) * scale
    factor = max(1, math.floor(scale))
    half = edge * 0.7072 + 2 * factor
    x0, y0 = (max(0, math.floor(c - half)) for c in centre)
    x1, y1 = (min(limit, math.ceil(c + half)) for c, limit in zip(centre, (rgb.shape[1], rgb.shape[0]), strict=True))
    if x1 <= x0 or y1 <= y0:  # a box beyond the frame: nothing there to turn
        return np.zeros((0, 15), np.float32)
    part = Image.fromarray(np.ascontiguousarray(rgb[y0:y1, x0:x1])).reduce(factor)
    middle = np.array([side / 2, side / 2], np.float32)
    affine = np.column_stack([matrix, centre - matrix @ middle - (x0, y0)]) / factor
    view = part.transform((side, side), Image.Transform.AFFINE, tuple(affine.ravel()), Image.Resampling.BILINEAR)
    return _turn_back(yunet.detect(session, np.asarray(view), FACE), matrix, middle, centre)


def _face(rgb: Pixels, row: NDArray[np.float32], turn: int, frame: int) -> Face:
    height, width = rgb.shape[:2]
    x0, y0, x1, y1 = (float(value) for value in row[:4])
    landmarks = row[4:14].reshape(5, 2).copy()
    box = (max(0.0, x0 / width), max(0.0, y0 / height), min(1.0, x1 / width), min(1.0, y1 / height))
    return Face(
        frame=frame,
        score=float(row[14]),
        box=box,
        landmarks=landmarks,
        size_px=min(x1 - x0, y1 - y0),
        sharpness=_sharpness(rgb, landmarks),
        frontality=frontality(landmarks),
        turn_deg=turn,
    )


def frontality(landmarks: Points) -> float:
    """1 when the nose stands midway between the eyes, 0 when it is beside one of them: a profile, or no face.

    A collapsed set of landmarks (eyes in one place) answers 0.
    """
    right, left, nose, mouth_right, mouth_left = landmarks.astype(np.float64)
    eyes, middle = left - right, (right + left) / 2
    span = float(np.hypot(*eyes))
    depth = float(np.hypot(*((mouth_right + mouth_left) / 2 - middle)))
    if span < 1e-6 or depth < 1e-6:
        return 0.0
    along = float((nose - right) @ eyes) / (span * span)
    sideways = 1.0 - 2.0 * abs(along - 0.5)
    narrow = span / depth / 0.6  # eyes are about as far apart as from the mouth; 0.6 of that is well turned
    return float(np.clip(min(sideways, narrow), 0.0, 1.0))


def _sharpness(rgb: Pixels, landmarks: Points) -> float:
    try:
        chip = align.chip(rgb, landmarks, align.ARCFACE, 64)
    except (ValueError, np.linalg.LinAlgError):
        return 0.0
    grey = chip.astype(np.float32).mean(axis=2)
    laplacian = 4 * grey[1:-1, 1:-1] - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]
    return float(laplacian.std())


def _frame(artifact: Artifact, face: Face) -> Pixels:
    frames: Sequence[Any] = picture(artifact).frames
    rgb: Pixels = frames[face.frame].rgb
    return rgb
