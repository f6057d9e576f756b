"""Measure the ranges of open_nsfw's activations on harmless pictures, for its 8-bit build.

    python models/open-nsfw/calibrate.py GRAPH.onnx LIST.txt > guardrail/inference/build/open_nsfw_ranges.json

GRAPH is the published float graph, LIST names one harmless picture per line. Only ranges are kept, no picture.
Per picture and activation the `SHARE` quantile is taken, and the highest of them over all pictures is the range:
single outliers inside a picture may be clipped, no picture's bulk is. Cost: about 50 ms a picture on one core.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from guardrail.errors import CheckError
from guardrail.inference.build.open_nsfw import observed
from guardrail.inference.image import Limits, decode

SHARE = 0.9999
MEAN = np.array([104, 117, 123], np.float32)


def prepared(path: Path) -> np.ndarray:
    """A picture as the network reads it: float32 (1, 224, 224, 3), BGR minus the mean."""
    frame = decode(path.read_bytes(), Limits()).frames[0]
    return (frame.square(256)[16:240, 16:240, ::-1].astype(np.float32) - MEAN)[None]


def main(graph: str, listed: str) -> None:
    model = onnx.load(graph)
    names = observed(model.graph)
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    low, high, count = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0), 0
    for line in Path(listed).read_text("utf-8").split("\n"):
        try:
            picture = prepared(Path(line))
        except CheckError as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        count += 1
        for name, value in zip(names, session.run(names, {session.get_inputs()[0].name: picture}), strict=True):
            bottom, top = np.quantile(value, [1 - SHARE, SHARE])
            low[name], high[name] = min(low[name], float(bottom)), max(high[name], float(top))
    ranges = {name: [float(f"{low[name]:.5g}"), float(f"{high[name]:.5g}")] for name in names}
    json.dump({"pictures": count, "quantile": SHARE, "ranges": ranges}, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
