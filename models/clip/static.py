"""The image tower in 8 bits with scales from calibration pictures, beside the export that finds them input by input.

    guardrail models export clip --model ViT-B-32 --random-weights --precision int8 --precision fp32 --out FOLDER
    python models/clip/static.py FOLDER CALIBRATE.txt COMPARE.txt

Each list names one picture per line; at most 60 of each are used, spread over it. Prints the cosines to fp32 and the
CPU time of one thread, in turns.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from guardrail.errors import CheckError
from guardrail.inference.clip.folder import ClipFolder
from guardrail.inference.image.decode import Limits, decode
from guardrail.inference.session import open_session

MOST, RUNS = 60, 30
WAYS: dict[str, tuple[CalibrationMethod, int, dict[str, Any]]] = {
    "static, smallest and largest value": (CalibrationMethod.MinMax, MOST, {}),
    "static, the same, symmetric": (CalibrationMethod.MinMax, MOST, {"ActivationSymmetric": True}),
    "static, 99.99th percentile of 12 pictures": (CalibrationMethod.Percentile, 12, {"CalibPercentile": 99.99}),
}


class Reader(CalibrationDataReader):
    """Hands the calibrator one input after the other."""

    def __init__(self, name: str, inputs: list[np.ndarray]) -> None:
        self._feeds: Iterator[dict[str, np.ndarray]] = iter([{name: one} for one in inputs])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._feeds, None)


def prepared(folder: ClipFolder, listed: Path) -> list[np.ndarray]:
    lines = listed.read_text("utf-8").splitlines()
    found = []
    for line in lines[:: max(1, len(lines) // MOST)][:MOST]:
        try:
            found.append(folder.preprocess.inputs(decode(Path(line).read_bytes(), Limits()).frames[0])[0])
        except (CheckError, OSError) as error:
            print(f"left out: {error}", file=sys.stderr)
    return found


def main(exported: str, calibrate: str, compare: str) -> None:
    folder = ClipFolder.read(Path(exported))
    known, others = prepared(folder, Path(calibrate)), prepared(folder, Path(compare))
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as made:
        plain = Path(made, "plain.onnx")
        model = onnx.load(folder.graph("image", "fp32"))
        del model.graph.value_info[:]  # as the export does: the quantizer takes noted shapes for contradictions
        onnx.save(model, plain)
        graphs = {"fp32": folder.graph("image", "fp32"), "dynamic": folder.graph("image", "int8")}
        for way, (method, count, options) in WAYS.items():
            graphs[way] = Path(made, f"{len(graphs)}.onnx")
            quantize_static(
                plain,
                graphs[way],
                Reader(model.graph.input[0].name, known[:count]),
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                op_types_to_quantize=["MatMul", "Gemm"],
                calibrate_method=method,
                extra_options=options,
            )
        sessions = {name: open_session(path) for name, path in graphs.items()}
        name = model.graph.input[0].name
        said = {way: np.concatenate([one.run(None, {name: x})[0] for x in others]) for way, one in sessions.items()}
        took: dict[str, list[float]] = {way: [] for way in sessions}
        for turn in range(RUNS):
            for way, session in sessions.items():
                began = time.process_time()
                session.run(None, {name: others[turn % len(others)]})
                took[way].append((time.process_time() - began) * 1e3)
    unit = {way: rows / np.linalg.norm(rows, axis=1, keepdims=True) for way, rows in said.items()}
    for way, times in took.items():
        cosine = (unit[way] * unit["fp32"]).sum(axis=1)
        ratio = np.median(np.array(times) / np.array(took["fp32"]))
        told = f"cosine {cosine.min():.5f} at least, {cosine.mean():.5f} in the mean"
        print(f"{way}: {told}; {np.median(times):.1f} cpu-ms, {ratio:.2f} of fp32")


if __name__ == "__main__":
    main(*sys.argv[1:4])
