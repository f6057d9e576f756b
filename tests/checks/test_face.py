"""Persons: faces by their score, bodies by their exposure, and what could not be read."""

from __future__ import annotations

import pytest

from guardrail.checks import Tools, installed
from guardrail.checks.age import ApparentAge
from guardrail.checks.exposure import Exposure
from guardrail.checks.face import MOST_FROM_BODY, FacePresence, body_probability, probability
from guardrail.checks.medium import Medium
from guardrail.checks.pair import SamePerson
from guardrail.errors import ConfigError
from guardrail.inference.image.bodies import Body
from guardrail.inference.image.faces import FaceFinder
from guardrail.inference.weights import Models
from guardrail.types import Unknown
from tests.checks.people import Finds, Measures, Sees, blank, broken, face, photograph, real_models


def person(faces, exposure=None, bodies=None):
    meter = None if exposure is None else Measures({"image[0]": exposure})
    return FacePresence(Finds({"image[0]": faces}), meter, bodies).score([blank()])[0]["person"]


def test_a_picture_without_faces_has_nobody_in_it():
    assert person([]) == 0.0


def test_the_surest_face_counts():
    assert person([face(0.65), face(0.93), face(0.7)]) == probability(0.93)


def test_a_rule_at_one_half_begins_between_a_score_of_0_70_and_0_72():
    assert probability(0.70) < 0.5 <= probability(0.72)


def test_more_score_is_never_less_probable():
    steps = [probability(step / 100) for step in range(101)]
    assert steps == sorted(steps)
    assert steps[0] == 0.0
    assert steps[-1] <= 1.0


def test_an_uncovered_body_without_a_face_is_a_person():
    assert person([], exposure=0.7) == 0.7
    assert person([], exposure=1.0) == MOST_FROM_BODY


@pytest.mark.parametrize(("score", "told"), [(0.549, False), (0.551, True)])
def test_a_body_without_a_face_is_somebody_from_a_score_of_0_55(score, told):
    seen = Sees({"image[0]": [Body(0, score, (0.1, 0.1, 0.4, 0.9))]})
    assert (person([], bodies=seen) >= 0.5) is told


@pytest.mark.parametrize(("score", "asked"), [(0.87, 1), (0.90, 0)])
def test_a_body_is_looked_for_only_where_no_face_is_sure(score, asked):
    seen = Sees()
    person([face(score)], bodies=seen)
    assert seen.asked == asked


def test_more_body_is_never_less_probable():
    steps = [body_probability(step / 100) for step in range(101)]
    assert steps == sorted(steps)
    assert steps[30] > 0.0 == steps[29]


def test_without_the_exposure_model_only_faces_are_seen():
    assert person([], exposure=None) == 0.0


def test_a_broken_picture_is_unknown_and_not_empty():
    (scores,) = FacePresence(Finds({})).score([broken()])
    assert isinstance(scores["person"], Unknown)


def test_a_score_does_not_depend_on_batch_mates():
    check = FacePresence(Finds({"a": [face(0.9)], "b": []}))
    together = check.score([blank("a"), blank("b")])
    assert together == [*check.score([blank("a")]), *check.score([blank("b")])]


@pytest.mark.parametrize("check", [FacePresence, ApparentAge, Exposure, SamePerson])
def test_a_check_without_its_weights_does_not_open(check, tmp_path):
    tools = Tools(Models(tmp_path), tmp_path, lambda purpose: bytes(32))
    with pytest.raises(ConfigError, match="guardrail models pull"):
        check.open(tools)


@pytest.mark.weights
@pytest.mark.parametrize("check", [FacePresence, ApparentAge, Exposure, Medium, SamePerson])
def test_a_check_opens_with_the_default_weights_and_names_them(check, tmp_path):
    models = real_models("yunet", "sface", "age-v1", "open-nsfw")
    opened = check.open(Tools(models, tmp_path, lambda purpose: bytes(32)))
    assert opened.name in installed()
    assert opened.models
    assert all("@" in model for model in opened.models)


@pytest.mark.weights
@pytest.mark.parametrize("name", ["collins", "hopper"])
@pytest.mark.parametrize("turn", [0, 45, 90, 180, 270])
def test_a_portrait_shows_a_person_however_it_is_turned(name, turn):
    check = FacePresence(FaceFinder(real_models("yunet")))
    assert check.score([photograph(name, turn=turn)])[0]["person"] > 0.9


@pytest.mark.weights
def test_soft_hills_show_nobody():
    check = FacePresence(FaceFinder(real_models("yunet")))
    assert all(scores["person"] == 0.0 for scores in check.score([blank(seed=seed, side=512) for seed in range(8)]))
