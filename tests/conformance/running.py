"""What the conformance tests of dialects with conversations share: pictures, and a run of one client."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from guardrail.upstream.dialect import Dialect
from tests.conformance.guarded import MARK, drive, python_of
from tests.server.upstream import Heard, Script, ScriptedUpstream


def png(colour: int, tail: bytes = b"") -> bytes:
    out = io.BytesIO()
    Image.new("RGBA", (16, 16), (colour, 80, 120, 255)).save(out, "PNG")
    return out.getvalue() + tail


GOOD, OTHER, BAD = png(10), png(20), png(30, MARK)


def sha(picture: bytes) -> str:
    return hashlib.sha256(picture).hexdigest()


@dataclass
class Saw:
    """What one client saw by scenario, what the generator heard, how often the guard refused, faults of the record."""

    version: str
    results: dict[str, Any]
    heard: list[Heard]
    refusals: int
    faults: list[Any]

    def calls(self, scenario: str, name: Callable[[Heard], str]) -> list[Heard]:
        return [heard for heard in self.heard if heard.method == "POST" and name(heard) == scenario]


def run_client(folder: Path, environment: str, client: str, dialect: Dialect, play: Callable[[Heard], Script]) -> Saw:
    """Run `client` (a script beside this one) in `.venv-<environment>` against a guard with that dialect.

    It finds good.png, other.png and bad.png in the folder.
    """
    python = python_of(environment)
    for name, data in (("good", GOOD), ("other", OTHER), ("bad", BAD)):
        (folder / f"{name}.png").write_bytes(data)
    with ScriptedUpstream() as generator:
        generator.script = play
        saw = drive(dialect, generator, python, client, folder, lambda heard: heard.method)
    said = saw.results
    return Saw(said["version"], said["results"], saw.heard, saw.refusals, saw.faults)
