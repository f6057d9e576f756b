"""The folder of an export: what is in it, where it came from, and that it is still what was written.

`clip.json` names every graph with its digest. Concepts and probes beside it name the space they were made in, which is
the digest of the fp32 image tower: in another space their numbers mean nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guardrail.errors import ConfigError
from guardrail.inference.clip.preprocess import Preprocess
from guardrail.inference.fetch import digest

FORMAT = 1
MANIFEST = "clip.json"
CONCEPTS = "concepts.json"
PROBES = "probes"
PRECISIONS = ("fp32", "fp16", "int8")
MAX_MANIFEST_BYTES = 1 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FILE = re.compile(r"(?:image|text)-(?:fp32|fp16|int8)\.onnx")
_AGAIN = "run `guardrail models export clip` again"


@dataclass(frozen=True)
class ClipFolder:
    """An export at `path`; `told` is its clip.json, checked."""

    path: Path
    told: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> ClipFolder:
        """Raises ConfigError when there is no export, or clip.json is not what an export writes."""
        manifest = path / MANIFEST
        if not manifest.is_file():
            raise ConfigError(f"no CLIP in {path}; `guardrail models export clip --help` says how to bring one")
        told = read_json(manifest, MAX_MANIFEST_BYTES)
        if told.get("format") != FORMAT:
            raise ConfigError(f"{manifest}: format is {told.get('format')!r}, expected {FORMAT}; {_AGAIN}")
        folder = cls(path, told)
        folder._check()
        return folder

    @property
    def model(self) -> str:
        """open_clip's name of the model."""
        return str(self.told["model"])

    @property
    def tokenizer(self) -> str:
        """The model as open_clip finds its tokenizer."""
        return str(self.told["tokenizer"])

    @property
    def space(self) -> str:
        """What concepts and probes are made in: SHA-256 of the fp32 image tower."""
        return str(self.told["space"])

    @property
    def random(self) -> bool:
        """True where the weights are chance, made for a test or a timing."""
        return bool(self.told["pretrained"].get("kind") == "random")

    @property
    def preprocess(self) -> Preprocess:
        return Preprocess.read(self.told["preprocess"], str(self.path / MANIFEST))

    @property
    def logit_scale(self) -> float:
        return float(self.told["logit_scale"])

    @property
    def logit_bias(self) -> float | None:
        """SigLIP's own bias; None for CLIP."""
        return float(self.told["logit_bias"]) if self.told["logit_bias"] is not None else None

    @property
    def precision(self) -> str:
        """What is judged with unless the settings say otherwise."""
        return str(self.told["precision"])

    def precisions(self, tower: str = "image") -> tuple[str, ...]:
        return tuple(self.told["towers"][tower])

    def graph(self, tower: str, precision: str | None = None) -> Path:
        """A tower's graph, its digest checked. Raises ConfigError when it is not there or not what was exported."""
        chosen = precision if precision is not None else self.precision
        there = self.told["towers"][tower]
        if chosen not in there:
            raise ConfigError(f"{self.path} has no {tower} tower in {chosen}; it has {', '.join(there)}; {_AGAIN}")
        path = self.path / str(there[chosen]["file"])
        if not path.is_file() or digest(path) != there[chosen]["sha256"]:
            raise ConfigError(f"{path} is missing or is not what was exported; {_AGAIN}")
        return path

    def label(self, precision: str | None = None) -> str:
        """The image tower as receipts name it: "clip-ViT-B-32-int8@1a2b3c4d"."""
        chosen = precision if precision is not None else self.precision
        name = re.sub(r"[^A-Za-z0-9.-]+", "-", self.model)[:60]
        return f"clip-{name}-{chosen}@{self.told['towers']['image'][chosen]['sha256'][:8]}"

    def _check(self) -> None:
        where = self.path / MANIFEST
        try:
            towers = self.told["towers"]
            graphs = [one for tower in ("image", "text") for one in towers[tower].values()]
            fits = (
                set(towers["image"]) | set(towers["text"]) <= set(PRECISIONS)
                and self.precision in towers["image"]
                and all(_FILE.fullmatch(one["file"]) and _DIGEST.fullmatch(one["sha256"]) for one in graphs)
                and _DIGEST.fullmatch(self.space)
                and self.logit_scale > 0
                and all(isinstance(one, str) for one in (self.told["pretrained"]["kind"], self.told["tokenizer"]))
                and isinstance(self.told["licence"], str)
            )
            _ = self.logit_bias
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConfigError(f"{where} cannot be read ({type(error).__name__}); {_AGAIN}") from None
        if not fits:
            raise ConfigError(f"{where} names files or digests that no export writes; {_AGAIN}")
        _ = self.preprocess


def read_json(path: Path, limit: int) -> dict[str, Any]:
    """A JSON object of at most `limit` bytes. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            body = file.read(limit + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    if len(body) > limit:
        raise ConfigError(f"{path} is larger than {limit:,} bytes, the most that is read")
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        raise ConfigError(f"{path} is not JSON; it was changed or cut short") from None
    if not isinstance(told, dict):
        raise ConfigError(f"{path}: expected a JSON object")
    return told
