"""Finding faces in real pictures: turned, small, several; searched once, and cheap where there is nothing."""

from __future__ import annotations

import io
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageOps

from guardrail.errors import CheckError
from guardrail.inference.image import align, faces
from guardrail.inference.image.closeup import SURE
from guardrail.inference.image.faces import (
    FACE,
    READABLE_FRONTALITY,
    READABLE_PX,
    Face,
    FaceFinder,
    faces_in,
    frontality,
    grain,
)
from guardrail.inference.image.frame import Frame
from guardrail.inference.image.search import AGE_FACE, EDGE, SMALL_SIDE, _parts
from guardrail.types import Artifact, Kind
from tests.checks.people import PICTURES, blank, face, photograph, real_models

FRONT = np.array([(30, 40), (70, 40), (50, 60), (35, 80), (65, 80)], np.float32)


class Counts:
    """A session that passes on to another and counts."""

    def __init__(self, session) -> None:
        self.session = session
        self.runs = 0

    def get_inputs(self):
        return self.session.get_inputs()

    def get_outputs(self):
        return self.session.get_outputs()

    def run(self, wanted, feed):
        self.runs += 1
        return self.session.run(wanted, feed)


def frame(image: Image.Image) -> Frame:
    return Frame(np.array(image.convert("RGBX")), scale=1.0)


def portrait(name: str = "collins") -> Image.Image:
    return Image.open(PICTURES / f"{name}.jpg").convert("RGB")


def turned(name: str, degrees: int) -> Artifact:
    written = io.BytesIO()
    portrait(name).rotate(degrees, expand=True).save(written, "PNG")
    return Artifact(Kind.INPUT, "image[0]", data=written.getvalue())


def test_a_face_from_the_front_is_frontal_and_a_profile_is_not():
    assert frontality(FRONT) == pytest.approx(1.0)
    profile = FRONT.copy()
    profile[2] = (72, 60)
    assert frontality(profile) == 0.0
    assert frontality(FRONT @ np.array([[0, 1], [-1, 0]], np.float32)) == pytest.approx(1.0)
    assert frontality(np.zeros((5, 2), np.float32)) == 0.0


@pytest.mark.parametrize(
    ("size_px", "front", "readable"),
    [
        (READABLE_PX, READABLE_FRONTALITY, True),
        (READABLE_PX - 0.1, 1.0, False),
        (200.0, READABLE_FRONTALITY - 0.01, False),
    ],
)
def test_what_can_be_read_has_two_thresholds(size_px, front, readable):
    assert face(size_px=size_px, frontality=front).readable is readable


def test_a_face_never_prints_its_landmarks():
    assert "landmarks" not in repr(face(tag=123.0))


@pytest.mark.weights
@pytest.mark.parametrize("turn", [0, 45, 90, 135, 180, 225, 270, 315])
def test_a_turned_portrait_has_one_face_with_its_eyes_where_they_are(turn):
    session = real_models("yunet").session("yunet")
    upright = faces_in(session, frame(portrait()))
    (found,) = faces_in(session, frame(portrait().rotate(turn, expand=True)))
    assert found.score > 0.85
    before, after = (float(np.hypot(*(one.landmarks[1] - one.landmarks[0]))) for one in (upright[0], found))
    assert after == pytest.approx(before, rel=0.2)
    along = found.landmarks[1] - found.landmarks[0]
    angle = np.degrees(np.arctan2(along[1], along[0]))
    assert abs((angle + turn + 180) % 360 - 180) < 20  # Pillow turns against the clock, pixels grow downwards


@pytest.mark.weights
@pytest.mark.parametrize("name", ["collins", "hopper"])
@pytest.mark.parametrize("turn", [20, 30, 60, 120, 150, 210, 240, 300, 330, 340])
def test_whoever_leans_is_the_same_person(turn, name):
    finder = FaceFinder(real_models("yunet", "sface"))
    upright, leaning = photograph(name), turned(name, turn)
    (before,), (after,) = ([one for one in finder.faces(seen) if one.score >= AGE_FACE] for seen in (upright, leaning))
    assert finder.embed(upright, before) @ finder.embed(leaning, after) > 0.6


