"""Measure the ranges of an exposure net's activations on harmless pictures, for its 8-bit build.

    python models/exposure/calibrate.py open-nsfw GRAPH.onnx LIST.txt > guardrail/inference/build/open_nsfw_ranges.json
    python models/exposure/calibrate.py nsfwjs GRAPH.onnx LIST.txt > guardrail/inference/build/nsfwjs_ranges.json

GRAPH is the published float graph (`published.py` writes that of nsfwjs), LIST names one harmless picture per line.
Only figures are kept, no picture. Per picture and activation the `SHARE` quantile is taken, and the highest of them
over all pictures is the range: single outliers inside a picture may be clipped, no picture's bulk is. For open_nsfw the
largest value of each channel is measured first, by which `even.py` makes channels of like size; then on every third
picture the ranges after that, and the mean of each channel that a convolution reads. About 50 ms a picture on one core.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from nets import NETS

from guardrail.errors import CheckError
from guardrail.inference.build.even import OCTAVE, evened, groups
from guardrail.inference.build.quantise import observed

SHARE = 0.9999
# How far channels are evened: a channel's number is its largest value to this power, of the first convolution and of
# all others; none counts as smaller than FLOOR of the largest. Chosen on a quarter of models/nsfwjs/compared.txt.
FIRST, OTHERS, FLOOR = 0.5, 0.7, 0.01
THIRD = 3


def activations(model: Any, names: Sequence[str], pictures: Sequence[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """What is called `names`, for each picture."""
    part = onnx.ModelProto()
    part.CopyFrom(model)
    part.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    session = onnxruntime.InferenceSession(part.SerializeToString(), providers=["CPUExecutionProvider"])
    for picture in pictures:
        yield session.run(list(names), {session.get_inputs()[0].name: picture})


def octaves(model: Any, names: Sequence[str], pictures: Sequence[np.ndarray]) -> dict[str, list[int]]:
    """The numbers by which `even.py` divides the channels of each group."""
    most: dict[str, np.ndarray] = {}
    for values in activations(model, names, pictures):
        for name, value in zip(names, values, strict=True):
            most[name] = np.maximum(most.get(name, 0.0), np.abs(value).max(axis=(0, 2, 3)))
    found = {}
    for at, group in enumerate(groups(model.graph)):
        size = np.max([most[name] for name in names if name in group.tensors], axis=0)
        power = np.log2(np.maximum(size / size.max(), FLOOR)) * (OTHERS if at else FIRST)
        found[group.name] = [int(step) for step in np.rint((power - power.mean()) / OCTAVE)]
    return found


def main(net: str, graph: str, listed: str) -> None:
    keep, prepared, _ = NETS[net]
    model, pictures = onnx.load(graph), []
    for line in Path(listed).read_text("utf-8").splitlines():
        try:
            pictures.append(prepared(Path(line))[0])
        except (CheckError, OSError) as error:
            print(f"left out: {error}", file=sys.stderr)
    names = observed(model.graph, keep)
    told: dict[str, Any] = {}
    read = []
    if net == "open-nsfw":
        told["octaves"] = octaves(model, names, pictures)
        pictures = pictures[::THIRD]
        model = evened(model, told["octaves"], where=net)
        convolved = {node.input[0] for node in model.graph.node if node.op_type == "Conv"}
        read = [name for name in names if name in convolved]
    low, high = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0)
    sums: dict[str, np.ndarray] = {}
    for values in activations(model, names, pictures):
        for name, value in zip(names, values, strict=True):
            beyond = max(1, round(value.size * (1 - SHARE)))
            ordered = np.partition(value.ravel(), [beyond - 1, value.size - beyond])
            low[name] = min(low[name], float(ordered[beyond - 1]))
            high[name] = max(high[name], float(ordered[-beyond]))
            if name in read:
                sums[name] = sums.get(name, 0.0) + value.mean(axis=(0, 2, 3))
    told["ranges"] = {name: [float(f"{low[name]:.5g}"), float(f"{high[name]:.5g}")] for name in names}
    if read:
        told["means"] = {name: [float(f"{x:.3g}") for x in sums[name] / len(pictures)] for name in read}
    print(_written({"pictures": len(pictures), "quantile": SHARE, **told}))


def _written(told: dict[str, Any]) -> str:
    """JSON, one tensor a line."""
    parts = []
    for key, value in told.items():
        rows = (
            ",\n  ".join(f"{json.dumps(name)}: {json.dumps(one)}" for name, one in value.items())
            if isinstance(value, dict)
            else None
        )
        parts.append(f' "{key}": {json.dumps(value)}' if rows is None else f' "{key}": {{\n  {rows}\n }}')
    return "{\n" + ",\n".join(parts) + "\n}"


if __name__ == "__main__":
    main(*sys.argv[1:4])
