"""Rows: one thing to judge and what is true of it, and how one is made of a record with other names for its columns."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blake3 import blake3

from guardrail.errors import ConfigError

Picture = Path | bytes

LONGEST_GROUP = 40
"""Characters of a name of a group that is kept as it is; a longer one becomes a digest."""


class RowError(Exception):
    """What is wrong with one row, in words; whoever reads the suite adds the place."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a suite.

    `labels` holds 0 or 1 for each factor that was labelled. `group` ties rows that are not independent: twins, or
    pictures of one person. `texts` are judged each for itself and count together. `fault` says why the row can't be
    judged at all: a picture that is missing, a text that is empty.
    """

    id: str
    labels: Mapping[str, int]
    slices: Mapping[str, str] = field(default_factory=dict)
    group: str | None = None
    texts: tuple[str, ...] = ()
    inputs: tuple[Picture, ...] = ()
    outputs: tuple[Picture, ...] = ()
    fault: str | None = None

    def __repr__(self) -> str:  # never the content
        return f"Row({self.id!r})"


@dataclass(frozen=True)
class Columns:
    """Which columns of a record make a row.

    `labels` maps a factor to a rule (see `label_rule`), `slices` a slice to a column, or to a column and the lower
    edges of bands. Where `native` is set, the record is a row of Guardrail's own format as well: `labels` and `slice`
    are mappings, `pair` ties twins, `lang` and `kind` are slices; an `id` is then required.
    """

    id: str = ""
    text: str = ""
    image: str = ""
    input: str = ""
    output: str = ""
    group: str = ""
    labels: Mapping[str, Any] = field(default_factory=dict)
    slices: Mapping[str, Any] = field(default_factory=dict)
    native: bool = False


def label_rule(factor: str, rule: Any) -> Callable[[Mapping[str, Any]], int | None]:
    """What makes a label of a record: 0, 1, or None for "not labelled".

    A text compares a column: "nsfw", "nsfw>0.5", "age<18", "category==nudity", "categories~sexual" (a comma list
    that has the word). "0" and "1" are the same for all rows. A mapping names the values: {column: age, yes: ["0-2"],
    no: ["20-29"]}; any other value is not labelled. Raises ConfigError for a rule that is none of these.
    """
    if rule in (0, 1, "0", "1"):
        return lambda record: int(rule)
    if isinstance(rule, Mapping):
        if set(rule) - {"column", "yes", "no"} or not rule.get("column") or not (rule.get("yes") or rule.get("no")):
            raise ConfigError(f"label {factor}: a mapping with `column`, and `yes` or `no` or both, is expected")
        no, yes = ([_word(value) for value in rule.get(side) or ()] for side in ("no", "yes"))
        both = sorted(set(no) & set(yes))
        if both:
            raise ConfigError(f"label {factor}: {both[0]!r} stands under yes and under no; leave it under one")
        named = dict.fromkeys(no, 0) | dict.fromkeys(yes, 1)
        return lambda record: named.get(_word(_cell(record, rule["column"])))
    for sign, compare in _COMPARE.items():
        column, found, value = str(rule).partition(sign)
        if found and column.strip() and value.strip():
            return _compared(factor, column.strip(), sign, value.strip(), compare)
    return lambda record: _flag(factor, _cell(record, str(rule)))


def _compared(
    factor: str, column: str, sign: str, value: str, compare: Callable[[Any, Any], bool]
) -> Callable[[Mapping[str, Any]], int]:
    if sign in {"==", "!=", "~"}:
        return lambda record: int(compare(_cell(record, column), value))
    try:
        limit = float(value)
    except ValueError:
        raise ConfigError(f"label {factor}: {column}{sign}{value}: a number is expected after {sign}") from None

    def number(record: Mapping[str, Any]) -> int:
        value = _number(_cell(record, column))
        if value is None:
            raise RowError(f"label {factor}: column {column!r} holds what is not a number")
        return int(compare(value, limit))

    return number


def _number(cell: Any) -> float | None:
    """The number in a cell. NaN, which many programs write for "nothing", is none: no limit is below or above it."""
    try:
        value = float(cell)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def _word(cell: Any) -> str:
    """A cell as it is written in a table; yes and no as JSON spells them, which Python does not."""
    return str(cell).lower() if isinstance(cell, bool) else str(cell).strip()


def _is(cell: Any, value: str) -> bool:
    return _word(cell) == (value.lower() if isinstance(cell, bool) else value)


def _has(cell: Any, word: str) -> bool:
    held = cell if isinstance(cell, Sequence) and not isinstance(cell, str) else str(cell).split(",")
    return word.casefold() in {str(one).strip().casefold() for one in held}


# Longer signs stand before those they begin with.
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    ">=": lambda cell, value: cell >= value,
    "<=": lambda cell, value: cell <= value,
    "==": _is,
    "!=": lambda cell, value: not _is(cell, value),
    "~": _has,
    ">": lambda cell, value: cell > value,
    "<": lambda cell, value: cell < value,
}
_FLAGS = {"1": 1, "true": 1, "yes": 1, "1.0": 1, "0": 0, "false": 0, "no": 0, "0.0": 0}


def _flag(factor: str, cell: Any) -> int:
    flag = _FLAGS.get(str(cell).strip().casefold())
    if flag is None:
        raise RowError(f"label {factor}: 0 or 1 is expected; write a rule such as {factor}=COLUMN>0.5")
    return flag


def _cell(record: Mapping[str, Any], column: str) -> Any:
    if column not in record:
        there = ", ".join(str(name) for name in list(record)[:20])
        raise RowError(f"no column {column!r}; there are: {there}")
    return record[column]


class RowMaker:
    """Makes rows of records: `task` says what a row must have, `root` is where relative pictures are looked for."""

    def __init__(
        self, columns: Columns, task: str, factors: Sequence[str], root: Path, *, image_as: str = "output"
    ) -> None:
        self._columns = columns
        self._task = task
        self._factors = frozenset(factors)
        self._root = root
        self._image_as = image_as
        self._rules = {factor: label_rule(factor, rule) for factor, rule in columns.labels.items()}

    def row(self, place: str, record: Mapping[str, Any]) -> Row:
        """Raises RowError for a column that is missing and a label outside its set."""
        columns = self._columns
        fault = None
        texts: tuple[str, ...] = ()
        if columns.text and (self._task != "image"):
            told = _cell(record, columns.text) if self._task in {"prompt", "proxy"} else record.get(columns.text)
            if told is not None and not isinstance(told, str):
                raise RowError(f"column {columns.text!r}: a text is expected")
            texts = (told,) if told and told.strip() else ()
        inputs = self._pictures(record, columns.input)
        outputs = self._pictures(record, columns.output)
        if columns.image:
            shown = self._pictures(record, columns.image, needed=self._task == "image")
            inputs, outputs = (shown, outputs) if self._image_as == "input" else (inputs, shown)
        if self._task in {"prompt", "proxy"} and not texts:
            fault = "the text is empty"
        if self._task == "image" and not (inputs or outputs):
            fault = "no picture is named"
        if self._task == "pair" and not (inputs and outputs):
            raise RowError("an input and an output picture are expected")
        missing = [one.name for one in (*inputs, *outputs) if isinstance(one, Path) and not one.is_file()]
        if missing:
            fault = f"the picture {missing[0]} is missing"
        return Row(
            id=self._id(place, record),
            labels=self._labels(record),
            slices=self._slices(record),
            group=self._group(record),
            texts=texts,
            inputs=inputs,
            outputs=outputs,
            fault=fault,
        )

    def _id(self, place: str, record: Mapping[str, Any]) -> str:
        if self._columns.id:
            told = _cell(record, self._columns.id)
            if told is None or not str(told).strip():
                raise RowError(f"column {self._columns.id!r}: an id is expected")
            return str(told)
        return place

    def _labels(self, record: Mapping[str, Any]) -> dict[str, int]:
        labels: dict[str, int] = {}
        if self._columns.native:
            told = record.get("labels") or {}
            if not isinstance(told, Mapping):
                raise RowError("labels: a mapping of factor to 0 or 1 is expected")
            for factor, label in told.items():
                if factor not in self._factors:
                    raise RowError(f"labels: no factor {factor!r}; suite.yaml names {', '.join(sorted(self._factors))}")
                if label not in (0, 1) or isinstance(label, float):
                    raise RowError(f"labels: {factor}: 0 or 1 is expected")
                labels[factor] = int(label)
        for factor, rule in self._rules.items():
            label = rule(record)
            if label is not None:
                labels[factor] = label
        return labels

    def _slices(self, record: Mapping[str, Any]) -> dict[str, str]:
        slices: dict[str, str] = {}
        if self._columns.native:
            told = record.get("slice") or {}
            if not isinstance(told, Mapping):
                raise RowError("slice: a mapping of name to value is expected")
            slices = {name: str(record[name]) for name in ("lang", "kind") if record.get(name) is not None}
            slices |= {str(name): str(value) for name, value in told.items()}
        for name, spec in self._columns.slices.items():
            if isinstance(spec, Mapping):
                slices[name] = _band(name, _cell(record, str(spec["column"])), spec["bands"])
            else:
                slices[name] = str(_cell(record, str(spec)))
        return slices

    def _group(self, record: Mapping[str, Any]) -> str | None:
        column = self._columns.group or ("pair" if self._columns.native else "")
        told = record.get(column) if column else None
        if told is None:
            return None
        # Some benchmarks tie rows by the text they were made from, and a log holds no text.
        return (
            str(told)
            if len(str(told)) <= LONGEST_GROUP
            else blake3(str(told).encode("utf-8", "surrogatepass")).hexdigest(8)
        )

    def _pictures(self, record: Mapping[str, Any], column: str, *, needed: bool = False) -> tuple[Picture, ...]:
        if not column or (column not in record and not needed):
            return ()
        told = _cell(record, column)
        listed = told if isinstance(told, list | tuple) else [told]
        return tuple(self._picture(column, one) for one in listed if one is not None)

    def _picture(self, column: str, told: Any) -> Picture:
        if isinstance(told, Mapping):  # how data sets of pictures keep them
            told = told.get("bytes") or told.get("path")
        if isinstance(told, bytes):
            return told
        if not isinstance(told, str) or not told:
            raise RowError(f"column {column!r}: a path or the bytes of a picture are expected")
        return self._root / told  # an absolute path stands for itself


def _band(name: str, cell: Any, edges: Sequence[float]) -> str:
    """The band of a number: edges 0, 18, 60 make "0-17", "18-59" and "60+"."""
    value = _number(cell)
    if value is None:
        raise RowError(f"slice {name}: a number is expected")
    below = [edge for edge in edges if edge <= value]
    if not below:
        return f"under {edges[0]:g}"
    above = [edge for edge in edges if edge > value]
    return f"{below[-1]:g}-{above[0] - 1:g}" if above else f"{below[-1]:g}+"
