"""The commands around CLIP: concepts in words, fitting, probes, timing; every mistake with its line."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from guardrail.cli import app
from guardrail.cli.concepts import load_concepts, parse_concepts
from guardrail.errors import ConfigError
from guardrail.inference.clip.concepts import Concepts
from guardrail.inference.clip.words import Described, embedded
from guardrail.inference.timing import time_graph
from tests.docs.pages import ROOT
from tests.inference.clip.tiny import export, image_graph, labelled, tokens

GOOD = """
version: 1
templates: ["a photo of {}."]
concepts:
  boat:
    prompts: [a boat, a  ship]
    background: [a house]
  sky:
    prompts: [the sky]
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("GUARDRAIL_HOME", str(tmp_path))

    def command(*words: str):
        return CliRunner().invoke(app, ["models", *words])

    return command


@pytest.fixture
def brought(tmp_path):
    folder = export(tmp_path / "models/clip")
    embedded([Described("red", ("red",), ("green", "grey"), ("{}",))], folder, tokens).write(folder)
    return folder


def test_concepts_are_read_with_their_prompts_and_backgrounds():
    boat, sky = parse_concepts(GOOD)
    assert boat == Described("boat", ("a boat", "a ship"), ("a house",), ("a photo of {}.",))
    assert sky.background == ()


def test_the_shipped_example_is_a_file_of_concepts():
    named = {one.name: one for one in load_concepts(ROOT / "models/clip/concepts.yaml")}
    assert len(named) >= 5
    assert all(one.background for one in named.values())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("version: 2\nconcepts: {a: {prompts: [x]}}", "c.yaml:1:10: version is not known"),
        ("version: 1\n", "c.yaml:1:1: the file has no 'concepts'"),
        ("version: 1\nconcepts: {}", "c.yaml:2:11: concepts is empty"),
        ("version: 1\nconcepts:\n  Boat: {prompts: [x]}", "c.yaml:3:3: concept 'Boat': expected lower-case"),
        ("version: 1\nconcepts:\n  boat: {prompts: []}", "c.yaml:3:19: prompts of 'boat' is empty"),
        ("version: 1\nconcepts:\n  boat: {background: [x]}", "c.yaml:3:9: concept 'boat' has no 'prompts'"),
        ("version: 1\nconcepts:\n  boat:\n    promts: [x]", "c.yaml:4:5: unknown key 'promts'"),
        ("version: 1\nconcepts:\n  boat: {prompts: [x, 5]}", "c.yaml:3:23: prompts of 'boat' is a number"),
        (
            "version: 1\ntemplates: [no place]\nconcepts: {a: {prompts: [x]}}",
            "c.yaml:2:13: template 'no place' has no {}",
        ),
        ("version: 1\nconcepts:\n  a: {prompts: [x]}\n  a: {prompts: [y]}", "c.yaml:4:3: 'a' stands twice"),
        ("version: 1\nconcepts: {a: &x {prompts: [x]}}", "anchors and aliases"),
        ("version: 1\nconcepts: {a: {prompts: [" + "x" * 301 + "]}}", "c.yaml:2:26: prompts of 'a' has 301 characters"),
        ("version: 1\nconcepts:\n  a: {prompts: [" + "x, " * 101 + "]}", "has 101 texts; at most 100"),
        ("version: [1", "is not YAML"),
        ("", "c.yaml: is empty"),
    ],
)
def test_a_mistake_in_the_file_is_told_with_its_line(text, says):
    with pytest.raises(ConfigError) as told:
        parse_concepts(text, source="c.yaml")
    assert says in str(told.value)


def test_fitting_writes_the_fit_and_a_card(run, brought, tmp_path):
    labelled(tmp_path / "examples/red", 40)
    answer = run("fit-concepts", "--examples", str(tmp_path / "examples"))
    assert answer.exit_code == 0, answer.output
    assert "AUC" in answer.stdout
    concept = Concepts.read(brought)["red"]
    assert concept.figures["yes"] == 40
    assert "40 yes, 40 no" in (brought.path / "cards/red.md").read_text()


def refusal(answer) -> str:
    """What `guardrail` says on standard error before it ends with status 2."""
    assert isinstance(answer.exception, ConfigError), answer.output
    return str(answer.exception)


def test_fitting_without_a_folder_of_a_concept_says_which_there_are(run, brought, tmp_path):
    assert "there is red" in refusal(run("fit-concepts", "--examples", str(tmp_path)))


