"""The check of protected persons: thresholds, children, expiry, faces that cannot be compared, a running registry."""

from __future__ import annotations

import io
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from guardrail.checks import Tools
from guardrail.checks.enrolment import template_from, templates_in, unlike
from guardrail.checks.likeness import (
    ADULT_LEAST,
    CHILD_BELOW_YEARS,
    CHILD_LEAST,
    CHILD_MOST,
    SURE,
    YOUNGER,
    Protected,
    best_match,
    false_alarms_in,
    probability,
    share_above,
    threshold,
)
from guardrail.checks.person import Template, Templates
from guardrail.checks.registry import Registry
from guardrail.errors import CheckError, ConfigError
from guardrail.inference.image.ages import AgeReader
from guardrail.inference.image.faces import AGE_FACE, MOST_FACES, Face, FaceFinder
from guardrail.types import Artifact, Kind, Unknown
from tests.checks import people
from tests.checks.pictures import encoded
from tests.checks.test_store import Clock

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
KEY = bytes(range(32))
MODEL = "sface@0000abcd"


def unit(seed: int) -> np.ndarray:
    return Template.of(np.random.default_rng(seed).normal(size=128)).vector


def at_cosine(vector: np.ndarray, cosine: float, seed: int = 999) -> np.ndarray:
    """A unit vector at exactly this cosine to another."""
    across = np.random.default_rng(seed).normal(size=128)
    across -= (across @ vector) * vector
    across /= np.linalg.norm(across)
    return (cosine * vector + np.sqrt(1 - cosine**2) * across).astype(np.float32)


def matrix(vectors: list[np.ndarray], child: list[bool] | None = None) -> Templates:
    return Templates(
        np.stack(vectors),
        np.array(child or [False] * len(vectors)),
        np.full(len(vectors), np.inf),
        people=len(vectors),
        revision=1,
    )


class Painted:
    """A face finder whose pictures are JSON: a list of faces, each with its template, size and frontality."""

    models = ("painted@1",)
    template_model = MODEL

    def __init__(self) -> None:
        self.searched = 0

    def faces(self, artifact: Artifact) -> tuple[Face, ...]:
        self.searched += 1
        try:
            told = json.loads(artifact.data or b"")
        except ValueError:
            raise CheckError("not a picture") from None
        return tuple(
            Face(
                frame=one.get("frame", 0),
                score=one.get("score", 0.9),
                box=(0.1, 0.1, 0.4, 0.5),
                landmarks=np.full((5, 2), at, np.float32),
                size_px=one.get("size_px", 120.0),
                sharpness=20.0,
                frontality=one.get("frontality", 0.9),
                doubtful=one.get("doubtful", False),
            )
            for at, one in enumerate(told)
        )

    def embed(self, artifact: Artifact, face: Face) -> np.ndarray:
        at = int(face.landmarks[0, 0])
        return np.array(json.loads(artifact.data or b"")[at]["vector"], np.float32)


class Looks:
    """An age reader for which everybody is of one age."""

    models = ("looks@1",)

    def __init__(self, years: float) -> None:
        self.years = years

    def age(self, artifact: Artifact, face: Face) -> float:
        return self.years


def painting(*faces: dict[str, object]) -> bytes:
    return json.dumps(
        [{**one, "vector": [float(number) for number in one.get("vector", unit(5))]} for one in faces]  # type: ignore[attr-defined]
    ).encode()


def registry(tmp_path: Path, *seeds: int, **enrolment: object) -> Registry:
    mine = Registry(tmp_path / "registry", KEY, model=MODEL)
    for seed in seeds:
        mine.enrol([Template(unit(seed))], label="x", now=NOW, **enrolment)  # type: ignore[arg-type]
    return mine


def score(check: Protected, data: bytes) -> float | Unknown:
    return check.score([Artifact(Kind.INPUT, "image[0]", data=data)])[0]["protected"]


# Calibration


@pytest.mark.parametrize(
    ("templates", "adult", "child"),
    [(1, 0.42, 0.65), (10, 0.42, 0.65), (100, 0.42, 0.699), (1_000, 0.506, 0.769), (100_000, 0.685, 0.909)],
)
def test_the_threshold_grows_with_the_registry(templates: int, adult: float, child: float) -> None:
    assert threshold(templates) == pytest.approx(adult, abs=5e-4)
    assert threshold(templates, child=True) == pytest.approx(child, abs=5e-4)


