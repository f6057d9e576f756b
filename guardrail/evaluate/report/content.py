"""What a report says, before it is written in any form."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import guardrail
from guardrail.errors import ConfigError
from guardrail.evaluate.compare import Comparison, compare
from guardrail.evaluate.figures import Decisions, FactorFigures, decisions, of_factor, times
from guardrail.evaluate.intervals import Rate
from guardrail.evaluate.sheet import Sheet, read, took_ms

FORMAT = 1

Heard = Callable[[str], None]


@dataclass(frozen=True)
class RunReport:
    """One run: what was run (`run.json`), the figures of each factor, and what the policy did."""

    name: str
    run: Mapping[str, Any]
    factors: list[FactorFigures]
    decisions: Decisions | None
    took_ms: Mapping[str, float] | None


@dataclass(frozen=True)
class Report:
    """Several runs, each for itself, or two of them compared too."""

    runs: list[RunReport]
    comparison: Comparison | None = None

    @property
    def title(self) -> str:
        names = [run.name for run in self.runs]
        return f"{names[0]} and {names[1]} compared" if self.comparison else ", ".join(names)


def gathered(
    folders: Sequence[Path],
    *,
    compared: bool = False,
    at: Mapping[str, float] | None = None,
    seed: int = 0,
    heard: Heard = lambda words: None,
) -> Report:
    """Read runs and compute their figures; with `compared`, compare the second with the first.

    `at` sets the threshold of a factor, instead of the policy's. `heard` is told what is computed. Raises ConfigError
    for a run that cannot be read, two that cannot be compared, a factor in `at` that none of them scores, and where
    scikit-learn or scipy is missing.
    """
    found, sheets = [], []
    for folder in folders:
        heard(f"reading {folder.name}")
        sheet = read(folder)
        found.append(of_run(sheet, folder, at=at or {}, seed=seed, heard=heard))
        if compared:
            sheets.append(sheet)
    stray = sorted(set(at or {}) - {one.factor for run in found for one in run.factors})
    if stray:
        raise ConfigError(f"a threshold is given for {stray[0]!r}, which none of these runs scores")
    if not compared:
        return Report(found)
    heard("comparing")
    return Report(found, compare(sheets[0], sheets[1], at=at, seed=seed))


def of_run(sheet: Sheet, folder: Path, *, at: Mapping[str, float], seed: int, heard: Heard) -> RunReport:
    """The figures of one run."""
    figures = []
    for factor in sheet.factors:
        heard(f"{sheet.name}: {factor}")
        figures.append(of_factor(sheet, factor, at=(at[factor],) if factor in at else (), seed=seed))
    return RunReport(sheet.name, sheet.run, figures, decisions(sheet), times(took_ms(folder)))


def document(report: Report) -> dict[str, Any]:
    """The whole report as plain data, for machines."""
    return {"format": FORMAT, "guardrail": guardrail.__version__, **plain(report)}


def plain(told: Any) -> Any:
    """Dataclasses and numbers as JSON has them; a figure that there is not becomes null."""
    if is_dataclass(told) and not isinstance(told, type):
        value = {"value": told.value} if isinstance(told, Rate) else {}
        return {**value, **{field.name: plain(getattr(told, field.name)) for field in fields(told)}}
    if isinstance(told, Mapping):
        return {str(name): plain(value) for name, value in told.items()}
    if isinstance(told, list | tuple):
        return [plain(one) for one in told]
    if isinstance(told, float):
        return told if math.isfinite(told) else None
    return told
