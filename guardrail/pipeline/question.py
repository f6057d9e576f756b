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

MOST_NAMED = 200
"""Characters of a path that an error repeats."""


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

        Raises BadRequest when it holds nothing, or when a file cannot be read: it names the field and the path.
        """
        texts = () if self.prompt is None else (Artifact(Kind.PROMPT, "prompt", text=self.prompt),)
        inputs = [_artifact(Kind.INPUT, f"image[{at}]", given, f"inputs[{at}]") for at, given in enumerate(self.inputs)]
        if self.mask is not None:
            inputs.append(_artifact(Kind.INPUT, "mask", self.mask, "mask"))
        if not texts and not inputs and not self.outputs:
            raise BadRequest("nothing to judge: a prompt, an input picture or an output picture is expected")
        return Request(texts=texts, inputs=tuple(inputs), tenant=self.tenant)

    def answer(self) -> tuple[Artifact, ...]:
        """The output pictures, read. Raises BadRequest when a file cannot be read."""
        return tuple(
            _artifact(Kind.OUTPUT, f"data[{at}]", given, f"outputs[{at}]") for at, given in enumerate(self.outputs)
        )


@dataclass(frozen=True)
class Examined:
    """A question with all that the checks said of it, by stage, and how long that took."""

    request: Request
    looked: Sequence[tuple[Stage, Subject, tuple[Signal, ...]]]
    took_ms: float

    @property
    def evidence(self) -> Evidence:
        return Evidence(tuple(signal for _, _, signals in self.looked for signal in signals))


def _artifact(kind: Kind, slot: str, given: Picture, named: str) -> Artifact:
    """The picture that stands at `named` in the question, and in the receipt at `slot`."""
    if isinstance(given, bytes):
        return Artifact(kind, slot, data=given)
    try:
        return Artifact(kind, slot, data=_read(Path(given)))
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL in it, or what is said below
        why = getattr(error, "strerror", None) or str(error)
        raise BadRequest(
            f"{named}: the path of a picture is expected; {str(given)[:MOST_NAMED]!r} cannot be read: {why}",
            param=named,
            code="unreadable_file",
        ) from None


def _read(path: Path) -> bytes:
    info = path.stat()
    if not stat.S_ISREG(info.st_mode):
        raise ValueError("it is no file")
    if info.st_size > MOST_BYTES:
        raise ValueError(f"it is larger than {MOST_BYTES} bytes, which no picture is")
    return path.read_bytes()