@pytest.mark.parametrize("child", [False, True])
@pytest.mark.parametrize("wanted", [0.001, 0.01, 0.1])
@pytest.mark.parametrize("templates", [1, 10, 1_000, 20_000, 100_000])
def test_false_matches_to_expect_stay_under_the_target_at_every_size(
    templates: int, wanted: float, child: bool
) -> None:
    cosine = threshold(templates, child=child, false_alarms=wanted)
    assert templates * share_above(cosine, child=child) <= wanted * (1 + 1e-9)
    if cosine > (ADULT_LEAST, CHILD_LEAST)[child]:  # and no stricter than that takes
        assert templates * share_above(cosine - 0.001, child=child) > wanted


@pytest.mark.parametrize(("cosine", "share"), [(0.304, 1e-2), (0.376, 1e-3), (0.417, 1e-4)])
def test_the_share_of_strangers_is_the_published_one_where_it_was_measured(cosine: float, share: float) -> None:
    assert share_above(cosine) == pytest.approx(share)
    assert share_above(0.629, child=True) == pytest.approx(1e-3)


def test_an_operator_who_takes_more_false_matches_finds_more() -> None:
    near = at_cosine(unit(1), 0.46)
    many = matrix([unit(1), *(unit(seed) for seed in range(2_000, 2_999))])
    assert best_match(near, many) < 0.5 < best_match(near, many, false_alarms=0.1)  # type: ignore[operator]


def test_a_child_who_may_be_one_of_many_cannot_be_told() -> None:
    size = 1_000
    children = matrix([unit(1), *(unit(seed) for seed in range(2_001, 2_000 + size))], [True] * size)
    assert threshold(size, child=True) > 0.76
    assert isinstance(best_match(at_cosine(unit(1), CHILD_MOST + 0.01), children), Unknown)
    assert best_match(at_cosine(unit(1), CHILD_MOST - 0.01), children) < 0.5  # type: ignore[operator]
    assert best_match(at_cosine(unit(1), 0.78), children) > 0.5  # type: ignore[operator]


def test_adults_in_the_registry_do_not_make_children_harder_to_tell() -> None:
    mixed = matrix([unit(1), *(unit(seed) for seed in range(2_001, 3_000))], [True, *[False] * 999])
    assert best_match(at_cosine(unit(1), CHILD_MOST + 0.01), mixed) > 0.5  # type: ignore[operator]


@pytest.mark.parametrize(
    "options",
    [{"false_alarms": 0.1}, *({"false_alarms_per_face": value} for value in (0, -1, 1.01, "many", True, None))],
)
def test_a_target_that_is_no_share_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"checks\.options\.protected"):
        false_alarms_in(options)


def test_the_target_is_one_in_a_hundred_unless_it_is_set() -> None:
    assert false_alarms_in({}) == 0.01
    assert false_alarms_in({"false_alarms_per_face": 1}) == 1.0


def test_between_the_measured_sizes_the_threshold_only_grows() -> None:
    sizes = range(1, 20_001, 50)
    found = [threshold(size) for size in sizes]
    assert found == sorted(found)


def test_a_match_is_as_likely_as_not_at_the_threshold_and_goes_both_ways_from_there() -> None:
    assert probability(0.42, 50) == pytest.approx(0.5)
    assert probability(0.41, 50) < 0.5 < probability(0.43, 50)
    assert probability(0.363, 50) < 0.1  # the published threshold for one pair is too lax here
    assert probability(1.0, 50) == pytest.approx(1.0)
    assert probability(-1.0, 50) == pytest.approx(0.0, abs=1e-9)


def test_the_best_of_all_templates_counts() -> None:
    templates = matrix([unit(1), unit(2), unit(3)])
    assert best_match(unit(2), templates) == pytest.approx(1.0, abs=1e-6)
    assert best_match(at_cosine(unit(3), 0.43), templates) > 0.5 > best_match(at_cosine(unit(3), 0.41), templates)


def test_nobody_in_the_registry_matches_nobody() -> None:
    assert best_match(unit(1), Templates.none()) == 0.0


def test_two_childrens_faces_need_a_higher_cosine_than_two_adults() -> None:
    near = at_cosine(unit(1), 0.60)
    assert best_match(near, matrix([unit(1)])) > 0.99
    assert best_match(near, matrix([unit(1)], [True])) < 0.2
    assert best_match(near, matrix([unit(1)], [True]), child=True) < 0.2
    assert best_match(at_cosine(unit(1), 0.66), matrix([unit(1)], [True])) > 0.5
    assert best_match(at_cosine(unit(1), 0.64), matrix([unit(1)], [True])) < 0.5


def test_an_adult_beside_a_child_in_the_registry_is_judged_as_an_adult() -> None:
    both = matrix([unit(1), unit(2)], [True, False])
    assert best_match(at_cosine(unit(2), 0.50), both) > 0.9
    assert best_match(at_cosine(unit(1), 0.50), both) < 0.1


