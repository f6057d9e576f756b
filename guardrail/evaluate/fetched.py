"""Fetched: rows of public benchmarks, downloaded once and held to a digest from then on.

Where nobody knows the digest of a file, the operator may accept what its address gives; that is then written into the
operator's lock file, and anything else is refused (trust on first use).
"""

from __future__ import annotations

import hashlib
import json
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any
from urllib.parse import urlsplit

from guardrail.errors import ConfigError
from guardrail.inference.download import NotHereError, get
from guardrail.inference.fetch import digest

LARGEST = 4 << 30
"""Bytes of one file, where `suite.yaml` doesn't tell."""
LARGEST_UNPACKED = 16 << 30
MOST_MEMBERS = 1_000_000
_KEYS = frozenset({"url", "to", "sha256", "size", "unpack", "strip"})

Report = Callable[[str, int, int], None]
"""Told of which file how many bytes of how many are there."""


@dataclass(frozen=True)
class Download:
    """One file of a benchmark: its address, and where it lies under the folder of its suite.

    `sha256` is "" and `size` None where they are not known. With `unpack` ("tar" or "zip") the file is an archive
    and `to` the folder that it is unpacked into ("." for that of the suite), without the first `strip` parts of names.
    """

    url: str
    to: str
    sha256: str = ""
    size: int | None = None
    unpack: str = ""
    strip: int = 0


@dataclass(frozen=True)
class Got:
    """What became of one file: "was there", "fetched", or "accepted" where its digest was new to the lock file."""

    to: str
    how: str
    sha256: str
    size: int


def read_downloads(told: Any, where: str) -> tuple[Download, ...]:
    """What `fetch` in a `suite.yaml` says. Raises ConfigError that names the entry and what is expected."""
    if not isinstance(told, list):
        raise ConfigError(f"{where}: fetch: a list of files, each with `url` and `to`, is expected")
    return tuple(_download(entry, f"{where}: fetch[{at}]") for at, entry in enumerate(told))


def _download(entry: Any, where: str) -> Download:
    if not isinstance(entry, dict) or set(entry) - _KEYS or not entry.get("url") or not entry.get("to"):
        raise ConfigError(f"{where}: `url` and `to`, and at most {', '.join(sorted(_KEYS))}, are expected")
    url, to = str(entry["url"]), str(entry["to"])
    if urlsplit(url).scheme != "https":
        raise ConfigError(f"{where}: url: an address that begins with https:// is expected")
    unpack, strip = str(entry.get("unpack") or ""), entry.get("strip") or 0
    if unpack not in {"", "tar", "zip"} or strip not in range(8) or (strip and not unpack):
        raise ConfigError(f"{where}: unpack: tar or zip is expected, and beside it strip: a number up to 7")
    if not (_inside(to) or (unpack and to == ".")):
        raise ConfigError(f"{where}: to: a path below the suite's folder is expected, without ..")
    sha256 = str(entry.get("sha256") or "").lower()
    if sha256 and (len(sha256) != 64 or set(sha256) - set("0123456789abcdef")):
        raise ConfigError(f"{where}: sha256: 64 hexadecimal digits are expected")
    size = entry.get("size")
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or not 0 < size <= LARGEST):
        raise ConfigError(f"{where}: size: a number of bytes up to {LARGEST} is expected")
    return Download(url, to, sha256, size, unpack, int(strip))


