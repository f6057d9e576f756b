"""Suites: labelled rows in a folder with a `suite.yaml` that says what they measure, and what they miss."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from guardrail.errors import ConfigError
from guardrail.evaluate.fetched import Download, read_downloads
from guardrail.evaluate.rows import Columns, Row, RowError, RowMaker
from guardrail.evaluate.sources import records
from guardrail.policy.model import KINDS, SIGNAL_NAME
from guardrail.policy.nodes import OnceLoader
from guardrail.types import Kind

TASKS: Mapping[str, Kind] = {
    "prompt": Kind.PROMPT,
    "image": Kind.OUTPUT,
    "pair": Kind.PAIR,
    "proxy": Kind.PROMPT,
}
"""Each task, and the kind of signal that scores a factor where the suite names none."""
LARGEST_YAML = 1 << 20
# fmt: off
_KEYS = frozenset({
    "id", "version", "task", "factors", "slices", "licence", "rows", "source", "names", "columns", "labels", "signals",
    "assume", "misses", "image_as", "digest", "columns_verified", "homepage", "about", "fetch",
})
# fmt: on
_COLUMNS = frozenset({"id", "text", "image", "input", "output", "group", "slices"})


@dataclass(frozen=True)
class Suite:
    """What `suite.yaml` says.

    `root` is the folder or file that rows are read from, None while the operator has not said where a public
    benchmark lies. `declared` are the values that a slice may have, `signals` the signal that scores each factor,
    `assume` the scores that are taken as given for rows of a kind, so that a policy can be asked about an edit whose
    picture is not in the suite. `fetch` are the files of a public benchmark that anybody may download.
    """

    id: str
    version: str
    task: str
    factors: tuple[str, ...]
    root: Path | None
    patterns: tuple[str, ...] = ()
    names: str = ""
    columns: Columns = field(default_factory=Columns)
    declared: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    signals: Mapping[str, str] = field(default_factory=dict)
    assume: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    licence: str = "not stated"
    misses: tuple[str, ...] = ()
    image_as: str = "output"
    digest: str | None = None
    columns_verified: bool = True
    about: str = ""
    homepage: str = ""
    fetch: tuple[Download, ...] = ()

    @property
    def kinds(self) -> frozenset[Kind]:
        """The kinds of artifact that its rows hold: what a check must look at to be of use."""
        kind = Kind.INPUT if self.task == "image" and self.image_as == "input" else TASKS[self.task]
        return frozenset((Kind.PROMPT, Kind.INPUT, Kind.OUTPUT, kind) if self.task == "pair" else (kind,))

    def rows(self) -> Iterator[tuple[str, Row]]:
        """Every row and its place, as a stream. Raises ConfigError at the first that is wrong, with its place."""
        for place, made in self.made():
            if isinstance(made, str):
                raise ConfigError(f"suite {self.id}: {place}: {made}")
            yield place, made

    def made(self) -> Iterator[tuple[str, Row | str]]:
        """Every row and its place, or what is wrong with it in words."""
        if self.root is None:
            get = f"`guardrail eval fetch {self.id}` gets them, or " if self.fetch else ""
            raise ConfigError(
                f"suite {self.id}: its rows are not part of Guardrail; {get}say where they lie with --source FOLDER"
            )
        base = self.root if self.root.is_dir() else self.root.parent
        maker = RowMaker(self.columns, self.task, self.factors, base, image_as=self.image_as)
        for place, record in records(self.root, self.patterns, names=self.names):
            file = place.partition(":")[0].partition("[")[0]  # some say in a file's name what its rows are
            try:
                row = maker.row(place, {"file": file, **record})
            except RowError as error:
                yield place, str(error)
                continue
            fault = self._outside(row)
            yield place, fault or row

    def _outside(self, row: Row) -> str | None:
        for name, value in row.slices.items():
            if name in self.declared and value not in self.declared[name]:
                return f"slice {name}: {value!r} is not one of {', '.join(self.declared[name])}"
        return None


Where = Sequence[tuple[str, str]]


def select(rows: Iterable[tuple[str, Row]], where: Where = (), limit: int | None = None) -> Iterator[Row]:
    """The rows whose slices have every value of `where`, the first `limit` of them."""
    count = 0
    for _, row in rows:
        if limit is not None and count >= limit:
            return
        if all(row.slices.get(name) == value for name, value in where):
            count += 1
            yield row


def read_suite(path: Path, *, source: Path | None = None) -> Suite:
    """Read the `suite.yaml` of a folder; `source` is where the rows of a public benchmark lie.

    Raises ConfigError that names the key and says what is expected.
    """
    file = path / "suite.yaml" if path.is_dir() else path
    try:
        if file.stat().st_size > LARGEST_YAML:
            raise ConfigError(f"{file}: over {LARGEST_YAML} bytes, which no suite.yaml is")
        told = yaml.load(file.read_text("utf-8"), OnceLoader)  # noqa: S506 - a safe one, see there
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: not YAML: not UTF-8") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: the 99th of a month
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise ConfigError(f"{file}{line}: not YAML: {getattr(error, 'problem', 'no such value')}") from None
    if not isinstance(told, dict):
        raise ConfigError(f"{file}: a mapping is expected")
    return _suite(told, file, source)


def _suite(told: Mapping[str, Any], file: Path, source: Path | None) -> Suite:
    def expect(good: bool, message: str) -> None:
        if not good:
            raise ConfigError(f"{file}: {message}")

    stray = sorted(set(told) - _KEYS)
    expect(not stray, f"no key is called {stray[:1]}; there are {', '.join(sorted(_KEYS))}")
    for key in ("id", "version", "task", "factors"):
        expect(told.get(key) not in (None, "", []), f"`{key}` is missing")
    expect(told["task"] in TASKS, f"task: one of {', '.join(TASKS)} is expected")
    factors = _listed(told["factors"])
    columns = told.get("columns") or {}
    expect(isinstance(columns, dict), "columns: a mapping is expected")
    stray = sorted(set(columns) - _COLUMNS)
    expect(not stray, f"columns: no entry is called {stray[:1]}; there are {', '.join(sorted(_COLUMNS))}")
    labels = told.get("labels") or {}
    expect(isinstance(labels, dict), "labels: a mapping of factor to a rule is expected")
    stray = sorted((set(labels) | set(told.get("signals") or {})) - set(factors))
    expect(not stray, f"factors does not name {stray[:1]}, which has a label rule or a signal")
    own = "source" not in told
    root = source if source is not None else file.parent if own else _below(file.parent, told.get("source"))
    return Suite(
        id=str(told["id"]),
        version=str(told["version"]),
        task=str(told["task"]),
        factors=tuple(factors),
        root=root,
        patterns=tuple(_listed(told.get("rows") or (["rows/*.jsonl"] if own and source is None else []))),
        names=str(told.get("names") or ""),
        columns=_columns(columns, labels, str(told["task"])),
        declared={name: tuple(map(str, _listed(values))) for name, values in (told.get("slices") or {}).items()},
        signals={factor: str(signal) for factor, signal in (told.get("signals") or {}).items()},
        assume=_assumed(told.get("assume") or {}, str(file)),
        licence=str(told.get("licence") or "not stated"),
        misses=tuple(_listed(told.get("misses") or [])),
        image_as=str(told.get("image_as") or "output"),
        digest=told.get("digest"),
        columns_verified=bool(told.get("columns_verified", True)),
        about=str(told.get("about") or ""),
        homepage=str(told.get("homepage") or ""),
        fetch=read_downloads(told["fetch"], str(file)) if "fetch" in told else (),
    )


def _assumed(told: Any, where: str) -> Mapping[str, Mapping[str, float]]:
    """What is taken as given for rows of a kind. Raises ConfigError for a name that no signal can have."""
    if not isinstance(told, dict) or not all(isinstance(scores, dict) for scores in told.values()):
        raise ConfigError(
            f"{where}: assume: a mapping of a kind of row to scores, {{edit: {{input.person: 1.0}}}}, is expected"
        )
    for kind, scores in told.items():
        for signal, score in scores.items():
            if not SIGNAL_NAME.fullmatch(str(signal)) or str(signal).partition(".")[0] not in KINDS:
                raise ConfigError(
                    f"{where}: assume: {kind}: no signal is called {signal!r}; <kind>.<factor> is expected"
                )
            if isinstance(score, bool) or not isinstance(score, int | float) or not 0.0 <= score <= 1.0:
                raise ConfigError(f"{where}: assume: {kind}: {signal}: a score in [0, 1] is expected")
    return {str(kind): scores for kind, scores in told.items()}


def _columns(columns: Mapping[str, Any], labels: Mapping[str, Any], task: str) -> Columns:
    if not columns and not labels:
        return replace(_NATIVE[task], native=True)
    entries = ("id", "text", "image", "input", "output", "group")
    named: dict[str, Any] = {name: str(columns.get(name) or "") for name in entries}
    return Columns(**named, labels=labels, slices=columns.get("slices") or {})


_NATIVE: Mapping[str, Columns] = {
    "prompt": Columns(id="id", text="text"),
    "proxy": Columns(id="id", text="text", input="input"),
    "image": Columns(id="id", image="image"),
    "pair": Columns(id="id", text="text", input="input", output="output"),
}


def _listed(told: Any) -> list[str]:
    return [str(one) for one in told] if isinstance(told, list | tuple) else [str(told)]


def _below(folder: Path, told: Any) -> Path | None:
    return None if not told else folder / str(told)


def ad_hoc(path: Path, *, text: str, labels: Mapping[str, str], slices: Mapping[str, str], task: str) -> Suite:
    """A suite of one file or folder that has no `suite.yaml`: `text` is the column to judge, `labels` its rules."""
    if not labels:
        raise ConfigError(f"{path}: has no suite.yaml; say what its rows are with --label FACTOR=RULE, as sexual=nsfw")
    picture = task == "image"
    return Suite(
        id=path.stem or "rows",
        version="0",
        task=task,
        factors=tuple(labels),
        root=path,
        columns=Columns(text="" if picture else text, image=text if picture else "", labels=labels, slices=slices),
    )


def find_suites(folders: Sequence[Path]) -> dict[str, Path]:
    """Every suite in these folders, by the name of its own folder; the first folder that has a name keeps it."""
    found: dict[str, Path] = {}
    for folder in folders:
        for file in sorted(folder.glob("*/suite.yaml")):
            found.setdefault(file.parent.name, file.parent)
    return found


def remapped(suite: Suite, columns: Mapping[str, str], labels: Mapping[str, str]) -> Suite:
    """The suite with other columns and label rules than its `suite.yaml` names. Raises ConfigError for a stray one."""
    stray = sorted(set(columns) - (_COLUMNS - {"slices"}))
    if stray:
        raise ConfigError(f"--map {stray[0]}: no such entry; there are {', '.join(sorted(_COLUMNS - {'slices'}))}")
    if not columns and not labels:
        return suite
    named: dict[str, Any] = dict(columns)
    merged = replace(suite.columns, **named, labels={**suite.columns.labels, **labels})
    return replace(suite, columns=merged, factors=tuple(dict.fromkeys((*suite.factors, *labels))))