@pytest.mark.weights
@pytest.mark.parametrize("name", ["collins", "hopper"])
def test_one_face_of_24_pixels_is_found_in_a_picture_of_1024(name):
    wide = Image.new("RGB", (1024, 1024), (120, 160, 120))
    face_px = faces_in(real_models("yunet").session("yunet"), frame(portrait(name)))[0].size_px
    small = portrait(name)
    small = small.resize((round(small.width * 24 / face_px), round(small.height * 24 / face_px)))
    wide.paste(small, (700, 600))
    (found,) = faces_in(real_models("yunet").session("yunet"), frame(wide))
    assert 20 < found.size_px < 32


@pytest.mark.weights
def test_two_people_beside_each_other_are_two_faces_the_larger_first():
    both = Image.new("RGB", (1024, 600), "grey")
    both.paste(portrait("collins"), (0, 0))
    both.paste(portrait("hopper"), (512, 0))
    found = faces_in(real_models("yunet").session("yunet"), frame(both))
    assert len(found) == 2
    assert found[0].area > found[1].area
    assert found[0].box[0] > 0.5 > found[1].box[2]
    assert all(one.score >= FACE and one.readable for one in found)


@pytest.mark.weights
@pytest.mark.parametrize(
    ("colours", "edge", "is_turned"),
    [(("black", "blue"), True, False), (("black", "white"), True, True), (("black", "white"), False, False)],
)
def test_a_picture_without_a_trace_of_a_face_is_turned_only_where_skin_could_be_and_an_edge_is(
    colours, edge, is_turned
):
    counts = Counts(real_models("yunet").session("yunet"))
    slope = ImageOps.colorize(Image.linear_gradient("L").resize((800, 800)), *colours)
    if edge:
        slope.paste(colours[0], (0, 400, 800, 800))
    assert faces_in(counts, frame(slope)) == []
    assert (counts.runs > 5) is is_turned  # one pass, and a look at each of at most four spots


