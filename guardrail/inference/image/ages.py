"""Ages: how old a face looks, in years. An apparent age is an indication and never a proof.

Noise and hard edges read as wrinkles and make a child look grown. So each net reads a face twice, as it is and
smoothed, and the younger of the two ages counts. Near the ages at which anything is decided each of these is the mean
with its mirror image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from guardrail.errors import CheckError
from guardrail.inference.image import align
from guardrail.inference.image.align import Pixels, Points
from guardrail.inference.image.decode import picture
from guardrail.inference.image.faces import Face, chip_of
from guardrail.inference.image.frame import Frame, size_of
from guardrail.inference.weights import Models
from guardrail.types import Artifact

AGE_V1, FACEAPI = "age-v1", "faceapi-age"
MEAN_RGB = np.array([122.78, 117.00, 104.30], np.float32)  # dlib's, for age-v1
YEARS = np.concatenate([[0.25], np.arange(1, 81)]).astype(np.float32)  # what each of age-v1's 81 classes stands for

# How much each net counts where both are there: as the inverse of the square of its mean error on UTKFace, 5.1 and 6.8
# years, in tenths.
SHARES = {FACEAPI: 0.6, AGE_V1: 0.4}
# Mean error in years on UTKFace: of the two together, and of age-v1 alone.
ERROR, ERROR_ALONE = 5.4, 6.8
# Four of five errors of a Laplace distribution are smaller than this many mean errors: ln 5.
FOUR_OF_FIVE = math.log(5)

# Widths of the smoothing after a median of 3, in pixels of the chip that is smoothed. face-api's is the published one:
# noise of 20 grey levels took its misses from 4 to 36 %, with the smoothed reading beside it to 6 %. age-v1's is, of
# 0.6, 1.0, 1.5 and 2.3, the widest that makes adults no younger by itself, and noise moves that reading least
# (models/age/smoothing.py; the card has the figures).
SMOOTH_FACEAPI, SMOOTH_AGE_V1 = 2.0, 1.0
FACEAPI_SIDE, AGE_V1_SIDE = 112, 64
# The mirror image is read too where a net sees a face below this age. It moved the age of 361 faces, some noisy or
# posterised, by 9 years at most, and so none of this age to where anything is decided.
PLAIN_YEARS = 40.0
Ages = NDArray[np.float32]
Net = Callable[[Pixels], Ages]

# Where the landmarks lie in the detector's box made square: for faces whose box says little, because they lie askew or
# reach beyond the picture. Median of 18 upright, frontal faces and their mirror images.
BOX: Points = np.array([(0.334, 0.364), (0.666, 0.364), (0.5, 0.563), (0.345, 0.731), (0.655, 0.731)], np.float32)
CORNERS: Points = np.array([(0, 0), (1, 0), (0, 1), (1, 1)], np.float32)
ASKEW_DEG = 15.0

# Nineteen exchanges after which the fifth of nine numbers is their median.
EXCHANGES = (
    *((1, 2), (4, 5), (7, 8), (0, 1), (3, 4), (6, 7), (1, 2), (4, 5), (7, 8), (0, 3)),
    *((5, 8), (4, 7), (3, 6), (1, 4), (2, 5), (4, 7), (4, 2), (6, 4), (4, 2)),
)


@dataclass(frozen=True)
class Reading:
    """The apparent age of one face in years: by net, together, and how far off it may well be.

    `by_net` has the younger of the raw and the smoothed reading of each net. `margin` years to either side hold four
    of five faces, by the published mean error; more where the nets are further apart than that.
    """

    by_net: Mapping[str, float]

    @property
    def age(self) -> float:
        """The mean over the nets, each by its share."""
        weight = sum(SHARES[name] for name in self.by_net)
        return sum(SHARES[name] * age for name, age in self.by_net.items()) / weight

    @property
    def margin(self) -> float:
        error = ERROR if len(self.by_net) > 1 else ERROR_ALONE
        return max(error * FOUR_OF_FIVE, (max(self.by_net.values()) - min(self.by_net.values())) / 2)


class AgeReader:
    """Reads the apparent age of a face, once per face. Uses face-api's net beside age-v1 where it is there."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self.names = (AGE_V1, FACEAPI) if FACEAPI in models.names() and models.has(FACEAPI) else (AGE_V1,)

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(self._models.label(name) for name in self.names)

    def age(self, artifact: Artifact, face: Face) -> float:
        """Apparent age in years: `reading(...).age`."""
        return self.reading(artifact, face).age

    def reading(self, artifact: Artifact, face: Face) -> Reading:
        """What each net reads of a face that FaceFinder found in this artifact."""
        key = f"face-age:{face.frame}:{face.landmarks.tobytes().hex()}"
        return artifact.once(key, lambda: self._read(artifact, face))

    def _read(self, artifact: Artifact, face: Face) -> Reading:
        v1 = _both(chip_of(artifact, face, align.DLIB, 2 * AGE_V1_SIDE), SMOOTH_AGE_V1)
        nets: dict[str, tuple[Net, list[Pixels]]] = {AGE_V1: (self._age_v1, [_halved(view) for view in v1])}
        if FACEAPI in self.names:
            chip = boxed(picture(artifact).frames[face.frame], face)
            nets[FACEAPI] = self._faceapi, _both(chip, SMOOTH_FACEAPI)
        ages = {name: net(np.stack(views)) for name, (net, views) in nets.items()}
        if any(float(both.min()) < PLAIN_YEARS for both in ages.values()):
            for name, (net, views) in nets.items():
                ages[name] = (ages[name] + net(np.stack([view[:, ::-1] for view in views]))) / np.float32(2)
        return Reading({name: _younger(both) for name, both in ages.items()})

    def _age_v1(self, views: Pixels) -> Ages:
        session = self._models.session(AGE_V1)
        planes = np.ascontiguousarray(((views.astype(np.float32) - MEAN_RGB) / 256).transpose(0, 3, 1, 2))
        (shares,) = session.run(None, {session.get_inputs()[0].name: planes})
        return np.asarray(shares, np.float32) @ YEARS

    def _faceapi(self, views: Pixels) -> Ages:
        session = self._models.session(FACEAPI)
        answer = session.run(["age"], {session.get_inputs()[0].name: views.astype(np.float32)})[0]
        return np.asarray(answer, np.float32).reshape(-1)


