"""NudeNet: only with weights that an operator brings, and only uncovered parts count."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from guardrail.checks import Tools
from guardrail.checks.nudenet import CLASSES, PARTS, NudeNet
from guardrail.errors import ConfigError
from guardrail.inference.weights import Models
from guardrail.types import Unknown
from tests.checks.people import blank, broken, photograph


@dataclasses.dataclass
class Named:
    name: str


class Net:
    """Answers every picture with one box whose class scores are given."""

    def __init__(self, **scores: float) -> None:
        self.answer = np.zeros((1, 4 + CLASSES, 3), np.float32)
        for part, score in scores.items():
            self.answer[0, 4 + int(part[1:]), 1] = score
        self.saw: list[np.ndarray] = []

    def get_inputs(self):
        return [Named("images")]

    def run(self, wanted, feed):
        self.saw.append(feed["images"])
        return [self.answer]


def exposure(**scores: float):
    return NudeNet(Net(**scores), "nudenet@1").score([blank()])[0]["exposure"]


@pytest.mark.parametrize("part", sorted(PARTS))
def test_an_uncovered_part_counts_up_to_what_it_can_say(part):
    assert exposure(**{f"p{part}": 1.0}) == PARTS[part]
    assert exposure(**{f"p{part}": 0.49}) < 0.33 <= exposure(**{f"p{part}": 0.5001})


@pytest.mark.parametrize("part", sorted(set(range(CLASSES)) - set(PARTS)))
def test_faces_covered_parts_feet_and_armpits_count_for_nothing(part):
    assert exposure(**{f"p{part}": 1.0}) == 0.0


def test_the_picture_goes_in_whole_from_the_top_left_corner():
    net = Net()
    NudeNet(net, "nudenet@1").score([photograph("collins", size=(200, 100))])
    (planes,) = net.saw
    assert planes.shape == (1, 3, 320, 320)
    assert planes.max() <= 1.0
    assert planes[..., :100, :200].std() > 0.1
    assert not planes[..., 110:, :].any()


def test_a_broken_picture_and_a_damaged_model_are_unknown():
    (scores,) = NudeNet(Net(), "nudenet@1").score([broken()])
    assert isinstance(scores["exposure"], Unknown)
    assert isinstance(exposure(p4=float("nan")), Unknown)


def tools(tmp_path, **options: object) -> Tools:
    return Tools(Models(tmp_path / "models"), tmp_path, lambda purpose: bytes(32), options)


def test_without_weights_of_the_operator_it_does_not_open_and_names_their_licence(tmp_path):
    with pytest.raises(ConfigError, match=r"AGPL-3\.0"):
        NudeNet.open(tools(tmp_path))
    with pytest.raises(ConfigError, match="is no file"):
        NudeNet.open(tools(tmp_path, file=str(tmp_path / "320n.onnx")))


def graph(rows: int) -> bytes:
    """A network that answers zeros in `rows` rows."""
    zeros = numpy_helper.from_array(np.zeros((1, rows, 5), np.float32), "zeros")
    made = helper.make_graph(
        [helper.make_node("Identity", ["zeros"], ["y"])],
        "zeros",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 320, 320])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, rows, 5])],
        [zeros],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString()


def test_another_network_is_refused_and_the_right_shape_is_named_by_its_digest(tmp_path):
    onnx.checker.check_model(onnx.load_from_string(graph(22)))
    (tmp_path / "320n.onnx").write_bytes(graph(84))
    with pytest.raises(ConfigError, match=r"expected NudeNet 3's \(1, 22, boxes\)"):
        NudeNet.open(tools(tmp_path, file=str(tmp_path / "320n.onnx")))
    (tmp_path / "320n.onnx").write_bytes(graph(22))
    check = NudeNet.open(tools(tmp_path, file=str(tmp_path / "320n.onnx")))
    assert check.models[0].startswith("nudenet@")
    assert check.score([blank()]) == [{"exposure": 0.0}]
