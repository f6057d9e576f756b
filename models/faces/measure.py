"""What hides a face, whether it stays the same person's, how small it may be, and how often there is none.

    python models/faces/measure.py FOLDER [models/faces/pictures.tsv]

`fetch.sh` fills FOLDER. The list has the columns label, package, path: "portrait" (one face that is plain to see) and
"nobody". Prints for every way of changing a portrait the share in which a face is found, and in which its template is
still within SAME of the unchanged one's, each with Wilson's 95 % interval; how many comparisons with the portraits of
others (unchanged below OTHER) reach SAME; and the false boxes among "nobody". second.tsv is a second list.
Needs the weights yunet and sface in the cache; GUARDRAIL_HOME names it.
"""

from __future__ import annotations

import csv
import io
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from guardrail.errors import CheckError
from guardrail.home import Home
from guardrail.inference.image.decode import picture
from guardrail.inference.image.faces import AGE_FACE, FACE, FaceFinder, faces_in
from guardrail.inference.weights import Models
from guardrail.types import Artifact, Kind

SAME, OTHER = 0.363, 0.3
Change = Callable[[Image.Image, Image.Image, float], Image.Image]


def artifact(image: Image.Image, quality: int = 92) -> Artifact:
    written = io.BytesIO()
    image.convert("RGB").save(written, "JPEG", quality=quality)
    return Artifact(Kind.INPUT, "image[0]", data=written.getvalue())


def scaled(image: Image.Image, factor: float) -> Image.Image:
    size = max(1, round(image.width * factor)), max(1, round(image.height * factor))
    return image.resize(size, Image.Resampling.LANCZOS)


def noise(image: Image.Image, grey: float) -> Image.Image:
    chance = np.random.default_rng(5).normal(0, grey, (image.height, image.width, 3))
    return Image.fromarray((np.asarray(image) + chance).clip(0, 255).astype(np.uint8))


def laid(image: Image.Image, ground: Image.Image, side: int, at: tuple[float, float] = (0.7, 0.6)) -> Image.Image:
    """The portrait in another picture whose long side is `side`."""
    ground = scaled(ground, side / max(ground.size))
    canvas = ground.copy()
    free = [max(0, whole - part) for whole, part in zip(canvas.size, image.size, strict=True)]
    canvas.paste(image, (round(free[0] * at[0]), round(free[1] * at[1])))
    return canvas


def face_of(pixels: float, at: tuple[float, float] = (0.7, 0.6)) -> Change:
    """The portrait so small that its face has `pixels`, in a picture of 1,024."""
    return lambda image, ground, face: laid(scaled(image, pixels / face), ground, 1024, at)


def thumbnail(edge: int, side: int) -> Change:
    return lambda image, ground, face: laid(scaled(image, edge / max(image.size)), ground, side)


def blocks(across: int) -> Change:
    """Coarse pixels, so that the face is `across` of them wide."""

    def change(image: Image.Image, ground: Image.Image, face: float) -> Image.Image:
        return scaled(image, across / face).resize(image.size, Image.Resampling.NEAREST)

    return change


def contrast(image: Image.Image, share: float) -> Image.Image:
    return Image.fromarray((118 + (np.asarray(image, np.float32) - 118) * share).astype(np.uint8))


def tint(image: Image.Image) -> Image.Image:
    return Image.fromarray((np.asarray(image, np.float32) * (1.0, 0.7, 0.55)).astype(np.uint8))


