"""What turning a picture takes from its exposure.

    python models/exposure/turned.py PICTURES_FOLDER LIST.tsv [LIST.tsv ...]

Looks at what scores REVEALING or more upright: pictures of people, the same with what lies below the chin in colours
like skin (`recolour.py`), and what lies below the chin by itself. Prints of each kind, turned by 90, 180 and 270
degrees, the mean exposure and the share that keeps each threshold. No picture shows nudity: these are the harmless
ones that the nets take for it. Lists and pictures are those of recolour.py.
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from measure import artifact
from PIL import Image
from recolour import SKIN_LIKE, coloured, dressed, portraits

from guardrail.home import Home
from guardrail.inference.image.faces import FaceFinder
from guardrail.inference.image.nudity import ExposureMeter
from guardrail.inference.weights import Models

REVEALING, REVIEW, BLOCK = 0.2, 0.33, 0.5
TURNS = (0, 90, 180, 270)
LEAST = 64  # pixels of the shorter edge of what lies below a chin


def stand_ins(rgb: np.ndarray, top: int) -> Iterator[tuple[str, Image.Image]]:
    clothes = [dressed(rgb, top, coloured(colour), skin=False) for colour in SKIN_LIKE.values()]
    yield "as it is", Image.fromarray(rgb)
    for pixels in clothes:
        yield "in colours like skin", Image.fromarray(pixels)
    if min(rgb.shape[0] - top, rgb.shape[1]) >= LEAST:
        for pixels in (rgb, *clothes):
            yield "below the chin", Image.fromarray(pixels[top:])


def main(folder: Path, *lists: Path) -> None:
    models = Models(Home.default().path / "models")
    finder, meter = FaceFinder(models), ExposureMeter(models)
    rows = [row for listed in lists for row in csv.reader(listed.open(encoding="utf-8"), delimiter="\t")]
    paths = list(dict.fromkeys(folder / row[-2] / row[-1] for row in rows if row[0] in {"people", "portrait"}))
    scored: dict[str, list[list[float]]] = defaultdict(list)
    for _, rgb, top in portraits(finder, paths):
        for kind, image in stand_ins(rgb, top):
            upright = meter.exposure(artifact(image))
            if upright >= REVEALING:
                turned = (meter.exposure(artifact(image.rotate(turn, expand=True))) for turn in TURNS[1:])
                scored[kind].append([upright, *turned])
    for kind, each in scored.items():
        for turn, grades in zip(TURNS, np.array(each).T, strict=True):
            kept = "  ".join(f"{np.mean(grades >= cut):.2f} >= {cut}" for cut in (REVEALING, REVIEW, BLOCK))
            print(f"{kind:22s} n {len(grades):4d} turned by {turn:3d}: mean {grades.mean():.3f}  {kept}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(Path, sys.argv[2:]))
