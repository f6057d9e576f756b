"""The pictures that the bench's generator answers with: photo-like noise, made anew so that none is stored."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image


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


def bodies() -> dict[str, bytes]:
    """Name and bytes of each: about 5 KB, 300 KB and 1.5 MB."""
    return {
        "tiny": encode(noise(48, 8.0), "PNG"),
        "300k": encode(noise(1024, 9.0), "JPEG", quality=88),
        "1500k": encode(noise(1024, 2.2), "PNG"),
    }
