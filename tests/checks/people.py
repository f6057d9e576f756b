"""Stand-ins behind FaceFinder, AgeReader and ExposureMeter, and the real weights where they are in the cache."""

from __future__ import annotations

import io
import os
from collections.abc import Collection
from pathlib import Path

import numpy as np
import platformdirs
import pytest
from PIL import Image

from guardrail.errors import CheckError
from guardrail.inference.image.ages import AGE_V1, FACEAPI, Reading
from guardrail.inference.image.bodies import Body
from guardrail.inference.image.faces import Face
from guardrail.inference.weights import Models
from guardrail.types import Artifact, Kind

PICTURES = Path(__file__).parents[1] / "pictures"


def face(
    score: float = 0.95,
    *,
    size_px: float = 80.0,
    frontality: float = 0.9,
    box: tuple[float, float, float, float] = (0.4, 0.2, 0.6, 0.5),
    tag: float = 0.0,
    turn_deg: int = 0,
) -> Face:
    """A face as the finder gives it; `tag` tells two faces apart."""
    landmarks = np.full((5, 2), tag, np.float32)
    return Face(0, score, box, landmarks, size_px, sharpness=20.0, frontality=frontality, turn_deg=turn_deg)


def tag_of(found: Face) -> float:
    return float(found.landmarks[0, 0])


def blank(slot: str = "image[0]", kind: Kind = Kind.INPUT, seed: int = 0, side: int = 64) -> Artifact:
    """A real PNG without anybody in it: soft random hills, different for each seed."""
    hills = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8))
    body = io.BytesIO()
    hills.resize((side, side), Image.Resampling.BICUBIC).save(body, "PNG")
    return Artifact(kind, slot, data=body.getvalue())


def broken() -> Artifact:
    return Artifact(Kind.INPUT, "image[0]", data=b"\xff\xd8\xff\xe0 and then nothing")


class Finds:
    """A finder that finds what it was told to, by the artifact's slot; templates by the face's tag."""

    models = ("finds@1",)
    template_model = "templates@1"

    def __init__(self, by_slot: dict[str, list[Face]], templates: dict[float, np.ndarray] | None = None) -> None:
        self.by_slot = by_slot
        self.templates = templates or {}
        self.embedded = 0

    def faces(self, artifact: Artifact) -> tuple[Face, ...]:
        if artifact.data is not None and artifact.data.startswith(b"\xff\xd8\xff\xe0 and"):
            raise CheckError("jpeg: broken or truncated")
        return tuple(self.by_slot.get(artifact.slot, ()))

    def embed(self, artifact: Artifact, found: Face) -> np.ndarray:
        self.embedded += 1
        return self.templates[tag_of(found)]


class Sees:
    """A finder of bodies that sees what it was told to, by the artifact's slot."""

    models = ("sees@1",)

    def __init__(self, by_slot: dict[str, list[Body]] | None = None) -> None:
        self.by_slot = by_slot or {}
        self.asked = 0

    def bodies(self, artifact: Artifact) -> tuple[Body, ...]:
        self.asked += 1
        return tuple(self.by_slot.get(artifact.slot, ()))


class Reads:
    """An age reader that reads the age it was told, by the face's tag."""

    models = ("reads@1",)
    names = ("reads",)

    def __init__(self, by_tag: dict[float, float]) -> None:
        self.by_tag = by_tag
        self.read = 0

    def age(self, artifact: Artifact, found: Face) -> float:
        self.read += 1
        return self.by_tag[tag_of(found)]

    def reading(self, artifact: Artifact, found: Face) -> Reading:
        age = self.age(artifact, found)
        return Reading({AGE_V1: age, FACEAPI: age})


class Measures:
    """An exposure meter that measures what it was told, by the artifact's slot, and as steady where not told else."""

    models = ("measures@1",)

    def __init__(self, by_slot: dict[str, float] | None = None, steady: dict[str, float] | None = None) -> None:
        self.by_slot = by_slot or {}
        self.steady_by_slot = steady or {}
        self.by_frame: dict[int, float] = {}
        self.looked_again = 0

    def exposure(self, artifact: Artifact, frames: Collection[int] | None = None) -> float:
        if frames is not None:
            return max((self.by_frame.get(at, self.by_slot.get(artifact.slot, 0.0)) for at in frames), default=0.0)
        return self.by_slot.get(artifact.slot, 0.0)

    def steady(self, artifact: Artifact, frames: Collection[int] | None = None) -> float:
        self.looked_again += 1
        return self.steady_by_slot.get(artifact.slot, self.exposure(artifact, frames))


def photograph(name: str, slot: str = "image[0]", kind: Kind = Kind.INPUT, **changes: object) -> Artifact:
    """One of tests/pictures, with `turn` degrees, `noise` grey levels or a `crop` box, as a fresh JPEG."""
    image = Image.open(PICTURES / f"{name}.jpg").convert("RGB")
    if "crop" in changes:
        image = image.crop(changes["crop"])
    if "turn" in changes:
        image = image.rotate(changes["turn"], expand=True)
    if "size" in changes:
        image = image.resize(changes["size"])
    if "noise" in changes:
        noisy = np.asarray(image) + np.random.default_rng(0).normal(0, changes["noise"], (image.height, image.width, 3))
        image = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
    body = io.BytesIO()
    image.save(body, "JPEG", quality=90)
    return Artifact(kind, slot, data=body.getvalue())


def real_models(*names: str) -> Models:
    """The weights in the cache of this machine's Guardrail; skips the test where they were never pulled."""
    home = os.environ.get("GUARDRAIL_HOME") or platformdirs.user_data_dir("guardrail", appauthor=False)
    models = Models(Path(home).expanduser() / "models")
    missing = models.missing(names)
    if missing:
        pytest.skip(f"weights {', '.join(missing)} are not in {models.cache}: run `guardrail models pull`")
    return models
