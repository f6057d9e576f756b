"""Plots as inline SVG, drawn here so that they follow the page: its fonts, its dark mode, and no script or network.

What a line is, its dash and its label say too, so a plot can be read without colours. Each has a title and a
description for those who do not see it; the figures stand in tables beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

from guardrail.evaluate.figures import Curves, FactorFigures, SliceFigures
from guardrail.evaluate.intervals import Rate

WIDTH, HEIGHT = 360, 270
LEFT, RIGHT, TOP, BOTTOM = 48, 12, 12, 44

Points = Sequence[tuple[float, float]]


class Frame:
    """A plot whose axes both run from 0 to 1. `lines` are names of lines, by their class, told above it."""

    def __init__(self, title: str, says: str, across: str, up: str, lines: Sequence[tuple[str, str]] = ()) -> None:
        self._parts: list[str] = []
        self._title, self._says = title, says
        self._top = TOP + (18 if lines else 0)
        self._axes(across, up)
        self._legend(lines)

    def x(self, value: float) -> float:
        return LEFT + value * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - value * (HEIGHT - self._top - BOTTOM)

    def line(self, points: Points, kind: str) -> None:
        """A line through points in [0, 1]; `kind` is its class, "a" or "b"."""
        if len(points) > 1:
            told = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in points)
            self._parts.append(f'<polyline class="line {kind}" points="{told}"/>')

    def dot(self, x: float, y: float, kind: str, label: str = "", radius: float = 4.0) -> None:
        """A point with a label beside it, on the side that has room."""
        self._parts.append(f'<circle class="dot {kind}" cx="{self.x(x):.1f}" cy="{self.y(y):.1f}" r="{radius:.1f}"/>')
        if label:
            right = x < 0.75
            self.text(x, y, label, "start" if right else "end", 8 if right else -8, 14 if y > 0.9 else 4)

    def text(self, x: float, y: float, words: str, anchor: str = "start", dx: float = 0.0, dy: float = 0.0) -> None:
        place = f'x="{self.x(x) + dx:.1f}" y="{self.y(y) + dy:.1f}"'
        self._parts.append(f'<text {place} text-anchor="{anchor}">{escape(words)}</text>')

    def mark(self, x: float) -> None:
        """A vertical line over the whole height."""
        self._parts.append(
            f'<line class="mark" x1="{self.x(x):.1f}" x2="{self.x(x):.1f}" y1="{self.y(0):.1f}" y2="{self.y(1):.1f}"/>'
        )

    def bar(self, x: float, width: float, base: float, height: float, kind: str) -> None:
        """A bar from `base`, upward or downward."""
        top, bottom = self.y(max(base, base + height)), self.y(min(base, base + height))
        left, right = self.x(x), self.x(x + width)
        size = f'width="{max(0.5, right - left - 1):.1f}" height="{bottom - top:.1f}"'
        self._parts.append(f'<rect class="bar {kind}" x="{left:.1f}" y="{top:.1f}" {size}/>')

    def diagonal(self) -> None:
        self._parts.append(
            f'<line class="mark" x1="{self.x(0)}" x2="{self.x(1)}" y1="{self.y(0):.1f}" y2="{self.y(1):.1f}"/>'
        )

    def _legend(self, lines: Sequence[tuple[str, str]]) -> None:
        for at, (kind, words) in enumerate(lines):
            x, y = LEFT + at * (WIDTH - LEFT - RIGHT) / len(lines), TOP
            self._parts.append(f'<line class="line {kind}" x1="{x:.1f}" x2="{x + 18:.1f}" y1="{y}" y2="{y}"/>')
            self._parts.append(f'<text x="{x + 22:.1f}" y="{y + 4}">{escape(words)}</text>')

    def svg(self) -> str:
        return _svg(WIDTH, HEIGHT, self._title, self._says, self._parts)

    def _axes(self, across: str, up: str) -> None:
        for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
            x, y = self.x(tick), self.y(tick)
            self._parts.append(f'<line class="grid" x1="{x}" x2="{x}" y1="{self.y(0)}" y2="{self.y(1)}"/>')
            self._parts.append(f'<text x="{x}" y="{self.y(0) + 16}" text-anchor="middle">{tick:g}</text>')
            if up:
                self._parts.append(f'<line class="grid" x1="{self.x(0)}" x2="{self.x(1)}" y1="{y}" y2="{y}"/>')
                self._parts.append(f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{tick:g}</text>')
        middle = (LEFT + WIDTH - RIGHT) / 2
        self._parts.append(f'<text x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">{escape(across)}</text>')
        if up:
            y = (self._top + HEIGHT - BOTTOM) / 2
            self._parts.append(
                f'<text x="12" y="{y}" text-anchor="middle" transform="rotate(-90 12 {y})">{escape(up)}</text>'
            )


def _svg(width: int, height: int, title: str, says: str, parts: Iterable[str]) -> str:
    head = f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}: {escape(says)}">'
    return f"{head}<title>{escape(title)}</title>{''.join(parts)}</svg>"


def roc(figures: FactorFigures) -> str:
    """ROC curve with a point at each threshold of the policy."""
    told = figures.roc_auc.value
    frame = Frame("ROC", f"area {told:.3f}" if told is not None else "no curve", "false-positive rate", "recall")
    frame.diagonal()
    frame.line(figures.curves.roc, "a")
    _points(frame, figures)
    return frame.svg()


def _points(frame: Frame, figures: FactorFigures) -> None:
    for at in figures.at_thresholds:
        if at.recall.value is not None and at.fpr.value is not None:
            frame.dot(at.fpr.value, at.recall.value, "b", f"{at.threshold:g}" if at.threshold == figures.main else "")


def precision_recall(figures: FactorFigures) -> str:
    """Precision over recall."""
    told = figures.average_precision.value
    says = f"average precision {told:.3f}" if told is not None else "no curve"
    frame = Frame("Precision and recall", says, "recall", "precision (at the sample's share)")
    frame.line(figures.curves.pr, "a")
    for at in figures.at_thresholds:
        if at.recall.value is not None and at.precision.value is not None:
            label = f"{at.threshold:g}" if at.threshold == figures.main else ""
            frame.dot(at.recall.value, at.precision.value, "b", label)
    return frame.svg()


def sweep(figures: FactorFigures) -> str:
    """Recall and false-positive rate over the threshold: what to look at when choosing one."""
    lines = (("a", "recall"), ("b", "false positives"))
    frame = Frame("Thresholds", "recall and false-positive rate over the threshold", "threshold", "rate", lines)
    for at in figures.at_thresholds:
        frame.mark(at.threshold)
    ordered = sorted(figures.curves.sweep)
    frame.line(_steps([(at, recall) for at, recall, _ in ordered]), "a")
    frame.line(_steps([(at, fpr) for at, _, fpr in ordered]), "b")
    return frame.svg()


def _steps(points: Points) -> list[tuple[float, float]]:
    """A rate keeps its value up to the next score that occurs; below the lowest it is that of the lowest."""
    told: list[tuple[float, float]] = []
    before = 0.0
    for at, value in points:
        told += [(before, value), (at, value)]
        before = at
    return [*told, (before, 0.0), (1.0, 0.0)] if told else []


def reliability(figures: FactorFigures) -> str:
    """Share of positives over the mean score of each bin: on the diagonal a score is a probability."""
    told = figures.ece.value
    says = f"calibration error {told:.3f}" if told is not None else "nothing to show"
    frame = Frame("Calibration", says, "mean score of a bin", "share labelled 1")
    frame.diagonal()
    bins = figures.curves.reliability
    frame.line([(mean, part) for _, mean, part in bins], "a")
    most = max((n for n, _, _ in bins), default=1)
    for n, mean, part in bins:
        frame.dot(mean, part, "a", radius=2 + 6 * math.sqrt(n / most))
    return frame.svg()


def distribution(curves: Curves, thresholds: Sequence[float]) -> str:
    """How scores lie: rows labelled 1 upward, 0 downward, each as shares of its own, on a root scale."""
    frame = Frame("Scores", "rows labelled 1 upward, rows labelled 0 downward", "score (root scale upward)", "")
    parts = len(curves.positives)
    most = max((math.sqrt(_part(n, side)) for side in (curves.positives, curves.negatives) for n in side), default=0.0)
    for side, kind, way in ((curves.positives, "a", 1), (curves.negatives, "b", -1)):
        for at, n in enumerate(side):
            if n:
                frame.bar(at / parts, 1 / parts, 0.5, way * 0.47 * math.sqrt(_part(n, side)) / most, kind)
    for at_least in thresholds:
        frame.mark(at_least)
    frame.text(0.3, 1.0, "labelled 1", "middle", 0, 10)
    frame.text(0.3, 0.0, "labelled 0", "middle", 0, -4)
    return frame.svg()


def _part(n: int, side: Sequence[int]) -> float:
    return n / max(1, sum(side))


def forest(found: Sequence[SliceFigures], title: str) -> str:
    """Recall and false-positive rate of each value of a slice, with their intervals."""
    row, left, gap = 20, 104, 16
    height = 52 + row * len(found)
    width = 400
    half = (width - left - gap - 12) / 2
    parts = []
    for side, (word, kind) in enumerate((("recall", "a"), ("false positives", "b"))):
        start = left + side * (half + gap)
        for tick in (0.0, 0.5, 1.0):
            x = start + tick * half
            parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="24" y2="{height - 24}"/>')
            parts.append(f'<text x="{x:.1f}" y="{height - 8}" text-anchor="middle">{tick:g}</text>')
        parts.append(f'<text x="{start + half / 2:.1f}" y="14" text-anchor="middle">{word}</text>')
        for at, one in enumerate(found):
            told = one.recall if kind == "a" else one.fpr
            parts += _whisker(told, start, half, 36 + row * at, kind)
    for at, one in enumerate(found):
        words = one.value if len(one.value) <= 16 else f"{one.value[:15]}…"
        parts.append(f'<text x="{left - 10}" y="{40 + row * at}" text-anchor="end">{escape(words)}</text>')
    return _svg(width, height, title, "recall and false-positive rate with their intervals", parts)


def _whisker(told: Rate, start: float, half: float, y: float, kind: str) -> list[str]:
    if told.value is None:
        return []
    ends = f'x1="{start + told.low * half:.1f}" x2="{start + told.high * half:.1f}"'
    return [
        f'<line class="line {kind} solid" {ends} y1="{y}" y2="{y}"/>',
        f'<circle class="dot {kind}" cx="{start + told.value * half:.1f}" cy="{y}" r="3.5"/>',
    ]


def both_roc(one: FactorFigures, other: FactorFigures, names: tuple[str, str]) -> str:
    """The ROC curves of two runs."""
    words = [name if len(name) <= 22 else f"{name[:21]}…" for name in names]
    lines = (("a", words[0]), ("b", words[1]))
    frame = Frame(f"ROC of {one.factor}", f"{names[0]} and {names[1]}", "false-positive rate", "recall", lines)
    frame.diagonal()
    frame.line(one.curves.roc, "a")
    frame.line(other.curves.roc, "b")
    return frame.svg()
