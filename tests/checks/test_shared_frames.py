"""No picture that one check sees and another does not: all of them read the same decoded frames."""

from __future__ import annotations

import random
import tempfile
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

from guardrail.checks import Tools
from guardrail.checks.age import ApparentAge
from guardrail.checks.bank import Entry
from guardrail.checks.clip import Clip
from guardrail.checks.exposure import Exposure
from guardrail.checks.face import FacePresence
from guardrail.checks.known import KnownImage, bank_of
from guardrail.checks.likeness import FOLDER, KEY_PURPOSE, Protected
from guardrail.checks.medium import Medium
from guardrail.checks.nudenet import NudeNet
from guardrail.checks.pair import SamePerson
from guardrail.checks.person import Template
from guardrail.checks.registry import Registry
from guardrail.errors import CheckError
from guardrail.inference.image import pdq
from guardrail.inference.image.decode import Limits, decode, picture
from guardrail.inference.image.faces import FaceFinder
from guardrail.inference.weights import Models
from guardrail.types import Artifact, Check, Kind, Pair, Unknown
from tests.checks.people import PICTURES, photograph, real_models
from tests.checks.test_clip import brought
from tests.checks.test_nudenet import Net
from tests.inference.image.fuzz import damaged, seeds
from tests.inference.image.pictures import animation, encoded

NOW = datetime(2026, 5, 1, tzinfo=UTC)
WEIGHTS = ("yunet", "sface", "age-v1", "open-nsfw")
OPENED = (FacePresence, ApparentAge, Exposure, Medium, Protected, KnownImage, Clip)


def key(purpose: str) -> bytes:
    return bytes(range(32))


def prepared(home: Path, models: Models) -> Tools:
    """A home in which one portrait is protected and known, so that nothing is left out because a list is empty."""
    shown = photograph("collins")
    finder = FaceFinder(models)
    (face,) = finder.faces(shown)
    registry = Registry(home / FOLDER, key(KEY_PURPOSE), model=finder.template_model)
    registry.enrol([Template(finder.embed(shown, face))], label="x", now=NOW)
    bank_of(home).add([Entry(pdq=pdq.hash_of(picture(shown).frames[0]).hex)], now=NOW)
    brought(home)
    return Tools(models, home, key)


@lru_cache(maxsize=1)
def every_check() -> tuple[Check, ...]:
    """All checks of one picture, opened once for all examples."""
    home = Path(tempfile.mkdtemp())
    models = real_models(*WEIGHTS)
    tools = prepared(home, models)
    clip = Clip.open(Tools(Models(home / "models"), home, key))
    rest = [check.open(tools) for check in OPENED if check is not Clip]
    return (*rest, clip, NudeNet(Net(), "nudenet@1"))


def already_decoded(slot: str, kind: Kind = Kind.INPUT) -> Artifact:
    """The bytes are no picture: who decodes them again gets an error, who asks for the frames gets a portrait."""
    artifact = Artifact(kind, slot, data=b"no picture at all")
    artifact.once("picture", lambda: decode(photograph("collins").content, Limits()))
    return artifact


def said_of(data: bytes) -> dict[str, Mapping[str, float | Unknown]]:
    return {check.name: check.score([Artifact(Kind.OUTPUT, "data[0]", data=data)])[0] for check in every_check()}


@pytest.mark.weights
def test_a_check_reads_the_frames_that_were_decoded_and_never_the_bytes():
    for check in every_check():
        (scores,) = check.score([already_decoded("image[0]")])
        assert not any(isinstance(score, Unknown) for score in scores.values()), check.name
        if check.name in {"face", "protected", "known"}:
            assert max(scores.values()) > 0.9, check.name


@pytest.mark.weights
def test_a_pair_reads_the_frames_that_were_decoded_and_never_the_bytes(tmp_path):
    pair = Pair(already_decoded("image[0]"), already_decoded("data[0]", Kind.OUTPUT))
    check = SamePerson.open(Tools(real_models(*WEIGHTS), tmp_path, key))
    assert check.score([pair])[0]["same_face"] > 0.99


# Not at all, or all of them: what a decoder refuses is unknown to each, and what it reads is unknown to none for that.
@pytest.mark.weights
@settings(max_examples=40, deadline=None, derandomize=True, phases=[Phase.generate])
@given(chance=st.integers(0, 2**32))
def test_a_damaged_file_is_looked_at_by_every_check_or_by_none(chance):
    drawn = random.Random(chance)
    files = seeds()
    body = damaged(drawn.choice(files), drawn.choice(files), drawn)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            decode(body, Limits())
            refused = None
        except CheckError as error:
            refused = str(error)
        for name, scores in said_of(body).items():
            blind = {score.why for score in scores.values() if isinstance(score, Unknown)}
            if refused is not None:
                assert blind == {refused}, name
                assert all(isinstance(score, Unknown) for score in scores.values()), name
            elif name not in {"age", "protected"}:  # these may see somebody whom they cannot tell
                assert not blind, name


@pytest.mark.weights
@settings(max_examples=8, deadline=None, derandomize=True, phases=[Phase.generate])
@given(
    kind=st.sampled_from(["PNG", "GIF", "WEBP", "AVIF", "TIFF", "MPO"]),
    count=st.integers(2, 12),
    where=st.floats(0, 1, exclude_max=True),
    alpha=st.sampled_from([255, 128, 0]),
)
def test_whoever_stands_in_some_frame_is_seen_by_every_check(kind, count, where, alpha):
    at = int(where * count)
    shown = Image.open(PICTURES / "collins.jpg").convert("RGB")
    shown.thumbnail((256, 256))
    frames = [Image.new("RGB", shown.size, (40 + 9 * each, 90, 200 - 8 * each)) for each in range(count)]
    frames[at] = shown
    if kind in {"PNG", "WEBP"}:
        frames = [frame.convert("RGBA") for frame in frames]
        frames[at].putalpha(alpha)
    kept = {"lossless": True, "exact": True} if kind == "WEBP" else {}  # else what is transparent has no colours
    said = said_of(animation(frames, kind, **kept))
    assert said["face"]["person"] > 0.9
    assert said["protected"]["protected"] > 0.9
    assert said["known"]["known"] > 0.5


@pytest.mark.weights
@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "I;16", "LA"])
def test_however_its_pixels_are_written_a_portrait_is_seen_by_every_check(mode):
    shown = Image.open(PICTURES / "collins.jpg").convert("RGB")
    if mode == "I;16":
        written = Image.fromarray(np.asarray(shown.convert("L")).astype("<u2") * 257)
    else:
        written = shown.quantize(200) if mode == "P" else shown.convert(mode)
    said = said_of(encoded(written, "JPEG" if mode == "CMYK" else "PNG"))
    assert said["face"]["person"] > 0.9
    assert said["protected"]["protected"] > 0.9
    assert said["known"]["known"] > 0.5
