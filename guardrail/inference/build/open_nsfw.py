"""open_nsfw in 8 bits. What is known of its activations was measured on harmless pictures by
`models/exposure/calibrate.py` and lies beside this module.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from guardrail.errors import ConfigError
from guardrail.inference.build.blocks import in_blocks
from guardrail.inference.build.even import evened
from guardrail.inference.build.quantise import quantised

RANGES = "open_nsfw_ranges.json"
MEAN = (104.0, 117.0, 123.0)  # B, G, R
# What stays in float, by what the names of its tensors contain: the first convolution, which `in_blocks` replaces.
FLOAT = ("conv_1/",)

# What rounding takes from the log odds of "not safe" in the mean over the pictures of the ranges: the classifier's bias
# gives it back (models/exposure/verify.py).
CLASSIFIER, GIVEN_BACK = "fc_nsfw/BiasAdd/ReadVariableOp:0", (0.0, 0.056)


def build(sources: Mapping[str, Path], out: Path) -> None:
    """Write the 8-bit graph: `image`, N x 115 x 115 x 16, to `outputs`, N x 2 as published.

    The picture comes in blocks (`guardrail.inference.build.blocks`) that begin three pixels before it.
    """
    (only,) = sources.values()
    told = json.loads(files("guardrail.inference.build").joinpath(RANGES).read_text("utf-8"))
    ranges = {name: (low, high) for name, (low, high) in told["ranges"].items()}
    model = evened(onnx.load(str(only)), told["octaves"], where="open_nsfw")
    model = quantised(model, ranges, keep=FLOAT, where="open_nsfw", means=told["means"])
    _red_first(model.graph)
    _give_back(model.graph)
    in_blocks(model, mean=MEAN[::-1], spread=(1.0, 1.0, 1.0), where="open_nsfw", pairs=True)
    out.write_bytes(model.SerializeToString(deterministic=True))


def _red_first(graph: onnx.GraphProto) -> None:
    """Let the first convolution read R, G, B, where the published one reads B, G, R."""
    first = next(node for node in graph.node if node.op_type == "Conv")
    kernel = next(tensor for tensor in graph.initializer if tensor.name == first.input[1])
    turned = np.ascontiguousarray(numpy_helper.to_array(kernel)[:, ::-1])
    kernel.CopyFrom(numpy_helper.from_array(turned, kernel.name))


def _give_back(graph: onnx.GraphProto) -> None:
    """Add GIVEN_BACK to the bias of the classifier."""
    bias = next((tensor for tensor in graph.initializer if tensor.name == CLASSIFIER), None)
    if bias is None:
        raise ConfigError("open_nsfw does not end as the network that was measured")
    raised = numpy_helper.to_array(bias) + np.array(GIVEN_BACK, np.float32)
    bias.CopyFrom(numpy_helper.from_array(raised, bias.name))
