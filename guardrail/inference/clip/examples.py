"""Examples: an operator's labelled pictures, or their directions, to fit concepts and teach probes with.

A folder has `yes` and `no`; a folder below one of them is a source (a film, a photographer, a person), whose pictures
are never on both sides of a test. `groups.csv` (file, group) says whose calibration is to be shown apart.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from guardrail.errors import CheckError, ConfigError
from guardrail.inference.clip.figures import Labels
from guardrail.inference.clip.model import ClipModel, Vectors, normalised
from guardrail.types import Artifact, Kind

LABELS = ("yes", "no")
GROUPS = "groups.csv"
MOST_FILES = 200_000
MAX_FILE_BYTES = 50 * 1024 * 1024
MAX_CSV_BYTES = 64 << 20
ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".avif", ".tif", ".tiff", ".bmp"})

Report = Callable[[int, int], None]


def _unheard(done: int, total: int) -> None:
    """No progress is shown."""


@dataclass(frozen=True)
class Examples:
    """Pictures as directions: `views` of each picture (n, width), whether it shows the thing (`labels`), the `sources`
    that must not be split, and the `groups` they count for ("" for none). `left_out` could not be read.
    """

    space: str
    views: tuple[Vectors, ...]
    labels: Labels
    sources: NDArray[np.str_]
    groups: NDArray[np.str_]
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.views)

    @property
    def usual(self) -> Vectors:
        """The usual view of each picture, (pictures, width)."""
        return np.stack([views[0] for views in self.views])

    def enough(self, least: int, folds: int, what: str) -> None:
        """Raise ConfigError when there are fewer than `least` pictures, or `folds` sources, of either label."""
        for label, wanted in zip(LABELS, (True, False), strict=True):
            count = int((self.labels == wanted).sum())
            if count < least:
                raise ConfigError(f"{what}: {count} pictures of {label!r}; at least {least} are needed to say anything")
            sources = len(set(self.sources[self.labels == wanted].tolist()))
            if sources < folds:
                raise ConfigError(
                    f"{what}: the pictures of {label!r} come from {sources} sources; at least {folds} are needed, so "
                    "that each can be judged by what never saw it"
                )

    def folds(self, count: int, seed: int = 0) -> NDArray[np.int64]:
        """A fold for each picture: sources whole, both labels spread as evenly as they allow."""
        chance = np.random.default_rng(seed)
        names, which = np.unique(self.sources, return_inverse=True)
        yes = np.bincount(which, self.labels, len(names))
        size = np.bincount(which, minlength=len(names))
        share = np.stack([yes / max(1, yes.sum()), (size - yes) / max(1, (size - yes).sum())], axis=1)
        filled = np.zeros((count, 2))
        chosen = np.zeros(len(names), np.int64)
        for one in np.lexsort((chance.random(len(names)), -share.sum(axis=1))):
            # Where it makes the fullest fold least full: the largest sources first, so small ones even things out.
            best = int(np.argmin(((filled + share[one]) ** 2).sum(axis=1) - (filled**2).sum(axis=1)))
            chosen[one] = best
            filled[best] += share[one]
        return chosen[which]

    def save(self, path: Path) -> None:
        """Keep the directions (not the pictures) as .npz, to be read by `load`."""
        with path.open("wb") as file:
            np.savez_compressed(
                file,
                space=np.array(self.space),
                vectors=np.concatenate(self.views),
                views=np.array([len(views) for views in self.views]),
                labels=self.labels,
                sources=self.sources,
                groups=self.groups,
            )


def load(path: Path, space: str) -> Examples:
    """Directions of pictures from .npz: `space`, `vectors` (n, width), `labels` (m,), and perhaps `views` (how many of
    the vectors each picture has; one each without it), `sources` and `groups` (m,).

    Raises ConfigError when it was made with another export, or does not hold that.
    """
    try:
        with np.load(path, allow_pickle=False) as told:
            vectors = normalised(np.asarray(told["vectors"], np.float32))
            labels = np.asarray(told["labels"]).astype(bool)
            counts = np.asarray(told["views"], np.int64) if "views" in told else np.ones(len(labels), np.int64)
            sources = told["sources"] if "sources" in told else np.arange(len(labels))
            groups = told["groups"] if "groups" in told else np.full(len(labels), "")
            made_in = str(told["space"])
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, CheckError) as error:
        raise ConfigError(
            f"{path} cannot be read ({type(error).__name__}); expected .npz with space, vectors and labels"
        ) from None
    if made_in != space:
        raise ConfigError(f"{path} was made with another export; its directions mean nothing here")
    if not (vectors.ndim == 2 and len(labels) == len(counts) == len(sources) == len(groups)):
        raise ConfigError(f"{path}: labels, views, sources and groups are not of one length")
    if len(labels) == 0 or (counts < 1).any() or counts.sum() != len(vectors):
        raise ConfigError(f"{path}: the views of all pictures are {counts.sum()}, but there are {len(vectors)} vectors")
    views = tuple(np.split(vectors, np.cumsum(counts)[:-1]))
    return Examples(space, views, labels, sources.astype(str), groups.astype(str))


def look(folder: Path, model: ClipModel, *, groups: Path | None = None, report: Report = _unheard) -> Examples:
    """Read the pictures of `folder`/yes and `folder`/no. `groups` is a CSV; without it `folder`/groups.csv is read
    where there is one. Links are not followed. A picture that cannot be read is left out and counted.

    Raises ConfigError when a label has no folder, a picture stands under both, or the CSV names what is not there.
    """
    listed = [(label == "yes", path) for label in LABELS for path in _pictures(folder, label)]
    if len(listed) > MOST_FILES:
        raise ConfigError(f"{folder} holds {len(listed)} pictures; at most {MOST_FILES} are read")
    file = groups if groups is not None else folder / GROUPS
    group_of = _groups(file, folder) if groups is not None or file.exists() else {}
    views: list[Vectors] = []
    kept: list[tuple[bool, str, str]] = []
    seen: dict[bytes, tuple[bool, str]] = {}
    left_out = 0
    for number, (label, path) in enumerate(listed):
        report(number, len(listed))
        name = path.relative_to(folder).as_posix()
        looked = _look(path, model)
        if looked is None:
            left_out += 1
            continue
        digest, found = looked
        # The same file twice is one source: it must not be judged by what learned it.
        before = seen.setdefault(digest, (label, _source(name)))
        if before[0] != label:
            raise ConfigError(f"{name}: the same file stands under yes and no; remove one")
        views.append(found)
        kept.append((label, before[1], group_of.get(name, "")))
    report(len(listed), len(listed))
    if not kept:
        raise ConfigError(f"{folder}: no picture under yes and no could be read")
    return Examples(
        model.space,
        tuple(views),
        np.array([label for label, _, _ in kept]),
        np.array([source for _, source, _ in kept]),
        np.array([group for _, _, group in kept]),
        left_out,
    )


def _pictures(folder: Path, label: str) -> list[Path]:
    place = folder / label
    if not place.is_dir():
        raise ConfigError(f"{folder} has no folder {label!r}; expected yes and no, with pictures in them")
    found = (path for path in place.rglob("*") if path.suffix.lower() in ENDINGS)
    return sorted(path for path in found if path.is_file() and not path.is_symlink())


def _source(name: str) -> str:
    """The folder below the label, or the picture itself where there is none. The same name under yes and no is one."""
    parts = name.split("/")
    return f"folder {parts[1]}" if len(parts) > 2 else name


def _look(path: Path, model: ClipModel) -> tuple[bytes, Vectors] | None:
    if path.stat().st_size > MAX_FILE_BYTES:
        return None
    artifact = Artifact(Kind.INPUT, "example", data=path.read_bytes())
    try:
        return artifact.digest, np.concatenate(model.views(artifact))
    except CheckError:
        return None


def _groups(file: Path, folder: Path) -> Mapping[str, str]:
    """Group of each picture, by its path below the folder."""
    try:
        if file.stat().st_size > MAX_CSV_BYTES:
            raise ConfigError(f"{file} is larger than {MAX_CSV_BYTES:,} bytes")
        with file.open(encoding="utf-8-sig", newline="") as opened:
            rows: Sequence[Mapping[str, Any]] = list(csv.DictReader(opened))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{file} cannot be read ({type(error).__name__}); expected CSV with file and group") from None
    found: dict[str, str] = {}
    for line, row in enumerate(rows, start=2):
        name, group = row.get("file"), row.get("group")
        if not name or group is None:
            raise ConfigError(f"{file}:{line}: expected the columns file and group, as yes/a.jpg,group one")
        if not (folder / name).is_file() or ".." in Path(name).parts:
            raise ConfigError(f"{file}:{line}: there is no picture {name[:80]!r} in {folder}")
        found[name] = group.strip()[:60]
    return found
