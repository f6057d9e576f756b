"""The figures of the card: recall and false positives at the operating points, by origin and language."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from math import sqrt
from typing import Any

import numpy as np
import numpy.typing as npt
from data import FACTORS, Row

# What the default policy blocks at; see the reference page of the check.
POINTS = {"sexual": 0.5, "undress": 0.5, "revealing": 0.5, "person": 0.5, "minor": 0.3}


def interval(hits: int, n: int) -> tuple[float, float]:
    """Wilson's 95% interval of a share."""
    if n == 0:
        return 0.0, 1.0
    z, p = 1.96, hits / n
    middle, half = p + z * z / (2 * n), z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


def auc(score: npt.NDArray[np.float64], label: npt.NDArray[np.float64]) -> float | None:
    """Area under the ROC curve; ties count half."""
    positive, negative = score[label == 1], np.sort(score[label == 0])
    if not len(positive) or not len(negative):
        return None
    below = (np.searchsorted(negative, positive, "left") + np.searchsorted(negative, positive, "right")) / 2
    return float(below.mean() / len(negative))


def tables(rows: Sequence[Row], scores: npt.NDArray[np.float64]) -> dict[str, Any]:
    """Per factor, origin and language: how many rows with either label, and the share at or above the threshold."""
    out: dict[str, Any] = {}
    for h, factor in enumerate(FACTORS):
        cells: dict[tuple[str, str], list[tuple[float, int]]] = defaultdict(list)
        for row, score in zip(rows, scores[:, h], strict=True):
            label = row.labels[factor]
            if label is not None and np.isfinite(score):
                for key in ((row.origin, row.lang), (row.origin, "all")):
                    cells[key].append((float(score), label))
        table = {}
        for (origin, lang), pairs in sorted(cells.items()):
            score = np.array([p[0] for p in pairs])
            label = np.array([p[1] for p in pairs], float)
            cell: dict[str, Any] = {"auc": auc(score, label)}
            for name, which in (("recall", 1), ("false", 0)):
                n = int((label == which).sum())
                hits = int((score[label == which] >= POINTS[factor]).sum())
                if n:
                    low, high = interval(hits, n)
                    cell[name] = {"n": n, "share": hits / n, "low": low, "high": high}
            table[f"{origin}/{lang}"] = cell
        out[factor] = {"at": POINTS[factor], "by": table}
    return out


def shares(rows: Sequence[Row], told: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """By origin: how many rows, and the share for which `told` is true, with its interval."""
    out = {}
    for origin in sorted({row.origin for row in rows}):
        some = [bool(on) for row, on in zip(rows, told, strict=True) if row.origin == origin]
        low, high = interval(sum(some), len(some))
        out[origin] = {"n": len(some), "share": sum(some) / len(some), "low": low, "high": high}
    return out


def calibration(rows: Sequence[Row], scores: npt.NDArray[np.float64], bins: int = 10) -> dict[str, Any]:
    """Expected calibration error by factor and language: mean distance of score and share of harmful rows, by bin."""
    out: dict[str, Any] = {}
    for h, factor in enumerate(FACTORS):
        by_lang: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for row, score in zip(rows, scores[:, h], strict=True):
            label = row.labels[factor]
            if label in (0, 1):
                for key in (row.lang, "all"):
                    by_lang[key].append((float(score), float(label)))
        out[factor] = {}
        for lang, pairs in sorted(by_lang.items()):
            told = np.array(pairs)
            where = np.minimum((told[:, 0] * bins).astype(int), bins - 1)
            error = sum(
                abs(float((told[where == k, 0] - told[where == k, 1]).sum())) for k in range(bins) if (where == k).any()
            )
            out[factor][lang] = round(error / len(told), 4)
    return out


def text(found: dict[str, Any]) -> str:
    lines = []
    for factor, part in found.items():
        lines.append(f"\n{factor} at {part['at']}")
        for key, cell in part["by"].items():
            told = [f"  {key:32}", f"auc {cell['auc']:.3f}" if cell["auc"] is not None else "         "]
            for name in ("recall", "false"):
                if name in cell:
                    c = cell[name]
                    told.append(f"{name} {c['share']:.3f} [{c['low']:.3f} {c['high']:.3f}] n={c['n']}")
            lines.append("  ".join(told))
    return "\n".join(lines)
