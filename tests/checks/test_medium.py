"""Medium: photographs against drawings, within what so small a head can do."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from guardrail.checks.medium import Medium
from guardrail.inference.image.frame import Frame
from guardrail.inference.image.medium import FEATURES, MediumHead, features
from guardrail.types import Artifact, Kind, Unknown
from tests.checks.people import broken, photograph


def drawn(image: Image.Image, slot: str = "image[0]") -> Artifact:
    body = io.BytesIO()
    image.save(body, "PNG")
    return Artifact(Kind.INPUT, slot, data=body.getvalue())


def cartoon() -> Image.Image:
    image = Image.new("RGB", (640, 640), (250, 220, 120))
    draw = ImageDraw.Draw(image)
    draw.ellipse((120, 100, 520, 500), fill=(255, 200, 160), outline=(0, 0, 0), width=8)
    draw.ellipse((220, 220, 270, 290), fill=(0, 0, 0))
    draw.ellipse((370, 220, 420, 290), fill=(0, 0, 0))
    draw.arc((240, 280, 400, 430), 20, 160, fill=(200, 0, 0), width=10)
    draw.rectangle((0, 560, 640, 640), fill=(60, 140, 60))
    return image


def check() -> Medium:
    return Medium(MediumHead.packaged())


@pytest.mark.parametrize("name", ["collins", "hopper"])
def test_a_portrait_is_a_photograph(name):
    assert check().score([photograph(name)])[0]["photo"] >= 0.5


def test_a_cartoon_is_drawn():
    assert check().score([drawn(cartoon())])[0]["photo"] < 0.3


def test_a_broken_picture_is_unknown():
    assert isinstance(check().score([broken()])[0]["photo"], Unknown)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (1, 700), (700, 1), (130, 130)])
def test_any_size_has_finite_features(size):
    frame = Frame(np.zeros((*size, 4), np.uint8), scale=1.0)
    found = features(frame)
    assert found.shape == (FEATURES,)
    assert np.isfinite(found).all()
    assert 0.0 <= MediumHead.packaged().probability(found) <= 1.0


def test_the_most_photographic_frame_counts(tmp_path):
    flat = cartoon().resize((512, 512))
    portrait = Image.open(io.BytesIO(photograph("collins").data))
    flat.save(tmp_path / "two.webp", save_all=True, append_images=[portrait], lossless=True, duration=100)
    both = Artifact(Kind.OUTPUT, "data[0]", data=(tmp_path / "two.webp").read_bytes())
    assert check().score([both])[0]["photo"] >= 0.5


def test_the_head_is_named_for_the_receipt():
    assert check().models == ("medium@1",)
