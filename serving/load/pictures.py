"""The pictures that the bench's generator answers with, made anew so that none is stored.

`tiny`, `300k` and `1500k` are photo-like noise, for what the way through costs. `scene` shows nobody and `face` one
person, both JPEG of 1024 x 1024 and about 300 KB: what checks cost depends on what there is to see.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from guardrail.cli.generator import paint

PORTRAIT = Path(__file__).parents[2] / "tests" / "pictures" / "hopper.jpg"


def noise(side: int, grain: float, seed: int = 1) -> Image.Image:
    """A soft gradient with grain: compresses like a photograph, shows nobody."""
    chance = np.random.default_rng(seed)
    y, x = np.mgrid[0:side, 0:side] / side
    base = np.stack([120 + 90 * np.sin(3 * x + k) * np.cos(2 * y + k) for k in range(3)], axis=-1)
    return Image.fromarray(np.clip(base + chance.normal(0, grain, base.shape), 0, 255).astype(np.uint8))


def encode(image: Image.Image, kind: str, **how: int) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **how)
    return out.getvalue()


def enlarged(picture: bytes, grain: float) -> Image.Image:
    """A picture at 1024 x 1024 with the grain that enlarging took from it."""
    with Image.open(io.BytesIO(picture)) as opened:
        pixels = np.asarray(opened.convert("RGB").resize((1024, 1024), Image.Resampling.BICUBIC), np.float64)
    chance = np.random.default_rng(1)
    return Image.fromarray(np.clip(pixels + chance.normal(0, grain, pixels.shape), 0, 255).astype(np.uint8))


def bodies() -> dict[str, bytes]:
    """Name and bytes of each: about 5 KB, 300 KB and 1.5 MB, and two of 300 KB with something to see."""
    return {
        "tiny": encode(noise(48, 8.0), "PNG"),
        "300k": encode(noise(1024, 9.0), "JPEG", quality=88),
        "1500k": encode(noise(1024, 2.2), "PNG"),
        "scene": encode(enlarged(paint("hills"), 9.0), "JPEG", quality=90),
        "face": encode(enlarged(PORTRAIT.read_bytes(), 5.0), "JPEG", quality=90),
    }
