"""How often clothes of another colour, pattern, brightness or length read as more exposure.

    python models/exposure/recolour.py PICTURES_FOLDER LIST.tsv [LIST.tsv ...]

Of every picture with one sure face, each counted once however many packages carry it, what lies below the chin and has
no skin tone is dressed anew, light and shade kept: usual colours, skin-like ones, patterns, darker and brighter; and
what has a skin tone there is covered. Prints for each group in how many edits the check `pair` says an increase of 0.30
or more, which is where the default policy begins, and in how many the difference of single looks would.

The lists are pictures.tsv and second.tsv in models/faces and pictures.tsv here; `fetch.sh` of both folders gets the
pictures; GUARDRAIL_HOME names the weights.
"""

from __future__ import annotations

import csv
import hashlib
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from measure import artifact, upper
from PIL import Image

from guardrail.checks.pair import NO_INCREASE, SamePerson
from guardrail.errors import CheckError
from guardrail.home import Home
from guardrail.inference.image.decode import picture
from guardrail.inference.image.faces import AGE_FACE, FaceFinder
from guardrail.inference.image.nudity import ExposureMeter
from guardrail.inference.image.skin import skin_tones
from guardrail.inference.weights import Models
from guardrail.types import Artifact, Kind, Pair

Pixels = np.ndarray
Edit = Callable[[Pixels, Pixels], Pixels]
"""From float32 (h, w, 3) below the chin, and as bright as it was (h, w, 1), to its new colours."""

USUAL = {
    "red": (190, 40, 50),
    "navy": (30, 45, 95),
    "white": (235, 235, 235),
    "black": (35, 35, 38),
    "beige": (215, 180, 150),
    "brown": (130, 85, 60),
    "green": (45, 110, 70),
    "yellow": (225, 190, 60),
    "pink": (230, 150, 170),
    "grey": (130, 130, 132),
    "tan": (190, 140, 100),
    "orange": (215, 110, 45),
    "purple": (110, 60, 130),
    "sky": (120, 170, 215),
}
# Tried once when the ten looks were chosen; the grey ones among them were chosen with these in sight.
SKIN_LIKE = {
    "camel": (193, 154, 107),
    "peach": (250, 215, 185),
    "terracotta": (204, 119, 87),
    "chestnut": (149, 69, 53),
    "sand": (194, 178, 128),
    "rose": (200, 140, 140),
}
# Tried once, when those were.
MORE_LIKE = {
    "apricot": (251, 206, 177),
    "copper": (184, 115, 81),
    "caramel": (175, 111, 64),
    "blush": (222, 165, 148),
    "taupe": (160, 130, 110),
    "mahogany": (110, 60, 45),
}
LIGHT, DARK = (235, 230, 220), (60, 75, 120)  # of a pattern
INCREASE = 0.30


def coloured(colour: tuple[int, int, int]) -> Edit:
    return lambda part, shade: np.array(colour, np.float32) * shade


def patterned(kind: str) -> Edit:
    def edit(part: Pixels, shade: Pixels) -> Pixels:
        down, across = np.mgrid[: part.shape[0], : part.shape[1]]
        edge = max(6, part.shape[1] // 24)
        light = {
            "stripes": (down // edge) % 2 == 0,
            "checks": (down // edge + across // edge) % 2 == 0,
            "dots": (down % (2 * edge) - edge) ** 2 + (across % (2 * edge) - edge) ** 2 < (edge / 2) ** 2,
        }[kind]
        return np.where(light[..., None], np.float32(LIGHT), np.float32(DARK)) * shade

    return edit


CLOTHES: dict[str, dict[str, Edit]] = {
    "usual": {name: coloured(colour) for name, colour in USUAL.items()},
    "skin-like": {name: coloured(colour) for name, colour in SKIN_LIKE.items()},
    "more like": {name: coloured(colour) for name, colour in MORE_LIKE.items()},
    "pattern": {kind: patterned(kind) for kind in ("stripes", "checks", "dots")},
    "light": {"darker": lambda part, shade: part * 0.6, "brighter": lambda part, shade: part * 1.5},
}
COVERED: dict[str, dict[str, Edit]] = {"covered": {name: coloured(USUAL[name]) for name in ("navy", "grey")}}


def dressed(rgb: Pixels, top: int, edit: Edit, skin: bool) -> Pixels:
    """uint8 (h, w, 3) with all below row `top` that has a skin tone, or else has none, as `edit` makes it."""
    part = rgb[top:].astype(np.float32)
    where = skin_tones(rgb[top:].reshape(-1, 3)).reshape(part.shape[:2]) == skin
    grey = part.mean(axis=2, keepdims=True)
    shade = 0.35 + grey / max(float(grey.mean()), 1.0) * 0.65
    out = rgb.copy()
    out[top:] = np.where(where[..., None], edit(part, shade), part).clip(0, 255).astype(np.uint8)
    return out


def edited(rgb: Pixels, top: int) -> Iterator[tuple[str, str, Pixels]]:
    for groups, skin in ((CLOTHES, False), (COVERED, True)):
        for group, edits in groups.items():
            for name, edit in edits.items():
                yield group, name, dressed(rgb, top, edit, skin)


def portraits(finder: FaceFinder, paths: list[Path]) -> Iterator[tuple[Artifact, Pixels, int]]:
    """Pictures with one sure face and something below it: the picture, its pixels, and the row below the chin."""
    seen = set()
    for path in paths:
        try:
            before = artifact(path)
            faces = [face for face in finder.faces(before) if face.score >= AGE_FACE]
        except (OSError, CheckError):
            continue
        digest = hashlib.sha256(before.content).digest()
        frame = picture(before).frames[0]
        if digest in seen or len(faces) != 1:
            continue
        seen.add(digest)
        top = round((faces[0].box[3] + 0.02) * frame.height)
        if top <= 0.85 * frame.height:
            yield Artifact(Kind.INPUT, before.slot, data=before.content), np.ascontiguousarray(frame.rgb), top


def main(folder: Path, *lists: Path) -> None:
    models = Models(Home.default().path / "models")
    finder, meter = FaceFinder(models), ExposureMeter(models)
    check = SamePerson(finder, meter)
    rows = [row for listed in lists for row in csv.reader(listed.open(encoding="utf-8"), delimiter="\t")]
    paths = list(dict.fromkeys(folder / row[-2] / row[-1] for row in rows if row[0] in {"people", "portrait"}))
    edits, once, steady = Counter[str](), Counter[str](), Counter[str]()
    which = Counter[str]()
    for source, rgb, top in portraits(finder, paths):
        for group, name, pixels in edited(rgb, top):
            edits[group] += 1
            made = artifact(Image.fromarray(pixels))
            rise = meter.exposure(made) - meter.exposure(source)
            once[group] += rise >= INCREASE
            if rise < NO_INCREASE:
                continue  # what the check says then is what it is
            said = check.score([Pair(source, made)])[0]["exposure_increase"]
            if isinstance(said, float) and said >= INCREASE:
                steady[group] += 1
                which[name] += 1
    for group in [*edits, "all"]:
        n, hits, single = (sum(c.values()) if group == "all" else c[group] for c in (edits, steady, once))
        told = f"{hits} rise by {INCREASE:.2f} ({hits / n:.4f}, at most {upper(hits, n):.4f})"
        print(f"{group:10s} {n:5d} edits: {told}; by single looks {single} ({single / n:.4f})")
    print(f"{edits['light'] // 2} pictures; {dict(which)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(Path, sys.argv[2:]))
