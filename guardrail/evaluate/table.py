"""The comparison table: the guard and its peers on the same rows, read from their run folders."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guardrail.errors import ConfigError
from guardrail.evaluate import runs
from guardrail.evaluate.intervals import Flags, Rate, library


@dataclass(frozen=True)
class Line:
    """One run on one factor at one threshold. `auc` is None where there is one class, or a score of yes and no."""

    run: str
    models: str
    suite: str
    factor: str
    threshold: float
    auc: float | None
    recall: Rate
    false_alarms: Rate
    unscored: int
    median_ms: float


def lines(
    folders: Sequence[Path], thresholds: Sequence[float] = (), where: Collection[tuple[str, str]] = ()
) -> list[Line]:
    """A line for each run and factor. At the run's highest threshold, or at each of `thresholds` where some are given.

    `where` takes the rows whose slices have these values; a factor that none of them is labelled with is left out.

    Raises ConfigError where two runs of one suite are not of the same rows, or scikit-learn is missing.
    """
    found: list[Line] = []
    digests: dict[str, tuple[str, str]] = {}
    for folder in folders:
        told = runs.read_run(folder)
        suite = told["suite"]
        this = f"{suite['digest']} {suite['where']} {suite['limit']} {told['rows']}"
        other, digest = digests.setdefault(suite["id"], (folder.name, this))
        if digest != this:
            raise ConfigError(f"{folder.name} and {other} are not of the same rows of suite {suite['id']}")
        times = sorted(one["took_ms"] for one in runs.timings(folder))
        for factor, signal in told["signals"].items():
            own = [max(told["thresholds"][signal])] if told["thresholds"].get(signal) else []
            for threshold in [*thresholds] or own or [0.5]:
                median_ms = times[len(times) // 2] if times else 0.0
                line = _line(folder, told, factor, signal, threshold, median_ms, where)
                if line.recall.n or line.false_alarms.n:
                    found.append(line)
    return sorted(found, key=lambda line: (line.suite, line.factor))


def _line(
    folder: Path,
    told: dict[str, Any],
    factor: str,
    signal: str,
    threshold: float,
    median_ms: float,
    where: Collection[tuple[str, str]],
) -> Line:
    truths: list[int] = []
    scores: list[float] = []
    unscored = 0
    recall, alarms = Flags(), Flags()
    for row in runs.rows(folder):
        label = row["labels"].get(factor)
        if label is None or any(row["slices"].get(name) != value for name, value in where):
            continue
        score = row["scores"].get(signal)
        unscored += score is None
        truths.append(label)
        scores.append(0.0 if score is None else score)
        (recall if label else alarms).add(row, scores[-1] >= threshold)
    return Line(
        folder.name,
        ", ".join(told["models"]),
        told["suite"]["id"],
        factor,
        threshold,
        _auc(truths, scores),
        recall.rate(),
        alarms.rate(),
        unscored,
        median_ms,
    )


def _auc(truths: Sequence[int], scores: Sequence[float]) -> float | None:
    if len(set(truths)) < 2 or len(set(scores)) < 3:  # yes or no has no curve
        return None
    return float(library("sklearn.metrics").roc_auc_score(truths, scores))


def as_markdown(found: Collection[Line]) -> str:
    """The table, a section for each suite and factor, and the models of each run under it.

    What could not be told counts as not found and as no alarm. Rows of a group count together in the intervals.
    """
    return "\n".join(_markdown(found)).lstrip("\n") + "\n"


def _markdown(found: Collection[Line]) -> Iterator[str]:
    head = ""
    for line in found:
        if head != (head := f"{line.suite}: {line.factor}"):
            yield f"\n### {head}\n"
            yield "| run | AUC | threshold | recall | false alarms | could not be told | median ms |"
            yield "|---|--:|--:|--:|--:|--:|--:|"
        auc = "-" if line.auc is None else f"{line.auc:.3f}"
        yield (
            f"| {line.run} | {auc} | {line.threshold:g} | {line.recall.words} "
            f"| {line.false_alarms.words} | {line.unscored} | {line.median_ms:.2f} |"
        )
    yield "\n### Models\n"
    by_models: dict[str, list[str]] = {}
    for line in found:
        runs_of = by_models.setdefault(line.models, [])
        if line.run not in runs_of:
            runs_of.append(line.run)
    for models, names in by_models.items():
        yield f"- {', '.join(names)}: {models}"
