"""Builders: what they write computes what the published files compute, and is the same every time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from guardrail.errors import ConfigError
from guardrail.inference.build import BUILDERS, flush, fold, load, quantise
from guardrail.inference.build.open_nsfw import FLOAT
from guardrail.inference.session import open_session
from tests.checks.people import real_models

RANDOM = np.random.default_rng(7)


def save(path: Path, nodes: list, tensors: dict[str, np.ndarray], shape: list, out: list, opset: int = 21) -> Path:
    made = helper.make_graph(
        nodes,
        "built",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, out)],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=10), str(path))
    return path


def folded(source: Path, tmp_path: Path) -> Path:
    out = tmp_path / "out.onnx"
    fold.build({source.name: source}, out)
    return out


@pytest.mark.parametrize("how", ["blocks", "axis", "tensor"])
def test_folded_weights_are_what_the_int8_blocks_stand_for(tmp_path, how):
    steps = RANDOM.integers(-128, 128, (6, 8)).astype(np.int8)
    shape = {"blocks": (6, 2), "axis": (6,), "tensor": ()}[how]
    scale = RANDOM.uniform(0.01, 0.1, shape).astype(np.float32)
    zero = np.asarray(RANDOM.integers(-5, 5, shape), np.int8)
    attributes = {"blocks": {"axis": 1, "block_size": 4}, "axis": {"axis": 0}, "tensor": {}}[how]
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["w"], **attributes),
        helper.make_node("Reshape", ["w", "shape"], ["wide"]),
        helper.make_node("Dropout", ["x"], ["dropped"]),
        helper.make_node("Conv", ["dropped", "wide"], ["y"]),
    ]
    tensors = {"q": steps, "s": scale, "z": zero, "shape": np.array([6, 8, 1, 1], np.int64)}
    source = save(tmp_path / "in.onnx", nodes, tensors, [1, 8, 5, 5], [1, 6, 5, 5])
    out = folded(source, tmp_path)
    whole = {"blocks": lambda a: np.repeat(a, 4, 1), "axis": lambda a: a[:, None], "tensor": lambda a: a}[how]
    weight = (steps.astype(np.float32) - whole(zero).astype(np.float32)) * whole(scale)
    picture = RANDOM.normal(size=(2, 8, 3, 7)).astype(np.float32)  # another batch and size than the file names
    (answer,) = open_session(out).run(None, {"x": picture})
    expected = np.einsum("oc,nchw->nohw", weight, picture)
    assert np.abs(answer - expected).max() < 1e-4
    assert {node.op_type for node in onnx.load(str(out)).graph.node} == {"Conv"}
    first = out.read_bytes()
    assert folded(source, tmp_path).read_bytes() == first


def test_scales_that_no_rule_covers_are_refused(tmp_path):
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "s"], ["w"], name="odd", axis=1),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    tensors = {"q": np.ones((4, 6), np.int8), "s": np.ones(5, np.float32)}
    source = save(tmp_path / "in.onnx", nodes, tensors, [1, 4], [1, 6])
    with pytest.raises(ConfigError, match="odd has scales of shape"):
        folded(source, tmp_path)


@pytest.mark.parametrize("at_the_end", [False, True])
def test_a_prelu_answers_the_same_when_it_is_written_as_convolutions(tmp_path, at_the_end):
    tensors = {
        "w": RANDOM.normal(size=(6, 4, 3, 3)).astype(np.float32),
        "slope": np.array([-0.4, 0.0, 0.25, 1.0, 1.2, 0.7], np.float32).reshape(6, 1, 1),
        "w2": RANDOM.normal(size=(6, 6, 1, 1)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("PRelu", ["c", "slope"], ["y" if at_the_end else "p"]),
        *([] if at_the_end else [helper.make_node("Conv", ["p", "w2"], ["y"])]),
    ]
    source = save(tmp_path / "in.onnx", nodes, tensors, ["N", 4, 9, 7], ["N", 6, 9, 7])
    out = folded(source, tmp_path)
    x = RANDOM.normal(size=(2, 4, 9, 7)).astype(np.float32)
    assert "PRelu" not in {node.op_type for node in onnx.load(str(out)).graph.node}
    np.testing.assert_allclose(
        open_session(out).run(None, {"x": x})[0], open_session(source).run(None, {"x": x})[0], atol=1e-5
    )


def test_a_prelu_with_a_slope_for_every_pixel_is_left_alone(tmp_path):
    nodes = [helper.make_node("PRelu", ["x", "slope"], ["y"])]
    source = save(
        tmp_path / "in.onnx", nodes, {"slope": np.full((4, 9, 7), 0.5, np.float32)}, [1, 4, 9, 7], [1, 4, 9, 7]
    )
    assert [node.op_type for node in onnx.load(str(folded(source, tmp_path))).graph.node] == ["PRelu"]


def residual(tmp_path: Path) -> Path:
    """A network of the shape of open_nsfw: a float first part, a residual part, a classifier."""
    weights = {
        "w0": RANDOM.normal(0, 0.2, (8, 3, 3, 3)),
        "w1": RANDOM.normal(0, 0.2, (8, 8, 3, 3)),
        "w2": RANDOM.normal(0, 0.2, (8, 8, 1, 1)),
        "b0": RANDOM.normal(0, 0.1, 8),
        "b1": RANDOM.normal(0, 0.1, 8),
        "b2": RANDOM.normal(0, 0.1, 8),
        "fc": RANDOM.normal(0, 0.5, (8, 2)),
        "fb": RANDOM.normal(0, 0.1, 2),
    }
    nodes = [
        helper.make_node("Transpose", ["x"], ["conv_1/in"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["conv_1/in", "w0", "b0"], ["c0"], pads=[1, 1, 1, 1], name="first"),
        helper.make_node("Relu", ["c0"], ["r0"]),
        helper.make_node("Conv", ["r0", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1], name="second"),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], name="third"),
        helper.make_node("Add", ["c2", "r0"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["r2"]),
        helper.make_node("GlobalAveragePool", ["r2"], ["pool"]),
        helper.make_node("Flatten", ["pool"], ["flat"]),
        helper.make_node("MatMul", ["flat", "fc"], ["dense"]),
        helper.make_node("Add", ["dense", "fb"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["y"], axis=1),
    ]
    tensors = {name: value.astype(np.float32) for name, value in weights.items()}
    return save(tmp_path / "residual.onnx", nodes, tensors, ["N", 16, 16, 3], ["N", 2], opset=9)


def ranges_of(source: Path, pictures: np.ndarray) -> dict[str, tuple[float, float]]:
    model = onnx.load(str(source))
    names = quantise.observed(model.graph, FLOAT)
    model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    loud = source.with_name("loud.onnx")
    onnx.save(model, str(loud))
    values = open_session(loud).run(names, {"x": pictures})
    return {name: (float(value.min()), float(value.max())) for name, value in zip(names, values, strict=True)}


def eight_bits(source: Path, ranges: dict[str, tuple[float, float]], *, fit: bool = False):
    return quantise.quantised(onnx.load(str(source)), ranges, keep=FLOAT, where="residual", fit=fit)


@pytest.mark.parametrize("fit", [False, True])
def test_eight_bits_say_nearly_what_floats_say(tmp_path, fit):
    source = residual(tmp_path)
    pictures = RANDOM.normal(0, 1, (40, 16, 16, 3)).astype(np.float32)
    model = eight_bits(source, ranges_of(source, pictures), fit=fit)
    out = tmp_path / "eight.onnx"
    onnx.save(model, str(out))
    (expected,), (answer,) = (open_session(path).run(None, {"x": pictures}) for path in (source, out))
    assert expected[:, 1].std() > 0.01
    assert np.abs(answer - expected).max() < 0.05
    assert np.corrcoef(answer[:, 1], expected[:, 1])[0, 1] > 0.97


def test_only_the_middle_is_in_eight_bits(tmp_path):
    model = onnx.load(str(residual(tmp_path)))
    assert quantise.observed(model.graph, FLOAT) == ["r0", "r1", "c2", "r2"]
    nodes = eight_bits(residual(tmp_path), dict.fromkeys(("r0", "r1", "c2", "r2"), (-1.0, 1.0))).graph.node
    first, last = (next(node for node in nodes if name in node.output) for name in ("c0", "logits"))
    assert list(first.input) == ["conv_1/in", "w0", "b0"]
    assert list(last.input) == ["dense", "fb"]


@pytest.mark.parametrize("fit", [False, True])
def test_weights_keep_to_seven_bits_so_that_every_processor_adds_them_alike(tmp_path, fit):
    model = eight_bits(residual(tmp_path), dict.fromkeys(("r0", "r1", "c2", "r2"), (-1.0, 1.0)), fit=fit)
    steps = [numpy_helper.to_array(tensor) for tensor in model.graph.initializer if tensor.name.endswith("/weight")]
    assert len(steps) == 2
    assert all(value.dtype == np.int8 and np.abs(value).max() == quantise.WEIGHT_STEPS for value in steps)


def test_a_missing_range_is_named(tmp_path):
    with pytest.raises(ConfigError, match="residual: no range for r0 and 3 more"):
        eight_bits(residual(tmp_path), {})


def test_every_builder_can_be_loaded():
    for name in BUILDERS:
        assert callable(load(f"{name}@1"))
    with pytest.raises(ConfigError, match="no builder named 'magic'"):
        load("magic@1")


@pytest.mark.weights
@pytest.mark.parametrize(
    ("name", "shape"), [("yunet", (3, 96, 160)), ("sface", (3, 112, 112)), ("age-v1", (3, 64, 64))]
)
def test_a_score_does_not_depend_on_its_batch_mates(name, shape):
    session = real_models(name).session(name)
    batch = RANDOM.uniform(0, 255, (3, *shape)).astype(np.float32)
    read = session.get_inputs()[0].name
    together = session.run(None, {read: batch})
    for index in range(3):
        alone = session.run(None, {read: batch[index : index + 1]})
        for one, all_three in zip(alone, together, strict=True):
            assert np.allclose(one[0], all_three[index], rtol=1e-4, atol=1e-4)


@pytest.mark.weights
@pytest.mark.parametrize(
    ("name", "shape", "kind"),
    [
        ("faceapi-age", (112, 112, 3), np.float32),
        ("nsfwjs", (113, 113, 16), np.uint8),
        ("nanodet", (49, 81, 16), np.uint8),
    ],
)
def test_nets_that_read_pixels_last_do_not_depend_on_batch_mates_either(name, shape, kind):
    session = real_models(name).session(name)
    batch = RANDOM.uniform(0, 255, (3, *shape)).astype(kind)
    together = session.run(None, {"image": batch})
    for index in range(3):
        alone = session.run(None, {"image": batch[index : index + 1]})
        for one, all_three in zip(alone, together, strict=True):
            assert np.allclose(one[0], all_three[index], rtol=1e-4, atol=1e-4)


def test_a_fitted_channel_keeps_its_sum_and_the_weights_beside_a_large_one(tmp_path):
    weight = RANDOM.uniform(0.0, 0.05, (4, 90))
    weight[:, 0] = [1.0, -1.0, 0.3, 0.0]
    steps, scale = quantise.fitted(weight, np.abs(weight).max(axis=1))
    kept = steps * scale[:, None].astype(np.float64)
    widest = np.abs(weight).max(axis=1, keepdims=True) / quantise.WEIGHT_STEPS
    assert np.abs(kept.sum(axis=1) - weight.sum(axis=1)).max() < widest.max() / 2 + 1e-9
    plain = np.rint(weight / widest) * widest
    assert ((kept - weight) ** 2).sum() < 2 * ((plain - weight) ** 2).sum()


def test_a_clipped_activation_needs_no_room_above_what_it_is_clipped_to():
    scale, zero = quantise._activation(0.0, 6.0, 6.0)
    assert float(scale) * (255 - int(zero)) == pytest.approx(6.0)
    scale, zero = quantise._activation(0.0, 6.0)
    assert float(scale) * (255 - int(zero)) == pytest.approx(6.0 * quantise.HEADROOM)


@pytest.mark.weights
def test_an_exposure_score_does_not_depend_on_its_batch_mates():
    session = real_models("open-nsfw").session("open-nsfw")
    batch = RANDOM.integers(0, 256, (3, 115, 115, 16), dtype=np.uint8)
    read = session.get_inputs()[0].name
    (together,) = session.run(None, {read: batch})
    alone = np.concatenate([session.run(None, {read: batch[index : index + 1]})[0] for index in range(3)])
    assert np.abs(together - alone).max() < 1e-5
    assert np.allclose(together.sum(axis=1), 1, atol=1e-5)


def test_vanishing_weights_become_zero_and_all_others_stay_as_they_are(tmp_path):
    weights = RANDOM.normal(size=(4, 4)).astype(np.float32)
    weights[0] = [1e-39, -2e-30, 1e-19, -1e-20]  # subnormal, vanishing, small, the edge
    source = save(tmp_path / "in.onnx", [helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": weights}, [2, 4], [2, 4])
    out = tmp_path / "out.onnx"
    flush.build({source.name: source}, out)
    [kept] = [numpy_helper.to_array(tensor) for tensor in onnx.load(str(out)).graph.initializer]
    expected = weights.copy()
    expected[0, :2] = 0.0
    expected[0, 3] = expected[0, 3] if abs(expected[0, 3]) >= np.float32(flush.VANISHING) else 0.0
    assert np.array_equal(kept, expected)


@pytest.mark.weights
def test_the_age_model_has_no_weight_that_slows_a_processor_down():
    graph = onnx.load(str(real_models("age-v1").path("age-v1"))).graph
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            values = np.abs(numpy_helper.to_array(tensor))
            assert not ((values > 0) & (values < flush.VANISHING)).any(), tensor.name