def test_a_probe_is_taught_and_its_card_says_by_group(run, brought, tmp_path):
    pytest.importorskip("sklearn", reason="scikit-learn is not here: pip install '.[train]'")
    place = labelled(tmp_path / "examples", 60)
    rows = [f"{label}/{n}.png,{'one' if n % 2 else 'two'}" for label in ("yes", "no") for n in range(60)]
    (place / "groups.csv").write_text("\n".join(["file,group", *rows]) + "\n")
    answer = run("train-probe", str(place), "--name", "warm", "--save", str(tmp_path / "e.npz"), "--base-rate", "0.1")
    assert answer.exit_code == 0, answer.output
    page = (brought.path / "cards/warm.md").read_text()
    assert "| one | 30 | 30 |" in page
    assert "10.0% of the pictures" in page
    assert json.loads((brought.path / "probes/warm.json").read_text())["space"] == brought.space
    assert run("train-probe", str(tmp_path / "e.npz"), "--name", "again").exit_code == 0
    assert "a concept named red already" in refusal(run("train-probe", str(place), "--name", "red"))
    assert "--name 'Not/This'" in refusal(run("train-probe", str(place), "--name", "Not/This"))


def test_too_few_pictures_teach_nothing(run, brought, tmp_path):
    pytest.importorskip("sklearn", reason="scikit-learn is not here: pip install '.[train]'")
    assert "10" in refusal(run("train-probe", str(labelled(tmp_path / "examples", 10)), "--name", "warm"))
    assert not (brought.path / "probes").exists()


def test_bench_times_what_is_here_at_every_batch_and_number_of_threads(run, brought):
    answer = run("bench", "--runs", "2", "--json")
    assert answer.exit_code == 0, answer.output
    rows = json.loads(answer.stdout[answer.stdout.index("[") :])
    assert [(row["batch"], row["threads"]) for row in rows] == [(1, 1), (8, 1), (1, 2), (8, 2)]
    assert all(0 < row["least_ms"] <= row["median_ms"] for row in rows)
    assert rows[0]["name"].startswith("clip-Tiny-3-fp32@")
    assert "clip-Tiny-3-fp32@" in run("bench", "clip", "--runs", "1").output


def test_bench_without_weights_says_what_to_do(run):
    assert "run `guardrail models pull`" in refusal(run("bench"))
    assert "yunet is not in" in refusal(run("bench", "yunet"))


def test_a_timing_is_the_median_and_the_least_by_the_clock_it_is_given(tmp_path):
    image_graph(tmp_path / "t.onnx")
    ticks = iter([9.0] * 2 + [0.0, 0.010, 0.0, 0.030, 0.0, 0.020])
    (one,) = time_graph(tmp_path / "t.onnx", batches=(1,), threads=(1,), runs=3, clock=lambda: next(ticks))
    assert (one.median_ms, one.least_ms) == (pytest.approx(20), pytest.approx(10))


def test_an_export_that_cannot_be_made_leaves_nothing(run, tmp_path):
    assert refusal(run("export", "clip", "--model", "ViT-B-32", "--pretrained", str(tmp_path / "none.pt")))
    assert not (tmp_path / "models/clip").exists()


def test_list_and_verify_know_the_export(run, brought):
    row = json.loads(run("list", "--json").stdout)[-1]
    assert (row["name"], row["here"], row["licence_weights"]) == ("clip", True, "CC0-1.0")
    assert row["scores"] == "concepts: red"
    assert run("verify").exit_code == 0
    (brought.path / "text-fp32.onnx").write_bytes(b"changed")
    answer = run("verify", "clip")
    assert answer.exit_code == 1
    assert "text-fp32.onnx is missing or is not what was exported" in " ".join(answer.output.split())


def test_bench_and_verify_of_an_export_that_is_not_there_fail(run):
    assert "no CLIP was brought" in refusal(run("bench", "clip"))
    assert run("verify", "clip").exit_code == 1


@pytest.mark.parametrize(("name", "status"), [("output.concept.x", 0), ("*.concept.x", 0), ("prompt.concept.x", 1)])
def test_policy_check_lets_concepts_of_pictures_stand_and_no_others(tmp_path, name, status):
    rule = f'{{id: r, when: {{"{name}": 0.5}}, action: hold}}'
    (tmp_path / "p.yaml").write_text(f"version: 1\nname: p\nrules:\n  - {rule}\n")
    assert CliRunner().invoke(app, ["policy", "check", str(tmp_path / "p.yaml")]).exit_code == status
