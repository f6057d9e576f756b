"""What the picture checks of two checkouts cost, in turns: cpu-ms of one thread.

    python models/faces/paired.py OLD_CHECKOUT NEW_CHECKOUT [ROUNDS]

Each checkout runs in a process of its own and both judge the same pictures one after the other, so that whatever else
the machine does falls on both. The pictures are those of serving/load: one that shows nobody, one with a face, and
noise. Both need their weights in the cache that GUARDRAIL_HOME names. Prints the medians and the median of the ratios.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

PICTURES = ("scene", "face", "300k")
PARTS = ("decode", "face", "exposure", "age", "medium", "pdq")
WARM_UP = 2


def serve(checkout: str) -> None:
    """Judge the picture named on each line of stdin, and print what each part took, as JSON."""
    sys.path[:0] = [checkout, str(Path(checkout, "serving", "load"))]
    import pictures

    import guardrail

    assert str(guardrail.__file__).startswith(checkout), guardrail.__file__
    from guardrail.checks import Tools
    from guardrail.checks.age import ApparentAge
    from guardrail.checks.exposure import Exposure
    from guardrail.checks.face import FacePresence
    from guardrail.checks.medium import Medium
    from guardrail.home import Home
    from guardrail.inference.image import pdq
    from guardrail.inference.image.decode import picture
    from guardrail.inference.weights import Models
    from guardrail.types import Artifact, Kind

    home = Home.default()
    tools = Tools(Models(home.path / "models"), home.path, lambda purpose: bytes(32))
    checks = [kind.open(tools) for kind in (FacePresence, Exposure, ApparentAge, Medium)]
    bodies = pictures.bodies()
    for line in sys.stdin:
        one = Artifact(Kind.OUTPUT, "x", data=bodies[line.strip()])
        marks = [time.thread_time()]
        picture(one)
        marks.append(time.thread_time())
        for check in checks:
            check.score([one])
            marks.append(time.thread_time())
        pdq.turned(picture(one).frames[0])
        marks.append(time.thread_time())
        print(json.dumps([(after - before) * 1000 for before, after in pairwise(marks)]), flush=True)


def main(old: str, new: str, rounds: int) -> None:
    import numpy as np

    command = [sys.executable, "-P", __file__, "--serve"]
    sides = [
        subprocess.Popen(
            [*command, str(Path(side).resolve())], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for side in (old, new)
    ]

    def ask(side: subprocess.Popen[str], name: str) -> list[float]:
        assert side.stdin
        assert side.stdout
        side.stdin.write(f"{name}\n")
        side.stdin.flush()
        took: list[float] = json.loads(side.stdout.readline())
        return took

    for name in PICTURES:
        took: list[list[list[float]]] = [[], []]
        for turn in range(WARM_UP + rounds):
            for at in (0, 1) if turn % 2 else (1, 0):
                took[at].append(ask(sides[at], name))
        before, after = (np.array(side)[WARM_UP:] for side in took)
        whole, ratio = [side.sum(axis=1) for side in (before, after)], (after.sum(axis=1) / before.sum(axis=1))
        print(f"{name:6s} {np.median(whole[0]):.1f} -> {np.median(whole[1]):.1f} cpu-ms, ratio {np.median(ratio):.2f}")
        parts = zip(PARTS, np.median(before, axis=0), np.median(after, axis=0), strict=True)
        print("      ", ", ".join(f"{part} {one:.1f} -> {other:.1f}" for part, one, other in parts))
    for side in sides:
        assert side.stdin
        side.stdin.close()
        side.wait()


if __name__ == "__main__":
    if sys.argv[1] == "--serve":
        serve(sys.argv[2])
    else:
        main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 25)
