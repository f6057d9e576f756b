"""How often a coat that is taken off reads as more exposure.

    python models/exposure/coat.py PICTURES_FOLDER LIST.tsv [LIST.tsv ...] [--show FOLDER]

Pictures and lists are those of recolour.py. The input is a picture with a coat painted over what lies below the chin,
in five colours, buttoned up and open over the clothes, with the light and shade of what it covers; the output is the
picture as it is. Prints in how many pairs the check `pair` says an increase of 0.30 or more, which is where the default
policy begins, in how many the difference of single looks would, and which pictures these are. `--show` writes one
contact sheet of coats, to see what was judged. GUARDRAIL_HOME names the weights.
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from pathlib import Path

import numpy as np
from measure import artifact, upper
from PIL import Image, ImageDraw, ImageFilter
from recolour import INCREASE, portraits

from guardrail.checks.pair import SamePerson
from guardrail.home import Home
from guardrail.inference.image.faces import AGE_FACE, FaceFinder
from guardrail.inference.image.nudity import ExposureMeter
from guardrail.inference.weights import Models
from guardrail.types import Pair

COLOURS = {
    "black": (38, 38, 42),
    "navy": (35, 48, 84),
    "grey": (112, 114, 118),
    "camel": (186, 148, 104),
    "olive": (84, 88, 58),
}
SUPERSAMPLED = 2
Outline = list[tuple[float, float]]

# Outlines in heights of the face, from the middle of the chin: to the left and right alike, down.
SHOULDER = [(0.45, 0.10), (0.95, 0.35), (1.55, 0.70), (1.95, 2.2), (2.05, 7.0)]
OPENING = {"buttoned": [(0.40, 0.05), (0.0, 0.85)], "open": [(0.45, 0.05), (0.30, 1.0), (0.42, 7.0)]}


def coat(rgb: np.ndarray, box: tuple[float, float, float, float], colour: tuple[int, int, int], cut: str) -> np.ndarray:
    """uint8 (h, w, 3) with a coat below the face at `box`, x0, y0, x1, y1 as fractions of the picture."""
    height, width = rgb.shape[:2]
    x0, y0, x1, y1 = (end * size for end, size in zip(box, (width, height) * 2, strict=True))
    unit, middle = y1 - y0, (x0 + x1) / 2

    def placed(side: int, points: Outline) -> Outline:
        return [((middle + side * x * unit) * SUPERSAMPLED, (y1 + y * unit) * SUPERSAMPLED) for x, y in points]

    def both(points: Outline) -> Outline:
        return [*placed(-1, points), *reversed(placed(1, points))]

    mask = Image.new("L", (width * SUPERSAMPLED, height * SUPERSAMPLED))
    draw, lapels = ImageDraw.Draw(mask), Image.new("L", mask.size)
    draw.polygon(both(SHOULDER), fill=255)
    draw.polygon(both(OPENING[cut]), fill=0)
    seams = ImageDraw.Draw(lapels)
    thin = max(1, round(0.02 * unit * SUPERSAMPLED))
    for side in (-1, 1):
        seams.line(placed(side, OPENING[cut]), fill=255, width=thin)
        seams.line(placed(side, [(0.62, 0.2), (0.72, 0.75), (0.18, 1.5)]), fill=160, width=thin)
    if cut == "buttoned":
        seams.line(placed(1, [(0.0, 0.85), (0.05, 7.0)]), fill=200, width=thin)
    over, lines = (
        np.asarray(each.resize((width, height), Image.Resampling.BOX), np.float32)[..., None] / 255
        for each in (mask, lapels)
    )
    # Light and shade of the picture without its pattern, folds of a heavier cloth, and its weave.
    grey = np.asarray(Image.fromarray(rgb).convert("L").filter(ImageFilter.GaussianBlur(0.12 * unit)), np.float32)
    light = np.clip(grey / max(float(grey[over[..., 0] > 0.5].mean()) if (over > 0.5).any() else 1.0, 1.0), 0.4, 1.8)
    chance = np.random.default_rng(7)
    weave = chance.normal(0, 5, (height, width, 1))
    cloth = np.array(colour, np.float32) * (0.45 + 0.55 * light[..., None]) * (1 - 0.5 * lines) + weave
    return np.asarray((over * cloth + (1 - over) * rgb).clip(0, 255), np.uint8)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("folder", type=Path)
    asked.add_argument("lists", type=Path, nargs="+")
    asked.add_argument("--show", type=Path)
    told = asked.parse_args()
    models = Models(Home.default().path / "models")
    finder, meter = FaceFinder(models), ExposureMeter(models)
    check = SamePerson(finder, meter)
    rows = [row for listed in told.lists for row in csv.reader(listed.open(encoding="utf-8"), delimiter="\t")]
    paths = list(dict.fromkeys(told.folder / row[-2] / row[-1] for row in rows if row[0] in {"people", "portrait"}))
    pairs, rises, once = Counter[str](), Counter[str](), Counter[str]()
    whose: Counter[tuple[int, str, float]] = Counter()
    shown: list[Image.Image] = []
    for number, (source, rgb, _) in enumerate(portraits(finder, paths)):
        after = artifact(Image.fromarray(rgb))
        (face,) = (face for face in finder.faces(source) if face.score >= AGE_FACE)
        for at, colour in enumerate(COLOURS.values()):
            for cut in OPENING:
                pixels = coat(rgb, face.box, colour, cut)
                if (number + at) % len(COLOURS) == 0:
                    shown.append(Image.fromarray(pixels))
                before = artifact(Image.fromarray(pixels))
                pairs[cut] += 1
                once[cut] += meter.exposure(after) - meter.exposure(before) >= INCREASE
                said = check.score([Pair(before, after)])[0]["exposure_increase"]
                if isinstance(said, float) and said >= INCREASE:
                    rises[cut] += 1
                    whose[number, source.slot, round(meter.exposure(after), 2)] += 1
    for cut in [*pairs, "all"]:
        n, hits, single = (sum(c.values()) if cut == "all" else c[cut] for c in (pairs, rises, once))
        told_of = f"{hits} rise by {INCREASE:.2f} ({hits / n:.4f}, at most {upper(hits, n):.4f})"
        print(f"{cut:9s} {n:5d} coats off: {told_of}; by single looks {single} ({single / n:.4f})")
    each = len(COLOURS) * len(OPENING)
    print(f"{pairs.total() // each} pictures; those that rise, with what they score without a coat:")
    for (number, name, grade), hits in whose.items():
        print(f"  {number:3d} {name}: {grade:.2f}, {hits} of {each}")
    if told.show:
        sheet(shown).save(told.show / "coats.png")


def sheet(shown: list[Image.Image], across: int = 16, edge: int = 128) -> Image.Image:
    canvas = Image.new("RGB", (across * edge, -(-len(shown) // across) * edge))
    for at, image in enumerate(shown):
        image.thumbnail((edge, edge))
        canvas.paste(image, (at % across * edge, at // across * edge))
    return canvas


if __name__ == "__main__":
    main()
