"""Graphs made for a processor: blocks of pixels, shared scales and merged heads compute what was published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from guardrail.errors import ConfigError
from guardrail.inference.build import blocks as built
from guardrail.inference.build import quantise, yunet
from guardrail.inference.build.even import evened, groups
from guardrail.inference.image.blocks import blocks, filled
from guardrail.inference.session import open_session

RANDOM = np.random.default_rng(11)
MEAN, SPREAD = (120.0, 110.0, 100.0), (60.0, 55.0, 50.0)


def model(nodes: list, tensors: dict[str, np.ndarray], inputs: dict[str, list], outputs: dict[str, list]):
    told, given = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in values.items()]
        for values in (inputs, outputs)
    )
    held = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in tensors.items()]
    made = helper.make_graph(nodes, "made", told, given, held)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def first_convolution(side: int, padding: int, channels: int = 3):
    """A network of one convolution that reads N x H x W x 3, normalised."""
    tensors = {"w": RANDOM.normal(0, 0.3, (8, channels, side, side)), "b": RANDOM.normal(0, 0.1, 8)}
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["t", "w", "b"], ["y"], name="first", strides=[2, 2], pads=[padding] * 4),
    ]
    return model(nodes, tensors, {"x": ["N", "H", "W", channels]}, {"y": ["N", 8, "h", "w"]})


def run(graph, feed, tmp_path: Path):
    path = tmp_path / "graph.onnx"
    onnx.save(graph, str(path))
    return open_session(path).run(None, feed)


def test_blocks_are_the_four_pixels_of_each_square_row_by_row():
    canvas = filled(4, 6, (1, 2, 3))
    assert (canvas == (1, 2, 3, 0)).all()
    canvas[...] = np.arange(4 * 6 * 4).reshape(4, 6, 4)
    cut = blocks(canvas)
    assert cut.shape == (1, 2, 3, 16)
    assert cut[0, 1, 2].reshape(2, 2, 4).tolist() == canvas[2:4, 4:6].tolist()


@pytest.mark.parametrize(("side", "padding"), [(3, 1), (5, 1), (7, 3)])
def test_a_convolution_over_blocks_answers_as_over_the_normalised_picture(tmp_path, side, padding):
    picture = RANDOM.integers(0, 256, (20, 28, 3), dtype=np.uint8)
    published = first_convolution(side, padding)
    normal = ((picture - np.array(MEAN)) / SPREAD).astype(np.float32)
    (expected,) = run(published, {"x": normal[None]}, tmp_path)
    built.in_blocks(published, mean=MEAN, spread=SPREAD, where="made")
    before = padding
    after = 2 * (expected.shape[2] - 1) + 2 * ((side + 1) // 2) - 20 - before
    canvas = filled(20 + before + after, 28 + before + after, tuple(int(level) for level in MEAN))
    canvas[before : 20 + before, before : 28 + before, :3] = picture
    canvas[..., 3] = RANDOM.integers(0, 256, canvas.shape[:2])  # the fourth byte means nothing
    (answer,) = run(published, {"image": blocks(canvas)}, tmp_path)
    assert answer.shape == expected.shape
    # Weights of seven bits: a hundredth of what there is to tell.
    assert np.abs(answer - expected).max() < 0.03 * expected.std() * np.sqrt(side)
    assert [node.op_type for node in published.graph.node].count("Conv") == 1


def test_a_picture_of_the_mean_alone_gives_the_bias(tmp_path):
    published = first_convolution(3, 1)
    bias = numpy_helper.to_array(published.graph.initializer[1]).copy()
    built.in_blocks(published, mean=MEAN, spread=SPREAD, where="made")
    (answer,) = run(published, {"image": blocks(filled(10, 12, (120, 110, 100)))}, tmp_path)
    np.testing.assert_allclose(answer, np.broadcast_to(bias[None, :, None, None], answer.shape), atol=0.01)


def test_a_first_convolution_of_another_kind_is_refused():
    with pytest.raises(ConfigError, match="made: the first convolution is of another kind"):
        built.in_blocks(first_convolution(3, 1, channels=4), mean=MEAN, spread=SPREAD, where="made")


def mover():
    """Two convolutions, the one of them large, whose answers are put side by side and pooled."""
    tensors = {
        "w1": RANDOM.normal(0, 0.2, (4, 4, 3, 3)),
        "b1": RANDOM.normal(0, 0.1, 4),
        "w2": RANDOM.normal(0, 0.1, (5, 128, 3, 3)),
        "b2": RANDOM.normal(0, 0.1, 5),
        "w3": RANDOM.normal(0, 0.2, (128, 4, 1, 1)),
        "b3": RANDOM.normal(0, 0.1, 128),
        "w4": RANDOM.normal(0, 0.2, (3, 9, 1, 1)),
        "b4": RANDOM.normal(0, 0.1, 3),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["small"], name="small", pads=[1] * 4),
        helper.make_node("Conv", ["x", "w3", "b3"], ["wide"], name="wide"),
        helper.make_node("Conv", ["wide", "w2", "b2"], ["large"], name="large", pads=[1] * 4),
        helper.make_node("Concat", ["small", "large"], ["both"], axis=1),
        helper.make_node("MaxPool", ["both"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["pooled", "w4", "b4"], ["y"], name="last"),
    ]
    return model(nodes, tensors, {"x": ["N", 4, 12, 12]}, {"y": ["N", 3, 6, 6]})


RANGES = {"x": (-3.0, 3.0), "small": (-2.0, 2.0), "wide": (-4.0, 4.0), "large": (-9.0, 9.0)}


def test_what_only_moves_numbers_shares_one_scale_and_needs_no_range_of_its_own(tmp_path):
    x = RANDOM.uniform(-3, 3, (2, 4, 12, 12)).astype(np.float32)
    published = mover()
    (expected,) = run(published, {"x": x}, tmp_path)
    eight = quantise.quantised(published, RANGES, keep=(), where="made", fit=True)
    steps = {tensor.name: numpy_helper.to_array(tensor) for tensor in eight.graph.initializer}
    scales = [float(steps[f"{name}/scale"]) for name in ("small", "large", "both", "pooled")]
    assert scales == pytest.approx([quantise.HEADROOM * 18.0 / 255] * 4)
    (answer,) = run(eight, {"x": x}, tmp_path)
    assert np.corrcoef(answer.ravel(), expected.ravel())[0, 1] > 0.99


def test_a_range_that_no_neighbour_knows_is_still_missing():
    with pytest.raises(ConfigError, match="made: no range for wide and 0 more"):
        quantise.quantised(mover(), {k: v for k, v in RANGES.items() if k != "wide"}, keep=(), where="made")


def test_no_two_products_of_neighbours_add_up_beyond_16_bits():
    weight = RANDOM.normal(0, 0.2, (6, 8, 3, 3))
    weight[0] = 0.5  # pairs that are both the largest
    weight[1, 3] = -2.0
    steps, _ = quantise.paired(weight, np.abs(weight).max(axis=(1, 2, 3)))
    pairs = steps.astype(int).reshape(6, 4, 2, 3, 3)
    together = np.maximum(pairs, 0).sum(axis=2), np.minimum(pairs, 0).sum(axis=2)
    assert 255 * together[0].max() <= 32767
    assert 255 * together[1].min() >= -32768
    assert np.abs(steps.astype(int)).max() > quantise.WEIGHT_STEPS


def test_paired_weights_lose_less_than_those_of_seven_bits():
    weight = RANDOM.normal(0, 0.2, (16, 32, 3, 3))
    largest = np.abs(weight).max(axis=(1, 2, 3))
    lost = []
    for steps, scale in (quantise.paired(weight, largest), quantise.fitted(weight.reshape(16, -1), largest)):
        kept = steps.reshape(weight.shape) * scale.astype(np.float64).reshape(-1, 1, 1, 1)
        lost.append(((kept - weight) ** 2).mean())
    assert lost[0] < 0.6 * lost[1]


def test_weights_of_an_odd_depth_have_no_pairs():
    with pytest.raises(ConfigError, match="a depth of 3 has no pairs"):
        quantise.paired(np.ones((2, 3, 1, 1)), np.ones(2))


def test_what_rounding_weights_moves_in_the_mean_is_given_back():
    published, mean = mover(), np.array([0.1, 2.0, 0.7, 1.3])
    plain = {tensor.name: numpy_helper.to_array(tensor) for tensor in published.graph.initializer}
    means = {"x": mean, "wide": RANDOM.uniform(0, 1, 128), "pooled": RANDOM.uniform(0, 1, 9)}
    with pytest.raises(ConfigError, match="a depth of 9 has no pairs"):
        quantise.quantised(mover(), RANGES, keep=(), where="made", means=means)
    eight = quantise.quantised(published, RANGES, keep=("pooled",), where="made", means=means)
    steps = {tensor.name: numpy_helper.to_array(tensor).astype(np.float64) for tensor in eight.graph.initializer}
    kept = steps["small/weight"] * steps["small/weight/scale"].reshape(-1, 1, 1, 1)
    bias = steps["small/bias"] * steps["small/bias/scale"]
    given = bias + kept.sum(axis=(2, 3)) @ mean
    assert given == pytest.approx(
        plain["b1"] + plain["w1"].sum(axis=(2, 3)) @ mean, abs=steps["small/bias/scale"].max()
    )
    assert np.abs(bias - plain["b1"]).max() > 3 * steps["small/bias/scale"].max()


def test_means_that_do_not_fit_the_channels_are_named():
    with pytest.raises(ConfigError, match="made: no mean for each channel of x; calibrate again"):
        quantise.quantised(mover(), RANGES, keep=(), where="made", means={"x": [0.0]})


def residual():
    """Two convolutions after each other and around them a sum, then a classifier, as open_nsfw has them."""
    tensors = {
        "w1": RANDOM.normal(0, 0.3, (6, 4, 3, 3)),
        "b1": RANDOM.normal(0, 0.1, 6),
        "w2": RANDOM.normal(0, 0.3, (8, 6, 1, 1)),
        "b2": RANDOM.normal(0, 0.1, 8),
        "w3": RANDOM.normal(0, 0.3, (8, 4, 1, 1)),
        "b3": RANDOM.normal(0, 0.1, 8),
        "w4": RANDOM.normal(0, 0.3, (2, 8, 1, 1)),
        "b4": RANDOM.normal(0, 0.1, 2),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w3", "b3"], ["short"], name="short"),
        helper.make_node("Conv", ["x", "w1", "b1"], ["inner"], name="inner", pads=[1] * 4),
        helper.make_node("Relu", ["inner"], ["bent"]),
        helper.make_node("Conv", ["bent", "w2", "b2"], ["outer"], name="outer"),
        helper.make_node("Add", ["outer", "short"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["left"]),
        helper.make_node("MaxPool", ["left"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["pooled", "w4", "b4"], ["y"], name="last"),
    ]
    return model(nodes, tensors, {"x": ["N", 4, 8, 8]}, {"y": ["N", 2, 4, 4]})


def test_channels_of_like_size_leave_the_answers_what_they_are(tmp_path):
    x = RANDOM.normal(0, 1, (2, 4, 8, 8)).astype(np.float32)
    made = residual()
    (expected,) = run(made, {"x": x}, tmp_path)
    found = {group.name: group.tensors for group in groups(made.graph)}
    assert {name: len(found[name] & {"sum", "left", "pooled", "outer", "short"}) for name in found} == {
        "outer": 5,
        "inner": 0,
        "y": 0,
    }
    before = {tensor.name: numpy_helper.to_array(tensor) for tensor in made.graph.initializer}
    octaves = {"outer": list(range(-4, 4)), "inner": [0, 8, -8, 1, 2, 3], "y": [0, 0]}
    even = evened(made, octaves, where="made")
    after = {tensor.name: numpy_helper.to_array(tensor) for tensor in even.graph.initializer}
    assert after["w1"][1] == pytest.approx(before["w1"][1] / 4)
    assert after["w2"][:, 2] == pytest.approx(before["w2"][:, 2] / 4 / 2 ** (np.arange(-4, 4) / 4)[:, None, None])
    (answer,) = run(even, {"x": x}, tmp_path)
    assert np.abs(answer - expected).max() < 1e-5


def test_channels_that_nobody_measured_are_named():
    with pytest.raises(ConfigError, match="made: 0 numbers for the 6 channels of inner; calibrate again"):
        evened(residual(), {"outer": [0] * 8}, where="made")


def test_a_channel_without_weights_keeps_what_it_always_gives(tmp_path):
    nodes = [helper.make_node("Conv", ["x", "w", "b"], ["y"], name="only")]
    weight = np.zeros((2, 4, 1, 1), np.float32)
    weight[1] = 0.3
    tensors = {"w": weight, "b": np.array([-3.25, 0.5], np.float32)}
    made = model(nodes, tensors, {"x": ["N", 4, 2, 2]}, {"y": ["N", 2, 2, 2]})
    eight = quantise.quantised(made, {"x": (-3.0, 3.0)}, keep=(), where="made", fit=True)
    (answer,) = run(eight, {"x": np.ones((1, 4, 2, 2), np.float32)}, tmp_path)
    assert answer[0, :, 0, 0] == pytest.approx([-3.25, 1.7], abs=0.02)


def test_a_shift_moves_one_channel_of_one_convolution_by_just_that(tmp_path):
    x = RANDOM.uniform(-3, 3, (2, 4, 12, 12)).astype(np.float32)
    eight = quantise.quantised(mover(), RANGES, keep=(), where="made", fit=True)
    (before,) = run(eight, {"x": x}, tmp_path)
    quantise.shifted(eight, {"y": [0.5, 0.0, -0.25]}, where="made")
    (after,) = run(eight, {"x": x}, tmp_path)
    assert (after - before).mean(axis=(0, 2, 3)) == pytest.approx([0.5, 0.0, -0.25], abs=0.01)


@pytest.mark.parametrize(
    ("shifts", "says"),
    [({"pooled": [0.0]}, "pooled is no"), ({"gone": [0.0]}, "gone is no"), ({"y": [0.0]}, "1 shifts")],
)
def test_shifts_of_another_network_are_refused(shifts, says):
    eight = quantise.quantised(mover(), RANGES, keep=(), where="made", fit=True)
    with pytest.raises(ConfigError, match=f"made: {says}"):
        quantise.shifted(eight, shifts, where="made")


def heads(widths: tuple[int, ...] = yunet.WIDTHS):
    """The end of YuNet over four channels, with a backbone of a convolution for each stride."""
    tensors: dict[str, np.ndarray] = {}
    nodes, outputs = [], {}
    for stride in yunet.STRIDES:
        tensors |= {f"w{stride}": RANDOM.normal(size=(6, 4, 1, 1)), f"b{stride}": RANDOM.normal(size=6)}
        how = {"strides": [stride, stride]}
        nodes.append(helper.make_node("Conv", ["x", f"w{stride}", f"b{stride}"], [f"at_{stride}"], **how))
        for part, width in zip(yunet.PARTS, widths, strict=True):
            key = f"{part}_{stride}"
            tensors |= {
                f"{key}_w": RANDOM.normal(size=(width, 6, 1, 1)),
                f"{key}_b": RANDOM.normal(size=width),
                f"{key}_v": RANDOM.normal(size=(width, 1, 3, 3)),
                f"{key}_c": RANDOM.normal(size=width),
            }
            nodes.append(helper.make_node("Conv", [f"at_{stride}", f"{key}_w", f"{key}_b"], [f"{key}_near"]))
            inputs, how = [f"{key}_near", f"{key}_v", f"{key}_c"], {"pads": [1] * 4, "group": width}
            nodes.append(helper.make_node("Conv", inputs, [f"{key}_far"], **how))
            turned = f"{key}_turned" if part in {"cls", "obj"} else key
            nodes.append(helper.make_node("Transpose", [f"{key}_far"], [turned], perm=[0, 2, 3, 1]))
            if part in {"cls", "obj"}:
                nodes.append(helper.make_node("Sigmoid", [turned], [key]))
            outputs[key] = ["N", f"h{stride}", f"w{stride}", width]
    return model(nodes, tensors, {"x": ["N", 4, "H", "W"]}, outputs)


def test_merged_heads_answer_what_the_four_did(tmp_path):
    x = RANDOM.normal(size=(2, 4, 64, 96)).astype(np.float32)
    graph = heads()
    names = [output.name for output in graph.graph.output]
    expected = dict(zip(names, run(graph, {"x": x}, tmp_path), strict=True))
    yunet._merge(graph.graph)
    answers = run(graph, {"x": x}, tmp_path)
    for stride, answer in zip(yunet.STRIDES, answers, strict=True):
        parts = np.split(answer.transpose(0, 2, 3, 1), np.cumsum(yunet.WIDTHS)[:-1], axis=-1)
        for part, found in zip(yunet.PARTS, parts, strict=True):
            told = 1 / (1 + np.exp(-found)) if part in {"cls", "obj"} else found
            np.testing.assert_allclose(told, expected[f"{part}_{stride}"], rtol=1e-4, atol=1e-4)
    assert [node.op_type for node in graph.graph.node].count("Conv") == 9


def test_heads_of_other_widths_are_not_merged():
    with pytest.raises(ConfigError, match="yunet: the heads are of another kind"):
        yunet._merge(heads((1, 1, 4, 6)).graph)
