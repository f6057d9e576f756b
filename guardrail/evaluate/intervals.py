"""Intervals: what a count or a sample can say at 95 %, and what it can't.

Rows of one group (a twin pair, a person) are not independent, so everything here takes groups: rates through the
effective size of the sample, the rest by resampling whole groups.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from guardrail.errors import ConfigError, extra

LEVEL = 0.95
FEW = 30
"""Below so many rows nothing is said of a slice: Wilson's interval around 90 % is then more than 20 points wide."""
DRAWS = 1000
"""Resamples of a bootstrap. The ends of a 95 % interval then move by about a tenth of its width from seed to seed."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Method = Literal["wilson", "exact"]


def library(name: str) -> Any:
    """A module of the extra `eval`. Raises ConfigError that says how to install it."""
    try:
        return import_module(name)
    except ImportError:
        raise ConfigError(f"figures need {name.partition('.')[0]}: {extra('eval')}") from None


@dataclass(frozen=True)
class Rate:
    """`hits` of `n` with its 95 % interval; `value` is None where there is nothing to count."""

    hits: int
    n: int
    low: float
    high: float

    @property
    def value(self) -> float | None:
        return self.hits / self.n if self.n else None

    @property
    def words(self) -> str:
        if self.value is None:
            return "-"
        return f"{100 * self.value:.1f} % [{100 * self.low:.1f}, {100 * self.high:.1f}]"


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval; an end that the sample can't give is None."""

    value: float | None
    low: float | None = None
    high: float | None = None


def rate(hits: int, n: int, method: Method = "wilson") -> Rate:
    """A rate of independent rows with Wilson's interval, or the exact one of Clopper and Pearson."""
    return _rate(hits, n, float(n), method)


def rate_of(flags: npt.NDArray[Any], groups: Ints | None = None, method: Method = "wilson") -> Rate:
    """The share of true `flags`, with an interval that knows that rows of one of `groups` go together.

    The interval is that of a sample of the effective size n / deff, where deff is the variance of the rate between
    groups over that of independent rows, at least 1 (Korn and Graubard 1998). Where all flags are alike nothing can
    be seen of deff, and each group counts once.
    """
    n, hits = len(flags), int(np.count_nonzero(flags))
    return _rate(hits, n, effective_size(flags, groups), method)


def effective_size(flags: npt.NDArray[Any], groups: Ints | None) -> float:
    """Of how many independent rows this sample is worth; between 1 and its length, 0 for none."""
    n = len(flags)
    if n == 0 or groups is None:
        return float(n)
    _, codes = np.unique(groups, return_inverse=True)
    count = int(codes.max()) + 1
    if count == n:
        return float(n)
    share = float(np.mean(flags))
    independent = share * (1.0 - share) / n
    if independent == 0.0 or count < 2:
        return float(count)
    residual = np.bincount(codes, np.asarray(flags, dtype=np.float64) - share)
    between = count / (count - 1) * float(np.sum(residual**2)) / n**2
    return n / max(1.0, between / independent)


class Flags:
    """Yes and no of rows of a log, gathered one by one, with the groups that they go together in."""

    def __init__(self) -> None:
        self._flags: list[bool] = []
        self._groups: list[int] = []
        self._codes: dict[str, int] = {}

    def add(self, row: Mapping[str, Any], flag: bool) -> None:
        """`row` is a line of `rows.jsonl`; one without a group stands alone."""
        own = row.get("group")
        name = f"group {own}" if own is not None else f"row {row['id']}"
        self._groups.append(self._codes.setdefault(name, len(self._codes)))
        self._flags.append(flag)

    def rate(self) -> Rate:
        """The share of yes, with Wilson's interval."""
        return rate_of(np.asarray(self._flags, np.bool_), np.asarray(self._groups, np.int64))


def _rate(hits: int, n: int, size: float, method: Method) -> Rate:
    if not n:
        return Rate(0, 0, 0.0, 1.0)
    if size >= n:
        stats = library("scipy.stats")
        ends = stats.binomtest(hits, n).proportion_ci(LEVEL, method=method)
        return Rate(hits, n, float(ends.low), float(ends.high))
    share = hits / n
    low, high = (_wilson if method == "wilson" else _exact)(share * size, size)
    # The effective size is an estimate: the interval always holds the rate itself.
    return Rate(hits, n, min(low, share), max(high, share))


def _wilson(hits: float, n: float) -> tuple[float, float]:
    """Wilson's interval of a fractional count; `binomtest` takes whole ones only."""
    z = float(library("scipy.stats").norm.ppf((1 + LEVEL) / 2))
    share = hits / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)


def _exact(hits: float, n: float) -> tuple[float, float]:
    beta = library("scipy.stats").beta
    tail = (1 - LEVEL) / 2
    low = 0.0 if hits <= 0 else float(beta.ppf(tail, hits, n - hits + 1))
    high = 1.0 if hits >= n else float(beta.ppf(1 - tail, hits + 1, n - hits))
    return low, high


def bootstrap(
    figures: Callable[[Floats], Mapping[str, float]],
    groups: Ints,
    *,
    seed: int = 0,
    draws: int = DRAWS,
) -> dict[str, tuple[float, float]]:
    """Percentile intervals of several figures from resamples of whole groups, with replacement.

    `figures` takes how often each row stands in a resample, float64 of shape (rows,), and gives the figures; one that
    a resample can't give is NaN and left out. A figure that fewer than half of the resamples give has no interval.
    """
    random = np.random.default_rng(seed)
    _, codes = np.unique(groups, return_inverse=True)
    count = int(codes.max()) + 1 if len(codes) else 0
    drawn: dict[str, list[float]] = {}
    for _ in range(draws if count > 1 else 0):
        times = np.bincount(random.integers(0, count, count), minlength=count).astype(np.float64)
        for name, value in figures(times[codes]).items():
            drawn.setdefault(name, []).append(value)
    ends = {}
    for name, values in drawn.items():
        told = np.asarray(values)
        told = told[np.isfinite(told)]
        if len(told) >= draws / 2:
            low, high = np.quantile(told, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
            ends[name] = (float(low), float(high))
    return ends


def draws_for(rows: int) -> int:
    """How often to resample: less often where there are so many rows that a report would take minutes."""
    return DRAWS if rows <= 10_000 else max(200, DRAWS * 10_000 // rows)


def holm(p: Sequence[float]) -> list[float]:
    """P-values that hold together: Holm's step-down (1979), which bounds the chance of any false finding."""
    order = np.argsort(p, kind="stable")
    held = [0.0] * len(p)
    most = 0.0
    for at, index in enumerate(order):
        most = max(most, min(1.0, (len(p) - at) * p[index]))
        held[index] = most
    return held


def benjamini_hochberg(p: Sequence[float]) -> list[float]:
    """Adjusted p-values that bound the share of false findings among the findings (1995)."""
    if not p:
        return []
    return [float(one) for one in library("scipy.stats").false_discovery_control(np.asarray(p), method="bh")]
