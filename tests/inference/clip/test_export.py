"""Exporting: what is refused before anything is loaded, and the real open_clip code on its smallest models.

The latter needs torch: `make slow` runs it in an environment of its own. Weights are chance, so nothing here says how
good a model is.
"""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from guardrail.errors import ConfigError
from guardrail.inference.clip.export import Wanted, export, tokenise
from guardrail.inference.clip.folder import ClipFolder
from guardrail.inference.clip.model import ClipModel
from guardrail.inference.clip.words import Described, embedded
from guardrail.inference.session import open_session
from tests.checks.pictures import scene
from tests.inference.clip.tiny import artifact

HERE = find_spec("torch") is not None and find_spec("open_clip") is not None
real = pytest.mark.skipif(not HERE, reason="torch and open_clip are not here: `make slow` installs the extra `export`")


def quiet(line: str) -> None:
    """Says nothing."""


# -- refused before anything is loaded ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"model": "ViT-B-32"}, "no weights for ViT-B-32"),
        ({"model": "ViT-B-32", "pretrained": "x", "random": True}, "both asked for"),
        ({"model": "hf-hub:a/b", "pretrained": "x"}, "brings its own weights"),
        ({"model": "ViT-B-32", "random": True, "precisions": ("int4",)}, "precision int4"),
        ({"model": "ViT-B-32", "random": True, "precisions": ()}, "precision none"),
    ],
)
def test_a_wish_that_contradicts_itself_is_refused(wanted, says):
    with pytest.raises(ConfigError, match=says):
        Wanted(**wanted)


class Runs:
    """Makes a folder when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def test_a_file_that_no_checkpoint_is_called_is_refused(tmp_path):
    (tmp_path / "weights.exe").write_bytes(b"x")
    with pytest.raises(ConfigError, match=r"weights\.exe: expected a checkpoint ending in"):
        export(Wanted("ViT-B-32", str(tmp_path / "weights.exe")), tmp_path / "out")


def test_a_torchscript_program_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.pt", "w") as packed:
        packed.writestr("model/code/__torch__.py", "x = 1")
        packed.writestr("model/data.pkl", b"")
    with pytest.raises(ConfigError, match="TorchScript"):
        export(Wanted("ViT-B-32", str(tmp_path / "model.pt")), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_damaged_checkpoint_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "whole.pt", "w") as packed:
        packed.writestr("model/data.pkl", b"x" * 100)
    body = bytearray((tmp_path / "whole.pt").read_bytes())
    body[body.index(b"PK\x01\x02")] = 0
    (tmp_path / "model.pt").write_bytes(body)
    with pytest.raises(ConfigError, match=r"model\.pt is damaged"):
        export(Wanted("ViT-B-32", str(tmp_path / "model.pt")), tmp_path / "out")


def test_a_path_that_is_not_there_is_no_tag(tmp_path):
    with pytest.raises(ConfigError, match="no tag of open_clip looks like that"):
        export(Wanted("ViT-B-32", str(tmp_path / "none.pt")), tmp_path / "out")


@pytest.mark.parametrize(("files", "says"), [((), "open_clip_config.json"), (("open_clip_config.json",), "no weights")])
def test_a_folder_that_lacks_something_is_refused(tmp_path, files, says):
    for name in files:
        (tmp_path / name).write_text("{}")
    with pytest.raises(ConfigError, match=says):
        export(Wanted(f"local-dir:{tmp_path}"), tmp_path / "out")


def test_what_is_there_is_not_overwritten(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for force in (False, True):
        with pytest.raises(ConfigError, match="is there already"):
            export(Wanted("ViT-B-32", random=True), tmp_path, force=force)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.skipif(HERE, reason="torch is here")
def test_without_the_extra_the_message_says_what_to_install(tmp_path):
    with pytest.raises(ConfigError, match=r"'\.\[export\]'"):
        export(Wanted("ViT-B-32", random=True), tmp_path / "out")


# -- the real code, on small models ---------------------------------------------------------------------------------

VISION = {"image_size": 32, "layers": 2, "width": 128, "patch_size": 8}
TEXT = {"context_length": 16, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2}
CONFIG = {
    "model_cfg": {"embed_dim": 64, "vision_cfg": VISION, "text_cfg": TEXT},
    "preprocess_cfg": {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4], "interpolation": "bilinear"},
}
SIGLIP = {
    "model_cfg": {
        "embed_dim": 64,
        "init_logit_bias": -10,
        "custom_text": True,
        "vision_cfg": {
            "image_size": 160,
            "timm_model_name": "test_vit",
            "timm_model_pretrained": False,
            "timm_pool": "",
            "timm_proj": "linear",
        },
        "text_cfg": {**TEXT, "no_causal_mask": True, "proj_bias": True, "pool_type": "last"},
    },
    "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3, "resize_mode": "squash"},
}


def folder(place: Path, config: dict = CONFIG) -> Path:
    """The folder of a small open_clip model with weights of chance, as the hub has them."""
    from guardrail.inference.clip.export import _libraries

    torch, open_clip = _libraries()
    from safetensors.torch import save_file

    place.mkdir()
    (place / "open_clip_config.json").write_text(json.dumps(config))
    torch.manual_seed(1)
    model = open_clip.create_model(f"local-dir:{place}", load_weights=False)
    save_file(
        {name: value.contiguous() for name, value in model.state_dict().items()}, place / "open_clip_model.safetensors"
    )
    return place


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The export of a small model in every precision, and the model."""
    place = tmp_path_factory.mktemp("small")
    wanted = Wanted(f"local-dir:{folder(place / 'model')}", precisions=("int8", "fp16", "fp32"), licence="CC0-1.0")
    return export(wanted, place / "clip", say=quiet), place / "model"


