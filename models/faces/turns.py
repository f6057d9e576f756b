"""How often a turned face is found again as the same person, and what the search costs.

    python models/faces/turns.py FILE...

For every file with a face of 40 pixels or more: the largest face's template upright, then in the picture turned by
45, 90, 180 and 270 degrees. Needs the weights yunet and sface in the cache; GUARDRAIL_HOME names it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

import numpy as np
from PIL import Image

from guardrail.home import Home
from guardrail.inference.image import align, yunet
from guardrail.inference.image.faces import AGE_FACE, FACE, Face, faces_in
from guardrail.inference.image.frame import Frame
from guardrail.inference.image.search import SIDE
from guardrail.inference.weights import Models

SAME = 0.363


def frame(image: Image.Image) -> Frame:
    return Frame(np.array(image.convert("RGBX")), scale=1.0)


def template(session, rgb, landmarks) -> np.ndarray:
    cut = align.chip(rgb, landmarks, align.ARCFACE, 112)
    (raw,) = session.run(None, {"data": np.ascontiguousarray(cut.transpose(2, 0, 1)[None], dtype=np.float32)})
    return raw[0] / np.linalg.norm(raw[0])


def timed(session, picture: Frame) -> tuple[list[Face], float]:
    start = time.thread_time()
    found = faces_in(session, picture)
    return found, (time.thread_time() - start) * 1000


def main(paths: Sequence[str]) -> None:
    models = Models(Home.default().path / "models")
    detector, likeness = models.session("yunet"), models.session("sface")
    cosines: dict[int, list[float]] = {45: [], 90: [], 180: [], 270: []}
    plain: dict[int, list[float]] = {turn: [] for turn in cosines}
    cost: list[float] = []
    scores: list[float] = []
    for path in paths:
        try:
            image = Image.open(path).convert("RGB")
        except (OSError, Image.DecompressionBombError):
            continue
        image.thumbnail((1024, 1024))
        found, took = timed(detector, frame(image))
        if not found or found[0].score < AGE_FACE or found[0].size_px < 40:
            continue
        cost.append(took)
        scores.append(found[0].score)
        known = template(likeness, np.asarray(image), found[0].landmarks)
        for turn, again_at in cosines.items():
            turned = image.rotate(turn, expand=True)
            rgb, view = np.asarray(turned), frame(turned)
            again = faces_in(detector, view)
            again_at.append(max((known @ template(likeness, rgb, one.landmarks) for one in again), default=0.0))
            rows = yunet.detect(detector, view.shrunk(SIDE), FACE, view.shrink_factor(SIDE))
            points = [row[4:14].reshape(5, 2) for row in rows]
            plain[turn].append(max((known @ template(likeness, rgb, one) for one in points), default=0.0))
    print(f"{len(cost)} pictures; upright score p5 {np.percentile(scores, 5):.2f} p50 {np.median(scores):.2f}")
    print(f"search upright: cpu-ms p50 {np.median(cost):.1f} p90 {np.percentile(cost, 90):.1f}")
    for turn in cosines:
        with_turns, without = (np.mean(np.array(one[turn]) >= SAME) for one in (cosines, plain))
        print(f"{turn:3d} degrees: same person again {with_turns:.3f}, by one upright pass {without:.3f}")


if __name__ == "__main__":
    main(sys.argv[1:])