@pytest.mark.weights
@pytest.mark.parametrize(("side", "is_turned"), [(SMALL_SIDE, True), (SMALL_SIDE + 1, False)])
def test_a_small_picture_is_looked_at_in_every_turn_whatever_its_colours(side, is_turned):
    counts = Counts(real_models("yunet").session("yunet"))
    plain = Image.new("RGB", (side, side), "blue")
    plain.paste("black", (0, side // 2, side, side))
    assert faces_in(counts, frame(plain)) == []
    assert (counts.runs > 5) is is_turned


@pytest.mark.weights
def test_a_small_dark_portrait_without_a_skin_tone_is_found_askew():
    small = portrait("hopper")
    small.thumbnail((128, 1024))
    bluish = np.asarray(small.rotate(135, expand=True), np.float32) * (0.6, 0.8, 1.0)
    (found,) = faces_in(real_models("yunet").session("yunet"), frame(Image.fromarray(bluish.astype(np.uint8))))
    assert found.score >= AGE_FACE


@pytest.mark.parametrize(("step", "looks"), [(EDGE + 1, True), (EDGE - 1, False)])
def test_the_steepest_edge_is_in_grey_levels_at_an_eighth_of_a_large_picture(step, looks):
    levels = np.full((1024, 1024, 4), 100, np.uint8)
    levels[:, 512:] += np.uint8(step)
    assert (Frame(levels, scale=1.0).steepest >= EDGE) is looks


def test_a_picture_of_a_few_pixels_may_have_any_edge():
    assert Frame(np.zeros((4, 40, 4), np.uint8), scale=1.0).steepest == np.inf


@pytest.mark.weights
def test_a_template_has_unit_length_and_is_made_once():
    finder, picture = FaceFinder(real_models("yunet", "sface")), photograph("collins")
    (found,) = finder.faces(picture)
    assert finder.faces(picture) is finder.faces(picture)
    template = finder.embed(picture, found)
    assert template.shape == (128,)
    assert template.dtype == np.float32
    assert float(np.linalg.norm(template)) == pytest.approx(1.0, abs=1e-5)
    assert finder.embed(picture, found) is template


@pytest.mark.parametrize("noise", [0.0, 5.0, 12.0])
def test_grain_is_noise_in_grey_levels_and_no_edge(noise):
    edges = np.repeat(np.repeat(np.random.default_rng(1).integers(60, 190, (8, 8)), 14, axis=0), 14, axis=1)
    grey = edges + np.random.default_rng(2).normal(0, noise, edges.shape)
    assert grain(np.stack([grey] * 3, axis=2).clip(0, 255).astype(np.uint8)) == pytest.approx(
        noise, abs=0.1 * noise + 0.5
    )


@pytest.mark.weights
@pytest.mark.parametrize("name", ["hopper", "collins"])
def test_whoever_is_printed_in_dots_is_the_same_person(name):
    finder = FaceFinder(real_models("yunet", "sface"))
    templates = []
    for image in (portrait(name), portrait(name).convert("1").convert("RGB")):
        written = io.BytesIO()
        image.save(written, "PNG")
        artifact = Artifact(Kind.INPUT, "image[0]", data=written.getvalue())
        templates.append(finder.embed(artifact, finder.faces(artifact)[0]))
    assert templates[0] @ templates[1] >= 0.5


@pytest.mark.weights
@pytest.mark.parametrize("name", ["collins", "hopper"])
def test_whoever_is_noisy_is_the_same_person_though_noise_moved_the_landmarks(name):
    finder, large, written = FaceFinder(real_models("yunet", "sface")), photograph(name), io.BytesIO()
    (before,) = finder.faces(large)
    small = ImageOps.scale(portrait(name), 50 / before.size_px)
    noise = np.random.default_rng(5).normal(0, 25, (small.height, small.width, 3))
    Image.fromarray((np.asarray(small) + noise).clip(0, 255).astype(np.uint8)).save(written, "PNG")
    noisy = Artifact(Kind.INPUT, "image[0]", data=written.getvalue())
    (after,) = finder.faces(noisy)
    moved = replace(after, landmarks=after.landmarks + np.array([(0, 8), (0, -8), (0, 0), (0, 8), (0, -8)], np.float32))
    assert finder.embed(large, before) @ finder.embed(noisy, moved) > 0.65


@pytest.mark.weights
@pytest.mark.parametrize("name", ["collins", "hopper"])
def test_a_face_on_its_head_that_was_found_as_if_it_were_upright_is_the_same_person(name):
    finder = FaceFinder(real_models("yunet", "sface"))
    upright, over = photograph(name), turned(name, 180)
    (before,), (after,) = finder.faces(upright), finder.faces(over)
    misread = replace(after, score=0.89, turn_deg=0, landmarks=after.landmarks[[4, 3, 2, 1, 0]])
    assert finder.embed(upright, before) @ finder.embed(over, misread) > 0.8


@pytest.mark.weights
def test_every_frame_of_an_animation_is_searched(tmp_path):
    quiet = Image.linear_gradient("L").resize((512, 512)).convert("RGB")
    quiet.save(tmp_path / "two.webp", save_all=True, append_images=[portrait()], lossless=True, duration=100)
    picture = Artifact(Kind.OUTPUT, "data[0]", data=(tmp_path / "two.webp").read_bytes())
    (found,) = FaceFinder(real_models("yunet")).faces(picture)
    assert found.frame == 1


@pytest.mark.weights
@pytest.mark.parametrize("tall", [False, True])
@pytest.mark.parametrize("length", [400, 1200, 2800])
def test_whoever_stands_in_a_strip_is_found_however_long_it_is(length, tall):
    strip = Image.new("RGB", (length, 130), (120, 160, 120))
    strip.paste(portrait().crop((100, 0, 360, 260)).resize((120, 120)), (length - 200, 5))
    strip = strip.transpose(Image.Transpose.ROTATE_90) if tall else strip
    (found,) = faces_in(real_models("yunet").session("yunet"), frame(strip))
    assert found.readable


@pytest.mark.weights
def test_whoever_is_small_in_a_large_picture_is_looked_at_closer():
    large = Image.new("RGB", (2000, 2000), (120, 160, 120))
    large.paste(portrait().resize((200, 200)), (100, 1000))
    counts = Counts(real_models("yunet").session("yunet"))
    (found,) = faces_in(counts, frame(large))
    assert found.readable
    assert found.box[0] < 0.15 < 0.5 < found.box[1]


@pytest.mark.weights
@pytest.mark.parametrize("name", ["collins", "hopper"])
@pytest.mark.parametrize(
    "hidden",
    [
        lambda image: image.point(lambda level: 112 + level // 20),
        lambda image: image.convert("1").convert("RGB"),
        lambda image: image.resize((image.width // 14, image.height // 14)).resize(
            image.size, Image.Resampling.NEAREST
        ),
        lambda image: image.resize((image.width * 4, image.height)),
        lambda image: image.resize((image.width, image.height * 4)),
    ],
    ids=["faint", "dots", "coarse", "wide", "tall"],
)
def test_a_face_is_found_behind_what_a_viewer_sees_through(name, hidden):
    found = faces_in(real_models("yunet").session("yunet"), frame(hidden(portrait(name))))
    assert len(found) == 1
    (plain,) = faces_in(real_models("yunet").session("yunet"), frame(portrait(name)))
    x0, y0, x1, y1 = plain.box
    assert x0 < (found[0].box[0] + found[0].box[2]) / 2 < x1
    assert y0 < (found[0].box[1] + found[0].box[3]) / 2 < y1


@pytest.mark.weights
def test_a_small_face_is_found_in_an_ordinary_picture_and_beside_a_large_one():
    wide = Image.new("RGB", (1024, 768), (120, 160, 120))
    wide.paste(portrait().resize((110, 110)), (800, 500))
    (alone,) = faces_in(real_models("yunet").session("yunet"), frame(wide))
    assert 15 < alone.size_px < 40
    wide.paste(portrait("hopper"), (0, 0))
    assert len(faces_in(real_models("yunet").session("yunet"), frame(wide))) == 2


@pytest.mark.weights
def test_a_contact_sheet_has_as_many_faces_as_portraits():
    sheet = Image.new("RGB", (2000, 1600), "white")
    for at in range(20):
        sheet.paste(
            portrait(("collins", "hopper")[at % 2]).resize((190, 190)), (at % 5 * 400 + 100, at // 5 * 400 + 100)
        )
    assert len(faces_in(real_models("yunet").session("yunet"), frame(sheet))) == 20


@pytest.mark.parametrize(
    ("box", "score", "dropped"),
    [
        ((10, 10, 30, 30), 0.8, True),
        ((10, 10, 30, 30), 0.95, False),
        ((91, 10, 111, 30), 0.8, False),
        ((89, 10, 109, 30), 0.8, True),
    ],
)
def test_what_lies_by_more_than_half_in_a_surer_face_is_a_part_of_it(box, score, dropped):
    faces = np.array([[0, 0, 100, 100, *[0] * 10, 0.9]], np.float32)
    found = np.array([[*box, *[0] * 10, score]], np.float32)
    assert _parts(found, faces).tolist() == [dropped]
    assert _parts(found, faces[:0]).tolist() == [False]


@pytest.mark.weights
def test_a_group_of_small_faces_is_looked_at_in_every_pixel():
    group = Image.new("RGB", (1024, 768), (120, 160, 120))
    head = portrait().crop((100, 0, 360, 260))
    for at in range(10):
        group.paste(head.resize((70, 70) if at else (110, 110)), (at % 5 * 190 + 40, at // 5 * 300 + 60))
    found = faces_in(real_models("yunet").session("yunet"), frame(group))
    assert len(found) == 10
    assert found[-1].size_px < 30


@pytest.mark.parametrize("broken", [0.0, np.nan, np.inf])
def test_a_template_without_a_direction_is_an_error_and_not_nobodys(broken):
    class Tower:
        def get_inputs(self):
            return [SimpleNamespace(name="data")]

        def run(self, wanted, feed):
            return [np.full((1, 128), broken, np.float32)]

    class Weights:
        def session(self, name):
            assert name == "sface"  # a sure and upright face is not looked at again
            return Tower()

    found = Face(0, SURE, (0.2, 0.2, 0.8, 0.8), align.ARCFACE * np.float32(40) + 12, 40.0, 20.0, 0.9)
    with pytest.raises(CheckError, match="sface"):
        FaceFinder(Weights()).embed(blank(), found)


@pytest.mark.parametrize(
    ("score", "width", "is_doubtful"), [(0.649, 160, True), (0.651, 160, False), (0.649, 190, False), (0.9, 100, False)]
)
def test_what_closer_looks_did_not_find_again_is_doubtful_unless_the_picture_was_pulled(
    monkeypatch, score, width, is_doubtful
):
    row = np.concatenate([(20, 20, 80, 80), FRONT.ravel(), (score,)]).astype(np.float32)
    monkeypatch.setattr(faces, "search", lambda session, frame: (row[None], [0]))
    (found,) = faces_in(None, frame(Image.new("RGB", (width, 100))))
    assert found.doubtful is is_doubtful
