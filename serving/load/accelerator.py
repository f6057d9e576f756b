"""Do picture models say on an accelerator what they say on the CPU, and how long do they take there?

    python serving/load/accelerator.py PICTURES [--provider CUDAExecutionProvider] [--rounds 5]

PICTURES is a folder of JPEG, PNG or WebP files. Every picture is searched for faces, each face's age and template and
the picture's exposure are read, decoding included: one picture after the other, and by eight threads. Prints the
largest differences between the two, and milliseconds of wall time a picture, median and least of the rounds. Needs the
build of onnxruntime for the accelerator (`pip install onnxruntime-gpu` in place of onnxruntime).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt

from guardrail.home import Home
from guardrail.inference.image.ages import AgeReader
from guardrail.inference.image.faces import FaceFinder
from guardrail.inference.image.nudity import ExposureMeter
from guardrail.inference.session import CPU
from guardrail.inference.weights import Models
from guardrail.types import Artifact, Kind

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
THREADS = 8


@dataclass(frozen=True)
class Seen:
    """What is read off one picture: exposure, and of each face its box, apparent age and template."""

    exposure: float
    boxes: npt.NDArray[np.float64]
    ages: npt.NDArray[np.float64]
    templates: npt.NDArray[np.float64]


class Eye:
    """The picture models on one provider."""

    def __init__(self, weights: Path, providers: Sequence[str]) -> None:
        models = Models(weights, providers=providers)
        self.faces, self.ages, self.exposure = FaceFinder(models), AgeReader(models), ExposureMeter(models)

    def look(self, body: bytes) -> Seen:
        artifact = Artifact(Kind.INPUT, "image", data=body)
        found = self.faces.faces(artifact)
        return Seen(
            exposure=self.exposure.exposure(artifact),
            boxes=np.array([face.box for face in found], float),
            ages=np.array([self.ages.age(artifact, face) for face in found], float),
            templates=np.array([self.faces.embed(artifact, face) for face in found], float),
        )


def timed(eye: Eye, bodies: Sequence[bytes], rounds: int, threads: int) -> tuple[float, float]:
    """Milliseconds of wall time a picture: median and least of the rounds."""
    taken = []
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(rounds):
            began = time.perf_counter()
            list(pool.map(eye.look, bodies))
            taken.append((time.perf_counter() - began) * 1000 / len(bodies))
    return median(taken), min(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--provider", default="CUDAExecutionProvider")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    bodies = [path.read_bytes() for path in sorted(args.pictures.iterdir()) if path.suffix.lower() in SUFFIXES]
    weights = Home.default().path / "models"
    eyes = {"CPU": Eye(weights, CPU), args.provider: Eye(weights, (args.provider,))}
    (plain, fast) = ([eye.look(body) for body in bodies] for eye in eyes.values())
    same = [(one, two) for one, two in zip(plain, fast, strict=True) if len(one.ages) == len(two.ages)]
    faces = [(one, two) for one, two in same if len(one.ages)]
    count = sum(len(one.ages) for one in plain)
    print(f"{len(bodies)} pictures, {count} faces on the CPU; as many faces on both in {len(same)} pictures")
    print(f"exposure: {max(abs(one.exposure - two.exposure) for one, two in same):.2g} apart at most")
    print(f"boxes: {max(np.abs(one.boxes - two.boxes).max() for one, two in faces):.2g} pixels")
    print(f"ages: {max(np.abs(one.ages - two.ages).max() for one, two in faces):.2g} years")
    print(f"templates: cosine at least {min((one.templates * two.templates).sum(1).min() for one, two in faces):.6f}")
    for name, eye in eyes.items():
        for threads in (1, THREADS):
            middle, least = timed(eye, bodies, args.rounds, threads)
            print(f"{name}, {threads} at once: {middle:.1f} ms a picture, {least:.1f} at least")


if __name__ == "__main__":
    main()
