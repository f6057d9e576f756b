"""How often a body is seen that no face belongs to, in pictures whose faces were all read.

    python models/body/beside.py FOLDER LIST.tsv [LIST.tsv ...]

The lists are those of models/exposure, models/medium and models/faces; their fetch.sh fill FOLDER. Prints the pictures
that have a sure face and were read whole, and how many of them have a body that none of their faces belongs to, by the
least score of such a body, with their names: whose face is really not seen is told by eye. Then the same for pictures
put together here: a person of one list beside the figure of another whose head is cut off below the chin, on grey,
1,024 x 768. GUARDRAIL_HOME names the weights.
"""

from __future__ import annotations

import csv
import math
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "exposure"))
from measure import artifact

from guardrail.checks.age import MOST_READ
from guardrail.errors import CheckError
from guardrail.home import Home
from guardrail.inference.image.bodies import SEEN, Body, BodyFinder
from guardrail.inference.image.decode import picture
from guardrail.inference.image.faceless import faceless, proportions
from guardrail.inference.image.faces import AGE_FACE, Face, FaceFinder
from guardrail.inference.weights import Models
from guardrail.types import Artifact

LEAST = (0.35, 0.40, 0.45, 0.50, 0.55, 0.65)
PEOPLE = frozenset({"portrait", "people", "photo"})
BELOW = 1.3  # heights of its face that a figure has below the chin


@dataclass(frozen=True)
class Found:
    """The faces and bodies of one picture of a list."""

    label: str
    path: Path
    size: tuple[int, int]
    faces: tuple[Face, ...]
    bodies: tuple[Body, ...]

    @property
    def sure(self) -> list[Face]:
        return [face for face in self.faces if face.score >= AGE_FACE]

    @property
    def read(self) -> bool:
        """True when every sure face could be read for an age, and so the picture had one until now."""
        return bool(self.sure) and all(face.readable for face in self.sure) and len(self.faces) <= MOST_READ

    @property
    def plain(self) -> list[Body]:
        return [body for body in self.bodies if body.score >= SEEN]

    def beside(self, least: float) -> list[Body]:
        return faceless([body for body in self.bodies if body.score >= least], self.sure, self.size)


class Looker:
    def __init__(self, models: Models) -> None:
        self._faces, self._bodies = FaceFinder(models), BodyFinder(models)

    def at(self, label: str, path: Path, shown: Artifact) -> Found:
        frame = picture(shown).frames[0]
        size = (frame.width, frame.height)
        return Found(label, path, size, self._faces.faces(shown), self._bodies.bodies(shown))


def listed(folder: Path, lists: list[Path]) -> Iterator[tuple[str, Path]]:
    """Label and file of every picture of the lists, once; photographs.tsv has no labels."""
    seen = set[Path]()
    for name in lists:
        for row in csv.reader(name.open(encoding="utf-8"), delimiter="\t"):
            places = {
                "photographs.tsv": ("people", 0, 1),
                "pictures.tsv": (row[0], -2, -1),
                "second.tsv": (row[0], -2, -1),
            }
            label, package, path = places[name.name]
            file = folder / row[package] / row[path]
            if file not in seen:
                seen.add(file)
                yield label, file


def headless(one: Found) -> Image.Image | None:
    """The figure below the chin of the only face of a picture; None where there is too little of it."""
    if len(one.faces) != 1 or not one.read or abs(one.faces[0].turn_deg) > 20:
        return None
    x0, y0, x1, y1 = one.faces[0].box
    height = y1 - y0
    if (1 - y1) / height < BELOW:
        return None
    image = Image.open(one.path).convert("RGB")
    middle, half = (x0 + x1) / 2 * image.width, 2.2 * height * image.height
    left, right = max(0, round(middle - half)), min(image.width, round(middle + half))
    return image.crop((left, round((y1 + 0.12 * height) * image.height), right, image.height))


def fitted(image: Image.Image) -> Image.Image:
    scale = min(512 / image.width, 768 / image.height)
    return image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))


def main(folder: Path, lists: list[Path]) -> None:
    looker = Looker(Models(Home.default().path / "models"))
    found = list[Found]()
    for label, path in listed(folder, lists):
        try:
            found.append(looker.at(label, path, artifact(path)))
        except (CheckError, OSError, Image.DecompressionBombError) as error:
            print(f"left out: {path}: {error}", file=sys.stderr)
    read = [one for one in found if one.read]
    print(f"{len(found)} pictures, {sum(bool(one.sure) for one in found)} with a sure face, {len(read)} read whole")
    for least in LEAST:
        print(f"  a body of {least:.2f} without a face: {sum(bool(one.beside(least)) for one in read)}")
    for one in read:
        bodies = one.beside(LEAST[0])
        if bodies:
            print(f"    {max(body.score for body in bodies):.2f} {one.path.relative_to(folder)}")
    single = [one for one in read if len(one.sure) == 1 and len(one.plain) == 1 and abs(one.sure[0].turn_deg) < 30]
    found_on = [proportions(one.sure[0], one.plain[0], one.size) for one in single]
    deep, long = zip(*(each for each in found_on if math.isfinite(each[0])), strict=True)
    print(
        f"{len(deep)} of one upright face and one body: it lies at most {max(deep):.2f} deep, in {max(long):.1f} edges"
    )
    people = [one for one in read if one.label in PEOPLE and len(one.faces) == 1]
    choose, composed = random.Random(0), list[Found]()
    for one in people:
        figure = headless(one)
        for lifted in (False, True) if figure is not None else ():
            other = choose.choice([each for each in people if each is not one])
            together = Image.new("RGB", (1024, 768), (118, 120, 122))
            left, right = fitted(Image.open(other.path).convert("RGB")), fitted(figure)
            together.paste(left, (0, 768 - left.height))
            together.paste(right, (512, 0 if lifted else 768 - right.height))
            composed.append(looker.at("composed", one.path, artifact(together)))
    # A face that is found on the right is one on clothes: then nobody is headless there.
    usable = [one for one in composed if one.sure and all(face.box[0] < 0.5 for face in one.sure)]
    print(f"{len(usable)} put together")
    for least in LEAST:
        print(f"  a body of {least:.2f} without a face: {sum(bool(one.beside(least)) for one in usable)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
