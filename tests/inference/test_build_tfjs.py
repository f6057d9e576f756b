"""TensorFlow.js weights: literals read strictly, numbers multiplied out, layers that compute what theirs do."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest

from guardrail.errors import ConfigError
from guardrail.inference.build import faceapi, nsfwjs
from guardrail.inference.build.literal import exported
from guardrail.inference.build.tfjs import Graph, weights
from guardrail.inference.session import open_session

RANDOM = np.random.default_rng(3)


def module(literal: str) -> str:
    """A literal in the frame that browserify writes."""
    return (
        '!function(i){if("object"==typeof exports)module.exports=i()}(function(){return function i(m,h,Z){}'
        "({1:[function(i,m,h){m.exports=" + literal + "},{}]},{},[1])(1)});"
    )


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        ('"AAEC"', "AAEC"),
        ("''", ""),
        ("[]", []),
        ("{}", {}),
        ("[1,-2,.5,-.25,3e2,1.5e-3]", [1, -2, 0.5, -0.25, 300.0, 0.0015]),
        ('{a:1,"b c":[!0,!1,null],d:{e:"x"}}', {"a": 1, "b c": [True, False, None], "d": {"e": "x"}}),
    ],
)
def test_a_literal_is_read_as_what_it_stands_for(literal, value):
    assert exported(module(literal), "m.js") == value


@pytest.mark.parametrize(
    "literal",
    [
        "alert(1)",
        '"a"+"b"',
        '"a\\x41"',
        '"open',
        "[1,]",
        "[1 2]",
        "{a}",
        "{a:1,a:2}",
        "{1:2}",
        "-",
        "",
        "[" * 99,
        "`x`",
    ],
)
def test_what_is_no_literal_is_refused_and_never_run(literal):
    with pytest.raises(ConfigError, match=r"m\.js"):
        exported(module(literal), "m.js")


@pytest.mark.parametrize("text", ["", "{}", "x" * 10_000 + module("1"), module("1") + ";more()", module("1")[:-3]])
def test_what_is_no_bundled_module_is_refused(text):
    with pytest.raises(ConfigError, match=r"m\.js"):
        exported(text, "m.js")


def entry(name: str, shape: list[int], **more: object) -> dict[str, object]:
    return {"name": name, "shape": shape, "dtype": "float32"} | more


def test_eight_bit_weights_are_multiplied_out_and_others_are_taken_as_they_are():
    steps, plain, half = np.array([0, 128, 255], np.uint8), np.array([[1.5, -2.0]], "<f4"), np.array([0.25], "<f2")
    groups = [{"weights": [entry("a", [3], quantization={"dtype": "uint8", "scale": 0.5, "min": -1.0})]}]
    groups.append({"weights": [entry("b", [1, 2]), entry("c", [1], quantization={"dtype": "float16"})]})
    found = weights(groups, steps.tobytes() + plain.tobytes() + half.tobytes(), "m")
    assert found["a"].tolist() == [-1.0, 63.0, 126.5]
    assert np.array_equal(found["b"], plain)
    assert found["c"].tolist() == [0.25]
    assert {value.dtype for value in found.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ("told", "body", "why"),
    [
        (entry("a", [3]), bytes(11), "end inside weight a"),
        (entry("a", [3]), bytes(13), "accounts for 12"),
        (entry("a", [3], dtype="complex64"), bytes(12), "not read"),
        (entry("a", [-1, -3]), bytes(12), "not read"),
        (entry("a", [3], quantization={"dtype": "uint4", "scale": 1, "min": 0}), bytes(6), "not read"),
        (entry("a", [1 << 40]), bytes(12), "end inside"),
    ],
)
def test_shards_that_do_not_fit_their_manifest_are_refused(told, body, why):
    with pytest.raises(ConfigError, match=why):
        weights([{"weights": [told]}], body, "m")


def test_convolutions_pad_as_tensorflow_does(tmp_path):
    """SAME with stride 2 over an even picture pads one row and column, at the far end only."""
    graph = Graph()
    kernel = np.zeros((3, 3, 1, 1), np.float32)
    kernel[2, 2] = 1.0  # reads two right and two down of the window's first pixel
    out = graph.conv(graph.picture("x"), kernel, stride=2)
    graph.add("Identity", [out], out="y")
    graph.write(tmp_path / "g.onnx", {"x": ["N", 4, 4, 1]}, {"y": ["N", 1, 2, 2]})
    picture = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    (answer,) = open_session(tmp_path / "g.onnx").run(None, {"x": picture})
    assert answer.ravel().tolist() == [10.0, 0.0, 0.0, 0.0]


def test_a_depthwise_convolution_keeps_channels_apart(tmp_path):
    graph = Graph()
    kernel = np.array([2.0, 3.0], np.float32).reshape(1, 1, 2, 1)
    graph.add("Identity", [graph.depthwise(graph.picture("x"), kernel)], out="y")
    graph.write(tmp_path / "g.onnx", {"x": ["N", 1, 1, 2]}, {"y": ["N", 2, 1, 1]})
    (answer,) = open_session(tmp_path / "g.onnx").run(None, {"x": np.array([[[[5.0, 7.0]]]], np.float32)})
    assert answer.ravel().tolist() == [10.0, 21.0]


def faceapi_sources(folder: Path, leave_out: str = "") -> dict[str, Path]:
    """A network of face-api's shape with random weights."""
    shapes: dict[str, list[int]] = {"entry_flow/conv_in/filters": [3, 3, 3, 4], "entry_flow/conv_in/bias": [4]}

    def separable(name: str, into: int, out: int) -> None:
        shapes.update({f"{name}/depthwise_filter": [3, 3, into, 1], f"{name}/pointwise_filter": [1, 1, into, out]})
        shapes[f"{name}/bias"] = [out]

    def reduced(name: str, into: int, out: int) -> None:
        separable(f"{name}/separable_conv0", into, out)
        separable(f"{name}/separable_conv1", out, out)
        shapes.update({f"{name}/expansion_conv/filters": [1, 1, into, out], f"{name}/expansion_conv/bias": [out]})

    reduced("entry_flow/reduction_block_0", 4, 8)
    reduced("entry_flow/reduction_block_1", 8, 8)
    for block in range(2):
        for layer in range(3):
            separable(f"middle_flow/main_block_{block}/separable_conv{layer}", 8, 8)
    reduced("exit_flow/reduction_block", 8, 8)
    separable("exit_flow/separable_conv", 8, 8)
    shapes |= {"fc/age/weights": [8, 1], "fc/age/bias": [1], "fc/gender/weights": [8, 2], "fc/gender/bias": [2]}
    shapes.pop(leave_out, None)
    body = b"".join(RANDOM.normal(0, 0.3, shape).astype("<f4").tobytes() for shape in shapes.values())
    told = [{"weights": [entry(name, shape) for name, shape in shapes.items()]}]
    (folder / faceapi.MANIFEST).write_text(json.dumps(told))
    (folder / faceapi.BODY).write_bytes(body)
    return {name: folder / name for name in (faceapi.MANIFEST, faceapi.BODY)}


