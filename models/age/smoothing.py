"""How much smoothing, noise and posterising move the age that each net reads.

    python models/age/smoothing.py FILE...

For the faces of every file, read with the mean of a chip and its mirror image: as it is, smoothed (median 3, then
Gaussians of several widths), and all that again after noise of 20 grey levels on the picture, and with 4 grey levels.
Needs the weights yunet, age-v1 and faceapi-age in the cache; GUARDRAIL_HOME names it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageFilter

from guardrail.home import Home
from guardrail.inference.image import align
from guardrail.inference.image.ages import MEAN_RGB, YEARS, boxed, median
from guardrail.inference.image.faces import AGE_FACE, faces_in
from guardrail.inference.image.frame import Frame
from guardrail.inference.weights import Models

WIDTHS = (0.6, 1.0, 1.5, 2.0)
NOISE = 20.0


def age_v1(session, chip: Image.Image) -> float:
    small = np.asarray(chip.reduce(2), np.float32)
    planes = ((np.stack([small, small[:, ::-1]]) - MEAN_RGB) / 256).transpose(0, 3, 1, 2)
    (shares,) = session.run(None, {"images": np.ascontiguousarray(planes)})
    return float((shares @ YEARS).mean())


def faceapi(session, chip: Image.Image) -> float:
    pixels = np.asarray(chip, np.float32)
    return float(session.run(["age"], {"image": np.stack([pixels, pixels[:, ::-1]])})[0].mean())


def readings(read, session, chip: np.ndarray) -> list[float]:
    middle = Image.fromarray(median(chip))
    smooth = [middle.filter(ImageFilter.GaussianBlur(width)) for width in WIDTHS]
    return [read(session, view) for view in (Image.fromarray(chip), *smooth)]


def main(paths: Sequence[str]) -> None:
    models, chance = Models(Home.default().path / "models"), np.random.default_rng(0)
    rows: dict[str, list[list[list[float]]]] = {"age-v1": [], "faceapi-age": []}
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
                views = (rgb, rough, rgb // 64 * 64 + 32)
                chips = [align.chip(view, face.landmarks, align.DLIB, 128) for view in views]
                rows["age-v1"].append([readings(age_v1, models.session("age-v1"), chip) for chip in chips])
                chips = [boxed(view, face) for view in views]
                rows["faceapi-age"].append([readings(faceapi, models.session("faceapi-age"), chip) for chip in chips])
    if not rows["age-v1"]:
        sys.exit("no readable face in these files")
    print(f"{len(rows['age-v1'])} faces; medians in years against the plain picture as it is")
    print(f"{'':12s} {'smoothing':14s} clean  noise  posterised")
    for net, told in rows.items():
        found = np.array(told)  # faces, pictures, widths
        for at, name in enumerate(["as it is", *(f"Gaussian {width}" for width in WIDTHS)]):
            shifts = np.median(found[:, :, at] - found[:, :1, 0], axis=0)
            print(f"{net:12s} {name:14s} {shifts[0]:5.1f} {shifts[1]:6.1f} {shifts[2]:11.1f}")


if __name__ == "__main__":
    main(sys.argv[1:])
