"""Both encoders in torch, with what tuning changed, to compare the graphs with.

They are the towers that were tuned, in float32 throughout, and share nothing with what writes the graphs but the
reading of published files. The second graph rounds: weights to seven bits, what is multiplied with them to eight.
`rounded` does that in torch too, so that what rounding explains can be told from what it does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch
import towers
from torch import Tensor, nn

from guardrail.inference.build import e5

Array = npt.NDArray[Any]
HEADS = Path(__file__).parents[2] / "guardrail" / "inference" / "heads"
FACTORS = 5
# Steps from the lowest to the highest of the numbers that a weight in seven bits is multiplied with.
STEPS = 255


class Session:
    """A tower where a session of onnxruntime is expected."""

    def __init__(self, tower: towers.Tower) -> None:
        self.tower = tower.eval()

    def run(self, outputs: Sequence[str], given: Mapping[str, Array]) -> list[Array]:
        """The embedding of `input_ids` (texts, tokens), padded where there is an `attention_mask`."""
        if list(outputs) != ["embedding"]:
            raise ValueError(f"a tower gives ['embedding'], and was asked for {list(outputs)}")
        ids = torch.from_numpy(given["input_ids"])
        mask = torch.from_numpy(given["attention_mask"]) if "attention_mask" in given else torch.ones_like(ids)
        with torch.inference_mode():
            found: Array = self.tower.embed(self.tower.pool(self.tower.states(ids), mask)).numpy()
        return [found]


def first(published: Path) -> Session:
    """USE-multilingual v3 of the folder's `weights.npz`."""
    return Session(_changed(towers.First(published / "weights.npz", FACTORS, kind=torch.float32), "first"))


def second(published: Path) -> towers.Second:
    """multilingual-e5-small of the folder's `e5-small-q4.bin`."""
    tower = towers.Second(published / "e5-small-q4.bin", FACTORS, kind=torch.float32)
    _changed(tower, "second").eval()
    return tower


def rounded(tower: towers.Second) -> towers.Second:
    """The second, used up, to round where its graph rounds; one text a run, as the graph is run."""
    for name, part in list(tower.parts.items()):
        if isinstance(part, towers.Changed):
            tower.parts[name] = Rounded(part)
    return tower


class Rounded(nn.Module):
    """A matrix in seven bits, one scale an output, times numbers in eight, one scale for all that come in one run."""

    def __init__(self, part: towers.Changed) -> None:
        super().__init__()
        with torch.no_grad():
            weight = part.weight + part.second @ part.first
        self.scale = weight.abs().amax(1).clamp_min(torch.finfo(torch.float32).tiny) / e5.STEPS
        self.codes = (weight / self.scale[:, None]).round()
        self.bias = torch.zeros(len(weight)) if part.bias is None else part.bias

    def forward(self, x: Tensor) -> Tensor:
        low, high = x.min().clamp(max=0), x.max().clamp(min=0)
        step = (high - low) / STEPS
        zero = (-low / step).round()
        codes = ((x / step).round() + zero).clamp(0, STEPS) - zero
        # Sums of whole numbers, which float32 holds exactly up to 2 ** 24; these do not come near.
        out: Tensor = (codes @ self.codes.T) * (step * self.scale) + self.bias
        return out


class Layers:
    """The second graph, opened so that it gives what each of its layers gives."""

    def __init__(self, graph: Path) -> None:
        model = onnx.load(str(graph))
        norms = [node.output[0] for node in model.graph.node if node.op_type == "LayerNormalization"]
        # That of the looked-up tokens, then two in each layer, of which the latter ends it.
        self.names = norms[::2]
        kind = onnx.TensorProto.FLOAT
        model.graph.output.extend(onnx.helper.make_tensor_value_info(name, kind, None) for name in self.names)
        self.session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])

    def states(self, ids: Sequence[int]) -> list[Tensor]:
        """The states of a text's tokens before the first layer and after each: (1, tokens, width) each."""
        found = self.session.run(self.names, {"input_ids": np.array([ids], np.int64)})
        return [torch.from_numpy(one) for one in found]


def layer(tower: towers.Second, states: Tensor, number: int) -> Tensor:
    """What a layer of a tower makes of the states of one text."""
    with torch.inference_mode():
        made: Tensor = tower.layer(states, torch.zeros(1, 1, 1, states.shape[1]), number)
    return made


def _changed(tower: towers.Tower, kind: str) -> towers.Tower:
    """The tower with the change that ships."""
    with np.load(HEADS / f"prompt_{kind}_delta.npz", allow_pickle=False) as archive:
        tower.take(archive)
    return tower
