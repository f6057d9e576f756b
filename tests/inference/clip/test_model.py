"""The folder of an export and its image tower: what was changed or damaged judges nothing."""

from __future__ import annotations

import json

import numpy as np
import pytest
from onnxruntime.quantization import QuantType, quantize_dynamic
from PIL import Image

from guardrail.errors import CheckError, ConfigError
from guardrail.inference.clip.folder import ClipFolder
from guardrail.inference.clip.model import ClipModel
from guardrail.inference.fetch import digest
from guardrail.types import Artifact, Kind
from tests.inference.clip.tiny import WIDTH, artifact, coloured, export


def test_a_direction_has_length_one(tmp_path):
    export(tmp_path / "clip")
    (views,) = ClipModel.open(tmp_path / "clip").views(artifact(coloured("red")))
    assert views.shape == (1, WIDTH)
    np.testing.assert_allclose(np.linalg.norm(views, axis=1), 1, atol=1e-6)


def test_the_receipt_names_model_precision_and_digest(tmp_path):
    folder = export(tmp_path / "clip", model="hf-hub:some/Tiny 3")
    label = ClipModel.open(tmp_path / "clip").label
    assert label == f"clip-hf-hub-some-Tiny-3-fp32@{folder.told['towers']['image']['fp32']['sha256'][:8]}"


def test_every_frame_of_an_animation_is_looked_at(tmp_path):
    export(tmp_path / "clip")
    frames = [coloured(colour, size=(64, 64)) for colour in ("green", "red", "blue")]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], lossless=True, duration=100)
    moving = Artifact(Kind.OUTPUT, "data[0]", data=(tmp_path / "a.webp").read_bytes())
    assert len(ClipModel.open(tmp_path / "clip").views(moving)) == 3


def test_a_picture_is_run_once_however_often_it_is_asked_about(tmp_path):
    export(tmp_path / "clip")
    model, given = ClipModel.open(tmp_path / "clip"), artifact(coloured("red"))
    assert model.views(given) is model.views(given)


def test_a_broken_picture_is_a_check_error(tmp_path):
    export(tmp_path / "clip")
    with pytest.raises(CheckError):
        ClipModel.open(tmp_path / "clip").views(Artifact(Kind.INPUT, "image[0]", data=b"no picture"))


def test_a_tower_that_gives_no_number_is_a_check_error(tmp_path):
    export(tmp_path / "clip", damaged=True)
    with pytest.raises(CheckError, match="damaged"):
        ClipModel.open(tmp_path / "clip").views(artifact(coloured("red")))


def eight_bits(folder: ClipFolder) -> None:
    """Add the image tower in 8 bits, made as the export makes it."""
    plain, made = folder.path / "image-fp32.onnx", folder.path / "image-int8.onnx"
    quantize_dynamic(plain, made, weight_type=QuantType.QInt8, per_channel=True, op_types_to_quantize=["MatMul"])
    told = json.loads((folder.path / "clip.json").read_text())
    told["towers"]["image"]["int8"] = {"file": made.name, "sha256": digest(made), "size": 1}
    told["precision"] = "int8"
    (folder.path / "clip.json").write_text(json.dumps(told))


def test_in_eight_bits_a_direction_is_still_a_function_of_its_picture_alone(tmp_path):
    eight_bits(export(tmp_path / "clip"))
    model = ClipModel.open(tmp_path / "clip")
    assert "-int8@" in model.label
    dark, bright = Image.new("RGB", (8, 8), (120, 131, 126)), Image.new("RGB", (8, 8), (255, 0, 255))
    # One batch of both shares its scale, so the dark one changes: why pictures are run one at a time.
    both = np.concatenate([model._preprocess._scaled(np.asarray(one))[None][0] for one in (dark, bright)])
    alone = model._session.run(None, {"pixel_values": both[:1]})[0]
    together = model._session.run(None, {"pixel_values": both})[0][:1]
    assert np.abs(alone - together).max() > 1e-4
    model.views(artifact(bright))
    after = model.views(artifact(dark))[0]
    np.testing.assert_array_equal(after, ClipModel.open(tmp_path / "clip").views(artifact(dark))[0])
    frames = [dark.resize((64, 64)), bright.resize((64, 64))]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], lossless=True, duration=100)
    moving = Artifact(Kind.OUTPUT, "data[0]", data=(tmp_path / "a.webp").read_bytes())
    np.testing.assert_array_equal(model.views(moving)[0], after)


def test_the_settings_may_ask_for_another_precision_that_is_there(tmp_path):
    eight_bits(export(tmp_path / "clip"))
    assert "-fp32@" in ClipModel.open(tmp_path / "clip", precision="fp32").label
    with pytest.raises(ConfigError, match="no image tower in fp16; it has fp32, int8"):
        ClipModel.open(tmp_path / "clip", precision="fp16")


def test_a_graph_with_another_digest_is_refused(tmp_path):
    export(tmp_path / "clip")
    with (tmp_path / "clip/image-fp32.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ConfigError, match=r"image-fp32\.onnx is missing or is not what was exported"):
        ClipModel.open(tmp_path / "clip")


def test_a_damaged_graph_whose_digest_is_right_is_refused(tmp_path):
    folder = export(tmp_path / "clip")
    graph = tmp_path / "clip/image-fp32.onnx"
    graph.write_bytes(graph.read_bytes()[:100])
    told = json.loads((tmp_path / "clip/clip.json").read_text())
    told["towers"]["image"]["fp32"]["sha256"] = digest(graph)
    (tmp_path / "clip/clip.json").write_text(json.dumps({**told, "space": folder.space}))
    with pytest.raises(ConfigError, match="cannot be opened by onnxruntime"):
        ClipModel.open(tmp_path / "clip")


def test_a_missing_graph_is_refused(tmp_path):
    export(tmp_path / "clip")
    (tmp_path / "clip/image-fp32.onnx").unlink()
    with pytest.raises(ConfigError, match="is missing"):
        ClipModel.open(tmp_path / "clip")


def test_where_there_is_no_export_the_message_says_how_to_make_one(tmp_path):
    with pytest.raises(ConfigError, match="guardrail models export clip"):
        ClipFolder.read(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 2},
        {"space": "abc"},
        {"logit_scale": 0},
        {"logit_scale": "much"},
        {"logit_bias": "low"},
        {"precision": "int4"},
        {"towers": {}},
        {"towers": {"image": {"fp32": {"file": "../image-fp32.onnx", "sha256": "0" * 64}}, "text": {}}},
        {"towers": {"image": {"fp32": {"file": "image-fp32.onnx", "sha256": 5}}, "text": {}}},
        {"pretrained": "file"},
        {"preprocess": None},
    ],
)
def test_a_manifest_that_no_export_writes_is_refused(tmp_path, changes):
    with pytest.raises(ConfigError, match=r"clip\.json"):
        export(tmp_path / "clip", **changes)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b'"x"', b"[" * 100_000])
def test_a_manifest_that_is_no_json_object_is_refused(tmp_path, body):
    export(tmp_path / "clip")
    (tmp_path / "clip/clip.json").write_bytes(body)
    with pytest.raises(ConfigError, match=r"clip\.json"):
        ClipFolder.read(tmp_path / "clip")


def test_a_manifest_beyond_the_limit_is_refused_before_it_is_parsed(tmp_path):
    export(tmp_path / "clip")
    (tmp_path / "clip/clip.json").write_bytes(b" " * ((1 << 20) + 1))
    with pytest.raises(ConfigError, match="larger than"):
        ClipFolder.read(tmp_path / "clip")
