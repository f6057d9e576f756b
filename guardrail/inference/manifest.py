"""The manifest: every weight file that Guardrail can judge with, what it scores, its licence, digest and origin.

The packaged manifest, `manifest.toml`, lies beside this module and is read from the wheel itself: whoever can change
it can change the code. Digests in it are what makes a file from a stranger's package index usable at all.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from guardrail.errors import ConfigError

_DIGEST = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True)
class Blob:
    """One file by its content: size in bytes and SHA-256 in lower-case hex."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Package:
    """A file inside a published package: `registry` is "pypi" or "npm", `size` what the whole package weighs."""

    registry: str
    package: str
    version: str
    member: str
    size: int

    @property
    def words(self) -> str:
        return f"{self.package} {self.version} ({self.registry})"


@dataclass(frozen=True)
class SourceFile:
    """A file that a graph is built from, and the published package that carries it."""

    blob: Blob
    packages: tuple[Package, ...]


@dataclass(frozen=True)
class Weight:
    """One weight: what it scores and reads, under which licences, from which files it is built and what comes of it.

    `file` is the graph that a session opens; `built` names every file of the finished folder with its digest.
    `builder` names the recipe and its version, "fold@1": another version is another folder in the cache.
    `beside` names the weight that this one is fetched along with, where it can be had: checks that require that one use
    both, and go on with it alone. `accelerated` is true where an accelerator was seen to give what the CPU gives.
    """

    name: str
    file: str
    scores: str
    reads: str
    licence_code: str
    licence_weights: str
    training_data: str
    origin: str
    attribution: str
    builder: str
    required_by: tuple[str, ...]
    optional_for: tuple[str, ...]
    sources: tuple[SourceFile, ...]
    built: Mapping[str, Blob]
    keep: tuple[str, ...] = field(default=())
    beside: str | None = None
    accelerated: bool = False

    @property
    def key(self) -> str:
        """Twelve hex digits that tell this build from any other: source digests and builder."""
        parts = [self.builder, *sorted(f"{source.blob.name}:{source.blob.sha256}" for source in self.sources)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]

    @property
    def folder(self) -> str:
        """Name of the weight's folder in the cache."""
        return f"{self.name}-{self.key}"

    @property
    def size(self) -> int:
        """Bytes of the finished files, as far as the manifest knows them."""
        return sum(blob.size for blob in self.built.values())


class Manifest:
    """The weights by name, in the order of the file."""

    def __init__(self, weights: Iterable[Weight]) -> None:
        self.weights = {weight.name: weight for weight in weights}

    def __getitem__(self, name: str) -> Weight:
        """The weight of that name. Raises ConfigError for a name that the manifest does not have."""
        if name not in self.weights:
            known = ", ".join(self.weights) or "none"
            raise ConfigError(f"no weight named {name!r} in the manifest; known: {known}")
        return self.weights[name]

    def names(self) -> tuple[str, ...]:
        return tuple(self.weights)

    def required_by(self, checks: Iterable[str]) -> tuple[str, ...]:
        """Names of the weights that these checks cannot do without."""
        wanted = set(checks)
        return tuple(name for name, weight in self.weights.items() if wanted & set(weight.required_by))

    def beside(self, names: Iterable[str]) -> tuple[str, ...]:
        """Names of the weights that are fetched along with these, where they can be had, and are not among them."""
        wanted = set(names)
        return tuple(name for name, weight in self.weights.items() if weight.beside in wanted and name not in wanted)

    def default(self) -> tuple[str, ...]:
        """Names of the weights that any built-in check requires."""
        return tuple(name for name, weight in self.weights.items() if weight.required_by)


def packaged() -> Manifest:
    """The manifest that is shipped with this version."""
    return parse(files("guardrail.inference").joinpath("manifest.toml").read_text("utf-8"), "manifest.toml")


def parse(text: str, where: str) -> Manifest:
    """Read a manifest from TOML. `where` names it in errors.

    Raises ConfigError for what is not TOML, a missing field, or a name that could leave the cache folder.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where} is not TOML: {error}") from error
    manifest = Manifest(_weight(name, entry, where) for name, entry in table.get("weights", {}).items())
    for weight in manifest.weights.values():
        if weight.beside is not None and weight.beside not in manifest.weights:
            raise ConfigError(f"{where}, weights.{weight.name}: beside names {weight.beside!r}, which is no weight")
    return manifest


def _weight(name: str, entry: Mapping[str, Any], where: str) -> Weight:
    at = f"{where}, weights.{name}"
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{at}: a name is lower-case letters, digits and hyphens")
    sources = tuple(_source(file, source, at) for file, source in _get(entry, "sources", at).items())
    if not sources:
        raise ConfigError(f"{at}: no source files; at least one is needed to build anything")
    built = {file: _blob(file, blob, at) for file, blob in entry.get("built", {}).items()}
    weight = Weight(
        name=name,
        file=_get(entry, "file", at),
        scores=_get(entry, "scores", at),
        reads=_get(entry, "reads", at),
        licence_code=_get(entry, "licence_code", at),
        licence_weights=_get(entry, "licence_weights", at),
        training_data=_get(entry, "training_data", at),
        origin=_get(entry, "origin", at),
        attribution=_get(entry, "attribution", at),
        builder=_get(entry, "builder", at),
        required_by=tuple(entry.get("required_by", ())),
        optional_for=tuple(entry.get("optional_for", ())),
        sources=sources,
        built=built,
        keep=tuple(entry.get("keep", ())),
        beside=entry.get("beside"),
        accelerated=entry.get("accelerated") is True,
    )
    unknown = set(weight.keep) - {source.blob.name for source in sources}
    if unknown:
        raise ConfigError(f"{at}: keep names {', '.join(sorted(unknown))}, which is no source file")
    for file in (weight.file, *weight.keep):
        if not _FILE.fullmatch(file):
            raise ConfigError(f"{at}: {file!r} is no plain file name")
    return weight


def _source(name: str, entry: Mapping[str, Any], at: str) -> SourceFile:
    packages = []
    for registry in ("pypi", "npm"):
        if registry in entry:
            where = f"{at}, sources.{name}.{registry}"
            told = entry[registry]
            packages.append(
                Package(
                    registry=registry,
                    package=_get(told, "package", where),
                    version=_get(told, "version", where),
                    member=_get(told, "member", where),
                    size=_get(told, "size", where),
                )
            )
    return SourceFile(_blob(name, entry, at), tuple(packages))


def _blob(name: str, entry: Mapping[str, Any], at: str) -> Blob:
    if not _FILE.fullmatch(name):
        raise ConfigError(f"{at}: {name!r} is no plain file name")
    size, sha256 = _get(entry, "size", f"{at}, {name}"), _get(entry, "sha256", f"{at}, {name}")
    if not isinstance(size, int) or size <= 0:
        raise ConfigError(f"{at}, {name}: size is {size!r}; expected the file's bytes, a whole number above 0")
    if not isinstance(sha256, str) or not _DIGEST.fullmatch(sha256):
        raise ConfigError(f"{at}, {name}: sha256 is not 64 lower-case hex digits")
    return Blob(name, size, sha256)


def _get(entry: Mapping[str, Any], field_name: str, at: str) -> Any:
    if field_name not in entry:
        raise ConfigError(f"{at}: {field_name} is missing")
    return entry[field_name]
