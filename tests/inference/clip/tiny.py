"""A CLIP of a few numbers: real graphs in a real export folder, whose directions are the colours of a picture."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save
from PIL import Image

from guardrail.inference.clip.folder import ClipFolder
from guardrail.inference.fetch import digest
from guardrail.types import Artifact, Kind

EDGE, WIDTH = 8, 16
WORDS = {"red": (1.0, -1.0, -1.0), "green": (-1.0, 1.0, -1.0), "blue": (-1.0, -1.0, 1.0), "grey": (0.1, 0.1, 0.1)}
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "grey": (140, 140, 140)}


def _turn() -> np.ndarray:
    """From three colours to WIDTH numbers, lengths and angles kept."""
    turned, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((WIDTH, 3)))
    return np.ascontiguousarray(turned.T, np.float32)


def image_graph(path: Path, *, damaged: bool = False) -> None:
    """Mean colour, turned. With `damaged`, not a number."""
    turn = _turn() * (np.float32("nan") if damaged else np.float32(1))
    nodes = [
        helper.make_node("GlobalAveragePool", ["pixel_values"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["colour"]),
        helper.make_node("MatMul", ["colour", "turn"], ["image_embeds"]),
    ]
    given = helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["batch", 3, EDGE, EDGE])
    _save(path, nodes, given, "image_embeds", {"turn": turn})


def text_graph(path: Path) -> None:
    """The direction of one word."""
    table = np.array([(0.0, 0.0, 0.0), *WORDS.values()], np.float32) @ _turn()
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["each"]),
        helper.make_node("ReduceSum", ["each", "axis"], ["text_embeds"], keepdims=0),
    ]
    given = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", 4])
    _save(path, nodes, given, "text_embeds", {"table": table, "axis": np.array([1])})


def _save(path: Path, nodes: list[Any], given: Any, output: str, constants: dict[str, np.ndarray]) -> None:
    out = helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", WIDTH])
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "tiny", [given], [out], tensors)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)


def tokens(texts: Sequence[str]) -> np.ndarray:
    """The words of WORDS that a text has, as ids."""
    ids = {word: number for number, word in enumerate(WORDS, start=1)}
    rows = np.zeros((len(texts), 4), np.int64)
    for row, text in zip(rows, texts, strict=True):
        found = [ids[word] for word in text.lower().replace(".", " ").split() if word in ids]
        row[: len(found)] = found
    return rows


def export(path: Path, *, kind: str = "file", damaged: bool = False, **changes: Any) -> ClipFolder:
    """An export folder as `guardrail models export clip` lays it out; `changes` are made to its clip.json."""
    path.mkdir(parents=True)
    image_graph(path / "image-fp32.onnx", damaged=damaged)
    text_graph(path / "text-fp32.onnx")
    towers = {
        tower: {"fp32": {"file": f"{tower}-fp32.onnx", "sha256": digest(path / f"{tower}-fp32.onnx"), "size": 1}}
        for tower in ("image", "text")
    }
    told = {
        "format": 1,
        "model": "Tiny-3",
        "pretrained": {"kind": kind, "name": "colours"},
        "licence": "CC0-1.0",
        "tokenizer": "Tiny-3",
        "preprocess": {
            "height": EDGE,
            "width": EDGE,
            "mean": [0.5] * 3,
            "std": [0.5] * 3,
            "interpolation": "bicubic",
            "resize": "shortest",
            "fill": 0,
        },
        "logit_scale": 10.0,
        "logit_bias": None,
        "space": towers["image"]["fp32"]["sha256"],
        "precision": "fp32",
        "towers": towers,
    }
    (path / "clip.json").write_text(json.dumps({**told, **changes}), "utf-8")
    return ClipFolder.read(path)


def coloured(colour: str, *, noise: float = 40.0, seed: int = 0, size: tuple[int, int] = (24, 24)) -> Image.Image:
    """A picture of one colour, with noise in it."""
    chance = np.random.default_rng(seed)
    pixels = np.array(COLOURS[colour]) + chance.normal(0, noise, (size[1], size[0], 3)) + chance.normal(0, noise, 3)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def encoded(image: Image.Image) -> bytes:
    body = io.BytesIO()
    image.save(body, "PNG")
    return body.getvalue()


def artifact(image: Image.Image, kind: Kind = Kind.INPUT) -> Artifact:
    return Artifact(kind, "image[0]", data=encoded(image))


def labelled(folder: Path, count: int, *, yes: str = "red", no: str = "green", noise: float = 40.0) -> Path:
    """`count` pictures under yes and as many under no."""
    for label, colour, offset in (("yes", yes, 0), ("no", no, 10_000)):
        (folder / label).mkdir(parents=True)
        for number in range(count):
            coloured(colour, noise=noise, seed=offset + number).save(folder / label / f"{number}.png")
    return folder
