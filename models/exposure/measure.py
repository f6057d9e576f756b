"""How often harmless pictures score high, and how often faces are seen in pictures without people.

    python models/exposure/measure.py PICTURES_FOLDER LIST.tsv

LIST.tsv has the columns label, source, package, path, as models/medium/pictures.tsv does. Prints, by label and
source, percentiles of open_nsfw's score over all views and the share of pictures above each threshold. Needs the
weights yunet and open-nsfw in the cache; GUARDRAIL_HOME names it.
"""

from __future__ import annotations

import argparse
import csv
import io
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image

from guardrail.checks.face import probability
from guardrail.home import Home
from guardrail.inference.faces import FaceFinder
from guardrail.inference.nudity import ExposureMeter
from guardrail.inference.weights import Models
from guardrail.types import Artifact, Kind


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("folder", type=Path)
    asked.add_argument("list", type=Path)
    asked.add_argument("--most", type=int, default=10_000, help="pictures of one label and source at most")
    told = asked.parse_args()
    models = Models(Home.default().path / "models")
    meter, finder = ExposureMeter(models), FaceFinder(models)
    scores: dict[str, list[float]] = defaultdict(list)
    persons: dict[str, list[float]] = defaultdict(list)
    with told.list.open(encoding="utf-8") as listed:
        for label, source, package, path in csv.reader(listed, delimiter="\t"):
            group = f"{label} {source}"
            if len(scores[group]) >= told.most:
                continue
            try:
                image = Image.open(told.folder / package / path)
                image.draft("RGB", (1024, 1024))
                image = image.convert("RGBA")
            except (OSError, Image.DecompressionBombError):
                continue
            image.thumbnail((1024, 1024))
            canvas = Image.new("RGB", image.size, (255, 255, 255))
            canvas.paste(image, mask=image.getchannel("A"))
            written = io.BytesIO()
            canvas.save(written, "JPEG", quality=92)
            artifact = Artifact(Kind.OUTPUT, path, data=written.getvalue())
            scores[group].append(meter.score(artifact))
            persons[group].append(max((probability(face.score) for face in finder.faces(artifact)), default=0.0))
            if scores[group][-1] >= 0.3:
                print(f"{scores[group][-1]:.2f} {package}/{path}")
    every = {**scores, "all": [score for group in scores.values() for score in group]}
    people = {**persons, "all": [score for group in persons.values() for score in group]}
    print(f"{'':22s}    n   p50   p95   p99   max  >=.2  >=.3  >=.5  person>=.5")
    for group, found in sorted(every.items()):
        one = np.array(found)
        cuts = np.percentile(one, [50, 95, 99, 100])
        shares = [np.mean(one >= cut) for cut in (0.2, 0.3, 0.5)]
        told_person = np.mean(np.array(people[group]) >= 0.5)
        print(
            f"{group:22s} {len(one):4d} "
            + " ".join(f"{value:.3f}" for value in [*cuts, *shares])
            + f"  {told_person:.3f}"
        )


if __name__ == "__main__":
    main()