CHANGES: dict[str, Change] = {
    "unchanged": lambda image, ground, face: image,
    "JPEG 10": lambda image, ground, face: Image.open(io.BytesIO(artifact(image, 10).content)),
    "noise 25": lambda image, ground, face: noise(image, 25),
    "blur (3 % of the face)": lambda image, ground, face: image.filter(ImageFilter.GaussianBlur(face * 0.03)),
    "tint": lambda image, ground, face: tint(image),
    "mirror": lambda image, ground, face: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    **{
        f"{turn} degrees": lambda image, ground, face, turn=turn: image.rotate(turn, expand=True)
        for turn in (30, 45, 90, 180, 270)
    },
    "face of 32 in 1,024": face_of(32),
    "face of 24 in 1,024": face_of(24),
    "face of 24 elsewhere": face_of(24, (0.25, 0.3)),
    "face of 16 in 1,024": face_of(16),
    "shrunk to a face of 24": lambda image, ground, face: scaled(image, 24 / face),
    "portrait of 200 in 3,000": thumbnail(200, 3000),
    "portrait of 200 in 2,000": thumbnail(200, 2000),
    "stretched 2 times": lambda image, ground, face: image.resize((image.width * 2, image.height)),
    "stretched 4 times": lambda image, ground, face: image.resize((image.width * 4, image.height)),
    "squeezed 4 times": lambda image, ground, face: image.resize((image.width, image.height * 4)),
    "contrast of a fifth": lambda image, ground, face: contrast(image, 0.2),
    "contrast of a twentieth": lambda image, ground, face: contrast(image, 0.05),
    "24 pixels across": blocks(24),
    "16 pixels across": blocks(16),
    "dots of one bit": lambda image, ground, face: image.convert("1").convert("RGB"),
    "inverted": lambda image, ground, face: Image.fromarray(255 - np.asarray(image)),
}


def interval(hits: int, n: int) -> str:
    share, z = hits / n, 1.96
    middle, half = share + z * z / 2 / n, z * math.sqrt(share * (1 - share) / n + z * z / 4 / n / n)
    low, high = ((middle + side * half) / (1 + z * z / n) for side in (-1, 1))
    return f"{share:.3f} [{max(0.0, low):.2f}, {min(1.0, high):.2f}]"


def opened(path: Path) -> Image.Image:
    image = Image.open(path).convert("RGB")
    image.thumbnail((1024, 1024))
    return image


def main(folder: Path, listed: Path) -> None:
    finder = FaceFinder(Models(Home.default().path / "models"))
    with listed.open(encoding="utf-8") as lines:
        rows = [(label, folder / package / path) for label, package, path in csv.reader(lines, delimiter="\t")]
    portraits = [opened(path) for label, path in rows if label == "portrait"]
    empty = [opened(path) for label, path in rows if label == "nobody"]
    grounds = [image for image in empty if max(image.size) >= 900 and image.width > image.height][:20]
    known = []
    for image in portraits:
        found = finder.faces(artifact(image))
        if found and found[0].size_px >= 40:
            face = finder.embed(artifact(image), found[0])
            known.append((image, found[0].size_px, face))
    templates = np.array([template for _, _, template in known])
    others = templates @ templates.T < OTHER
    print(f"{len(known)} portraits, {others.sum()} comparisons with others")
    for name, change in CHANGES.items():
        seen = same = mistaken = 0
        spent = []
        for at, (image, face, _) in enumerate(known):
            one = artifact(change(image, grounds[at % len(grounds)], face))
            picture(one)
            start = time.thread_time()
            found = finder.faces(one)
            spent.append((time.thread_time() - start) * 1000)
            seen += bool(found)
            alike = [templates @ finder.embed(one, each) for each in found]
            highest = np.max(alike, axis=0) if alike else np.zeros(len(known))
            same += highest[at] >= SAME
            mistaken += int((highest[others[at]] >= SAME).sum())
        n = len(known)
        told = f"found {interval(seen, n)}  same {interval(same, n)}  others {mistaken:3d}"
        print(f"{name:26s} {told}  search {np.median(spent):5.1f} cpu-ms", flush=True)
    scores: list[float] = []
    spent = []
    for image in empty:
        try:
            frame = picture(artifact(image)).frames[0]
        except CheckError:
            continue
        start = time.thread_time()
        scores += [face.score for face in faces_in(finder.session, frame)]
        spent.append((time.thread_time() - start) * 1000)
    told = ", ".join(f"{sum(s >= t for s in scores) / len(empty):.3f} at {t}" for t in (FACE, AGE_FACE, 0.8))
    print(f"{len(empty)} pictures of nobody: false boxes a picture {told}")
    print(f"  search cpu-ms p50 {np.median(spent):.1f} p90 {np.percentile(spent, 90):.1f} mean {np.mean(spent):.1f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).with_name("pictures.tsv"))
