"""Compare an 8-bit exposure net with the published float graph on harmless pictures it was not calibrated on.

    python models/exposure/verify.py open-nsfw|nsfwjs FLOAT.onnx EIGHT_BIT.onnx LIST.txt

Prints the differences of the score (of nsfwjs: porn and hentai together) and the CPU time of one run of each, in turns.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from nets import NETS

from guardrail.errors import CheckError
from guardrail.inference.session import open_session


def main(net: str, published: str, built: str, listed: str) -> None:
    _, prepared, score = NETS[net]
    sessions = [open_session(Path(published)), open_session(Path(built))]
    scores: list[list[float]] = []
    spent: list[list[float]] = []
    for line in Path(listed).read_text("utf-8").splitlines():
        try:
            inputs = prepared(Path(line))
        except (CheckError, OSError):
            continue
        row, took = [], []
        for session, picture in zip(sessions, inputs, strict=True):
            began = time.process_time()
            row.append(float(score(session.run(None, {session.get_inputs()[0].name: picture})[0])))
            took.append(time.process_time() - began)
        scores.append(row)
        spent.append(took)
    reference, other = np.clip(np.array(scores).T, 1e-5, 1 - 1e-5)
    difference = np.abs(other - reference)
    top = np.argsort(-reference)[:30]
    print(f"pictures {len(scores)}, correlation {np.corrcoef(reference, other)[0, 1]:.4f}")
    print(
        f"difference: mean {difference.mean():.4f}, p99 {np.quantile(difference, 0.99):.4f}, max {difference.max():.4f}"
    )
    print(
        f"30 highest (from {reference[top[-1]]:.3f}): mean {difference[top].mean():.4f}, "
        f"signed {(other - reference)[top].mean():+.4f}"
    )
    odds = [np.log(each / (1 - each)) for each in (reference, other)]
    print(f"log odds: mean {np.abs(odds[1] - odds[0]).mean():.3f}, signed {(odds[1] - odds[0]).mean():+.3f}")
    for threshold in (0.1, 0.2, 0.3, 0.5):
        print(f"at or above {threshold}: {(reference >= threshold).sum()} float, {(other >= threshold).sum()} 8-bit")
    medians = np.median(np.array(spent), axis=0) * 1e3
    print(f"cpu-ms, median: {medians[0]:.1f} float, {medians[1]:.1f} 8-bit")


if __name__ == "__main__":
    main(*sys.argv[1:5])
