"""What each part of the picture checks costs: cpu-ms of one thread, the median over fresh artifacts.

    python models/faces/bench.py FILE...

Every file is made a 1024 x 1024 JPEG first. Needs the default weights in the cache; GUARDRAIL_HOME names it.
"""

from __future__ import annotations

import io
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from guardrail.checks import Tools
from guardrail.checks.age import ApparentAge
from guardrail.checks.exposure import Exposure
from guardrail.checks.face import FacePresence
from guardrail.checks.medium import Medium
from guardrail.checks.pair import SamePerson
from guardrail.home import Home
from guardrail.inference.image.decode import picture
from guardrail.inference.weights import Models
from guardrail.types import Artifact, Kind, Pair

ROUNDS = 25


def main() -> None:
    home = Home.default()
    tools = Tools(Models(home.path / "models"), home.path, lambda purpose: bytes(32))
    checks = [kind.open(tools) for kind in (FacePresence, Exposure, ApparentAge, Medium)]
    pairs = SamePerson.open(tools)
    for path in map(Path, sys.argv[1:]):
        image = Image.open(path).convert("RGB").resize((1024, 1024), Image.Resampling.BICUBIC)
        written = io.BytesIO()
        image.save(written, "JPEG", quality=93)
        took: dict[str, list[float]] = defaultdict(list)

        def cost(name: str, work: Callable[[], object], took: dict[str, list[float]] = took) -> None:
            start = time.thread_time()
            work()
            took[name].append((time.thread_time() - start) * 1000)

        for _ in range(ROUNDS):
            one, other = (Artifact(kind, "x", data=written.getvalue()) for kind in (Kind.INPUT, Kind.OUTPUT))
            for artifact in (one, other):
                cost("decode", lambda artifact=artifact: picture(artifact))
                for check in checks:
                    cost(check.name, lambda check=check, artifact=artifact: check.score([artifact]))
            cost("pair", lambda one=one, other=other: pairs.score([Pair(one, other)]))
        medians = {name: float(np.median(values[3:])) for name, values in took.items()}
        total = sum(value for name, value in medians.items() if name != "pair")
        told = ", ".join(f"{name} {value:.1f}" for name, value in medians.items())
        print(f"{path.name} ({len(written.getvalue()) // 1024} KiB): {told}; one picture without the pair {total:.1f}")


if __name__ == "__main__":
    main()