def _inside(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return bool(parts) and not path.startswith("/") and ".." not in parts and "\\" not in path and "\0" not in path


class Fetched:
    """What was fetched under a folder of state: `data/<suite>/` holds files, `fetched.json` the digest of each address.

    An archive is kept beside what was unpacked from it, with a list of that, so that its digest can be looked at again
    and its files can be replaced; those of other downloads in the same folder stay.
    """

    def __init__(self, state: Path) -> None:
        self._data = state / "data"
        self._lock = state / "fetched.json"

    def folder(self, suite: str) -> Path:
        """Where the files of a suite lie. Raises ConfigError for a name that would lie elsewhere."""
        if not _inside(suite) or "/" in suite or suite.startswith("."):
            raise ConfigError(f"suite {suite!r}: an id of letters, digits, - and _ is expected for what is fetched")
        return self._data / suite

    def complete(self, suite: str, downloads: tuple[Download, ...]) -> bool:
        """Whether all files are there. `fetch` looks at their digests, this doesn't."""
        return bool(downloads) and all((self.folder(suite) / one.to).exists() for one in downloads)

    def fetch(
        self, suite: str, downloads: tuple[Download, ...], *, accept: bool = False, report: Report = lambda *_: None
    ) -> Iterator[Got]:
        """Get what is not there, file by file; `accept` takes files whose digest nobody has told.

        Raises ConfigError for a file that can't be had, has another digest than is known, or has a digest that is not
        known while `accept` was not said: then before anything is downloaded.
        """
        lock = self._read()
        unknown = [one.to for one in downloads if not (one.sha256 or one.url in lock)]
        if unknown and not accept:
            more = " and others" if len(unknown) > 5 else ""
            raise ConfigError(
                f"suite {suite}: nobody has told the digest of {', '.join(unknown[:5])}{more}, so what comes could be "
                f"anything; --accept takes what its address gives now, and {self._lock} will hold it to that"
            )
        for one in downloads:
            yield self._fetch(suite, one, lock, report, [other for other in downloads if other != one])

    def _fetch(
        self, suite: str, one: Download, lock: dict[str, Any], report: Report, others: Sequence[Download]
    ) -> Got:
        folder = self.folder(suite)
        place = folder / one.to
        kept = self._kept(place, one, others) if one.unpack else place
        held = lock.get(one.url, {}).get("sha256", "")
        if one.sha256 and held and held != one.sha256:
            raise ConfigError(
                f"suite {suite}: {one.to}: {self._lock} holds another digest than suite.yaml expects; one of them is "
                "wrong: find out which, and remove the entry of its address if it is the lock file"
            )
        expected = one.sha256 or held
        if kept.is_file() and place.exists() and expected and digest(kept) == expected:
            return Got(one.to, "was there", expected, kept.stat().st_size)
        kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(dir=kept.parent, prefix=".fetching-") as passing:
            fresh = Path(passing) / "file"
            try:
                get(
                    one.url,
                    fresh,
                    one.size or LARGEST,
                    lambda done, total: report(one.to, done, total),
                    exact=one.size is not None,
                )
            except NotHereError as error:
                raise ConfigError(f"suite {suite}: {one.to} could not be had: {error}; {_by_hand(suite)}") from None
            found, size = digest(fresh), fresh.stat().st_size
            if expected and found != expected:
                raise ConfigError(
                    f"suite {suite}: {one.to} has SHA-256 {found[:16]}..., "
                    f"{'suite.yaml' if one.sha256 else self._lock} expects {expected[:16]}...; it is not used"
                )
            if one.unpack:
                unpacked = Path(passing) / "unpacked"
                unpacked.mkdir(mode=0o700)
                _unpack(fresh, one, unpacked, f"suite {suite}: {one.to}")
                reserved = frozenset(folder / other.to for other in others if not other.unpack)
                _put(unpacked, place, _list_of(kept), reserved, f"suite {suite}: {one.to}")
            fresh.replace(kept)
        lock[one.url] = {"sha256": found, "size": size, "suite": suite}
        self._write(lock)
        return Got(one.to, "fetched" if expected else "accepted", found, size)

    @staticmethod
    def _kept(place: Path, one: Download, others: Sequence[Download]) -> Path:
        """Where an archive is kept; several that are unpacked into one folder are told apart by their addresses."""
        told = "." + hashlib.sha256(one.url.encode()).hexdigest()[:8] if one.to in {o.to for o in others} else ""
        return place.with_name(f"{place.name}{told}.archive")

    def _read(self) -> dict[str, Any]:
        if not self._lock.exists():
            return {}
        try:
            told = json.loads(self._lock.read_text("utf-8"))
            good = isinstance(told, dict) and all(isinstance(one["sha256"], str) for one in told.values())
        except (OSError, ValueError, TypeError, KeyError):
            good = False
        if not good:  # an empty one would accept anything again
            raise ConfigError(
                f"{self._lock}: cannot be read as the digests of what was fetched; repair it or remove it"
            )
        return dict(told)

    def _write(self, lock: Mapping[str, Any]) -> None:
        self._lock.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = self._lock.with_suffix(".part")
        fresh.write_text(json.dumps(lock, indent=2, sort_keys=True) + "\n", "utf-8")
        fresh.replace(self._lock)


def _by_hand(suite: str) -> str:
    return f"get it by hand and say where it lies: guardrail eval run {suite} --source FOLDER"


def _unpack(archive: Path, one: Download, out: Path, where: str) -> None:
    """Files and folders only: no links, no devices, nothing outside, no more than the limits."""
    left = LARGEST_UNPACKED
    try:
        for count, (full, source) in enumerate(_tar(archive) if one.unpack == "tar" else _zip(archive)):
            name = full if full.startswith("/") else "/".join(PurePosixPath(full).parts[one.strip :])
            if not _inside(name) or count >= MOST_MEMBERS:
                raise ConfigError(f"{where}: the archive names a file outside its folder, or too many; it is not used")
            target = out / name
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with target.open("wb") as file:
                while block := source.read(min(1 << 20, left + 1)):
                    left -= len(block)
                    if left < 0:
                        raise ConfigError(f"{where}: unpacked it is over {LARGEST_UNPACKED} bytes; it is not used")
                    file.write(block)
    except (tarfile.TarError, zipfile.BadZipFile, OSError, EOFError, ValueError, RuntimeError) as error:
        raise ConfigError(f"{where}: the archive can't be unpacked: {type(error).__name__}") from None


def _list_of(kept: Path) -> Path:
    """Where the names of what was unpacked from an archive are noted."""
    return kept.with_name(kept.name + ".list")


def _put(unpacked: Path, place: Path, listed: Path, reserved: frozenset[Path], where: str) -> None:
    """Move what was unpacked to its place, instead of what the same archive put there before.

    Raises ConfigError, and leaves everything as it was, where it would lie on a file that another download names.
    """
    files = sorted(path.relative_to(unpacked) for path in unpacked.rglob("*") if path.is_file())
    for file in files:
        target = place / file
        if not reserved.isdisjoint((target, *target.parents)):
            raise ConfigError(f"{where}: the archive holds {file}, which another download names; it is not used")
    for name in json.loads(listed.read_text("utf-8")) if listed.is_file() else ():
        (place / name).unlink(missing_ok=True)
    # Before anything is moved: what a fetch that was cut off left is taken away by the next one.
    listed.write_text(json.dumps([file.as_posix() for file in files]), "utf-8")
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    for file in files:
        (place / file).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        (unpacked / file).replace(place / file)


def _tar(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(archive) as opened:
        for member in opened:
            source = opened.extractfile(member) if member.isreg() else None
            if source is not None:
                yield member.name.removeprefix("./"), source
            elif not member.isdir():
                raise tarfile.TarError


def _zip(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(archive) as opened:
        for member in opened.infolist():
            if not member.is_dir():
                with opened.open(member) as source:
                    yield member.filename, source