def test_a_template_that_is_not_finite_is_an_error_and_no_mismatch() -> None:
    broken = matrix([unit(1), np.full(128, np.nan, np.float32)])
    with pytest.raises(CheckError, match="not finite"):
        best_match(unit(1), broken)


# The check


def test_a_protected_face_is_found_among_others_and_strangers_pass(tmp_path: Path) -> None:
    check = Protected(Painted(), registry(tmp_path, 1))
    assert score(check, painting({"vector": unit(7)}, {"vector": unit(1)})) == pytest.approx(1.0, abs=1e-6)
    assert score(check, painting({"vector": unit(7)})) < 0.01  # type: ignore[operator]
    assert score(check, painting()) == 0.0


def test_with_an_empty_registry_no_face_is_even_searched(tmp_path: Path) -> None:
    finder = Painted()
    check = Protected(finder, registry(tmp_path))
    assert score(check, b"not even a picture") == 0.0
    assert finder.searched == 0
    assert check.models == ("painted@1", MODEL, "registry@0")


def test_the_receipt_names_the_registry_as_it_stands(tmp_path: Path) -> None:
    mine, clock = registry(tmp_path, 1, 2), Clock()
    check = Protected(Painted(), mine, ages=Looks(40), clock=clock)
    assert check.models == ("painted@1", MODEL, "looks@1", f"registry@{mine.file.revision()}.2")
    registry(tmp_path, 3)
    clock.now = 1.0
    assert check.models[-1] == f"registry@{mine.file.revision()}.3"


@pytest.mark.parametrize("face", [{"size_px": 19.9}, {"frontality": 0.19}])
def test_a_face_that_cannot_be_compared_is_unknown_and_not_clean(tmp_path: Path, face: dict[str, object]) -> None:
    check = Protected(Painted(), registry(tmp_path, 1))
    said = score(check, painting({"vector": unit(7)}, face))
    assert isinstance(said, Unknown)
    assert "too small or too far turned" in said.why


@pytest.mark.parametrize("unread", [{"size_px": 19.9}, {"frontality": 0.19}])
def test_what_is_more_probably_no_face_is_no_reason_to_hold_a_picture(tmp_path: Path, unread: dict[str, float]) -> None:
    check = Protected(Painted(), registry(tmp_path, 1))
    assert score(check, painting({"doubtful": True, **unread})) == 0.0
    assert isinstance(score(check, painting({"doubtful": True, **unread}, unread)), Unknown)


def test_what_is_doubtful_is_compared_where_it_can_be(tmp_path: Path) -> None:
    check = Protected(Painted(), registry(tmp_path, 1))
    assert score(check, painting({"doubtful": True, "vector": unit(1)})) > 0.9


def test_a_face_just_large_enough_is_compared(tmp_path: Path) -> None:
    check = Protected(Painted(), registry(tmp_path, 1))
    assert isinstance(score(check, painting({"size_px": 20.0, "frontality": 0.2})), float)


def test_a_sure_match_stands_beside_a_face_that_cannot_be_compared(tmp_path: Path) -> None:
    check = Protected(Painted(), registry(tmp_path, 1))
    small = {"size_px": 5.0}
    assert score(check, painting(small, {"vector": unit(1)})) > SURE  # type: ignore[operator]
    assert isinstance(score(check, painting(small, {"vector": at_cosine(unit(1), 0.43)})), Unknown)


def test_more_faces_than_are_kept_of_a_frame_are_unknown(tmp_path: Path) -> None:
    check = Protected(Painted(), registry(tmp_path, 1))
    crowd = [{"vector": unit(50 + at)} for at in range(MOST_FACES)]
    assert isinstance(score(check, painting(*crowd)), Unknown)
    assert isinstance(score(check, painting(*crowd[:-1])), float)
    spread = [{**one, "frame": at % 2} for at, one in enumerate(crowd)]
    assert isinstance(score(check, painting(*spread)), float)


def test_a_picture_that_cannot_be_read_is_unknown_and_its_neighbour_is_not(tmp_path: Path) -> None:
    check = Protected(Painted(), registry(tmp_path, 1))
    batch = [Artifact(Kind.INPUT, "a", data=b"?"), Artifact(Kind.INPUT, "b", data=painting({"vector": unit(1)}))]
    first, second = (one["protected"] for one in check.score(batch))
    assert first == Unknown("not a picture")
    assert second == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(("cosine", "known"), [(ADULT_LEAST - 0.01, True), (ADULT_LEAST + 0.001, False), (0.66, True)])
