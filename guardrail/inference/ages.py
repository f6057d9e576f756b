"""Ages: how old a face looks, in years. An apparent age is an indication and never a proof.

Noise and hard edges read as wrinkles and make a child look grown. So a face is read twice, as it is and smoothed,
and the younger of the two ages counts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from guardrail.inference import align
from guardrail.inference.align import Pixels, Points
from guardrail.inference.faces import Face, chip_of
from guardrail.inference.weights import Models
from guardrail.types import Artifact

AGE_V1, FACEAPI = "age-v1", "faceapi-age"
MEAN_RGB = np.array([122.78, 117.00, 104.30], np.float32)  # dlib's, for age-v1
# Width of the smoothing in pixels of a 128-pixel chip. On 14 faces of adults 1.5 reads 4.2 years younger (median) and
# noise of 20 grey levels moves that by 0.3 years; 1.0 reads 1.0 and 2.3 reads 5.5 younger (models/age/measure.py).
SMOOTH = 1.5
YEARS = np.concatenate([[0.25], np.arange(1, 81)]).astype(np.float32)  # what each of age-v1's 81 classes stands for

# Where the landmarks lie in YuNet's box made square: face-api was taught on boxes, and a template keeps turned
# faces upright. Median of 18 upright, frontal faces and their
# mirror images.
BOX: Points = np.array([(0.334, 0.364), (0.666, 0.364), (0.5, 0.563), (0.345, 0.731), (0.655, 0.731)], np.float32)


class AgeReader:
    """Reads the apparent age of a face, once per face. Uses face-api's net beside age-v1 where it is there."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self.names = (AGE_V1, FACEAPI) if FACEAPI in models.names() and models.has(FACEAPI) else (AGE_V1,)

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(self._models.label(name) for name in self.names)

    def age(self, artifact: Artifact, face: Face) -> float:
        """Apparent age in years, the younger of the raw and the smoothed reading, mean over the nets.

        `face` was found in this artifact by FaceFinder. Each reading is the mean of a chip and its mirror image.
        """
        key = f"face-age:{face.frame}:{face.landmarks.tobytes().hex()}"
        return artifact.once(key, lambda: self._read(artifact, face))

    def _read(self, artifact: Artifact, face: Face) -> float:
        readings = [self._age_v1(artifact, face)]
        if FACEAPI in self.names:
            readings.append(self._faceapi(artifact, face))
        return float(np.mean(readings, axis=0).min())

    def _age_v1(self, artifact: Artifact, face: Face) -> NDArray[np.float32]:
        batch = np.stack(_variants(chip_of(artifact, face, align.DLIB, 128), 64)).astype(np.float32)
        session = self._models.session(AGE_V1)
        planes = np.ascontiguousarray(((batch - MEAN_RGB) / 256).transpose(0, 3, 1, 2))
        (shares,) = session.run(None, {session.get_inputs()[0].name: planes})
        return _by_reading(np.asarray(shares, np.float32) @ YEARS)

    def _faceapi(self, artifact: Artifact, face: Face) -> NDArray[np.float32]:
        batch = np.stack(_variants(chip_of(artifact, face, BOX, 112), 112)).astype(np.float32)
        session = self._models.session(FACEAPI)
        answer = session.run(["age"], {session.get_inputs()[0].name: batch})[0]
        return _by_reading(np.asarray(answer, np.float32).reshape(-1))


def _variants(chip: Pixels, side: int) -> list[Pixels]:
    """Raw, its mirror, smoothed, its mirror: uint8 (side, side, 3) each."""
    raw = Image.fromarray(chip)
    smooth = raw.filter(ImageFilter.MedianFilter(3)).filter(ImageFilter.GaussianBlur(SMOOTH * chip.shape[0] / 128))
    small = [np.asarray(image.reduce(chip.shape[0] // side)) for image in (raw, smooth)]
    return [view for image in small for view in (image, image[:, ::-1])]


def _by_reading(ages: NDArray[np.float32]) -> NDArray[np.float32]:
    """(raw, smoothed) from the four variants."""
    return np.asarray(ages.reshape(2, 2).mean(axis=1), np.float32)