def test_the_age_network_is_built_the_same_every_time_and_reads_batches(tmp_path):
    sources = faceapi_sources(tmp_path)
    faceapi.build(sources, tmp_path / "a.onnx")
    faceapi.build(sources, tmp_path / "b.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    pictures = RANDOM.uniform(0, 255, (3, 112, 112, 3)).astype(np.float32)
    age, gender = open_session(tmp_path / "a.onnx").run(["age", "gender"], {"image": pictures})
    assert age.shape == (3, 1)
    assert np.allclose(gender.sum(axis=1), 1.0, atol=1e-5)
    (alone,) = open_session(tmp_path / "a.onnx").run(["age"], {"image": pictures[1:2]})
    assert alone[0] == pytest.approx(age[1], abs=1e-4)


def test_weights_of_another_network_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="fc/age/bias"):
        faceapi.build(faceapi_sources(tmp_path, leave_out="fc/age/bias"), tmp_path / "a.onnx")


def nsfwjs_sources(folder: Path, **changes: object) -> dict[str, Path]:
    """A graph of nsfwjs' kind with one convolution: its brightness decides between the five classes."""
    word = lambda text: base64.b64encode(text.encode()).decode()  # noqa: E731
    fused = {"list": {"s": [word("BiasAdd"), word("Relu6")]}}
    conv = {"strides": {"list": {"i": ["1", "2", "2", "1"]}}, "padding": {"s": word("SAME")}, "fused_ops": fused}
    nodes = [
        {"name": "input", "op": "Placeholder"},
        *({"name": name, "op": "Const"} for name in ("k", "b", "w", "c")),
        {"name": "conv", "op": "_FusedConv2D", "input": ["input", "k", "b"], "attr": {**conv, **changes}},
        {"name": "pool", "op": "AvgPool", "input": ["conv"]},
        {"name": "flat", "op": "Squeeze", "input": ["pool"]},
        {"name": "dense", "op": "_FusedMatMul", "input": ["flat", "w", "c"]},
        {"name": "soft", "op": "Softmax", "input": ["dense"]},
        {"name": "Identity", "op": "Identity", "input": ["soft"]},
    ]
    arrays = {"k": np.ones((1, 1, 3, 1)), "b": np.zeros(1), "w": np.eye(1, 5), "c": np.zeros(5)}
    told = [{"weights": [entry(name, list(value.shape)) for name, value in arrays.items()]}]
    body = b"".join(value.astype("<f4").tobytes() for value in arrays.values())
    halves = body[:20], body[20:]
    texts = {
        nsfwjs.MODEL: json.dumps({"modelTopology": {"node": nodes}, "weightsManifest": told}, separators=(",", ":"))
    }
    texts |= {s: json.dumps(base64.b64encode(half).decode()) for s, half in zip(nsfwjs.SHARDS, halves, strict=True)}
    for name, text in texts.items():
        (folder / name).write_text(module(text))
    return {name: folder / name for name in texts}


def test_a_published_graph_computes_what_its_nodes_say(tmp_path):
    out = tmp_path / "n.onnx"
    out.write_bytes(nsfwjs.published(nsfwjs_sources(tmp_path)).SerializeToString())
    dark, bright = np.zeros((1, 224, 224, 3), np.float32), np.full((1, 224, 224, 3), 3.0, np.float32)
    (shares,) = open_session(out).run(["shares"], {"image": np.concatenate([dark, bright])})
    assert shares[0] == pytest.approx([0.2] * 5, abs=1e-6)
    top = np.exp(6.0) / (np.exp(6.0) + 4)  # 3 channels of 3, cut off at 6
    assert shares[1, 0] == pytest.approx(top, abs=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        {"padding": {"s": base64.b64encode(b"VALID").decode()}},
        {"strides": {"list": {"i": ["1", "2", "1", "1"]}}},
        {"fused_ops": {"list": {"s": [base64.b64encode(b"Elu").decode()]}}},
        {"fused_ops": {}},
    ],
)
def test_a_graph_of_another_kind_is_refused(tmp_path, change):
    with pytest.raises(ConfigError, match=r"model\.min\.js"):
        nsfwjs.published(nsfwjs_sources(tmp_path, **change))