@real
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_folder_of_a_model_is_exported_with_its_provenance(small):
    made, _ = small
    assert ClipFolder.read(made.path).told == made.told
    assert made.told["pretrained"]["kind"] == "folder"
    assert len(made.told["pretrained"]["sha256"]) == 64
    assert made.told["licence"] == "CC0-1.0"
    assert made.precisions("image") == made.precisions("text") == ("fp32", "int8", "fp16")
    assert made.precision == "int8"
    assert not made.random
    assert (made.preprocess.mean, made.preprocess.interpolation) == ((0.5, 0.4, 0.3), "bilinear")
    assert made.space == made.told["towers"]["image"]["fp32"]["sha256"]


@real
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_picture_has_the_direction_that_open_clip_gives_it(small):
    made, source = small
    torch, open_clip = __import__("torch"), __import__("open_clip")
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{source}")
    given = Image.fromarray(scene(3, 300, 200))
    with torch.inference_mode():
        expected = model.eval().encode_image(transform(given)[None], normalize=True).numpy()
    for precision, far in (("fp32", 1e-5), ("fp16", 5e-3), ("int8", 5e-2)):
        (got,) = ClipModel.open(made.path, precision=precision).views(artifact(given))
        np.testing.assert_allclose(got, expected, atol=far)


@real
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("tower", ["image", "text"])
def test_any_batch_gives_what_each_gives_alone(small, tower):
    made, _ = small
    session = open_session(made.graph(tower, "fp32"))
    given = session.get_inputs()[0]
    chance = np.random.default_rng(0)
    shape = (7, *given.shape[1:])
    batch = chance.integers(1, 1000, shape) if tower == "text" else chance.standard_normal(shape).astype(np.float32)
    together = session.run(None, {given.name: batch})[0]
    alone = np.concatenate([session.run(None, {given.name: one[None]})[0] for one in batch])
    np.testing.assert_allclose(together, alone, atol=1e-5)


@real
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_smallest_published_architecture_keeps_its_directions(tmp_path):
    made = export(Wanted("ViT-S-32-alt", random=True), tmp_path / "clip", say=quiet)
    assert made.random
    assert (made.precisions("image"), made.precisions("text")) == (("int8",), ("fp32", "int8"))
    assert made.told["towers"]["image"]["int8"]["cosine"] >= 0.999
    assert made.told["towers"]["text"]["int8"]["cosine"] >= 0.998
    assert not list(tmp_path.glob(".export-*"))


