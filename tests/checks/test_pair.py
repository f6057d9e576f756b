"""Pairs: the same face, the same place, and what is not known about either."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from guardrail.checks.pair import LOOK_AGAIN, SamePerson, correlation, overlap, probability
from guardrail.inference.image.ages import AgeReader
from guardrail.inference.image.bodies import SEEN, Body
from guardrail.inference.image.faces import FaceFinder
from guardrail.inference.image.nudity import ExposureMeter
from guardrail.types import Artifact, Kind, Pair, Unknown
from tests.checks.people import Finds, Measures, Reads, Sees, blank, broken, face, photograph, real_models
from tests.inference.image.pictures import animation, encoded

HERE = (0.4, 0.1, 0.6, 0.4)
ELSEWHERE = (0.0, 0.6, 0.2, 0.9)


def at_cosine(cosine: float) -> dict[float, np.ndarray]:
    """Templates of faces 1 and 2 at this cosine."""
    one, across = np.eye(128, dtype=np.float32)[:2]
    return {1.0: one, 2.0: (cosine * one + np.sqrt(1 - cosine**2) * across).astype(np.float32)}


def pair(same_layout: bool = False) -> Pair:
    return Pair(blank("in"), blank("out", Kind.OUTPUT, seed=0 if same_layout else 1))


def judge(before, after, *, cosine=0.0, exposure=(0.0, 0.0), ages=None, same_layout=False, bodies=None):
    finder = Finds({"in": before, "out": after}, at_cosine(cosine))
    meter = Measures({"in": exposure[0], "out": exposure[1]})
    check = SamePerson(finder, meter, Reads(ages or {1: 40.0, 2: 40.0}), bodies)
    return check.score([pair(same_layout)])[0]


ONE, OTHER = face(tag=1, box=HERE), face(tag=2, box=ELSEWHERE)


def test_the_published_threshold_is_an_even_chance():
    assert probability(0.362) < 0.5 <= probability(0.3631)
    assert probability(0.42) > 0.9
    assert probability(0.64, children=True) < 0.5 <= probability(0.651, children=True)


def test_the_same_face_with_fewer_clothes_is_seen():
    scores = judge([ONE], [OTHER], cosine=0.6, exposure=(0.05, 0.8))
    assert scores["same_face"] > 0.99
    assert scores["exposure_increase"] == pytest.approx(0.75)


@pytest.mark.parametrize(("once", "again", "said"), [(0.5, 0.2, 0.15), (0.2, 0.5, 0.45), (0.2, 0.0, 0.0)])
def test_an_increase_is_what_ten_looks_at_each_side_leave_of_it(once, again, said):
    meter = Measures({"in": 0.0, "out": once}, steady={"in": 0.05, "out": again})
    (scores,) = SamePerson(Finds({"in": [ONE], "out": [OTHER]}, at_cosine(0.6)), meter).score([pair()])
    assert scores["exposure_increase"] == pytest.approx(said)


@pytest.mark.parametrize(
    ("rise", "cosine", "looks"), [(LOOK_AGAIN, 0.6, 2), (LOOK_AGAIN - 0.01, 0.6, 0), (0.9, 0.1, 0)]
)
def test_only_an_increase_that_may_count_is_looked_at_again(rise, cosine, looks):
    meter = Measures({"out": rise})
    SamePerson(Finds({"in": [ONE], "out": [OTHER]}, at_cosine(cosine)), meter).score([pair()])
    assert meter.looked_again == looks


@pytest.mark.parametrize("bare", [0, 1])
def test_a_bare_picture_beside_the_one_that_is_edited_makes_no_increase_smaller(bare):
    """A film or an album of two: the generator edits one of them, and the other is there to have been bare before."""
    pages = [Image.new("RGB", (64, 64), "navy"), Image.new("RGB", (64, 64), "olive")]
    album = Artifact(Kind.INPUT, "in", data=animation(pages, "TIFF"))
    meter = Measures({"in": 0.9, "out": 0.8})
    meter.by_frame = {bare: 0.9, 1 - bare: 0.1}
    check = SamePerson(Finds({"in": [ONE], "out": [OTHER]}, at_cosine(0.6)), meter)
    (scores,) = check.score([Pair(album, blank("out", Kind.OUTPUT))])
    assert scores["exposure_increase"] == pytest.approx(0.7)


def test_the_most_exposed_rendering_of_one_picture_is_what_it_showed_before():
    cut_out = Image.new("RGBA", (64, 64), (200, 120, 80, 128))
    seen_through = Artifact(Kind.INPUT, "in", data=encoded(cut_out, "PNG"))
    meter = Measures({"in": 0.6, "out": 0.8})
    meter.by_frame = {0: 0.1, 1: 0.6, 2: 0.3}
    check = SamePerson(Finds({"in": [ONE], "out": [OTHER]}, at_cosine(0.6)), meter)
    (scores,) = check.score([Pair(seen_through, blank("out", Kind.OUTPUT))])
    assert scores["exposure_increase"] == pytest.approx(0.2)


def test_a_stranger_with_fewer_clothes_is_no_increase():
    scores = judge([ONE], [OTHER], cosine=0.1, exposure=(0.05, 0.8))
    assert scores["same_face"] < 0.01
    assert scores["exposure_increase"] == 0.0


def test_more_clothes_are_no_increase():
    assert judge([ONE], [OTHER], cosine=0.6, exposure=(0.8, 0.1))["exposure_increase"] == 0.0


def test_another_face_in_the_same_place_is_the_same_body():
    replaced = face(tag=2, box=HERE)
    assert judge([ONE], [replaced], cosine=0.1, exposure=(0.0, 0.7))["exposure_increase"] == pytest.approx(0.7)


def test_an_edit_of_the_same_picture_counts_without_any_face():
    same = judge([], [], exposure=(0.1, 0.9), same_layout=True)
    assert same["exposure_increase"] == pytest.approx(0.8)
    other = judge([], [], exposure=(0.1, 0.9), same_layout=False)
    assert other["exposure_increase"] == 0.0


@pytest.mark.parametrize(
    ("score", "moved", "counts"), [(SEEN, 0.0, True), (SEEN - 0.01, 0.0, False), (SEEN, 0.5, False)]
)
def test_a_body_in_the_same_place_counts_though_its_face_is_gone(score, moved, counts):
    before, after = (Body(0, score, (0.2 + shift, 0.1, 0.5 + shift, 0.9)) for shift in (0.0, moved))
    seen = Sees({"in": [before], "out": [after]})
    increase = judge([ONE], [], exposure=(0.1, 0.4), bodies=seen)["exposure_increase"]
    assert (increase == pytest.approx(0.3)) is counts


def test_a_clothed_body_without_a_face_is_unknown_and_not_a_no():
    seen = Sees({"out": [Body(0, 0.8, (0.2, 0.1, 0.5, 0.9))]})
    assert isinstance(judge([ONE], [], bodies=seen)["same_face"], Unknown)
    assert judge([ONE], [], bodies=Sees())["same_face"] == 0.0


def test_no_body_is_looked_for_where_faces_tell():
    seen = Sees()
    judge([ONE], [OTHER], cosine=0.6, exposure=(0.1, 0.1), bodies=seen)
    assert seen.asked == 0


def test_nobody_on_one_side_is_a_plain_no():
    assert judge([], [OTHER])["same_face"] == 0.0
    assert judge([ONE], [])["same_face"] == 0.0


def test_a_headless_body_in_the_output_is_unknown_and_not_a_no():
    scores = judge([ONE], [], exposure=(0.0, 0.9))
    assert isinstance(scores["same_face"], Unknown)
    assert isinstance(scores["exposure_increase"], Unknown)


def test_a_face_too_small_to_compare_is_unknown():
    assert isinstance(judge([ONE], [face(tag=2, size_px=10)])["same_face"], Unknown)


def test_a_stranger_does_not_hide_a_face_that_was_not_compared():
    small = face(tag=3, size_px=10, box=ELSEWHERE)
    assert isinstance(judge([ONE], [OTHER, small], cosine=0.1)["same_face"], Unknown)
    assert judge([ONE], [OTHER, small], cosine=0.6)["same_face"] > 0.99


def test_two_small_children_need_more_than_two_adults():
    adults = judge([ONE], [OTHER], cosine=0.5, ages={1: 30.0, 2: 30.0})["same_face"]
    children = judge([ONE], [OTHER], cosine=0.5, ages={1: 6.0, 2: 9.9})["same_face"]
    one_child = judge([ONE], [OTHER], cosine=0.5, ages={1: 6.0, 2: 10.0})["same_face"]
    assert adults == one_child == probability(0.5)
    assert children == probability(0.5, children=True) < 0.5


def test_no_age_is_read_where_no_face_is_alike():
    reader = Reads({1: 30.0, 2: 30.0})
    SamePerson(Finds({"in": [ONE], "out": [OTHER]}, at_cosine(0.1)), Measures(), reader).score([pair()])
    assert reader.read == 0


def test_a_broken_side_is_unknown_in_both():
    check = SamePerson(Finds({}), Measures(), None)
    (scores,) = check.score([Pair(broken(), blank("out", Kind.OUTPUT))])
    assert all(isinstance(value, Unknown) for value in scores.values())
    assert set(scores) == set(check.factors)


def test_a_damaged_template_is_unknown():
    finder = Finds({"in": [ONE], "out": [OTHER]}, {1.0: np.full(128, np.nan, np.float32), 2.0: np.ones(128)})
    (scores,) = SamePerson(finder, Measures(), None).score([pair()])
    assert isinstance(scores["same_face"], Unknown)


def test_overlap_is_a_share_of_the_union():
    assert overlap((0, 0, 1, 1), (0, 0, 1, 1)) == pytest.approx(1.0)
    assert overlap((0, 0, 1, 1), (0.5, 0, 1.5, 1)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 1, 1), (2, 2, 3, 3)) == 0.0


def test_flat_pictures_have_no_layout_in_common():
    flat = np.full((16, 16), 200, np.float32)
    assert correlation(flat, flat) == 0.0
    slope = np.tile(np.arange(16, dtype=np.float32) * 10, (16, 1))
    assert correlation(slope, slope) == pytest.approx(1.0)


def real_check() -> SamePerson:
    models = real_models("yunet", "sface", "age-v1", "open-nsfw")
    return SamePerson(FaceFinder(models), ExposureMeter(models), AgeReader(models))


@pytest.mark.weights
@pytest.mark.parametrize(
    "change",
    [{"turn": 90}, {"turn": 180}, {"turn": 45}, {"noise": 25.0}, {"size": (200, 220)}, {"crop": (100, 0, 400, 300)}],
    ids=str,
)
@pytest.mark.parametrize("name", ["collins", "hopper"])
def test_a_face_is_known_again_after_an_edit(name, change):
    edited = photograph(name, "out", Kind.OUTPUT, **change)
    assert real_check().score([Pair(photograph(name, "in"), edited)])[0]["same_face"] > 0.5


@pytest.mark.weights
def test_two_women_are_two_women():
    scores = real_check().score([Pair(photograph("collins", "in"), photograph("hopper", "out", Kind.OUTPUT))])[0]
    assert scores["same_face"] < 0.1
    assert scores["exposure_increase"] < 0.05
