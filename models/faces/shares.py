"""What each net takes of the picture checks, and what is around them: cpu-ms of one thread for pictures of nobody.

    python models/faces/shares.py FOLDER [models/faces/pictures.tsv]

FOLDER and the list are those of measure.py; the pictures at most 1,024 pixels long. Prints for the nobody of the list,
and for the hills of serving/load, how often a net runs for a picture, what all its runs take, and what the checks
take besides. Needs the default weights in the cache; GUARDRAIL_HOME names it.
"""

from __future__ import annotations

import csv
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from measure import artifact, opened

from guardrail.checks import Tools
from guardrail.checks.age import ApparentAge
from guardrail.checks.exposure import Exposure
from guardrail.checks.face import FacePresence
from guardrail.checks.medium import Medium
from guardrail.errors import CheckError
from guardrail.home import Home
from guardrail.inference.image import pdq
from guardrail.inference.image.decode import picture
from guardrail.inference.weights import Models
from guardrail.types import Artifact, Kind

sys.path.append(str(Path(__file__).parents[2] / "serving" / "load"))
import pictures

ROUNDS = 3


class Timed:
    """A session that adds up what its runs take."""

    def __init__(self, session: Any, name: str, took: Counter[str], runs: Counter[str]) -> None:
        self._session, self._name, self._took, self._runs = session, name, took, runs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run(self, *asked: Any) -> Any:
        began = time.thread_time()
        answer = self._session.run(*asked)
        self._took[self._name] += (time.thread_time() - began) * 1000
        self._runs[self._name] += 1
        return answer


class TimedModels(Models):
    """Weights whose sessions are Timed."""

    took: Counter[str]
    runs: Counter[str]

    def session(self, name: str) -> Any:
        return Timed(super().session(name), name, self.took, self.runs)


def main(folder: Path, listed: Path) -> None:
    models = TimedModels(Home.default().path / "models")
    models.took, models.runs = Counter(), Counter()
    tools = Tools(models, Home.default().path, lambda purpose: bytes(32))
    checks = [kind.open(tools) for kind in (FacePresence, Exposure, ApparentAge, Medium)]

    def judge(data: bytes) -> None:
        one = Artifact(Kind.OUTPUT, "x", data=data)
        marks = [time.thread_time()]
        frames = picture(one).frames
        marks.append(time.thread_time())
        for check in checks:
            check.score([one])
        marks.append(time.thread_time())
        pdq.turned(frames[0])
        marks.append(time.thread_time())
        for name, took in zip(("decoding", "checks", "PDQ"), np.diff(marks), strict=True):
            models.took[name] += took * 1000

    with listed.open(encoding="utf-8") as lines:
        rows = [
            folder / package / path for label, package, path in csv.reader(lines, delimiter="\t") if label == "nobody"
        ]
    groups = {"hills": [pictures.bodies()["scene"]] * 20, "nobody": [artifact(opened(path)).content for path in rows]}
    for group, each in groups.items():
        for at in range(ROUNDS):
            if at < 2:  # the first round warms up
                models.took.clear()
                models.runs.clear()
            for data in each:
                try:
                    judge(data)
                except CheckError:
                    continue
        count = len(each) * (ROUNDS - 1)
        nets = sum(models.took[name] for name in models.runs)
        told = ", ".join(
            f"{name} {models.took[name] / count:.1f} in {n / count:.1f}" for name, n in models.runs.items()
        )
        rest = {name: models.took[name] / count for name in ("decoding", "PDQ")}
        besides = (models.took["checks"] - nets) / count
        print(
            f"{group}, {len(each)} pictures: {told} runs; decoding {rest['decoding']:.1f}, PDQ {rest['PDQ']:.1f},",
            end=" ",
        )
        print(f"the checks besides {besides:.1f}; all {(models.took['checks'] / count + sum(rest.values())):.1f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).with_name("pictures.tsv"))
