"""Questions: what a program or a line of a file asks the guard, and what the checks said of it."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from guardrail.errors import BadRequest
from guardrail.types import Artifact, Evidence, Kind, Request, Signal, Stage, Subject

Picture = bytes | str | Path

MOST_BYTES = 256 << 20
"""Largest file that is read at all; the guard's own limit on pictures is lower and says what it is."""


@dataclass(frozen=True)
class Question:
    """One thing to judge from a program or a file: any of a prompt, input pictures, a mask and output pictures.

    Pictures are encoded bytes, or paths of files that hold them.
    """

    prompt: str | None = None
    inputs: Sequence[Picture] = ()
    outputs: Sequence[Picture] = ()
    mask: Picture | None = None
    tenant: str = "default"

    def request(self) -> Request:
        """The question as a request, pictures read.

        Raises BadRequest when it holds nothing, or when a file cannot be read.
        """
        texts = () if self.prompt is None else (Artifact(Kind.PROMPT, "prompt", text=self.prompt),)
        inputs = [_artifact(Kind.INPUT, f"image[{at}]", given) for at, given in enumerate(self.inputs)]
        if self.mask is not None:
            inputs.append(_artifact(Kind.INPUT, "mask", self.mask))
        if not texts and not inputs and not self.outputs:
            raise BadRequest("nothing to judge: a prompt, an input picture or an output picture is expected")
        return Request(texts=texts, inputs=tuple(inputs), tenant=self.tenant)

    def answer(self) -> tuple[Artifact, ...]:
        """The output pictures, read. Raises BadRequest when a file cannot be read."""
        return tuple(_artifact(Kind.OUTPUT, f"data[{at}]", given) for at, given in enumerate(self.outputs))


@dataclass(frozen=True)
class Examined:
    """A question with all that the checks said of it, by stage, and how long that took."""

    request: Request
    looked: Sequence[tuple[Stage, Subject, tuple[Signal, ...]]]
    took_ms: float

    @property
    def evidence(self) -> Evidence:
        return Evidence(tuple(signal for _, _, signals in self.looked for signal in signals))


def _artifact(kind: Kind, slot: str, given: Picture) -> Artifact:
    if isinstance(given, bytes):
        return Artifact(kind, slot, data=given)
    path = Path(given)
    try:
        info = path.stat()
        if not stat.S_ISREG(info.st_mode):
            raise BadRequest(f"{slot}: the file cannot be read: not a file", param=slot)
        if info.st_size > MOST_BYTES:
            raise BadRequest(f"{slot}: the file is larger than {MOST_BYTES} bytes, which no picture is", param=slot)
        return Artifact(kind, slot, data=path.read_bytes())
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL in it
        why = getattr(error, "strerror", None) or "not a path"
        raise BadRequest(f"{slot}: the file cannot be read: {why}", param=slot) from None
