"""How much smoothing and noise move the age that age-v1 reads.

    python models/age/measure.py FILE...

For the faces of every file, read with the mean of a chip and its mirror image: as it is, smoothed (median 3, then
Gaussians of several widths on a 128-pixel chip), and all that again after noise of 20 grey levels on the picture.
Needs the weights yunet and age-v1 in the cache; GUARDRAIL_HOME names it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageFilter

from guardrail.home import Home
from guardrail.inference import align
from guardrail.inference.ages import MEAN_RGB, YEARS
from guardrail.inference.faces import AGE_FACE, faces_in
from guardrail.inference.frame import Frame
from guardrail.inference.weights import Models

WIDTHS = (0.6, 1.0, 1.5, 2.3)
NOISE = 20.0


def read(session, chip: Image.Image) -> float:
    small = np.asarray(chip.reduce(2), np.float32)
    planes = ((np.stack([small, small[:, ::-1]]) - MEAN_RGB) / 256).transpose(0, 3, 1, 2)
    (shares,) = session.run(None, {"images": np.ascontiguousarray(planes)})
    return float((shares @ YEARS).mean())


def readings(session, rgb: np.ndarray, landmarks: np.ndarray) -> list[float]:
    chip = Image.fromarray(align.chip(rgb, landmarks, align.DLIB, 128))
    middle = chip.filter(ImageFilter.MedianFilter(3))
    return [read(session, chip), *(read(session, middle.filter(ImageFilter.GaussianBlur(width))) for width in WIDTHS)]


def main(paths: Sequence[str]) -> None:
    models, chance = Models(Home.default().path / "models"), np.random.default_rng(0)
    clean, noisy = [], []
    for path in paths:
        try:
            image = Image.open(path).convert("RGB")
        except (OSError, Image.DecompressionBombError):
            continue
        image.thumbnail((1024, 1024))
        rgb = np.asarray(image)
        rough = (rgb + chance.normal(0, NOISE, rgb.shape)).clip(0, 255).astype(np.uint8)
        for face in faces_in(models.session("yunet"), Frame(np.array(image.convert("RGBX")), scale=1.0)):
            if face.readable and face.score >= AGE_FACE:
                clean.append(readings(models.session("age-v1"), rgb, face.landmarks))
                noisy.append(readings(models.session("age-v1"), rough, face.landmarks))
    if not clean:
        sys.exit("no readable face in these files")
    before, after = np.array(clean), np.array(noisy)
    print(f"{len(before)} faces; years younger than as it is (median), and moved by noise (mean)")
    for at, name in enumerate(["as it is", *(f"Gaussian {width}" for width in WIDTHS)]):
        shift = np.median(before[:, 0] - before[:, at])
        print(f"{name:12s} {shift:5.1f} {(after - before)[:, at].mean():6.1f}")


if __name__ == "__main__":
    main(sys.argv[1:])
