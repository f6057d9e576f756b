"""Faces: where they are in a picture, how well they can be read, and what makes them comparable."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from guardrail.errors import CheckError
from guardrail.inference.image import align
from guardrail.inference.image.align import Pixels, Points
from guardrail.inference.image.closeup import CONFIRMED, FACE, SURE, read_again
from guardrail.inference.image.decode import picture
from guardrail.inference.image.frame import Frame, packed
from guardrail.inference.image.search import AGE_FACE, STRETCHED, search
from guardrail.inference.weights import Models
from guardrail.types import Artifact

__all__ = ["AGE_FACE", "FACE", "MOST_FACES", "Face", "FaceFinder", "chip_of", "faces_in", "frontality"]

MOST_FACES = 24  # faces kept of one frame, the largest first

# Below these a face is there and cannot be read: 20 pixels is the smallest size at which the age figures were
# measured, 16 the smallest at which an identity survived.
READABLE_PX = 20.0
READABLE_FRONTALITY = 0.2

# Noise and dots make a stranger of a face, so a chip with GRAIN grey levels of noise or more is smoothed before it is
# read: of 51 portraits in dots of one bit 44 instead of 28 then match themselves, and none of 135 untouched ones has
# as much (models/faces/measure.py; chosen on the first list). Noise shows at the size that the face has, CHIP at most.
GRAIN, SMOOTH = 6.0, 1.0
CHIP, LEAST_CHIP = 112, 24


@dataclass(frozen=True, eq=False)
class Face:
    """A face in one frame of a picture.

    `box` is x0, y0, x1, y1 as fractions of the frame; `landmarks` are (5, 2) pixels of `Frame.rgb`: right eye (left
    in the picture), left eye, nose, right and left mouth corner. `score` is the detector's, not a probability.
    `size_px` is the shorter edge of the box in pixels, `sharpness` the standard deviation of the Laplacian on a
    64-pixel grey chip, `frontality` 1 for a face seen from the front and 0 for a profile, `turn_deg` the angle by
    which the picture had to be turned for the face to be found. `doubtful` is what closer looks took for none.
    """

    frame: int
    score: float
    box: tuple[float, float, float, float]
    landmarks: Points = field(repr=False)
    size_px: float
    sharpness: float
    frontality: float
    turn_deg: int = 0
    doubtful: bool = False

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

    @property
    def session(self) -> Any:
        """YuNet's session, for `faces_in`."""
        return self._models.session("yunet")

    def faces(self, artifact: Artifact) -> tuple[Face, ...]:
        """Every face with a score of FACE or more in every frame, the largest first. Searched once per artifact.

        Raises CheckError when the picture cannot be read.
        """
        return artifact.once("faces", lambda: self._search(artifact))

    def embed(self, artifact: Artifact, face: Face) -> NDArray[np.float32]:
        """The SFace template of a face found in this artifact: 128 numbers of unit length, made once per face.

        Two templates are compared by their dot product: 0.363 is the published threshold for one pair of adults.
        Raises CheckError when the model gives none.
        """
        key = f"face-template:{face.frame}:{face.landmarks.tobytes().hex()}"
        return artifact.once(key, lambda: self._template(picture(artifact).frames[face.frame], face))

    def _search(self, artifact: Artifact) -> tuple[Face, ...]:
        session = self.session
        found = [face for at, frame in enumerate(picture(artifact).frames) for face in faces_in(session, frame, at)]
        return tuple(sorted(found, key=lambda face: -face.area))

    def _template(self, frame: Frame, face: Face) -> NDArray[np.float32]:
        session = self._models.session("sface")
        own, landmarks = int(np.clip(round(face.size_px), LEAST_CHIP, CHIP)), face.landmarks
        noisy = grain(align.chip(frame, landmarks, align.ARCFACE, own)) >= GRAIN
        if noisy or face.score < SURE or face.turn_deg:
            landmarks = read_again(self.session, frame, _row(frame, face), face.turn_deg, noisy)
        chip = align.chip(frame, landmarks, align.ARCFACE, CHIP)
        if noisy:
            chip = np.asarray(Image.fromarray(packed(chip)).filter(ImageFilter.GaussianBlur(SMOOTH)))
        batch = np.ascontiguousarray(chip.transpose(2, 0, 1)[None], dtype=np.float32)
        (raw,) = session.run(None, {session.get_inputs()[0].name: batch})
        vector = np.asarray(raw[0], np.float32)
        length = float(np.linalg.norm(vector))
        if not math.isfinite(length) or length < 1e-6:
            raise CheckError("sface gave a template without a direction, which is like nobody's: the model is damaged")
        return np.asarray(vector / length, np.float32)


def faces_in(session: Any, frame: Frame, at: int = 0) -> list[Face]:
    """The faces of one frame, the `at`-th. `session` is YuNet's. At most MOST_FACES, the largest first."""
    rows, turns = search(session, frame)
    areas = np.clip(rows[:, 2] - rows[:, 0], 0, None) * np.clip(rows[:, 3] - rows[:, 1], 0, None)
    largest = np.argsort(-areas, kind="stable")[:MOST_FACES]
    faces = [_face(frame, rows[i], turns[i], at) for i in largest]
    return sorted(faces, key=lambda face: -face.area)


def chip_of(artifact: Artifact, face: Face, template: Points, side: int) -> Pixels:
    """The chip of a face found in this artifact, cut by another model's template. uint8 (side, side, 3)."""
    return align.chip(picture(artifact).frames[face.frame], face.landmarks, template, side)


def _face(frame: Frame, row: NDArray[np.float32], turn: int, at: int) -> Face:
    height, width = frame.height, frame.width
    x0, y0, x1, y1 = (float(value) for value in row[:4])
    landmarks = row[4:14].reshape(5, 2).copy()
    box = (max(0.0, x0 / width), max(0.0, y0 / height), min(1.0, x1 / width), min(1.0, y1 / height))
    return Face(
        frame=at,
        score=float(row[14]),
        box=box,
        landmarks=landmarks,
        size_px=min(x1 - x0, y1 - y0),
        sharpness=_sharpness(frame, landmarks),
        frontality=frontality(landmarks),
        turn_deg=turn,
        # In a picture that may have been pulled one way a face is no face to closer looks either.
        doubtful=float(row[14]) < CONFIRMED and max(width, height) < STRETCHED * min(width, height),
    )


def _row(frame: Frame, face: Face) -> NDArray[np.float32]:
    """A face as the detector has it: its box and landmarks in pixels of the frame, and its score."""
    box = np.array(face.box) * ([frame.width, frame.height] * 2)
    return np.concatenate([box, face.landmarks.ravel(), [face.score]], dtype=np.float32, casting="same_kind")


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


def grain(chip: Pixels) -> float:
    """How much noise there is, as a standard deviation in grey levels; edges count for little.

    The mask of Immerkaer 1996, "Fast noise variance estimation", with the median in place of the mean.
    """
    grey = chip.astype(np.float32).mean(axis=2)
    across = grey[:, :-2] - 2 * grey[:, 1:-1] + grey[:, 2:]
    left = across[:-2] - 2 * across[1:-1] + across[2:]
    return float(np.median(np.abs(left))) / (6 * 0.6745)


def _sharpness(frame: Frame, landmarks: Points) -> float:
    try:
        chip = align.chip(frame, landmarks, align.ARCFACE, 64)
    except (ValueError, np.linalg.LinAlgError):
        return 0.0
    grey = chip.astype(np.float32).mean(axis=2)
    laplacian = 4 * grey[1:-1, 1:-1] - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]
    return float(laplacian.std())
