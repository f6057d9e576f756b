"""Examples, figures, fitting and teaching: what holds on pictures that were not seen, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from guardrail.errors import ConfigError
from guardrail.inference.clip import figures
from guardrail.inference.clip.card import card
from guardrail.inference.clip.examples import Examples, load, look
from guardrail.inference.clip.fit import LEAST_LINEAR, LEAST_MLP, LEAST_TO_FIT, fit_concept, train_probe
from guardrail.inference.clip.model import ClipModel
from guardrail.inference.clip.words import Described, embedded
from tests.inference.clip.tiny import coloured, export, labelled, tokens

SPACE = "a" * 64


def cloud(count: int, *, gap: float = 1.0, seed: int = 0, groups: bool = False, width: int = 12) -> Examples:
    """`count` of either label, apart by `gap` in one direction; in group "b" the labels mean less."""
    chance = np.random.default_rng(seed)
    labels = np.arange(2 * count) % 2 == 0
    group = np.where(np.arange(2 * count) % 4 < 2, "a", "b")
    vectors = chance.standard_normal((2 * count, width)).astype(np.float32)
    shift = np.where(labels, gap, -gap) * (np.where(group == "b", 0.0, 1.0) if groups else 1.0)
    vectors[:, 0] += shift.astype(np.float32)
    if groups:
        vectors[:, 1] += np.where(group == "b", 3.0, -3.0).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names = np.array([f"picture {number}" for number in range(2 * count)])
    shown = group if groups else np.full(2 * count, "")
    return Examples(SPACE, tuple(vectors[:, None]), labels, names, shown)


# -- figures --------------------------------------------------------------------------------------------------------


def test_auc_counts_ties_for_half():
    labels = np.array([True, True, False, False])
    assert figures.auc(np.array([0.9, 0.8, 0.2, 0.1]), labels) == 1.0
    assert figures.auc(np.array([0.1, 0.2, 0.8, 0.9]), labels) == 0.0
    assert figures.auc(np.array([0.5, 0.5, 0.5, 0.5]), labels) == 0.5
    assert figures.auc(np.array([0.9, 0.4, 0.4, 0.1]), labels) == 0.875


def test_an_interval_over_few_sources_is_wider_than_over_many():
    chance = np.random.default_rng(0)
    source = np.repeat(np.arange(20), 20)
    labels = source % 2 == 0
    scores = labels + chance.normal(0, 1, 20)[source] + chance.normal(0, 0.1, 400)
    one = figures.auc_interval(scores, labels, source)
    other = figures.auc_interval(scores, labels, np.arange(400))
    assert one[1] - one[0] > 2 * (other[1] - other[0])


def test_platt_finds_the_curve_that_made_the_labels():
    chance = np.random.default_rng(0)
    scores = chance.normal(0.02, 0.05, 20_000)
    labels = chance.random(20_000) < figures.apply(40.0, -1.0, scores)
    slope, shift = figures.platt(scores, labels, np.ones(len(scores)))
    assert (slope, shift) == (pytest.approx(40, rel=0.05), pytest.approx(-1, abs=0.08))
    assert figures.ece(figures.apply(slope, shift, scores), labels) < 0.02
    assert figures.ece(figures.apply(4 * slope, shift, scores), labels) > 0.05


def test_platt_stays_finite_where_labels_are_separate():
    scores, labels = np.array([0.0, 0.1, 0.9, 1.0] * 20), np.array([False, False, True, True] * 20)
    slope, shift = figures.platt(scores, labels, np.ones(80))
    assert np.isfinite([slope, shift]).all()
    assert slope > 0


def test_weights_give_the_base_rate_and_keep_their_mean():
    labels = np.array([True] * 30 + [False] * 70)
    weights = figures.weights_for(labels, 0.01)
    assert (weights * labels).sum() / weights.sum() == pytest.approx(0.01)
    assert weights.mean() == pytest.approx(1)


def test_wilson_knows_that_none_of_ten_is_not_never():
    assert figures.wilson(0, 10) == (0.0, pytest.approx(0.278, abs=0.001))
    assert figures.wilson(0, 0) == (0.0, 1.0)


# -- examples -------------------------------------------------------------------------------------------------------


def test_a_source_is_never_split_and_labels_are_spread():
    names = np.array([f"film {number // 10}" for number in range(400)])
    labels = np.arange(400) % 3 == 0
    examples = Examples(SPACE, tuple(np.ones((400, 1, 2), np.float32)), labels, names, np.full(400, ""))
    folds = examples.folds(5)
    assert all(len(set(folds[names == name])) == 1 for name in set(names))
    assert np.bincount(folds).tolist() == [80] * 5
    assert max(np.bincount(folds, labels)) - min(np.bincount(folds, labels)) <= 3
    np.testing.assert_array_equal(folds, examples.folds(5))


@pytest.fixture
def model(tmp_path):
    export(tmp_path / "clip")
    return ClipModel.open(tmp_path / "clip")


def test_pictures_are_read_with_label_source_and_group(tmp_path, model):
    place = labelled(tmp_path / "examples", 4)
    (place / "yes/film").mkdir()
    for number in (2, 3):
        (place / f"yes/{number}.png").rename(place / f"yes/film/{number}.png")
    (place / "yes/broken.jpg").write_bytes(b"nothing")
    (place / "yes/notes.txt").write_text("not a picture")
    (place / "no/again.png").write_bytes((place / "no/0.png").read_bytes())
    (place / "groups.csv").write_text("file,group\nyes/0.png,one\nno/0.png,two\n")
    examples = look(place, model)
    assert (len(examples), examples.left_out, int(examples.labels.sum())) == (9, 1, 4)
    told = dict(zip(examples.sources, examples.groups, strict=True))
    assert told["yes/0.png"] == "one"
    assert told["no/0.png"] in {"two", ""}
    assert (examples.sources == "folder film").sum() == 2
    assert (examples.sources == "no/0.png").sum() == 2, "the same file twice is one source"


def test_a_link_is_not_followed(tmp_path, model):
    place = labelled(tmp_path / "examples", 2)
    coloured("red", seed=99).save(tmp_path / "outside.png")
    (place / "yes/link.png").symlink_to(tmp_path / "outside.png")
    assert len(look(place, model)) == 4


def test_one_file_under_both_labels_is_refused(tmp_path, model):
    place = labelled(tmp_path / "examples", 2)
    (place / "no/0.png").write_bytes((place / "yes/0.png").read_bytes())
    with pytest.raises(ConfigError, match="stands under yes and no"):
        look(place, model)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name,group\nyes/0.png,a\n", r"groups\.csv:2: expected the columns file and group"),
        ("file,group\nyes/0.png,a\nyes/nine.png,b\n", r"groups\.csv:3: there is no picture"),
        ("file,group\n../outside.png,a\n", r"groups\.csv:2: there is no picture"),
        ("file,group\nyes/0.png\n", r"groups\.csv:2: expected the columns"),
    ],
)
def test_a_table_of_groups_that_is_wrong_is_refused_with_its_line(tmp_path, model, text, says):
    place = labelled(tmp_path / "examples", 1)
    (tmp_path / "outside.png").write_bytes(b"x")
    (place / "groups.csv").write_text(text)
    with pytest.raises(ConfigError, match=says):
        look(place, model)


def test_a_folder_without_labels_is_refused(tmp_path, model):
    (tmp_path / "yes").mkdir()
    with pytest.raises(ConfigError, match="no folder 'no'"):
        look(tmp_path, model)
    (tmp_path / "no").mkdir()
    with pytest.raises(ConfigError, match="no picture under yes and no could be read"):
        look(tmp_path, model)


def test_directions_are_read_as_they_were_saved(tmp_path, model):
    examples = look(labelled(tmp_path / "examples", 3), model)
    examples.save(tmp_path / "e.npz")
    again = load(tmp_path / "e.npz", model.space)
    np.testing.assert_allclose(again.usual, examples.usual, atol=1e-6)
    np.testing.assert_array_equal(again.labels, examples.labels)
    np.testing.assert_array_equal(again.sources, examples.sources)
    with pytest.raises(ConfigError, match="another export"):
        load(tmp_path / "e.npz", SPACE)


def test_a_file_of_directions_that_holds_code_or_nonsense_is_refused(tmp_path):
    good = {"space": np.array(SPACE), "vectors": np.ones((4, 2)), "labels": np.array([1, 1, 0, 0])}
    for number, changes in enumerate(
        (
            {"labels": np.array([object()] * 4, object)},
            {"vectors": np.zeros((4, 2))},
            {"vectors": np.ones((3, 2))},
            {"views": np.array([1, 1, 1, 2])},
            {"sources": np.array(["a"])},
            {"labels": np.array([])},
        )
    ):
        np.savez(tmp_path / f"{number}.npz", **{**good, **changes})
        with pytest.raises(ConfigError, match=rf"{number}\.npz"):
            load(tmp_path / f"{number}.npz", SPACE)
    (tmp_path / "x.npz").write_bytes(b"PK\3\4")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "x.npz", SPACE)
    np.savez(tmp_path / "good.npz", **good)
    assert len(load(tmp_path / "good.npz", SPACE)) == 4


# -- fitting a concept ----------------------------------------------------------------------------------------------


def test_a_fitted_concept_says_how_probable_it_is(tmp_path, model):
    words = Described("red", ("red",), ("grey",), ("{}",))
    concept = embedded([words], model.folder, tokens)["red"]
    examples = look(labelled(tmp_path / "examples", 60, no="grey", noise=60.0), model)
    temperature, bias, told = fit_concept(concept, examples)
    assert told["auc"] > 0.9
    assert told["auc_95"][0] <= told["auc"] <= told["auc_95"][1]
    assert told["ece"] < 0.1
    assert (told["yes"], told["no"]) == (60, 60)
    assert temperature > 0
    rare = fit_concept(concept, examples, base_rate=0.01)
    assert rare[1] < bias


def test_words_that_do_not_tell_the_examples_apart_are_refused(tmp_path, model):
    words = Described("blue", ("blue",), ("green",), ("{}",))
    concept = embedded([words], model.folder, tokens)["blue"]
    examples = look(labelled(tmp_path / "examples", 40, yes="grey", no="grey"), model)
    with pytest.raises(ConfigError, match="do not tell the examples apart"):
        fit_concept(concept, examples)


def test_too_few_examples_fit_nothing(tmp_path, model):
    concept = embedded([Described("red", ("red",), ("grey",), ("{}",))], model.folder, tokens)["red"]
    place = labelled(tmp_path / "examples", LEAST_TO_FIT)
    fit_concept(concept, look(place, model))
    (place / "no/0.png").unlink()
    with pytest.raises(ConfigError, match=f"{LEAST_TO_FIT - 1} pictures of 'no'; at least {LEAST_TO_FIT}"):
        fit_concept(concept, look(place, model))


# -- teaching a probe -----------------------------------------------------------------------------------------------

sklearn = pytest.mark.usefixtures("_with_sklearn")


@pytest.fixture
def _with_sklearn():
    pytest.importorskip("sklearn", reason="scikit-learn is not here: pip install '.[train]'")


@sklearn
@pytest.mark.parametrize(("kind", "count"), [("linear", LEAST_LINEAR), ("mlp", LEAST_MLP)])
def test_a_probe_learns_what_was_labelled(kind, count):
    examples = cloud(count, gap=2.5)
    probe = train_probe("p", examples, kind=kind)
    unseen = cloud(300, gap=2.5, seed=9)
    said = np.array([probe.probability(views) for views in unseen.views])
    assert figures.auc(said, unseen.labels) > 0.95
    assert figures.ece(said, unseen.labels) < 0.12
    assert probe.figures["auc_95"][0] <= figures.auc(said, unseen.labels) + 0.03


@sklearn
@pytest.mark.parametrize(("kind", "least"), [("linear", LEAST_LINEAR), ("mlp", LEAST_MLP)])
def test_one_example_too_few_is_refused(kind, least):
    with pytest.raises(ConfigError, match=f"{least - 1} pictures of 'yes'; at least {least}"):
        train_probe("p", cloud(least - 1), kind=kind)


@sklearn
def test_many_pictures_of_few_sources_are_refused():
    examples = cloud(100)
    few = Examples(SPACE, examples.views, examples.labels, np.array(["film"] * 200), examples.groups)
    with pytest.raises(ConfigError, match="come from 1 sources; at least 5"):
        train_probe("p", few)


def auc_told(examples: Examples) -> float:
    """What training says of itself; 0.5 where it refuses."""
    try:
        return float(train_probe("p", examples).figures["auc"])
    except ConfigError:
        return 0.5


@sklearn
def test_labels_of_chance_give_no_probe_that_looks_good():
    assert max(auc_told(cloud(100, gap=0.0, seed=seed)) for seed in range(5)) < 0.65


@sklearn
def test_what_is_worse_than_chance_on_unseen_pictures_is_refused():
    """Every picture lies beside its opposite: whoever is held out is judged by its neighbour."""
    examples = cloud(60, gap=0.0, width=64)
    twins = Examples(
        SPACE,
        tuple(view for view in examples.views[:60] for _ in (0, 1)),
        np.arange(120) % 2 == 0,
        examples.sources,
        examples.groups,
    )
    with pytest.raises(ConfigError, match="does not hold for pictures it did not see"):
        train_probe("p", twins)


@sklearn
def test_copies_of_a_picture_do_not_make_a_probe_look_good():
    """Twenty copies of each of twelve pictures whose labels are chance: split by picture it would look perfect."""
    first = cloud(6, gap=0.0, width=64)
    which = np.repeat(np.arange(12), 20)
    views, labels = tuple(first.views[at] for at in which), first.labels[which]
    assert auc_told(Examples(SPACE, views, labels, first.sources[which], np.full(240, ""))) < 0.9
    assert auc_told(Examples(SPACE, views, labels, np.arange(240).astype(str), np.full(240, ""))) == 1.0


@sklearn
def test_a_rare_thing_is_said_rarely():
    examples = cloud(200, gap=1.0)
    even, rare = train_probe("p", examples), train_probe("p", examples, base_rate=0.01)
    views = examples.views[0]
    assert rare.probability(views) < even.probability(views)
    assert rare.figures["base_rate"] == 0.01
    for wrong in (0.0, 1.0, 50.0):
        with pytest.raises(ConfigError, match="base rate"):
            train_probe("p", examples, base_rate=wrong)


@sklearn
def test_the_card_shows_the_group_that_is_judged_worse(tmp_path):
    examples = cloud(400, gap=3.0, groups=True)
    told = train_probe("p", examples).figures
    assert told["groups"]["a"]["auc"] > 0.95
    assert told["groups"]["b"]["auc"] < 0.7
    page = card("p", "a probe (linear)", told, export(tmp_path / "clip"))
    assert "| a | 200 | 200 |" in page
    assert "| b | 200 | 200 |" in page
    assert "CC0-1.0" in page
    assert f"{told['auc']:.3f} [" in page


@sklearn
def test_a_group_with_few_pictures_is_called_too_few_and_no_groups_not_measured(tmp_path):
    folder = export(tmp_path / "clip")
    plain = cloud(100, gap=2.0)
    shown = np.where(np.arange(200) < 40, "few | <b>", "many")
    told = train_probe("p", Examples(SPACE, plain.views, plain.labels, plain.sources, shown)).figures
    assert told["groups"]["few | <b>"]["honest"] is None
    page = card("p", "a probe", told, folder)
    assert "too few to tell" in page
    assert "<b>" not in page
    assert "**Not measured**" in card("p", "a probe", train_probe("p", plain).figures, folder)
