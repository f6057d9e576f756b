"""Measure the ranges of NanoDet's activations on harmless pictures, for its 8-bit build.

    python models/body/calibrate.py FOLDER LIST.txt > guardrail/inference/build/nanodet_ranges.json

FOLDER holds nanodet.json and nanodet.bin as they are published, LIST names one harmless picture per line. Only ranges
are kept, no picture: per activation the widest of each picture's `SHARE` quantiles. About 60 ms a picture on one core.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from guardrail.errors import CheckError
from guardrail.inference.build import nanodet
from guardrail.inference.build.quantise import observed
from guardrail.inference.image.align import Pixels
from guardrail.inference.image.bodies import GREY, SIDE
from guardrail.inference.image.decode import Limits, decode

SHARE = 0.9999


def main(folder: str, listed: str) -> None:
    model = nanodet.published({name: Path(folder) / name for name in (nanodet.MODEL, nanodet.BODY)})
    names = observed(model.graph, ())
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    low, high, count = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0), 0
    for line in Path(listed).read_text("utf-8").splitlines():
        try:
            frame = decode(Path(line).read_bytes(), Limits()).frames[0]
        except (CheckError, OSError) as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        count += 1
        for name, value in zip(names, session.run(names, {"image": normalised(frame.fit(SIDE))}), strict=True):
            bottom, top = np.quantile(value, [1 - SHARE, SHARE])
            low[name], high[name] = min(low[name], float(bottom)), max(high[name], float(top))
    ranges = {name: [float(f"{low[name]:.5g}"), float(f"{high[name]:.5g}")] for name in names}
    json.dump({"pictures": count, "quantile": SHARE, "ranges": ranges}, sys.stdout, indent=1)
    print()


def normalised(view: Pixels) -> np.ndarray:
    """float32 (1, H, W, 3) as the published graph reads it; grey at the right and below, so that 32 divides H and W."""
    height, width = view.shape[:2]
    canvas = np.full((1, -(-height // 32) * 32, -(-width // 32) * 32, 3), GREY[0], np.float32)
    canvas[0, :height, :width] = view
    return ((canvas - nanodet.MEAN) / nanodet.SPREAD).astype(np.float32)


if __name__ == "__main__":
    main(*sys.argv[1:3])