def test_a_protected_adult_who_looks_like_a_child_is_not_a_stranger(cosine: float, known: bool) -> None:
    """As near as an adult's face has to be, and below what two children's have to be: nobody can tell."""
    found = best_match(at_cosine(unit(1), cosine), matrix([unit(1)]), child=True)
    assert isinstance(found, Unknown) is not known
    if known:
        assert (found > 0.5) == (cosine > CHILD_LEAST)  # type: ignore[operator]


def test_beside_enrolled_children_a_childs_face_is_compared_with_adults_by_their_own_number() -> None:
    both = matrix([unit(1), *(unit(seed) for seed in range(2_000, 2_500))], [False] + [True] * 500)
    assert isinstance(best_match(at_cosine(unit(1), 0.43), both, child=True), Unknown)
    assert best_match(at_cosine(unit(1), 0.41), both, child=True) < 0.01  # type: ignore[operator]
    assert best_match(at_cosine(unit(2_000), 0.60), both, child=True) < 0.01  # type: ignore[operator]
    assert best_match(unit(2_000), both, child=True) > 0.9  # type: ignore[operator]


@pytest.mark.parametrize(("years", "matches"), [(CHILD_BELOW_YEARS - 0.1, False), (CHILD_BELOW_YEARS, True)])
def test_a_face_that_looks_like_a_childs_needs_the_higher_cosine(tmp_path: Path, years: float, matches: bool) -> None:
    check = Protected(Painted(), registry(tmp_path, 1), ages=Looks(years))
    said = score(check, painting({"vector": at_cosine(unit(1), 0.55)}))
    assert (said > 0.5) if matches else said == Unknown(YOUNGER)  # type: ignore[operator]


@pytest.mark.parametrize(("detected", "matches"), [(AGE_FACE - 0.01, True), (AGE_FACE, False)])
def test_no_age_is_read_off_a_doubtful_face(tmp_path: Path, detected: float, matches: bool) -> None:
    check = Protected(Painted(), registry(tmp_path, 1), ages=Looks(5))
    said = score(check, painting({"vector": at_cosine(unit(1), 0.55), "score": detected}))
    assert (said > 0.5) if matches else said == Unknown(YOUNGER)  # type: ignore[operator]


def test_a_child_that_cannot_be_told_is_unknown_and_a_sure_match_beside_it_stands(tmp_path: Path) -> None:
    mine = registry(tmp_path, 5_000)
    for start in range(0, 400, 20):
        some = [Template(unit(seed), child=True) for seed in range(start, start + 20)]
        mine.enrol(some, label="x", now=NOW)
    check = Protected(Painted(), mine)
    near = {"vector": at_cosine(unit(1), CHILD_MOST + 0.01)}
    said = score(check, painting(near))
    assert isinstance(said, Unknown)
    assert "too many children look alike" in said.why
    assert score(check, painting(near, {"vector": unit(5_000)})) > SURE  # type: ignore[operator]


# While it runs


def test_protection_ends_at_its_moment_without_any_change_of_the_file(tmp_path: Path) -> None:
    ends = NOW + timedelta(hours=1)
    mine = registry(tmp_path, 1, expires=ends)
    at = Clock()
    check = Protected(Painted(), mine, now=at)
    at.now = ends.timestamp() - 0.01
    assert score(check, painting({"vector": unit(1)})) > 0.9  # type: ignore[operator]
    assert check.models[-1] == f"registry@{mine.file.revision()}.1"
    at.now = ends.timestamp()
    assert score(check, painting({"vector": unit(1)})) == 0.0
    assert check.models[-1] == "registry@0"


def test_adding_and_removing_a_person_is_seen_by_a_running_check(tmp_path: Path) -> None:
    mine, clock = registry(tmp_path), Clock()
    check = Protected(Painted(), mine, clock=clock)
    picture = painting({"vector": unit(1)})
    assert score(check, picture) == 0.0
    person = registry(tmp_path).enrol([Template(unit(1))], label="x", now=NOW)
    clock.now = 1.0
    assert score(check, picture) > 0.9  # type: ignore[operator]
    registry(tmp_path).remove([person.id])
    clock.now = 2.0
    assert score(check, picture) == 0.0


def test_a_registry_made_anew_under_another_key_stops_a_running_check(tmp_path: Path) -> None:
    mine, clock = registry(tmp_path, 1), Clock()
    check = Protected(Painted(), mine, clock=clock)
    mine.file.path.unlink()
    Registry(tmp_path / "registry", bytes(32), model=MODEL).enrol([Template(unit(1))], label="x", now=NOW)
    clock.now = 1.0
    with pytest.raises(CheckError, match="another key"):
        score(check, painting({"vector": unit(7)}))
    assert check.models[-1] == "registry@unreadable"


