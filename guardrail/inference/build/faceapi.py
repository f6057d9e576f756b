"""face-api's age and gender network from its weight file: the Xception-like layers that its source code spells out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from guardrail.errors import ConfigError
from guardrail.inference.build.tfjs import Array, Graph, weights

MANIFEST, BODY = "age_gender_model-weights_manifest.json", "age_gender_model.bin"
MEAN_RGB = np.array([122.782, 117.001, 104.298], np.float32).reshape(3, 1, 1)
SIDE = 112


def build(sources: Mapping[str, Path], out: Path) -> None:
    """Write the graph: `image`, N x 112 x 112 x 3, R, G, B 0..255, to `age` in years, N x 1, and `gender`, N x 2.

    Raises ConfigError when the weights are not those of this network.
    """
    manifest = json.loads(sources[MANIFEST].read_text("utf-8"))
    found = weights(manifest, sources[BODY].read_bytes(), MANIFEST)
    try:
        _Xception(found).write(out)
    except KeyError as error:
        raise ConfigError(f"{MANIFEST} has no weight {error}; expected face-api's age and gender network") from error


class _Xception:
    """The layers: an entry flow of two reductions, two main blocks, an exit flow, and a head for each answer."""

    def __init__(self, found: Mapping[str, Array]) -> None:
        self._found = found
        self._graph = Graph()

    def write(self, out: Path) -> None:
        graph, found = self._graph, self._found
        x = graph.add("Sub", [graph.picture("image"), graph.constant(MEAN_RGB)])
        x = graph.add("Mul", [x, graph.constant(np.array([1 / 255], np.float32))])
        entry = "entry_flow/conv_in"
        x = self._relu(graph.conv(x, found[f"{entry}/filters"], found[f"{entry}/bias"], stride=2))
        x = self._reduced(x, "entry_flow/reduction_block_0", first=True)
        x = self._reduced(x, "entry_flow/reduction_block_1")
        for block in range(2):
            kept = x
            for layer in range(3):
                x = self._separable(self._relu(x), f"middle_flow/main_block_{block}/separable_conv{layer}")
            x = graph.add("Add", [x, kept])
        x = self._reduced(x, "exit_flow/reduction_block")
        x = self._relu(self._separable(x, "exit_flow/separable_conv"))
        x = graph.add("Flatten", [graph.add("GlobalAveragePool", [x])], axis=1)
        for name, head in (("age", "fc/age"), ("logits", "fc/gender")):
            told = [graph.constant(found[f"{head}/weights"]), graph.constant(found[f"{head}/bias"])]
            graph.add("Gemm", [x, *told], out=name)
        graph.add("Softmax", ["logits"], out="gender", axis=-1)
        graph.write(out, {"image": ["N", SIDE, SIDE, 3]}, {"age": ["N", 1], "gender": ["N", 2]})

    def _relu(self, x: str) -> str:
        return self._graph.add("Relu", [x])

    def _separable(self, x: str, name: str) -> str:
        part = self._found
        x = self._graph.depthwise(x, part[f"{name}/depthwise_filter"])
        return self._graph.conv(x, part[f"{name}/pointwise_filter"], part[f"{name}/bias"])

    def _reduced(self, x: str, name: str, *, first: bool = False) -> str:
        """Two separable convolutions and a pooling, beside a strided convolution."""
        shortcut = f"{name}/expansion_conv"
        beside = self._graph.conv(x, self._found[f"{shortcut}/filters"], self._found[f"{shortcut}/bias"], stride=2)
        x = x if first else self._relu(x)
        x = self._separable(self._relu(self._separable(x, f"{name}/separable_conv0")), f"{name}/separable_conv1")
        x = self._graph.add("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER")
        return self._graph.add("Add", [x, beside])