def boxed(source: Frame | Pixels, face: Face) -> Pixels:
    """The face as face-api was measured on it: the detector's box made square, black where the picture ends.

    uint8 (FACEAPI_SIDE, FACEAPI_SIDE, 3). A face that lies askew is turned upright by its landmarks instead.
    """
    width, height = size_of(source)
    x0, y0, x1, y1 = face.box
    across = face.landmarks[1] - face.landmarks[0]
    askew = abs(math.degrees(math.atan2(float(across[1]), float(across[0])))) > ASKEW_DEG
    cut_off = min(x0, y0) <= 0.0 or max(x1, y1) >= 1.0
    if askew or cut_off:
        return align.chip(source, face.landmarks, BOX, FACEAPI_SIDE)
    corner = np.array([(x0 + x1) * width, (y0 + y1) * height], np.float32) / 2
    edge = max((x1 - x0) * width, (y1 - y0) * height)
    return align.chip(source, corner + (CORNERS - np.float32(0.5)) * np.float32(edge), CORNERS, FACEAPI_SIDE)


def _both(chip: Pixels, width: float) -> list[Pixels]:
    """The chip as it is, and smoothed: uint8 of the chip's shape each."""
    return [chip, np.asarray(Image.fromarray(median(chip)).filter(ImageFilter.GaussianBlur(width)))]


def median(chip: Pixels) -> Pixels:
    """The median of each pixel and its eight neighbours, by channel; the border repeats itself.

    Pillow's MedianFilter(3) to the bit, in a tenth of its time: the exchanges of Paeth's network (Graphics Gems, 1990),
    each made for all pixels at once.
    """
    height, width = chip.shape[:2]
    padded = np.pad(chip, ((1, 1), (1, 1), (0, 0)), mode="edge")
    nine = [padded[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    for low, high in EXCHANGES:
        nine[low], nine[high] = np.minimum(nine[low], nine[high]), np.maximum(nine[low], nine[high])
    return nine[4]


def _halved(chip: Pixels) -> Pixels:
    return np.asarray(Image.fromarray(np.ascontiguousarray(chip)).reduce(2))


def _younger(ages: Ages) -> float:
    """The younger of the raw and the smoothed reading. Raises CheckError when one is no number."""
    younger = float(ages.min())
    if not math.isfinite(younger):
        raise CheckError("an age model gave no finite age: it is damaged")
    return younger
