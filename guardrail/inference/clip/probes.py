"""Probes: small heads that were taught with an operator's own labelled pictures, on top of one export."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from guardrail.errors import ConfigError
from guardrail.inference.clip.concepts import NAME, packed, sigmoid, unpacked, write_json
from guardrail.inference.clip.folder import PROBES, ClipFolder, read_json
from guardrail.inference.clip.model import Vectors

FORMAT = 1
MAX_BYTES = 16 << 20
MOST = 50

Layers = tuple[tuple[Vectors, Vectors], ...]


@dataclass(frozen=True)
class Probe:
    """A head over directions: standardise by `mean` and `scale` (width,), then `layers` of weights (n, m) and biases
    (m,) with a ReLU between them; the last gives one logit of a calibrated probability. `figures` is what training
    measured.
    """

    name: str
    space: str
    mean: Vectors
    scale: Vectors
    layers: Layers
    figures: Mapping[str, Any] = field(default_factory=dict)
    digest: str = ""

    @property
    def width(self) -> int:
        return len(self.mean)

    def logits(self, vectors: Vectors) -> Vectors:
        """(n, width) directions to (n,) logits."""
        x: Vectors = (vectors - self.mean) / self.scale
        for weight, bias in self.layers[:-1]:
            x = np.maximum(x @ weight + bias, np.float32(0))
        weight, bias = self.layers[-1]
        found: Vectors = (x @ weight + bias)[:, 0]
        return found

    def probability(self, vectors: Vectors) -> float:
        """The highest of any view, in [0, 1]."""
        return sigmoid(float(self.logits(vectors).max()))

    def write(self, folder: ClipFolder) -> Path:
        """Put it beside the export it was taught on."""
        told = {
            "format": FORMAT,
            "space": self.space,
            "width": len(self.mean),
            "mean": packed(self.mean),
            "scale": packed(self.scale),
            "layers": [[list(weight.shape), packed(weight), packed(bias)] for weight, bias in self.layers],
            "figures": self.figures,
        }
        return write_json(folder.path / PROBES / f"{self.name}.json", told)


def read_probes(folder: ClipFolder) -> tuple[Probe, ...]:
    """Every probe beside an export, by name. Raises ConfigError when one was taught on another or is damaged."""
    place = folder.path / PROBES
    files = sorted(place.glob("*.json")) if place.is_dir() else []
    if len(files) > MOST:
        raise ConfigError(f"{place} has {len(files)} probes; at most {MOST} are judged")
    return tuple(_read(path, folder.space) for path in files)


def _read(path: Path, space: str) -> Probe:
    told = read_json(path, MAX_BYTES)
    again = "train it again with `guardrail models train-probe`"
    if not NAME.fullmatch(path.stem):
        raise ConfigError(f"{path}: the name of a probe is lower-case letters, digits, '-' and '_', at most 40")
    if told.get("format") != FORMAT or told.get("space") != space:
        raise ConfigError(f"{path} was taught on another export or version; {again}")
    try:
        width = int(told["width"])
        layers = tuple(
            (unpacked(weight, (int(shape[0]), int(shape[1]))), unpacked(bias, (int(shape[1]),)))
            for shape, weight, bias in told["layers"]
        )
        probe = Probe(
            path.stem,
            space,
            unpacked(told["mean"], (width,)),
            unpacked(told["scale"], (width,)),
            layers,
            dict(told["figures"]),
            hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        # One run shows that the layers fit each other, which every later one relies on.
        fits = (probe.scale > 0).all() and math.isfinite(probe.probability(np.zeros((1, width), np.float32)))
        fits = fits and layers[-1][0].shape[1] == 1
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise ConfigError(f"{path} cannot be read ({type(error).__name__}); {again}") from None
    if not fits:
        raise ConfigError(f"{path} gives no probability; {again}")
    return probe
