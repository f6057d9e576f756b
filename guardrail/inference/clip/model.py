"""A CLIP image tower: from a frame to the directions that concepts and probes read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from guardrail.errors import CheckError
from guardrail.inference.clip.folder import ClipFolder
from guardrail.inference.clip.preprocess import Input
from guardrail.inference.image.decode import picture
from guardrail.inference.image.frame import Frame
from guardrail.inference.session import open_session
from guardrail.types import Artifact

Vectors = NDArray[np.float32]


class ClipModel:
    """The image tower of an export. Safe to share between threads.

    One picture is run at a time: 8-bit activations share one scale over a batch, so a score would depend on its
    neighbours, and batches of 8 are no faster on one thread.
    """

    def __init__(self, folder: ClipFolder, session: Any, precision: str) -> None:
        self.folder = folder
        self.space = folder.space
        self.label = folder.label(precision)
        self._preprocess = folder.preprocess
        self._session = session
        self._input = session.get_inputs()[0].name
        self.width = session.get_outputs()[0].shape[-1]

    @classmethod
    def open(cls, path: Path, *, precision: str | None = None, threads: int = 1) -> ClipModel:
        """Open the export in the folder `path`, in the precision it prefers or in `precision`.

        Raises ConfigError when it is not there, or a file of it is not what was exported.
        """
        folder = ClipFolder.read(path)
        chosen = precision if precision is not None else folder.precision
        graph = folder.graph("image", chosen)
        return cls(folder, open_session(graph, threads=threads, cautious=chosen == "fp16"), chosen)

    def views(self, artifact: Artifact) -> tuple[Vectors, ...]:
        """For each frame of a picture its directions, once per artifact: float32 (views, width), of length 1 each.

        The first of a frame is the usual view; those of a long picture's ends come after it.
        Raises CheckError when the picture cannot be read.
        """
        frames = picture(artifact).frames
        return artifact.once(self.label, lambda: tuple(self.embed(frame) for frame in frames))

    def embed(self, frame: Frame) -> Vectors:
        """The directions of one frame. Raises CheckError when the tower gives what is no number."""
        return np.concatenate([self._run(one) for one in self._preprocess.inputs(frame)])

    def _run(self, pixels: Input) -> Vectors:
        (answer,) = self._session.run(None, {self._input: pixels})
        return normalised(np.asarray(answer, np.float32))


def normalised(vectors: Vectors) -> Vectors:
    """Vectors of length 1. Raises CheckError for one that has no direction."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    if not (np.isfinite(length).all() and (length > 0).all()):
        raise CheckError("the CLIP tower gave no finite direction: the model is damaged")
    scaled: Vectors = vectors / length
    return scaled
