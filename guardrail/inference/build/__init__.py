"""Builders: from the files that are published to the graphs that are run, with numpy and onnx alone.

A builder is a function of the source files only: no clock, no randomness, no calibration pictures, so that the same
sources give the same bytes everywhere and a digest in a receipt means one graph. Whoever changes what a builder
writes raises its version in the manifest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path

from guardrail.errors import ConfigError

Builder = Callable[[Mapping[str, Path], Path], None]
"""Writes the graph to the second argument, from the source files by name."""

# Names the function, and imports it when it is needed: onnx is heavy and serving never needs it.
BUILDERS: Mapping[str, str] = {
    "copy": "guardrail.inference.build.copy:build",
    "e5": "guardrail.inference.build.e5:build",
    "faceapi": "guardrail.inference.build.faceapi:build",
    "flush": "guardrail.inference.build.flush:build",
    "fold": "guardrail.inference.build.fold:build",
    "nanodet": "guardrail.inference.build.nanodet:build",
    "nsfwjs": "guardrail.inference.build.nsfwjs:build",
    "open-nsfw": "guardrail.inference.build.open_nsfw:build",
    "use": "guardrail.inference.build.use:build",
    "yunet": "guardrail.inference.build.yunet:build",
}


def load(builder: str) -> Builder:
    """The function behind a builder as the manifest writes it: "fold@1".

    Raises ConfigError when no builder has that name.
    """
    name = builder.partition("@")[0]
    if name not in BUILDERS:
        raise ConfigError(f"no builder named {name!r}; known: {', '.join(BUILDERS)}")
    module, _, function = BUILDERS[name].partition(":")
    found: Builder = getattr(import_module(module), function)
    return found
