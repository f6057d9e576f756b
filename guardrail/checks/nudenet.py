"""NudeNet beside the built-in exposure nets: off unless an operator names it and brings its weights.

NudeNet 3 ("320n") finds body parts. **Its weights are under the AGPL-3.0**, whatever the index that carries them says:
offering a service with them has duties that Guardrail's own licence does not have. Nothing here fetches them, and no
line of its code is used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from guardrail.checks import Tools
from guardrail.errors import CheckError, ConfigError
from guardrail.inference.fetch import digest
from guardrail.inference.image.decode import picture
from guardrail.inference.session import open_session
from guardrail.types import Artifact, Kind, Unknown

SIDE = 320
# The classes that say uncovered, at their place among the eighteen of NudeNet 3.4, and how far up the graded scale each
# can lead: buttocks and a female breast to partly nude and above, genitals and anus to explicit.
CLASSES = 18
PARTS: Mapping[int, float] = {2: 0.8, 3: 0.85, 4: 1.0, 6: 1.0, 14: 1.0}
# From a part's score to the graded scale. On 1,975 harmless pictures (published) 6.3 % score above 0.2, 1.0 % above
# 0.5, 0.25 % above 0.7, 0.1 % above 0.8. Recall was not measured.
SCORE, GRADE = (0.0, 0.2, 0.5, 0.7, 1.0), (0.0, 0.07, 0.33, 0.6, 1.0)


class NudeNet:
    """Scores bare skin by the uncovered body part that is surest, on the scale of `exposure`."""

    name = "nudenet"
    kinds = frozenset({Kind.INPUT, Kind.OUTPUT})
    factors = frozenset({"exposure"})

    def __init__(self, session: Any, label: str) -> None:
        """`session` reads float32 (1, 3, SIDE, SIDE), R, G, B 0..1, and answers (1, 4 + CLASSES, boxes)."""
        self._session = session
        self.models = (label,)

    @classmethod
    def open(cls, tools: Tools) -> NudeNet:
        """Raises ConfigError when no file is named, it cannot be opened, or it is another network."""
        told = tools.options.get("file")
        if not told:
            raise ConfigError(
                "checks.options.nudenet.file is missing: name the file 320n.onnx of NudeNet 3, which you bring "
                "yourself; its weights are under the AGPL-3.0"
            )
        path = Path(str(told)).expanduser()
        if not path.is_file():
            raise ConfigError(f"checks.options.nudenet.file: {path} is no file; expected 320n.onnx of NudeNet 3")
        check = cls(open_session(path), f"nudenet@{digest(path)[:8]}")
        shape = np.shape(check._run(np.zeros((1, 3, SIDE, SIDE), np.float32)))
        if len(shape) != 3 or shape[1] != 4 + CLASSES:
            raise ConfigError(
                f"{path.name} answers in the shape {shape}; expected NudeNet 3's (1, {4 + CLASSES}, boxes)"
            )
        return check

    def score(self, batch: Sequence[Artifact]) -> Sequence[Mapping[str, float | Unknown]]:
        return [{"exposure": self._score(artifact)} for artifact in batch]

    def _score(self, artifact: Artifact) -> float | Unknown:
        try:
            return max(self._graded(frame.letterbox(SIDE)) for frame in picture(artifact).frames)
        except CheckError as error:
            return Unknown(str(error))

    def _graded(self, pixels: np.ndarray[Any, Any]) -> float:
        planes = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], np.float32) / np.float32(255)
        answer = np.asarray(self._run(planes))[0, 4:]
        highest = 0.0
        for part, most in PARTS.items():
            score = float(answer[part].max())
            if not math.isfinite(score):
                raise CheckError("nudenet gave no finite score: the model is damaged")
            highest = max(highest, min(most, float(np.interp(score, SCORE, GRADE))))
        return highest

    def _run(self, planes: np.ndarray[Any, Any]) -> Any:
        (answer,) = self._session.run(None, {self._session.get_inputs()[0].name: planes})
        return answer
