"""Minors: the youngest face counts, the margin is where it is said to be, and nothing unread passes as grown."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PIL import Image

from guardrail.checks.age import BESIDE, CHALLENGE_YEARS_ALONE, ENOUGH, MOST_READ, ApparentAge, words
from guardrail.checks.age import probability as of_reading
from guardrail.checks.face import probability as face_probability
from guardrail.inference.image.ages import AGE_V1, FACEAPI, AgeReader, Reading
from guardrail.inference.image.bodies import SEEN, Body, BodyFinder
from guardrail.inference.image.faces import READABLE_PX, FaceFinder
from guardrail.types import Artifact, Kind, Unknown
from tests.checks.people import PICTURES, Finds, Measures, Reads, Sees, blank, broken, face, photograph, real_models
from tests.inference.image.pictures import animation, encoded


def minor(faces, ages=None, exposure=None, bodies=None):
    meter = None if exposure is None else Measures({"image[0]": exposure})
    check = ApparentAge(Finds({"image[0]": faces}), Reads(ages or {}), meter, bodies)
    return check.score([blank()])[0]["minor"]


def probability(age):
    """What two nets that agree make of an age."""
    return of_reading(Reading({AGE_V1: age, FACEAPI: age}))


def test_challenge_25_begins_at_25():
    assert probability(24.99) >= ENOUGH
    assert probability(25.01) < ENOUGH
    assert probability(25.0) == pytest.approx(0.30)


def test_age_v1_alone_is_challenged_later_because_it_misses_more():
    alone = CHALLENGE_YEARS_ALONE
    assert alone > 25
    assert of_reading(Reading({AGE_V1: alone - 0.01})) >= ENOUGH > of_reading(Reading({AGE_V1: alone + 0.01}))


def test_the_documented_ages_have_the_documented_probabilities():
    assert [round(probability(age), 2) for age in (11, 18, 20, 25, 30, 40)] == [0.90, 0.67, 0.57, 0.3, 0.12, 0.02]
    assert [round(of_reading(Reading({AGE_V1: age})), 2) for age in (11, 18, 25, 30, 40)] == [0.9, 0.7, 0.39, 0.2, 0.03]


@pytest.mark.parametrize("nets", [(AGE_V1,), (FACEAPI,), (AGE_V1, FACEAPI)])
def test_older_is_never_more_probable(nets):
    steps = [of_reading(Reading(dict.fromkeys(nets, float(age)))) for age in range(0, 300)]
    assert steps == sorted(steps, reverse=True)
    assert all(0.0 <= step <= 1.0 for step in steps)


@pytest.mark.parametrize("child", [AGE_V1, FACEAPI])
def test_one_net_that_sees_a_child_outweighs_one_that_sees_an_adult(child):
    (other,) = {AGE_V1, FACEAPI} - {child}
    assert of_reading(Reading({child: 8.0, other: 60.0})) >= ENOUGH
    assert of_reading(Reading({child: 30.0, other: 60.0})) < ENOUGH


def test_the_notes_say_how_old_the_riskiest_face_looks_and_how_far_off_that_may_be():
    picture = blank()
    picture.notes = ("8 of 40 frames",)
    faces = [face(tag=1, size_px=200), face(tag=2, size_px=40)]
    check = ApparentAge(Finds({"image[0]": faces}), Reads({1: 50.0, 2: 31.0}))
    check.score([picture])
    check.score([picture])
    assert picture.notes == ("8 of 40 frames", "the youngest-looking face looks 31 years old, give or take 9")


def test_a_face_that_may_be_a_dog_has_no_age_in_the_notes():
    picture = blank()
    ApparentAge(Finds({"image[0]": [face(0.65, tag=1)]}), Reads({1: 5.0})).score([picture])
    assert picture.notes == ()


def test_the_margin_grows_where_the_nets_disagree_or_one_is_missing():
    assert words(Reading({AGE_V1: 20.0})).endswith("20 years old, give or take 11")
    assert words(Reading({AGE_V1: 10.0, FACEAPI: 40.0})).endswith("28 years old, give or take 15")


def test_where_nobody_is_visible_the_answer_is_zero():
    assert minor([]) == 0.0
    assert minor([], exposure=0.1) == 0.0


def test_the_youngest_looking_face_counts():
    faces = [face(tag=1, size_px=200), face(tag=2, size_px=40)]
    assert minor(faces, {1: 50.0, 2: 9.0}) == probability(9.0)


def test_a_face_too_small_to_read_is_unknown_at_19_pixels_and_read_at_20():
    assert isinstance(minor([face(tag=1, size_px=READABLE_PX - 1)], {1: 40.0}), Unknown)
    assert minor([face(tag=1, size_px=READABLE_PX)], {1: 40.0}) == probability(40.0)


def test_a_profile_is_unknown():
    assert isinstance(minor([face(frontality=0.1)]), Unknown)


def test_a_grown_face_does_not_hide_an_unread_one():
    found = minor([face(tag=1), face(tag=2, size_px=8)], {1: 50.0})
    assert isinstance(found, Unknown)
    assert "too small" in found.why


def test_a_young_face_stands_whatever_else_was_not_read():
    assert minor([face(tag=1), face(tag=2, size_px=8)], {1: 10.0}) == probability(10.0)


def test_an_unreadable_detection_that_is_mostly_dogs_is_not_an_unknown():
    assert minor([face(0.65, size_px=10)]) == 0.0


def test_an_unsure_face_counts_for_as_much_as_it_is_one():
    assert minor([face(0.65, tag=1)], {1: 5.0}) == pytest.approx(probability(5.0) * face_probability(0.65))


def test_more_faces_than_are_read_are_unknown_unless_one_is_young():
    crowd = [face(tag=number) for number in range(MOST_READ + 1)]
    assert isinstance(minor(crowd, dict.fromkeys(range(MOST_READ + 1), 45.0)), Unknown)
    assert minor(crowd[:MOST_READ], dict.fromkeys(range(MOST_READ), 45.0)) == probability(45.0)
    assert minor(crowd, {**dict.fromkeys(range(MOST_READ + 1), 45.0), 3: 12.0}) == probability(12.0)


def test_an_uncovered_body_without_a_face_is_unknown():
    assert isinstance(minor([], exposure=0.5), Unknown)
    assert minor([], exposure=0.49) == 0.0


@pytest.mark.parametrize(("score", "known"), [(SEEN, False), (SEEN - 0.01, True)])
def test_a_body_without_a_face_is_unknown_however_much_it_wears(score, known):
    seen = Sees({"image[0]": [Body(0, score, (0.2, 0.0, 0.8, 1.0))]})
    found = minor([], exposure=0.0, bodies=seen)
    assert (found == 0.0) if known else isinstance(found, Unknown)


BESIDE_IT = Body(0, 0.9, (0.65, 0.1, 0.95, 1.0))


def test_a_sure_face_answers_for_the_body_that_it_is_on():
    seen = Sees({"image[0]": [Body(0, 0.9, (0.2, 0.0, 0.8, 1.0))]})
    assert minor([face(tag=1)], {1: 45.0}, bodies=seen) == probability(45.0)


@pytest.mark.parametrize(("score", "known"), [(BESIDE, False), (BESIDE - 0.01, True)])
def test_a_sure_face_does_not_answer_for_a_body_beside_it(score, known):
    seen = Sees({"image[0]": [Body(0, 0.9, (0.2, 0.0, 0.8, 1.0)), replace(BESIDE_IT, score=score)]})
    found = minor([face(tag=1)], {1: 45.0}, bodies=seen)
    assert (found == probability(45.0)) if known else isinstance(found, Unknown)


def test_nor_does_the_sure_face_of_one_answer_for_another_whose_face_may_be_a_dogs():
    faces = [face(tag=1), face(0.69, tag=2, box=(0.75, 0.12, 0.85, 0.25))]
    found = minor(faces, {1: 45.0, 2: 45.0}, bodies=Sees({"image[0]": [BESIDE_IT]}))
    assert isinstance(found, Unknown)
    faces[1] = replace(faces[1], score=0.7)
    assert minor(faces, {1: 45.0, 2: 45.0}, bodies=Sees({"image[0]": [BESIDE_IT]})) == probability(45.0)


def test_a_young_face_stands_whoever_is_beside_it_and_no_body_is_looked_for():
    seen = Sees({"image[0]": [BESIDE_IT]})
    assert minor([face(tag=1)], {1: 10.0}, bodies=seen) == probability(10.0)
    assert seen.asked == 0


def film(*frames: Image.Image) -> Artifact:
    return Artifact(Kind.INPUT, "image[0]", data=animation(list(frames), "TIFF"))


BEHIND = Body(1, 0.9, (0.2, 0.0, 0.8, 1.0))


@pytest.mark.parametrize(("beside", "known"), [([BEHIND], False), ([replace(BEHIND, frame=0)], True), ([], True)])
def test_a_sure_face_in_one_frame_does_not_answer_for_a_body_in_another(beside, known):
    picture = film(Image.new("RGB", (64, 64), "navy"), Image.new("RGB", (64, 64), "olive"))
    check = ApparentAge(Finds({"image[0]": [face(tag=1)]}), Reads({1: 45.0}), None, Sees({"image[0]": beside}))
    found = check.score([picture])[0]["minor"]
    assert (found == probability(45.0)) if known else isinstance(found, Unknown)


@pytest.mark.parametrize(("frame", "known"), [(0, True), (1, False)])
def test_nor_for_an_uncovered_one(frame, known):
    picture = film(Image.new("RGB", (64, 64), "navy"), Image.new("RGB", (64, 64), "olive"))
    meter = Measures({"image[0]": 0.0})
    meter.by_frame = {frame: 0.5}
    found = ApparentAge(Finds({"image[0]": [face(tag=1)]}), Reads({1: 45.0}), meter).score([picture])[0]["minor"]
    assert (found == probability(45.0)) if known else isinstance(found, Unknown)


def test_nor_for_one_that_was_seen_at_a_glance_alone():
    pages = [Image.new("RGB", (64, 64), (20 * at, 0, 255 - 20 * at)) for at in range(10)]
    picture = film(*pages)
    meter = Measures({"image[0]": 0.0})
    check = ApparentAge(
        Finds({"image[0]": [replace(face(tag=1), frame=at) for at in range(8)]}), Reads({1: 45.0}), meter
    )
    assert check.score([picture])[0]["minor"] == probability(45.0)
    meter.by_frame = {9: 0.5}
    assert isinstance(check.score([film(*pages)])[0]["minor"], Unknown)


def test_a_face_that_one_background_shows_answers_for_the_picture_on_others():
    cut_out = Image.new("RGBA", (64, 64), (200, 120, 80, 128))
    picture = Artifact(Kind.INPUT, "image[0]", data=encoded(cut_out, "PNG"))
    check = ApparentAge(Finds({"image[0]": [face(tag=1)]}), Reads({1: 45.0}), None, Sees({"image[0]": [BEHIND]}))
    assert check.score([picture])[0]["minor"] == probability(45.0)


def test_a_face_that_two_backgrounds_show_answers_for_one_body_and_not_for_two():
    cut_out = Image.new("RGBA", (64, 64), (200, 120, 80, 128))
    picture = Artifact(Kind.INPUT, "image[0]", data=encoded(cut_out, "PNG"))
    faces = [face(tag=1), replace(face(tag=1), frame=1)]
    check = ApparentAge(
        Finds({"image[0]": faces}),
        Reads({1: 45.0}),
        None,
        Sees({"image[0]": [BEHIND, replace(BEHIND, box=(0.35, 0.1, 0.65, 1.0))]}),
    )
    assert isinstance(check.score([picture])[0]["minor"], Unknown)


def test_a_broken_picture_is_unknown():
    (scores,) = ApparentAge(Finds({}), Reads({})).score([broken()])
    assert isinstance(scores["minor"], Unknown)


@pytest.mark.weights
@pytest.mark.parametrize("name", ["collins", "hopper"])
@pytest.mark.parametrize("change", [{}, {"turn": 180}, {"noise": 20.0}])
def test_two_grown_women_are_not_taken_for_minors(name, change):
    models = real_models("yunet", "age-v1")
    check = ApparentAge(FaceFinder(models), AgeReader(models))
    assert check.score([photograph(name, **change)])[0]["minor"] < ENOUGH


@pytest.mark.weights
def test_an_age_is_read_once():
    models = real_models("yunet", "age-v1")
    finder, reader, picture = FaceFinder(models), AgeReader(models), photograph("hopper")
    (found,) = finder.faces(picture)
    assert reader.reading(picture, found) is reader.reading(picture, found)
    assert reader.age(picture, found) > 50


@pytest.mark.weights
def test_a_grown_face_does_not_answer_for_somebody_beside_it_whose_head_is_cut_off():
    models = real_models("yunet", "age-v1", "nanodet")
    left, other = (Image.open(PICTURES / f"{name}.jpg").convert("RGB") for name in ("collins", "hopper"))
    headless = other.crop((0, round(other.height * 0.58), other.width, other.height))
    together = Image.new("RGB", (1024, 512), "grey")
    together.paste(left, (0, 0))
    check = ApparentAge(FaceFinder(models), AgeReader(models), None, BodyFinder(models))
    alone = Artifact(Kind.INPUT, "image[0]", data=encoded(together, "PNG"))
    together.paste(headless, (512, 512 - headless.height))
    beside = Artifact(Kind.INPUT, "image[0]", data=encoded(together, "PNG"))
    assert check.score([alone])[0]["minor"] < ENOUGH
    assert isinstance(check.score([beside])[0]["minor"], Unknown)
