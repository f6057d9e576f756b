"""Pictures drawn for tests: harmless shapes with enough in them to have a perceptual hash."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw, ImageFilter


def scene(seed: int, width: int = 640, height: int = 480) -> np.ndarray:
    """Shapes of many sizes and colours, softened a little: uint8 (height, width, 3), the same for the same seed."""
    chance = np.random.default_rng(seed)
    image = Image.new("RGB", (width, height), tuple(int(one) for one in chance.integers(0, 256, 3)))
    draw = ImageDraw.Draw(image)
    for _ in range(60):
        x, y = chance.integers(0, width), chance.integers(0, height)
        w, h = chance.integers(width // 20, width // 3), chance.integers(height // 20, height // 3)
        shape = draw.ellipse if chance.random() < 0.5 else draw.rectangle
        shape((int(x), int(y), int(x + w), int(y + h)), fill=tuple(int(one) for one in chance.integers(0, 256, 3)))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(1.5)))


def encoded(pixels: np.ndarray, form: str = "PNG", **options: object) -> bytes:
    """The file of a picture."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, **options)
    return buffer.getvalue()
