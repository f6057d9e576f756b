"""How often clothes of another colour read as more exposure.

    python models/exposure/recolour.py PICTURES_FOLDER models/faces/pictures.tsv models/exposure/pictures.tsv

Of every picture with one sure face, what lies below the chin and has no skin tone is given six other colours, skin-like
ones among them, light and shade kept. Prints in how many the check `pair` says an increase of 0.30 or more, which is
where the default policy begins. `fetch.sh` here and in models/faces get the pictures; GUARDRAIL_HOME names the weights.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
from measure import artifact, upper
from PIL import Image

from guardrail.checks.pair import SamePerson
from guardrail.errors import CheckError
from guardrail.home import Home
from guardrail.inference.image.decode import picture
from guardrail.inference.image.faces import AGE_FACE, FaceFinder
from guardrail.inference.image.nudity import ExposureMeter
from guardrail.inference.image.skin import skin_tones
from guardrail.inference.weights import Models
from guardrail.types import Artifact, Kind, Pair

COLOURS = {
    "red": (190, 40, 50),
    "navy": (30, 45, 95),
    "white": (235, 235, 235),
    "black": (35, 35, 38),
    "beige": (215, 180, 150),
    "brown": (130, 85, 60),
}
INCREASE = 0.30


def dressed(rgb: np.ndarray, top: int, colour: tuple[int, int, int]) -> np.ndarray:
    """uint8 (h, w, 3) with all that has no skin tone below row `top` in another colour, as bright as it was."""
    part = rgb[top:].astype(np.float32)
    keep = skin_tones(rgb[top:].reshape(-1, 3)).reshape(part.shape[:2])
    grey = part.mean(axis=2, keepdims=True)
    new = np.array(colour, np.float32) * (0.35 + grey / max(float(grey.mean()), 1.0) * 0.65)
    out = rgb.copy()
    out[top:] = np.where(keep[..., None], part, new).clip(0, 255).astype(np.uint8)
    return out


def main(folder: Path, *lists: Path) -> None:
    models = Models(Home.default().path / "models")
    finder, check = FaceFinder(models), SamePerson(FaceFinder(models), ExposureMeter(models))
    rows = [row for listed in lists for row in csv.reader(listed.open(encoding="utf-8"), delimiter="\t")]
    counted, rises = 0, dict.fromkeys(COLOURS, 0)
    for path in dict.fromkeys(folder / row[-2] / row[-1] for row in rows if row[0] in {"people", "portrait"}):
        try:
            before = artifact(path)
            faces = [face for face in finder.faces(before) if face.score >= AGE_FACE]
        except (OSError, CheckError):
            continue
        frame = picture(before).frames[0]
        if len(faces) != 1 or (top := round((faces[0].box[3] + 0.02) * frame.height)) > 0.85 * frame.height:
            continue
        counted += 1
        source = Artifact(Kind.INPUT, "before", data=before.content)
        for name, colour in COLOURS.items():
            made = artifact(Image.fromarray(dressed(np.ascontiguousarray(frame.rgb), top, colour)))
            (scores,) = check.score([Pair(source, made)])
            said = scores["exposure_increase"]
            rises[name] += isinstance(said, float) and said >= INCREASE
    total = counted * len(COLOURS)
    hits = sum(rises.values())
    most = upper(hits, total)
    print(f"{counted} pictures, {total} edits: {hits} rise by {INCREASE} or more, at most {most:.4f}; {rises}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(Path, sys.argv[2:]))
