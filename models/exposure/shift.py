"""What the 8-bit build of nsfwjs gives too much or too little in the mean, channel by channel.

    python models/exposure/shift.py FLOAT.onnx EIGHT_BIT.onnx LIST.txt > guardrail/inference/build/nsfwjs_shifts.json

FLOAT is the published graph (`published.py` writes it), EIGHT_BIT the build with `shifted` left out, LIST names one
harmless picture per line, those of the ranges. The first convolution is measured and mended, then the last with the
first mended. Only one number a channel is kept, no picture. Cost: about 50 ms a picture on one core.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from nets import NETS

from guardrail.errors import CheckError
from guardrail.inference.build.quantise import shifted


def means(model: onnx.ModelProto, name: str, pictures: Sequence[np.ndarray]) -> np.ndarray:
    """The mean of each channel of what is called `name`, over all pictures and places; nothing is fused."""
    part = onnx.ModelProto()
    part.CopyFrom(model)
    del part.graph.output[:]
    part.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(part.SerializeToString(), options, providers=["CPUExecutionProvider"])
    read = session.get_inputs()[0].name
    return np.mean([session.run(None, {read: one})[0].mean(axis=(0, 2, 3)) for one in pictures], axis=0)


def main(published: str, built: str, listed: str) -> None:
    _, prepared, _ = NETS["nsfwjs"]
    pairs = []
    for line in Path(listed).read_text("utf-8").splitlines():
        try:
            pairs.append(prepared(Path(line)))
        except (CheckError, OSError) as error:
            print(f"left out: {error}", file=sys.stderr)
    plain, eight = onnx.load(published), onnx.load(built)
    convolutions = [node.output[0] for node in eight.graph.node if node.op_type == "Conv"]
    shifts: dict[str, list[float]] = {}
    for name in (convolutions[0], convolutions[-1]):
        off = means(plain, name, [one for one, _ in pairs]) - means(eight, name, [one for _, one in pairs])
        shifts[name] = [float(f"{value:.3g}") for value in off]
        shifted(eight, {name: shifts[name]}, where="nsfwjs")
    rows = ",\n  ".join(f"{json.dumps(name)}: {json.dumps(by)}" for name, by in shifts.items())
    print(f'{{\n "pictures": {len(pairs)},\n "shifts": {{\n  {rows}\n }}\n}}')


if __name__ == "__main__":
    main(*sys.argv[1:4])
