"""What a glance says of pictures beside what a look says: the frames of a film that are kept small get the first.

    python models/exposure/glance.py FOLDER LIST.tsv [LIST.tsv ...]

The lists are those of measure.py. Prints how many pictures reach each grade by a look at the usual view, by a glance,
and by both, how far the two are apart, and what each costs in cpu-ms; then what films cost that are
made of tests/pictures. GUARDRAIL_HOME names the weights.
"""

from __future__ import annotations

import csv
import io
import sys
import time
from pathlib import Path

import numpy as np
from measure import artifact
from PIL import Image

from guardrail.errors import CheckError
from guardrail.home import Home
from guardrail.inference.image.decode import Frame, picture
from guardrail.inference.image.film import glimpse
from guardrail.inference.image.nudity import ExposureMeter
from guardrail.inference.image.views import View, glance, views
from guardrail.inference.weights import Models
from guardrail.types import Artifact, Kind

GRADES = (0.1, 0.2, 0.33, 0.5)
FRAMES = (8, 24, 40, 72, 120)
PORTRAIT = Path(__file__).parents[2] / "tests" / "pictures" / "collins.jpg"


def timed(meter: ExposureMeter, view: View) -> tuple[float, float]:
    """The grade of a view, and what it took."""
    begun = time.thread_time()
    grade = meter.look(view).grade
    return grade, time.thread_time() - begun


def both(meter: ExposureMeter, frame: Frame) -> tuple[float, ...]:
    """The grade of a frame by a look and by a glance, and what each took."""
    return (*timed(meter, views(frame)[0]), *timed(meter, glance(glimpse(frame))))


def film(frames: int) -> Artifact:
    """A portrait that turns, as a WebP of 512 x 384."""
    portrait = Image.open(PORTRAIT).convert("RGB")
    pages = [portrait.rotate(3 * at).resize((512, 384)) for at in range(frames)]
    written = io.BytesIO()
    pages[0].save(written, "WEBP", save_all=True, append_images=pages[1:], quality=70)
    return Artifact(Kind.OUTPUT, "film", data=written.getvalue())


def costs(meter: ExposureMeter, frames: int) -> str:
    one = film(frames)
    begun = time.thread_time()
    seen = picture(one)
    decoded = time.thread_time()
    meter.exposure(one)
    took = (decoded - begun, time.thread_time() - decoded)
    return (
        f"{frames} frames, {len(seen.glimpses)} at a glance: decoding {took[0]:.2f}, exposure and faces {took[1]:.2f} s"
    )


def main(folder: Path, lists: list[Path]) -> None:
    meter = ExposureMeter(Models(Home.default().path / "models"))
    rows = []
    for name in lists:
        for *_, package, path in csv.reader(name.open(encoding="utf-8"), delimiter="\t"):
            try:
                rows.append(both(meter, picture(artifact(folder / package / path)).frames[0]))
            except (CheckError, OSError, Image.DecompressionBombError) as error:
                print(f"left out: {path}: {error}", file=sys.stderr)
    look, look_s, brief, brief_s = np.array(rows).T
    print(
        f"{len(rows)} pictures; cpu-ms {1000 * np.median(look_s):.1f} a look, {1000 * np.median(brief_s):.1f} a glance"
    )
    for grade in GRADES:
        reached = look >= grade, brief >= grade
        counts = [*(each.sum() for each in reached), (reached[0] & reached[1]).sum()]
        print("{:.2f}: {} by a look, {} by a glance, {} by both".format(grade, *counts))
    print(*(costs(meter, frames) for frames in FRAMES), sep="\n")
    print(f"apart {np.abs(look - brief).mean():.4f} in the mean, {np.abs(look - brief).max():.2f} at most")


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
