"""Measure the ranges of an exposure net's activations on harmless pictures, for its 8-bit build.

    python models/exposure/calibrate.py open-nsfw GRAPH.onnx LIST.txt > guardrail/inference/build/open_nsfw_ranges.json
    python models/exposure/calibrate.py nsfwjs GRAPH.onnx LIST.txt > guardrail/inference/build/nsfwjs_ranges.json

GRAPH is the published float graph (`published.py` writes that of nsfwjs), LIST names one harmless picture per line.
Only ranges are kept, no picture. Per picture and activation the `SHARE` quantile is taken, and the highest of them over
all pictures is the range: single outliers inside a picture may be clipped, no picture's bulk is. Cost: about 50 ms a
picture on one core.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from nets import NETS

from guardrail.errors import CheckError
from guardrail.inference.build.quantise import observed

SHARE = 0.9999


def main(net: str, graph: str, listed: str) -> None:
    keep, prepared, _ = NETS[net]
    model = onnx.load(graph)
    names = observed(model.graph, keep)
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    low, high, count = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0), 0
    for line in Path(listed).read_text("utf-8").splitlines():
        try:
            picture, _ = prepared(Path(line))
        except (CheckError, OSError) as error:
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
    main(*sys.argv[1:4])
