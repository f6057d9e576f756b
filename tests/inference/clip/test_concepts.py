"""Concepts and probes: words to directions, margins to probabilities, and files that were not changed."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from guardrail.errors import ConfigError
from guardrail.inference.clip.concepts import Concept, Concepts, ensemble, packed
from guardrail.inference.clip.probes import Probe, read_probes
from guardrail.inference.clip.words import Described, embedded
from tests.inference.clip.tiny import WIDTH, export, tokens

RED = Described("red", ("red",), ("green", "blue"), ("a photo of {}.", "{}"))


def unit(at: int) -> np.ndarray:
    return np.eye(WIDTH, dtype=np.float32)[at]


def test_a_margin_is_the_distance_to_the_nearest_background():
    concept = Concept("x", unit(0), np.stack([unit(1), unit(2)]), 1.0, 0.0)
    vectors = np.array([0.8 * unit(0) + 0.1 * unit(1) + 0.5 * unit(2), unit(2)], np.float32)
    np.testing.assert_allclose(concept.margins(vectors), [0.3, -1.0], atol=1e-6)


def test_the_view_that_shows_it_most_counts():
    concept = Concept("x", unit(0), unit(1)[None], 0.5, 0.25)
    assert concept.probability(np.stack([unit(1), unit(0)])) == pytest.approx(1 / (1 + math.exp(-2.25)))
    assert concept.probability(unit(1)[None]) == pytest.approx(1 / (1 + math.exp(1.75)))


def test_a_probability_stays_one_however_far_the_margin_goes():
    concept = Concept("x", unit(0), unit(1)[None], 1e-9, 0.0)
    assert 0.0 <= concept.probability(unit(1)[None]) < concept.probability(unit(0)[None]) <= 1.0


def test_every_prompt_goes_through_every_template():
    assert ensemble(["a", "b"], ["{} x", "y {}"]) == ["a x", "y a", "b x", "y b"]


def test_words_become_directions_and_clips_own_scale(tmp_path):
    concepts = embedded([RED], export(tmp_path / "clip"), tokens)
    red = concepts["red"]
    assert concepts.unfitted == ("red",)
    assert (red.temperature, red.bias, red.background.shape) == (pytest.approx(0.1), 0.0, (2, WIDTH))
    np.testing.assert_allclose(np.linalg.norm(red.background, axis=1), 1, atol=1e-6)


def test_a_clip_model_needs_something_to_tell_a_concept_from(tmp_path):
    alone = Described("red", ("red",), (), ("{}",))
    with pytest.raises(ConfigError, match="name what it is told from under background"):
        embedded([alone], export(tmp_path / "clip"), tokens)
    siglip = export(tmp_path / "siglip", logit_bias=-4.0)
    concept = embedded([alone], siglip, tokens)["red"]
    assert (concept.bias, len(concept.background)) == (-4.0, 0)
    assert concept.probability(concept.direction[None]) == pytest.approx(1 / (1 + math.exp(-6)))


def test_concepts_are_read_as_they_were_written(tmp_path):
    folder = export(tmp_path / "clip")
    concepts = embedded([RED], folder, tokens).fitted("red", 0.5, -1.0, {"auc": 0.9})
    concepts.write(folder)
    read = Concepts.read(folder)
    assert (read["red"].temperature, read["red"].bias, read["red"].figures) == (0.5, -1.0, {"auc": 0.9})
    np.testing.assert_array_equal(read["red"].background, concepts["red"].background)
    assert len(read.digest) == 64
    assert read.unfitted == ()


def test_a_fit_is_kept_while_the_words_are_the_same_and_lost_when_they_change(tmp_path):
    folder = export(tmp_path / "clip")
    embedded([RED], folder, tokens).fitted("red", 0.5, -1.0, {"auc": 0.9}).write(folder)
    assert embedded([RED], folder, tokens)["red"].bias == -1.0
    changed = Described("red", ("red",), ("grey",), RED.templates)
    assert embedded([changed], folder, tokens).unfitted == ("red",)


def test_where_no_concepts_were_made_there_are_none(tmp_path):
    assert Concepts.read(export(tmp_path / "clip")).concepts == ()


def test_concepts_of_another_export_are_refused(tmp_path):
    folder, other = export(tmp_path / "clip"), export(tmp_path / "other", space="a" * 64)
    concepts = embedded([RED], folder, tokens)
    with pytest.raises(ConfigError, match="another export"):
        concepts.write(other)
    path = concepts.write(folder)
    (other.path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ConfigError, match="another export"):
        Concepts.read(other)


def changed(folder, **changes):
    path = folder.path / "concepts.json"
    told = json.loads(path.read_text())
    told["concepts"]["red"].update(changes)
    path.write_text(json.dumps(told))


@pytest.mark.parametrize(
    "changes",
    [
        {"vectors": "AAAA"},
        {"vectors": "not base64!"},
        {"vectors": packed(np.full((3, WIDTH), np.nan))},
        {"temperature": 0},
        {"temperature": -1},
        {"bias": float("nan")},
        {"background": "two"},
        {"background": 7},
    ],
)
def test_a_concept_that_was_changed_is_refused(tmp_path, changes):
    folder = export(tmp_path / "clip")
    embedded([RED], folder, tokens).write(folder)
    changed(folder, **changes)
    with pytest.raises(ConfigError, match=r"concepts\.json cannot be read"):
        Concepts.read(folder)


def probe(space: str, name: str = "p", hidden: int = 4) -> Probe:
    chance = np.random.default_rng(0)
    layers = tuple(
        (chance.standard_normal(shape).astype(np.float32), chance.standard_normal(shape[1]).astype(np.float32))
        for shape in ((WIDTH, hidden), (hidden, 1))
    )
    return Probe(name, space, np.zeros(WIDTH, np.float32), np.ones(WIDTH, np.float32), layers, {"auc": 0.9})


def test_a_probe_is_read_as_it_was_written(tmp_path):
    folder = export(tmp_path / "clip")
    made = probe(folder.space)
    made.write(folder)
    (read,) = read_probes(folder)
    assert (read.name, read.figures) == ("p", {"auc": 0.9})
    vectors = np.stack([unit(0), unit(1)])
    np.testing.assert_array_equal(read.logits(vectors), made.logits(vectors))
    assert read.probability(vectors) == pytest.approx(1 / (1 + math.exp(-made.logits(vectors).max())))


def test_a_probe_of_another_export_is_refused(tmp_path):
    folder = export(tmp_path / "clip")
    probe("b" * 64).write(folder)
    with pytest.raises(ConfigError, match=r"p\.json was taught on another export"):
        read_probes(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda told: told.update(layers=[]),
        lambda told: told.update(layers=told["layers"][:1]),
        lambda told: told.update(layers=told["layers"][::-1]),
        lambda told: told.update(width=3),
        lambda told: told.update(scale=told["mean"]),
        lambda told: told.pop("figures"),
        lambda told: told.update(format=9),
    ],
)
def test_a_probe_that_was_changed_is_refused(tmp_path, change):
    folder = export(tmp_path / "clip")
    path = probe(folder.space).write(folder)
    told = json.loads(path.read_text())
    change(told)
    path.write_text(json.dumps(told))
    with pytest.raises(ConfigError, match=r"p\.json"):
        read_probes(folder)


def test_a_probe_whose_file_is_no_signals_name_is_refused(tmp_path):
    folder = export(tmp_path / "clip")
    path = probe(folder.space).write(folder)
    path.rename(path.with_name("Not This.json"))
    with pytest.raises(ConfigError, match="lower-case letters"):
        read_probes(folder)
