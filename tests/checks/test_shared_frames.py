"""No picture that one check sees and another does not: all of them read the same decoded frames."""

from __future__ import annotations

import pytest

from guardrail.checks import Tools
from guardrail.checks.age import ApparentAge
from guardrail.checks.exposure import Exposure
from guardrail.checks.face import FacePresence
from guardrail.checks.known import KnownImage
from guardrail.checks.likeness import Protected
from guardrail.checks.medium import Medium
from guardrail.checks.pair import SamePerson
from guardrail.inference.image.decode import Limits, decode
from guardrail.types import Artifact, Kind, Pair, Unknown
from tests.checks.people import photograph, real_models


@pytest.mark.weights
@pytest.mark.parametrize("check", [FacePresence, ApparentAge, Exposure, Medium, Protected, KnownImage])
def test_a_check_reads_the_frames_that_were_decoded_and_never_the_bytes(check, tmp_path):
    tools = Tools(real_models("yunet", "sface", "age-v1", "open-nsfw"), tmp_path, lambda purpose: bytes(range(32)))
    (scores,) = check.open(tools).score([already_decoded("image[0]")])
    assert not any(isinstance(score, Unknown) for score in scores.values())


@pytest.mark.weights
def test_a_pair_reads_the_frames_that_were_decoded_and_never_the_bytes(tmp_path):
    tools = Tools(real_models("yunet", "sface", "age-v1", "open-nsfw"), tmp_path, lambda purpose: bytes(range(32)))
    pair = Pair(already_decoded("image[0]"), already_decoded("data[0]", Kind.OUTPUT))
    assert SamePerson.open(tools).score([pair])[0]["same_face"] > 0.99


def already_decoded(slot: str, kind: Kind = Kind.INPUT) -> Artifact:
    """The bytes are no picture: who decodes them again gets an error, who asks for the frames gets a portrait."""
    artifact = Artifact(kind, slot, data=b"no picture at all")
    artifact.once("picture", lambda: decode(photograph("collins").content, Limits()))
    return artifact