@real
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_checkpoint_file_is_read_without_running_what_is_in_it(tmp_path, small):
    torch, open_clip = __import__("torch"), __import__("open_clip")
    _, source = small
    # As an operator registers an architecture of their own.
    (tmp_path / "Small.json").write_text(json.dumps(CONFIG["model_cfg"]))
    open_clip.add_model_config(tmp_path / "Small.json")
    state = open_clip.create_model(f"local-dir:{source}").state_dict()
    torch.save({"state_dict": state}, tmp_path / "good.pt")
    made = export(Wanted("Small", str(tmp_path / "good.pt"), precisions=("fp32",)), tmp_path / "clip", say=quiet)
    assert made.told["pretrained"]["kind"] == "file"
    assert made.told["pretrained"]["name"] == "good.pt"
    for name, save in (("pickle.pt", pickle.dump), ("torch.pt", torch.save)):
        with (tmp_path / name).open("wb") as file:
            save({"state_dict": state, "more": Runs(tmp_path / "ran")}, file)
        with pytest.raises(ConfigError, match="cannot be loaded"):
            export(Wanted("Small", str(tmp_path / name)), tmp_path / "other", say=quiet)
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "other").exists()
    torch.save({"state_dict": {"visual.proj": state["visual.proj"]}}, tmp_path / "part.pt")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        export(Wanted("Small", str(tmp_path / "part.pt")), tmp_path / "other", say=quiet)


@real
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_export_is_replaced_with_force_only(tmp_path, small):
    _, source = small
    wanted = Wanted(f"local-dir:{source}", precisions=("fp32",))
    export(wanted, tmp_path / "clip", say=quiet)
    (tmp_path / "clip/concepts.json").write_text("{}")
    with pytest.raises(ConfigError, match="is there already"):
        export(wanted, tmp_path / "clip", say=quiet)
    export(wanted, tmp_path / "clip", say=quiet, force=True)
    assert not (tmp_path / "clip/concepts.json").exists()


@real
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_words_become_the_directions_that_open_clip_gives_them(small):
    made, source = small
    torch, open_clip = __import__("torch"), __import__("open_clip")
    described = Described("boat", ("a boat",), ("a house", "a tree"), ("a photo of {}.",))
    concepts = embedded([described], made, lambda texts: tokenise(made.tokenizer, texts))
    model = open_clip.create_model(f"local-dir:{source}").eval()
    tokens = open_clip.get_tokenizer(f"local-dir:{source}")(["a photo of a boat.", "a photo of a house."])
    with torch.inference_mode():
        expected = model.encode_text(tokens, normalize=True).numpy()
    np.testing.assert_allclose(concepts["boat"].direction, expected[0], atol=1e-5)
    np.testing.assert_allclose(concepts["boat"].background[0], expected[1], atol=1e-5)
    assert concepts["boat"].temperature == pytest.approx(1 / made.logit_scale)


@real
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_model_of_the_siglip_family_keeps_its_bias(tmp_path):
    made = export(
        Wanted(f"local-dir:{folder(tmp_path / 'model', SIGLIP)}", precisions=("int8",)), tmp_path / "clip", say=quiet
    )
    assert made.logit_bias == pytest.approx(-10)
    assert made.preprocess.resize == "squash"
    alone = Described("boat", ("a boat",), (), ("{}",))
    concept = embedded([alone], made, lambda texts: tokenise(made.tokenizer, texts))["boat"]
    assert (concept.bias, len(concept.background)) == (pytest.approx(-10), 0)


@real
@pytest.mark.slow
@pytest.mark.parametrize("size", [(640, 480), (481, 333), (224, 224), (100, 37), (33, 700), (225, 224)])
def test_the_transform_is_open_clips_to_the_level(size):
    from guardrail.inference.clip.export import _libraries
    from guardrail.inference.clip.preprocess import Preprocess

    _libraries()
    from open_clip.transform import image_transform

    picture = scene(5, *size)
    for edges in ((224, 224), (256, 192), (384, 384)):
        for mode in ("shortest", "longest", "squash"):
            for way in ("bicubic", "bilinear"):
                if mode == "shortest" and edges[0] != edges[1] and way == "bilinear":
                    continue  # there open_clip resizes bicubic whatever was asked for, and the export says so
                edge = edges if edges[0] != edges[1] else edges[0]
                theirs = image_transform(edge, False, (0.0,) * 3, (1.0,) * 3, mode, way, fill_color=7)
                expected = np.round(theirs(Image.fromarray(picture)).numpy() * 255).transpose(1, 2, 0)
                ours = Preprocess(*edges, (0, 0, 0), (1, 1, 1), way, mode, 7).view(picture)
                assert np.abs(ours - expected).max() <= 1, (edges, mode, way)
