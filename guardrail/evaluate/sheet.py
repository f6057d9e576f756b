"""Sheets: the rows of a run as columns of numbers, read in one pass, from which every figure is computed."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from guardrail.errors import ConfigError
from guardrail.evaluate import runs
from guardrail.evaluate.intervals import Floats, Ints
from guardrail.types import Action

MISSING = -1
"""Code of a label, a slice or an action that a row does not have."""
WORDS: Mapping[str, int] = {action.word: int(action) for action in Action}

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Slice:
    """A property of rows: `codes` point into `values`, MISSING where a row does not have it."""

    codes: Ints
    values: tuple[str, ...]


@dataclass(frozen=True)
class Column:
    """What a run says of one factor: only rows that have a label, `scores` NaN where it could not look.

    `labels` are 0 or 1, `groups` are codes, `rows` points into the sheet.
    """

    factor: str
    signal: str
    labels: Ints
    scores: Floats
    groups: Ints
    rows: Ints

    @property
    def told(self) -> Bools:
        """Rows that have a score."""
        return ~np.isnan(self.scores)

    def only(self, chosen: Bools) -> Column:
        """The rows that are chosen."""
        return Column(
            self.factor,
            self.signal,
            self.labels[chosen],
            self.scores[chosen],
            self.groups[chosen],
            self.rows[chosen],
        )


@dataclass(frozen=True)
class Sheet:
    """One run: `run` is what its `run.json` says, the rest has one entry a row, in the order of the log."""

    name: str
    run: Mapping[str, Any]
    ids: Sequence[str]
    groups: Ints
    keys: Sequence[str]
    labels: Mapping[str, Ints]
    scores: Mapping[str, Floats]
    slices: Mapping[str, Slice]
    actions: Ints
    rules: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def signals(self) -> Mapping[str, str]:
        """Which signal scores each factor that this run claims to tell."""
        told: Mapping[str, str] = self.run["signals"]
        return told

    @property
    def factors(self) -> tuple[str, ...]:
        return tuple(self.signals)

    def column(self, factor: str) -> Column:
        """The rows that have a label for `factor`. Raises ConfigError for one that the run does not tell."""
        if factor not in self.signals:
            raise ConfigError(f"run {self.name}: factor {factor!r} is not scored; it has {', '.join(self.factors)}")
        signal = self.signals[factor]
        rows = np.flatnonzero(self.labels[factor] != MISSING)
        return Column(factor, signal, self.labels[factor][rows], self.scores[signal][rows], self.groups[rows], rows)

    def thresholds(self, factor: str) -> tuple[float, ...]:
        """The policy's thresholds on the signal of a factor, ascending."""
        return tuple(sorted(float(one) for one in self.run.get("thresholds", {}).get(self.signals[factor], ())))

    @property
    def harmful(self) -> Bools:
        """Rows with a label of 1 on some factor."""
        return np.asarray(np.any(self._every == 1, axis=0), dtype=np.bool_)

    @property
    def harmless(self) -> Bools:
        """Rows with a label, none of which is 1: what a guard should let through."""
        every = self._every
        return np.asarray(np.all(every != 1, axis=0) & np.any(every == 0, axis=0), dtype=np.bool_)

    @property
    def _every(self) -> Ints:
        return np.stack(list(self.labels.values()))


def read(folder: Path) -> Sheet:
    """Read a run. Raises ConfigError for one that did not end, or whose rows are not those of its `run.json`."""
    run = runs.read_run(folder)
    maker = _Maker(run, folder)
    for number, row in enumerate(runs.rows(folder), 1):
        try:
            maker.add(row)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            where = f"{folder / runs.ROWS}:{number}"
            raise ConfigError(f"{where}: not a row of a run ({type(error).__name__}); run the suite again") from None
    return maker.sheet(folder.name)


class _Maker:
    """Gathers rows into columns; what is kept of a row is a few numbers and its id."""

    def __init__(self, run: Mapping[str, Any], folder: Path) -> None:
        suite, signals = run.get("suite"), run.get("signals")
        if not isinstance(suite, Mapping) or not isinstance(signals, Mapping) or not signals:
            raise ConfigError(f"{folder / runs.RUN}: has no suite or no signals; run the suite again")
        self._run = run
        self._folder = folder
        self._suite = str(suite.get("id"))
        self._factors = tuple(dict.fromkeys((*suite.get("factors", ()), *signals)))
        self._ids: list[str] = []
        self._groups = array("q")
        self._keys: dict[str, int] = {}
        self._labels = {factor: array("q") for factor in self._factors}
        self._scores = {str(signal): array("d") for signal in signals.values()}
        self._slices: dict[str, tuple[array[int], dict[str, int]]] = {}
        self._actions = array("q")
        self._rules: dict[str, int] = {}

    def add(self, row: Mapping[str, Any]) -> None:
        name = str(row["id"])
        group = row.get("group")
        # Two runs of a suite share its groups, so that a row and its attacked copy are never taken for two.
        key = f"{self._suite}/{group}" if group is not None else f"{self._suite}//{name}"
        labels, scores = row["labels"], row["scores"]
        if any(labels.get(factor) not in {None, 0, 1} for factor in self._factors):
            raise ValueError(name)
        if any(signal in scores and not 0.0 <= scores[signal] <= 1.0 for signal in self._scores):
            raise ValueError(name)
        self._slice(row["slices"])
        for factor, codes in self._labels.items():
            label = labels.get(factor)
            codes.append(MISSING if label is None else int(label))
        for signal, column in self._scores.items():
            column.append(float(scores.get(signal, np.nan)))
        self._groups.append(self._keys.setdefault(key, len(self._keys)))
        self._actions.append(WORDS.get(row.get("action") or "", MISSING))
        for rule in row.get("rules") or ():
            self._rules[str(rule)] = self._rules.get(str(rule), 0) + 1
        self._ids.append(name)

    def _slice(self, told: Mapping[str, Any]) -> None:
        for name in told:
            if name not in self._slices:
                self._slices[name] = (array("q", [MISSING] * len(self._ids)), {})
        for name, (codes, values) in self._slices.items():
            value = told.get(name)
            codes.append(MISSING if value is None else values.setdefault(str(value), len(values)))

    def sheet(self, name: str) -> Sheet:
        if len(self._ids) != self._run.get("rows"):
            raise ConfigError(
                f"{self._folder / runs.ROWS}: {len(self._ids)} rows, but {runs.RUN} says {self._run.get('rows')}; "
                "run the suite again with --fresh"
            )
        return Sheet(
            name=name,
            run=self._run,
            ids=self._ids,
            groups=_ints(self._groups),
            keys=list(self._keys),
            labels={factor: _ints(codes) for factor, codes in self._labels.items()},
            scores={signal: np.frombuffer(column, dtype=np.float64) for signal, column in self._scores.items()},
            slices={one: Slice(_ints(codes), tuple(values)) for one, (codes, values) in sorted(self._slices.items())},
            actions=_ints(self._actions),
            rules=dict(sorted(self._rules.items(), key=lambda item: (-item[1], item[0]))),
        )


def _ints(codes: array[int]) -> Ints:
    return np.frombuffer(codes, dtype=np.int64)


def took_ms(folder: Path) -> Floats:
    """Milliseconds that each row took, in the order of the log."""

    def each() -> Iterator[float]:
        for row in runs.timings(folder):
            yield float(row["took_ms"])

    return np.fromiter(each(), dtype=np.float64)
