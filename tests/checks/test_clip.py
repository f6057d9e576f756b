"""Concepts as signals: what is looked for, what is absent, and what never reads as clean."""

from __future__ import annotations

import json

import numpy as np
import pytest

from guardrail.checks import Tools
from guardrail.checks.clip import Clip
from guardrail.errors import ConfigError
from guardrail.inference.clip.concepts import Concepts
from guardrail.inference.clip.model import ClipModel
from guardrail.inference.clip.probes import Probe
from guardrail.inference.clip.words import Described, embedded
from guardrail.inference.weights import Models
from guardrail.pipeline.looking import Looker
from guardrail.policy import parse
from guardrail.types import SIGNALS, Artifact, Kind, Unknown
from tests.checks.people import broken
from tests.inference.clip.tiny import WIDTH, artifact, coloured, export, tokens

RED = Described("red", ("red",), ("green", "blue", "grey"), ("{}",))
BLUE = Described("blue", ("blue",), ("red", "green", "grey"), ("{}",))
POLICY = """
version: 1
name: colours
rules:
  - id: red-shown
    when: {"%s": 0.5}
    action: hold
"""


def brought(home, **changes):
    """An export with two concepts, where the check looks for it."""
    folder = export(home / "models/clip", **changes)
    embedded([RED, BLUE], folder, tokens).write(folder)
    return folder


def tools(home, **options) -> Tools:
    return Tools(Models(home / "models"), home, lambda purpose: bytes(32), options)


def probe(folder, name="warm", width=WIDTH) -> Probe:
    layers = ((np.ones((width, 1), np.float32), np.zeros(1, np.float32)),)
    return Probe(name, folder.space, np.zeros(width, np.float32), np.ones(width, np.float32), layers)


def test_each_concept_is_a_factor_and_what_shows_it_scores(tmp_path):
    brought(tmp_path)
    check = Clip.open(tools(tmp_path))
    assert check.factors == {"concept.red", "concept.blue"}
    red, blue = check.score([artifact(coloured("red")), artifact(coloured("blue"))])
    assert red["concept.red"] > 0.9 > 0.1 > red["concept.blue"]
    assert blue["concept.blue"] > 0.9 > 0.1 > blue["concept.red"]


def test_signals_are_of_inputs_and_outputs(tmp_path):
    brought(tmp_path)
    signals = Looker([Clip.open(tools(tmp_path))], threads=1, deadline_s=5).signals
    assert signals == {f"{kind}.concept.{name}" for kind in ("input", "output") for name in ("red", "blue")}


def test_the_frame_that_shows_it_most_counts(tmp_path):
    brought(tmp_path)
    frames = [coloured(colour, size=(64, 64)) for colour in ("green", "red", "green")]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], lossless=True, duration=100)
    moving = Artifact(Kind.OUTPUT, "data[0]", data=(tmp_path / "a.webp").read_bytes())
    assert Clip.open(tools(tmp_path)).score([moving])[0]["concept.red"] > 0.9


def test_what_stands_at_the_end_of_a_long_picture_counts(tmp_path):
    brought(tmp_path)
    long = coloured("green", size=(600, 60), noise=5)
    long.paste((255, 0, 0), (0, 0, 60, 60))
    assert Clip.open(tools(tmp_path)).score([artifact(long)])[0]["concept.red"] > 0.5


@pytest.mark.parametrize("damaged", [False, True])
def test_what_cannot_be_read_is_unknown_and_never_clean(tmp_path, damaged):
    brought(tmp_path, damaged=damaged)
    given = artifact(coloured("green")) if damaged else broken()
    scores = Clip.open(tools(tmp_path)).score([given])[0]
    assert set(scores) == {"concept.red", "concept.blue"}
    assert all(isinstance(score, Unknown) for score in scores.values())


def test_a_probe_is_a_factor_beside_the_concepts(tmp_path):
    folder = brought(tmp_path)
    probe(folder).write(folder)
    check = Clip.open(tools(tmp_path))
    assert "concept.warm" in check.factors
    assert 0.0 <= check.score([artifact(coloured("red"))])[0]["concept.warm"] <= 1.0
    assert any(model.startswith("probe-warm@") for model in check.models)


