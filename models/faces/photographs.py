"""How many faces are found in photographs of several people.

    python models/faces/photographs.py FOLDER [models/faces/photographs.tsv]

The list has the columns package, path, and then the middle of every face of 24 pixels or more, "x,y" as fractions of
the picture: each was checked by eye on a picture in which the detector's boxes were drawn, so a face that nobody saw
there is missing. `fetch.sh` here, in models/exposure and in models/medium fill FOLDER. A face is found where a box
holds its middle; a box of 24 pixels or more that holds none is false. GUARDRAIL_HOME names the weights.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from measure import artifact, interval, opened

from guardrail.home import Home
from guardrail.inference.image.faces import AGE_FACE, Face, FaceFinder
from guardrail.inference.weights import Models

LEAST_PX = 24.0


def holds(face: Face, x: float, y: float) -> bool:
    x0, y0, x1, y1 = face.box
    return x0 <= x <= x1 and y0 <= y <= y1


def main(folder: Path, listed: Path) -> None:
    finder = FaceFinder(Models(Home.default().path / "models"))
    pictures = n = hits = sure = false = false_sure = 0
    for package, path, *points in csv.reader(listed.open(encoding="utf-8"), delimiter="\t"):
        faces = finder.faces(artifact(opened(folder / package / path)))
        middles = [(float(x), float(y)) for x, y in (point.split(",") for point in points)]
        best = [max((face.score for face in faces if holds(face, *point)), default=0.0) for point in middles]
        wrong = [
            face for face in faces if face.size_px >= LEAST_PX and not any(holds(face, *point) for point in middles)
        ]
        pictures, n = pictures + 1, n + len(best)
        hits, sure = hits + sum(score > 0 for score in best), sure + sum(score >= AGE_FACE for score in best)
        false, false_sure = false + len(wrong), false_sure + sum(face.score >= AGE_FACE for face in wrong)
        print(f"{sum(score > 0 for score in best):3d} of {len(best):2d}, false {len(wrong)}  {package}/{path}")
    print(f"{pictures} pictures: found {interval(hits, n)}, at {AGE_FACE} {interval(sure, n)}, of {n} faces")
    print(f"false boxes a picture: {false / pictures:.3f}, at {AGE_FACE} {false_sure / pictures:.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).with_name("photographs.tsv"))
