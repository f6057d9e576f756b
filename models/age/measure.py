"""How often minors are called adult and adults minor, by age, gender and origin, on a folder of your portraits.

    python models/age/measure.py --folder PORTRAITS [--labels LABELS.csv] [--noise 20] [--posterise 4] [--most N]

Without LABELS the names of the files say it, as UTKFace's do: AGE_GENDER_ORIGIN_anything.jpg. LABELS has a header with
the columns file and age, and perhaps gender and race (or origin); an age is a number or a range, "3-9" or "more than
70", as in FairFace's lists. A range that lies in no band of ours makes a band of its own.

Every picture goes through the check as a request's would; one about which it cannot tell is not called adult, and is
counted apart. Prints for each band the share called a possible minor at the default policy's threshold with a 95 %
interval (Wilson), the area under the curve of 0-9 against 20 and over, and what other thresholds would do. Look at
pictures only that you have the right to use for this; nothing is stored.
"""

from __future__ import annotations

import argparse
import csv
import io
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from guardrail.checks.age import ENOUGH, ApparentAge
from guardrail.home import Home
from guardrail.inference.image.ages import AgeReader
from guardrail.inference.image.faces import FaceFinder
from guardrail.inference.weights import Models
from guardrail.types import Artifact, Kind, Unknown

BANDS = ((0, 9), (10, 12), (13, 15), (16, 17), (18, 20), (21, 24), (25, 200))
PICTURES = {".jpg", ".jpeg", ".png", ".webp"}
UTKFACE = re.compile(r"(\d{1,3})_(\d)_(\d)_")
THRESHOLDS = (0.1, 0.2, ENOUGH, 0.4, 0.5, 0.7)


@dataclass(frozen=True)
class Portrait:
    path: Path
    low: int
    high: int
    groups: tuple[str, ...]

    @property
    def band(self) -> str:
        for low, high in BANDS:
            if low <= self.low and self.high <= high:
                return f"{low}+" if high == 200 else f"{low}-{high}"
        return f"{self.low}-{self.high}"


def years(text: str) -> tuple[int, int]:
    """ "7" is 7 to 7, "3-9" is 3 to 9, "more than 70" is 70 to 200."""
    numbers = [int(number) for number in re.findall(r"\d+", text)]
    if not numbers:
        raise SystemExit(f"an age is {text!r}; expected a number or a range such as 3-9")
    return numbers[0], 200 if "more" in text or "+" in text else numbers[-1]


def portraits(folder: Path, labels: Path | None) -> Iterator[Portrait]:
    if labels is None:
        for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURES):
            named = UTKFACE.match(path.name)
            if named:
                gender = {"0": "male", "1": "female"}.get(named[2], named[2])
                yield Portrait(path, int(named[1]), int(named[1]), (gender, f"origin {named[3]}"))
        return
    with labels.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            groups = (row.get("gender"), row.get("race") or row.get("origin"))
            yield Portrait(folder / row["file"], *years(row["age"]), tuple(group for group in groups if group))


def artifact(path: Path, noise: float, levels: int, chance: np.random.Generator) -> Artifact:
    if not noise and not levels:
        return Artifact(Kind.INPUT, "image[0]", data=path.read_bytes())
    pixels = np.asarray(Image.open(path).convert("RGB"), np.float32)
    if noise:
        pixels = pixels + chance.normal(0, noise, pixels.shape)
    if levels:
        step = 256 / levels
        pixels = pixels.clip(0, 255) // step * step + step / 2
    written = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(written, "PNG")
    return Artifact(Kind.INPUT, "image[0]", data=written.getvalue())


def interval(hits: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval."""
    share, z = hits / n, 1.96
    middle = share + z * z / 2 / n
    wide = z * math.sqrt(share * (1 - share) / n + z * z / 4 / n / n)
    return (middle - wide) / (1 + z * z / n), (middle + wide) / (1 + z * z / n)


def area(young: Sequence[float], old: Sequence[float]) -> float:
    """Probability that one of `young` scores above one of `old`."""
    a, b = np.array(young)[:, None], np.array(old)[None]
    return float(((a > b) + 0.5 * (a == b)).mean())


def row(name: str, scores: Sequence[float | None]) -> str:
    told = [score for score in scores if score is not None]
    if not told:
        return f"{name:24s} {len(scores):5d}  could not be told"
    flagged = sum(score >= ENOUGH for score in told)
    low, high = interval(flagged, len(told))
    others = " ".join(f"{np.mean(np.array(told) >= cut):6.3f}" for cut in THRESHOLDS)
    share = f"{flagged / len(told):.3f} [{low:.3f}, {high:.3f}]"
    return f"{name:24s} {len(scores):5d} {len(scores) - len(told):5d}  {share}  {others}"


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--folder", type=Path, required=True)
    asked.add_argument("--labels", type=Path)
    asked.add_argument("--noise", type=float, default=0.0, help="standard deviation in grey levels")
    asked.add_argument("--posterise", type=int, default=0, help="grey levels that are left")
    asked.add_argument("--most", type=int, default=100_000)
    told = asked.parse_args()
    models, chance = Models(Home.default().path / "models"), np.random.default_rng(0)
    check = ApparentAge(FaceFinder(models), AgeReader(models))
    by_band: dict[str, list[float | None]] = defaultdict(list)
    by_group: dict[tuple[str, str], list[float | None]] = defaultdict(list)
    children: list[float] = []
    grown: list[float] = []
    for portrait in list(portraits(told.folder, told.labels))[: told.most]:
        found = check.score([artifact(portrait.path, told.noise, told.posterise, chance)])[0]["minor"]
        score = None if isinstance(found, Unknown) else found
        by_band[portrait.band].append(score)
        for group in portrait.groups:
            by_group[group, portrait.band].append(score)
        if score is not None and portrait.high <= 9:
            children.append(score)
        if score is not None and portrait.low >= 20:
            grown.append(score)
    if not by_band:
        raise SystemExit("no portrait with an age: name files as UTKFace does, or give --labels")
    print("models:", *check.models)
    cuts = " ".join(f">={cut:.2f}" for cut in THRESHOLDS)
    print(f"{'age':24s}     n  untold  called a possible minor  {cuts}")
    for band, scores in sorted(by_band.items(), key=lambda item: years(item[0])):
        print(row(band, scores))
    for (group, band), scores in sorted(by_group.items(), key=lambda item: (item[0][0], years(item[0][1]))):
        print(row(f"{group}, {band}", scores))
    if children and grown:
        print(f"0-9 against 20 and over: AUC {area(children, grown):.4f} (n {len(children)}, {len(grown)})")


if __name__ == "__main__":
    main()
