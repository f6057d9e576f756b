"""How often harmless pictures score high, and how often faces are seen in pictures without people.

    python models/exposure/measure.py PICTURES_FOLDER LIST.tsv [LIST.tsv ...] [--group label|source]

A list has the columns label, source, package, path, as pictures.tsv beside this script and models/medium/pictures.tsv
do; fetch.sh of both folders gets the pictures. Prints, by label (or source), percentiles of the graded exposure and
the share of pictures at or above each threshold, for the nets together and for open_nsfw alone, with the upper end of a
95 % interval (Wilson) for all; and what ten looks (`ExposureMeter.steady`) make of those that score. Uses the weights
that are in the cache; GUARDRAIL_HOME names it.
"""

from __future__ import annotations

import argparse
import csv
import io
import math
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

from guardrail.checks.face import probability
from guardrail.checks.pair import LOOK_AGAIN
from guardrail.errors import CheckError
from guardrail.home import Home
from guardrail.inference.image.faces import FaceFinder
from guardrail.inference.image.nudity import ExposureMeter, Looked
from guardrail.inference.weights import Models
from guardrail.types import Artifact, Kind

REVIEW, BLOCK, EXPLICIT = 0.33, 0.5, 0.8
Image.MAX_IMAGE_PIXELS = 90_000_000


def artifact(source: Path | Image.Image) -> Artifact:
    """The picture at most 1,024 pixels long, on white, as a JPEG."""
    image = Image.open(source) if isinstance(source, Path) else source
    image.draft("RGB", (1024, 1024))
    flat = image.convert("RGBA")
    flat.thumbnail((1024, 1024))
    canvas = Image.new("RGB", flat.size, (255, 255, 255))
    canvas.paste(flat, mask=flat.getchannel("A"))
    written = io.BytesIO()
    canvas.save(written, "JPEG", quality=92)
    return Artifact(Kind.OUTPUT, getattr(source, "name", "picture"), data=written.getvalue())


def upper(hits: int, n: int) -> float:
    """Upper end of Wilson's 95 % interval."""
    share, z = hits / n, 1.96
    return (share + z * z / 2 / n + z * math.sqrt(share * (1 - share) / n + z * z / 4 / n / n)) / (1 + z * z / n)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("folder", type=Path)
    asked.add_argument("lists", type=Path, nargs="+")
    asked.add_argument("--group", choices=("label", "source"), default="label")
    told = asked.parse_args()
    models = Models(Home.default().path / "models")
    meter, finder = ExposureMeter(models), FaceFinder(models)
    print("models:", *meter.models)
    grades: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    again: list[tuple[float, float]] = []
    for line in (line for file in told.lists for line in csv.reader(file.open(encoding="utf-8"), delimiter="\t")):
        label, source, package, path = line
        try:
            picture = artifact(told.folder / package / path)
            most = meter.most(picture)
            person = max((probability(face.score) for face in finder.faces(picture)), default=0.0)
        except (OSError, CheckError, Image.DecompressionBombError) as error:
            print(f"left out: {path}: {type(error).__name__}")
            continue
        row = (most.grade, Looked(most.open_nsfw).grade, person)
        grades["all"].append(row)
        grades[label if told.group == "label" else source].append(row)
        if most.grade >= LOOK_AGAIN:
            again.append((most.grade, meter.steady(picture)))
        if most.grade >= REVIEW:
            shares = "" if most.explicit is None else f" nsfwjs {most.explicit:.2f} sexy {most.sexy:.2f}"
            print(f"{most.grade:.2f} open_nsfw {most.open_nsfw:.2f}{shares} close {most.close:.2f} {package}/{path}")
    print(f"{'':14s}    n   p50   p95   p99   max  >=.20  >=.33  >=.50  >=.80 | alone >=.33  >=.50 | person>=.5")
    for group, rows in sorted(grades.items()):
        both, alone, person = np.array(rows).T
        cuts = " ".join(f"{value:.3f}" for value in np.percentile(both, [50, 95, 99, 100]))
        shares = "  ".join(f"{np.mean(both >= cut):.4f}"[1:] for cut in (0.2, REVIEW, BLOCK, EXPLICIT))
        other = "  ".join(f"{np.mean(alone >= cut):.4f}"[1:] for cut in (REVIEW, BLOCK))
        print(f"{group:14s} {len(rows):4d} {cuts}  {shares} |       {other} | {np.mean(person >= 0.5):.3f}")
    both = np.array(grades["all"])[:, 0]
    for name, cut in (("review", REVIEW), ("block", BLOCK), ("explicit", EXPLICIT)):
        hits = int((both >= cut).sum())
        print(f"{name} (>= {cut}): {hits} of {len(both)}, at most {upper(hits, len(both)):.4f}")
    for least, below in pairwise((LOOK_AGAIN, REVIEW, BLOCK, 1.01)):
        once, ten = np.array([pair for pair in again if least <= pair[0] < below]).reshape(-1, 2).T
        told_again = f"mean {once.mean():.3f} by one look, {ten.mean():.3f} by ten, {(ten >= REVIEW).sum()} >= {REVIEW}"
        print(f"from {least} to {below}: {len(once)} pictures, {told_again}")


if __name__ == "__main__":
    main()