def test_a_registry_of_another_key_is_refused_at_start(tmp_path: Path) -> None:
    registry(tmp_path, 1)
    with pytest.raises(ConfigError, match="another key"):
        Protected(Painted(), Registry(tmp_path / "registry", bytes(32), model=MODEL))


def test_twenty_thousand_templates_are_searched_in_time() -> None:
    rows = np.random.default_rng(0).normal(size=(20_000, 128)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    templates = matrix(list(rows))
    best_match(unit(1), templates)
    took = []
    for _ in range(20):
        began = time.process_time()  # of all threads: a search that spreads over cores pays for each
        best_match(unit(1), templates)
        took.append(time.process_time() - began)
    assert min(took) < 0.002


# Enrolment


def test_a_picture_with_one_usable_face_gives_its_template() -> None:
    made = template_from(Painted(), painting({"vector": unit(1)}), named="me.jpg", child=True)
    assert np.allclose(made.vector, unit(1), atol=1e-6)
    assert made.child


@pytest.mark.parametrize(("years", "child"), [(12.9, True), (13.0, False)])
def test_a_face_that_looks_like_a_childs_is_enrolled_as_one(years: float, child: bool) -> None:
    made = template_from(Painted(), painting({"vector": unit(1)}), named="me.jpg", ages=Looks(years))
    assert made.child is child
    assert template_from(Painted(), painting({}), named="me.jpg", child=True, ages=Looks(40)).child


@pytest.mark.parametrize(
    ("picture", "why"),
    [
        (painting(), "no face was found"),
        (painting({}, {}), "2 faces were found"),
        (painting({"size_px": 12.0}), r"too small or too far turned to compare \(12 pixels"),
        (b"?", "not a picture"),
    ],
)
def test_any_other_picture_is_refused_by_its_name(picture: bytes, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as error:
        template_from(Painted(), picture, named="me.jpg")
    assert str(error.value).startswith("me.jpg: ")


def test_templates_come_from_json_and_npy_alone_or_several(tmp_path: Path) -> None:
    two = np.stack([unit(1), unit(2)])
    (tmp_path / "one.json").write_text(json.dumps(unit(1).tolist()))
    (tmp_path / "two.json").write_text(json.dumps(two.tolist()))
    np.save(tmp_path / "two.npy", two)
    assert len(templates_in(tmp_path / "one.json")) == 1
    for name in ("two.json", "two.npy"):
        found = templates_in(tmp_path / name, child=True)
        assert np.allclose([one.vector for one in found], two, atol=1e-6)
        assert all(one.child for one in found)


@pytest.mark.parametrize("text", ["", "{}", "[]", '"words"', "[[1, 2], [3]]", "[" * 100_000, "[1, 2, 3]", "[null]"])
def test_a_file_that_holds_no_templates_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ConfigError, match=r"x\.json"):
        templates_in(tmp_path / "x.json")


def test_a_pickle_in_an_npy_file_is_not_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ConfigError, match=r"x\.npy: lists of 128 numbers"):
        templates_in(tmp_path / "x.npy")


def test_a_template_that_looks_like_none_of_the_others_is_pointed_out() -> None:
    alike = [Template(unit(1)), Template(at_cosine(unit(1), 0.6))]
    assert unlike(alike) == []
    assert unlike([*alike, Template(unit(9))]) == [2]
    assert unlike([Template(unit(1))]) == []


@pytest.mark.weights
def test_with_real_weights_one_portrait_is_told_from_another(tmp_path: Path) -> None:
    models = people.real_models("yunet", "sface", "age-v1")
    finder = FaceFinder(models)
    portraits = Path(__file__).parent.parent / "pictures"
    collins = (portraits / "collins.jpg").read_bytes()
    mine = Registry(tmp_path / "registry", KEY, model=finder.template_model)
    mine.enrol([template_from(finder, collins, named="collins.jpg")], label="x", now=NOW)
    check = Protected.open(Tools(models=models, home=tmp_path, key=lambda purpose: KEY))
    turned = np.rot90(np.asarray(Image.open(io.BytesIO(collins)).convert("RGB"))[:, ::-1])
    assert score(check, encoded(np.ascontiguousarray(turned), "JPEG", quality=40)) > 0.9  # type: ignore[operator]
    assert score(check, (portraits / "hopper.jpg").read_bytes()) < 0.1  # type: ignore[operator]
    ages = AgeReader(models).names
    assert [label.split("@")[0] for label in check.models] == ["yunet", "sface", *ages, "registry"]
