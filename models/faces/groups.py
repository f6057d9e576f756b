"""How many faces of a group are found, by their size.

    python models/faces/groups.py FOLDER [models/faces/pictures.tsv]

No labelled group photographs are at hand, so groups are composed: on each of GROUPS pictures of nobody, 1,024 pixels
long, stand up to 12 portraits of the list in rows, cut to head and shoulders, their faces of one size, each mirrored
or not, darker or lighter. A face counts as found where a box of FACE overlaps its own by half of their union.
"""

from __future__ import annotations

import csv
import math
import sys
from pathlib import Path

import numpy as np
from measure import artifact, interval, opened, scaled
from PIL import Image

from guardrail.checks.pair import overlap
from guardrail.home import Home
from guardrail.inference.image.decode import picture
from guardrail.inference.image.faces import AGE_FACE, FaceFinder, faces_in
from guardrail.inference.weights import Models

GROUPS, MOST = 12, 12
SIZES = (20, 24, 28, 32, 40, 56, 80, 112)
Box = tuple[float, float, float, float]


def heads(finder: FaceFinder, portraits: list[Image.Image]) -> list[tuple[Image.Image, Box]]:
    """Head and shoulders of every portrait with one face of 80 pixels or more, and the face's box in it, in pixels."""
    found = []
    for image in portraits:
        faces = finder.faces(artifact(image))
        if len(faces) != 1 or faces[0].size_px < 80:
            continue
        x0, y0, x1, y1 = (edge * side for edge, side in zip(faces[0].box, (image.width, image.height) * 2, strict=True))
        wide, high = x1 - x0, y1 - y0
        cut = (max(0, x0 - 0.6 * wide), max(0, y0 - 0.5 * high), min(image.width, x1 + 0.6 * wide))
        part = image.crop((*(round(edge) for edge in cut), round(min(image.height, y1 + 0.7 * high))))
        found.append((part, (x0 - round(cut[0]), y0 - round(cut[1]), x1 - round(cut[0]), y1 - round(cut[1]))))
    return found


def composed(ground: Image.Image, people: list[tuple[Image.Image, Box]], size: int) -> tuple[Image.Image, list[Box]]:
    """A group of faces of `size` pixels on the ground, and their boxes as fractions of it."""
    canvas = scaled(ground, 1024 / max(ground.size))
    boxes: list[Box] = []
    cell = round(size * 3.2)
    across, down = max(1, canvas.width // cell), max(1, canvas.height // cell)
    for at, (part, box) in enumerate(people[: min(MOST, across * down)]):
        factor = size / min(box[2] - box[0], box[3] - box[1])
        small = scaled(part, factor)
        small = Image.fromarray((np.asarray(small, np.float32) * (0.7, 1.0, 1.2)[at % 3]).clip(0, 255).astype(np.uint8))
        left, top, right, bottom = (edge * factor for edge in box)
        if at % 2:
            small = small.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            left, right = small.width - right, small.width - left
        x, y = at % across * cell + (cell - small.width) // 2, at // across * cell + (cell - small.height) // 2
        canvas.paste(small, (x, y))
        wide, high = canvas.size
        boxes.append(((x + left) / wide, (y + top) / high, (x + right) / wide, (y + bottom) / high))
    return canvas, boxes


def main(folder: Path, listed: Path) -> None:
    finder = FaceFinder(Models(Home.default().path / "models"))
    with listed.open(encoding="utf-8") as lines:
        rows = [(label, folder / package / path) for label, package, path in csv.reader(lines, delimiter="\t")]
    people = heads(finder, [opened(path) for label, path in rows if label == "portrait"])
    empty = [opened(path) for label, path in rows if label == "nobody"]
    grounds = [image for image in empty if max(image.size) >= 900 and image.width > image.height][:GROUPS]
    print(f"{len(people)} heads on {len(grounds)} pictures of nobody")
    for size in SIZES:
        hits = sure = n = false = 0
        for at, ground in enumerate(grounds):
            shift = at * MOST % len(people)
            group, boxes = composed(ground, people[shift:] + people[:shift], size)
            found = faces_in(finder.session, picture(artifact(group)).frames[0])
            reached = [
                max((face.score for face in found if overlap(face.box, box) >= 0.5), default=0.0) for box in boxes
            ]
            hits += sum(score > 0 for score in reached)
            sure += sum(score >= AGE_FACE for score in reached)
            n += len(boxes)
            false += sum(max(overlap(face.box, box) for box in boxes) < math.nextafter(0.1, 1) for face in found)
        print(f"{size:4d} pixels: found {interval(hits, n)}, at 0.7 {interval(sure, n)}, of {n}; false {false}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).with_name("pictures.tsv"))
