"""Weights: verified graphs in a cache folder, handed out as shared sessions.

The cache has one folder per build, named after the digests of what it was built from, so that two versions of
Guardrail can share it. A folder appears by one rename and is never changed; what is found damaged is set aside.
"""

from __future__ import annotations

import json
import logging
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from guardrail.errors import ConfigError
from guardrail.inference.build import load
from guardrail.inference.fetch import Fetcher, NotHadError, Sources, digest
from guardrail.inference.manifest import Manifest, Weight, packaged
from guardrail.inference.session import CPU, open_session

__all__ = ["Models", "Progress", "Sources"]

SIDECAR = "built.json"
log = logging.getLogger("guardrail.inference")

Progress = Callable[[str, int, int], None]
"""Told the weight's name and how many bytes of how many are there."""


def _silent(name: str, done: int, total: int) -> None:
    """No progress is shown."""


class Models:
    """Verified weights in the folder `cache`, each opened once and shared by every thread.

    `threads` work on one run of a session; `providers` are onnxruntime's, tried in order, the CPU always last. They
    run the weights that the manifest calls accelerated; all others stay on the CPU, where their sums were calibrated.
    Nothing is fetched unless `pull` is called.
    """

    def __init__(
        self,
        cache: Path,
        *,
        manifest: Manifest | None = None,
        threads: int = 1,
        providers: Sequence[str] = CPU,
    ) -> None:
        self.cache = cache
        self.manifest = manifest if manifest is not None else packaged()
        self._threads = threads
        self.providers = tuple(providers)
        self._digests: dict[str, Mapping[str, str]] = {}
        self._labels: dict[str, str] = {}
        self._sessions: dict[str, Any] = {}
        self._locks = {name: threading.RLock() for name in self.manifest.names()}

    def names(self) -> tuple[str, ...]:
        """Every weight that the manifest knows, whether it is here or not."""
        return self.manifest.names()

    def has(self, name: str) -> bool:
        """True when the weight is in the cache; its digest is checked by `path`, when it is first used."""
        return self._sidecar(self.manifest[name]).is_file()

    def missing(self, names: Iterable[str]) -> tuple[str, ...]:
        """Those of `names` that are not in the cache."""
        return tuple(name for name in names if not self.has(name))

    def path(self, name: str, file: str | None = None) -> Path:
        """The weight's graph, or another file that is kept beside it; its digest is checked the first time.

        Raises ConfigError when the weight is not in the cache, or a file of it is not what was built.
        """
        weight = self.manifest[name]
        known = self._verified(weight)
        wanted = file if file is not None else weight.file
        if wanted not in known:
            raise ConfigError(f"weight {name} has no file {wanted!r}; it has {', '.join(sorted(known))}")
        return self.cache / weight.folder / wanted

    def label(self, name: str) -> str:
        """The weight as receipts name it: "yunet@23e97150", its name and the first 8 digits of the graph's digest."""
        if (label := self._labels.get(name)) is None:  # asked for some thirty times a request
            weight = self.manifest[name]
            label = self._labels[name] = f"{name}@{self._verified(weight)[weight.file][:8]}"
        return label

    def session(self, name: str) -> Any:
        """The weight's `onnxruntime.InferenceSession`, opened at the first call and shared from then on.

        Raises ConfigError as `path` does, or when onnxruntime cannot open the graph.
        """
        weight = self.manifest[name]
        with self._locks[weight.name]:
            if name not in self._sessions:
                self._sessions[name] = open_session(
                    self.path(name), threads=self._threads, providers=self.providers_of(name)
                )
            return self._sessions[name]

    def providers_of(self, name: str) -> tuple[str, ...]:
        """What runs the weight's graph: the providers of these models, or the CPU alone."""
        return self.providers if self.manifest[name].accelerated else CPU

    def verify(self, name: str) -> None:
        """Check every file of the weight anew. Raises ConfigError for what is missing, changed or too much."""
        weight = self.manifest[name]
        with self._locks[name]:
            self._forget(name)
            self._verified(weight)

    def pull(
        self,
        names: Iterable[str] | None = None,
        *,
        sources: Sources | None = None,
        progress: Progress = _silent,
        force: bool = False,
    ) -> tuple[str, ...]:
        """Fetch, check and build what is not yet in the cache: the weights `names`, or all that any check requires.

        What is there and whole is left alone; what is there and damaged is built anew, and so is everything
        with `force`. Weights that the manifest puts beside a wanted one come along; where no source has one, that is
        logged as a warning and the checks do without it. Two processes that pull at once wait for each other.
        Returns the names that were built.

        Raises ConfigError when a file cannot be had or its digest is wrong; what was built before stays.
        """
        asked = tuple(self.manifest.default() if names is None else names)
        beside = self.manifest.beside(asked)
        wanted = [self.manifest[name] for name in (*asked, *beside)]
        built = []
        self.cache.mkdir(parents=True, exist_ok=True)
        with _only_one(self.cache / ".lock"), tempfile.TemporaryDirectory(dir=self.cache, prefix=".pull-") as scratch:
            fetcher = Fetcher(sources if sources is not None else Sources(), Path(scratch))
            for weight in wanted:
                if not force and self._is_whole(weight):
                    continue
                folder = Path(scratch) / weight.name
                folder.mkdir()
                try:
                    self._build(weight, fetcher, folder, progress)
                except NotHadError as error:
                    if weight.name not in beside:
                        raise
                    log.warning("%s is judged without %s: %s", weight.beside, weight.name, error)
                    continue
                self._put(weight, folder / "out")
                built.append(weight.name)
        return tuple(built)

    def _build(self, weight: Weight, fetcher: Fetcher, work: Path, progress: Progress) -> None:
        """Make the weight's finished folder at `work`/out."""
        sources, out = work / "sources", work / "out"
        sources.mkdir()
        out.mkdir()

        def report(done: int, total: int) -> None:
            progress(weight.name, done, total)

        if not self._fetch_finished(weight, fetcher, out, report):
            for source in weight.sources:
                fetcher.source(weight.name, source, sources / source.blob.name, report)
            files = {source.blob.name: sources / source.blob.name for source in weight.sources}
            load(weight.builder)(files, out / weight.file)
            for kept in weight.keep:
                shutil.copyfile(files[kept], out / kept)
        found = {path.name: digest(path) for path in sorted(out.iterdir())}
        for name, blob in weight.built.items():
            if found.get(name) != blob.sha256:
                raise ConfigError(
                    f"{name} of {weight.name} was built with SHA-256 {found.get(name, 'none')[:16]}..., the manifest "
                    f"expects {blob.sha256[:16]}...: this is not the graph that was measured. Other versions of numpy "
                    "or onnx may be the cause; install those of the lock file, or take the finished file from a folder"
                )
        sidecar = {
            "weight": weight.name,
            "builder": weight.builder,
            "sources": {source.blob.name: source.blob.sha256 for source in weight.sources},
            "files": found,
        }
        (out / SIDECAR).write_text(json.dumps(sidecar, indent=2) + "\n", "utf-8")

    @staticmethod
    def _fetch_finished(weight: Weight, fetcher: Fetcher, out: Path, report: Callable[[int, int], None]) -> bool:
        """Take the finished files where a folder or hub has every one of them: nothing needs building then."""
        if not weight.built or not {weight.file, *weight.keep} <= set(weight.built):
            return False
        for name, blob in weight.built.items():
            if not fetcher.finished(weight.name, blob, out / name, report):
                for path in out.iterdir():
                    path.unlink()
                return False
        return True

    def _put(self, weight: Weight, finished: Path) -> None:
        """Move a finished folder into its place; a damaged one that is there goes away first."""
        place = self.cache / weight.folder
        with self._locks[weight.name]:
            self._forget(weight.name)
            if place.exists():
                place.rename(finished.parent / "replaced")
            finished.rename(place)

    def _is_whole(self, weight: Weight) -> bool:
        try:
            self.verify(weight.name)
        except ConfigError:
            return False
        return True

    def _sidecar(self, weight: Weight) -> Path:
        return self.cache / weight.folder / SIDECAR

    def _forget(self, name: str) -> None:
        self._digests.pop(name, None)
        self._labels.pop(name, None)

    def _verified(self, weight: Weight) -> Mapping[str, str]:
        """Digest of each file of the weight, checked once per process."""
        with self._locks[weight.name]:
            if weight.name not in self._digests:
                self._digests[weight.name] = self._check(weight)
            return self._digests[weight.name]

    def _check(self, weight: Weight) -> Mapping[str, str]:
        again = f"run `guardrail models pull {weight.name}`"
        if not self.has(weight.name):
            raise ConfigError(f"weight {weight.name} is not in {self.cache}; {again}")
        try:
            told = json.loads(self._sidecar(weight).read_text("utf-8"))["files"]
            expected = {str(name): str(sha256) for name, sha256 in told.items()}
        except (ValueError, KeyError, AttributeError, TypeError, OSError) as error:
            raise ConfigError(f"{self._sidecar(weight)} cannot be read ({type(error).__name__}); {again}") from error
        # The packaged manifest has the last word: whoever can write the cache can write the sidecar too.
        expected.update({name: blob.sha256 for name, blob in weight.built.items()})
        for name in {weight.file, *weight.keep} - set(expected):
            raise ConfigError(f"{self._sidecar(weight)} does not name {name}; {again}")
        for name, sha256 in expected.items():
            path = self.cache / weight.folder / name
            if Path(name).name != name or not path.is_file() or digest(path) != sha256:
                raise ConfigError(f"{path} is missing or is not what was built; {again}")
        return expected


@contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    """Hold `lock` against other processes; waits until it is free."""
    with lock.open("a+b") as file:
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
            try:
                yield
            finally:
                file.seek(0)
                msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
            yield  # closing the file lets go