def test_the_receipt_names_what_judged_and_what_was_never_fitted(tmp_path):
    folder = brought(tmp_path)
    check = Clip.open(tools(tmp_path))
    label, concepts, unfitted = check.models
    assert label.startswith("clip-Tiny-3-fp32@")
    assert unfitted == "concepts-not-fitted:red,blue"
    Concepts.read(folder).fitted("red", 0.1, 0.0, {"auc": 1.0}).write(folder)
    again = Clip.open(tools(tmp_path)).models
    assert again[2] == "concepts-not-fitted:blue"
    assert again[1] != concepts, "a verdict that is remembered belongs to the fit that gave it"


@pytest.mark.parametrize("name", ["input.concept.red", "output.concept.red", "*.concept.red"])
def test_a_policy_may_name_a_concept_that_is_there_and_none_that_is_not(tmp_path, name):
    brought(tmp_path)
    signals = Looker([Clip.open(tools(tmp_path))], threads=1, deadline_s=5).signals
    policy = parse(POLICY % name)
    policy.require(signals)
    with pytest.raises(ConfigError, match=r"no loaded check gives.*; load the check"):
        policy.require(SIGNALS)
    with pytest.raises(ConfigError, match="no loaded check gives"):
        parse(POLICY % name.replace("red", "crimson")).require(signals)


def test_without_weights_the_check_does_not_open(tmp_path):
    with pytest.raises(ConfigError, match=r"no CLIP in .*guardrail models export clip"):
        Clip.open(tools(tmp_path))


def test_without_concepts_or_probes_there_is_nothing_to_look_for(tmp_path):
    folder = export(tmp_path / "models/clip")
    with pytest.raises(ConfigError, match=r"has no concepts\.json and no probes"):
        Clip.open(tools(tmp_path))
    with pytest.raises(ConfigError, match="nothing would be looked for"):
        Clip(ClipModel.open(folder.path), Concepts(folder.space, ()))
    probe(folder).write(folder)
    assert Clip.open(tools(tmp_path)).factors == {"concept.warm"}


def test_weights_of_chance_judge_nothing(tmp_path):
    brought(tmp_path, kind="random")
    with pytest.raises(ConfigError, match="weights of chance"):
        Clip.open(tools(tmp_path))


def test_one_name_cannot_stand_for_a_concept_and_a_probe(tmp_path):
    folder = brought(tmp_path)
    probe(folder, "red").write(folder)
    with pytest.raises(ConfigError, match="red is both a concept and a probe"):
        Clip.open(tools(tmp_path))


def test_a_probe_of_another_width_or_export_is_refused(tmp_path):
    folder = brought(tmp_path)
    model, concepts = ClipModel.open(folder.path), Concepts.read(folder)
    with pytest.raises(ConfigError, match="warm has 5 numbers a picture, the model gives 16"):
        Clip(model, concepts, [probe(folder, width=5)])
    with pytest.raises(ConfigError, match="another export"):
        Clip(model, Concepts("a" * 64, concepts.concepts))


def test_options_name_the_folder_and_the_precision(tmp_path):
    brought(tmp_path / "elsewhere")
    place = str(tmp_path / "elsewhere/models/clip")
    assert Clip.open(tools(tmp_path, folder=place, precision="fp32")).factors
    with pytest.raises(ConfigError, match="it has fp32"):
        Clip.open(tools(tmp_path, folder=place, precision="int8"))
    for options, says in (({"precison": "int8"}, "there is no 'precison'"), ({"precision": "int4"}, "expected fp32")):
        with pytest.raises(ConfigError, match=says):
            Clip.open(tools(tmp_path, folder=place, **options))


def test_a_changed_graph_does_not_open(tmp_path):
    folder = brought(tmp_path)
    told = json.loads((folder.path / "clip.json").read_text())
    told["towers"]["image"]["fp32"]["sha256"] = "0" * 64
    (folder.path / "clip.json").write_text(json.dumps(told))
    with pytest.raises(ConfigError, match="not what was exported"):
        Clip.open(tools(tmp_path))


def test_neighbours_in_a_batch_change_nothing(tmp_path):
    brought(tmp_path)
    check = Clip.open(tools(tmp_path))
    pictures = [coloured(colour, seed=seed) for seed, colour in enumerate(("red", "green", "blue", "grey"))]
    together = check.score([artifact(picture) for picture in pictures])
    assert together == [check.score([artifact(picture)])[0] for picture in pictures]
