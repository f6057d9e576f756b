"""Intervals: equal to an independent computation, and holding what they promise."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from guardrail.errors import ConfigError
from guardrail.evaluate.intervals import (
    benjamini_hochberg,
    bootstrap,
    effective_size,
    holm,
    library,
    rate,
    rate_of,
)

WITHIN = (0.93, 0.97)
"""95 % give or take 2 %: what a simulated coverage may be."""


def test_rates_have_wilsons_interval_and_the_exact_one():
    assert rate(0, 10).low == 0.0
    # Newcombe 1998, table I: 15 of 148, Wilson without continuity correction 0.0624 to 0.1605.
    assert (rate(15, 148).low, rate(15, 148).high) == (pytest.approx(0.0624, abs=5e-5), pytest.approx(0.1605, abs=5e-5))
    # The same row, Clopper-Pearson: 0.0578 to 0.1617.
    exact = rate(15, 148, "exact")
    assert (exact.low, exact.high) == (pytest.approx(0.0578, abs=5e-5), pytest.approx(0.1617, abs=5e-5))


def test_a_rate_of_nothing_is_no_rate():
    nothing = rate_of(np.zeros(0, bool))
    assert (nothing.value, nothing.low, nothing.high, nothing.words) == (None, 0.0, 1.0, "-")


def test_rows_that_each_stand_alone_give_the_plain_interval():
    flags = np.array([True] * 15 + [False] * 133)
    assert rate_of(flags, np.arange(148)) == rate(15, 148) == rate_of(flags)


def test_rows_that_stand_twice_are_worth_half():
    flags = np.repeat(np.random.default_rng(1).random(400) < 0.3, 2)
    assert effective_size(flags, np.repeat(np.arange(400), 2)) == pytest.approx(400, rel=0.01)
    doubled, once = rate_of(flags, np.repeat(np.arange(400), 2)), rate_of(flags[::2])
    assert (doubled.low, doubled.high) == (pytest.approx(once.low, abs=1e-3), pytest.approx(once.high, abs=1e-3))


def test_where_no_flag_differs_each_group_counts_once():
    flags = np.ones(60, bool)
    assert effective_size(flags, np.repeat(np.arange(20), 3)) == 20
    assert rate_of(flags, np.repeat(np.arange(20), 3)).low == pytest.approx(rate(20, 20).low, abs=1e-6)


@pytest.mark.parametrize("method", ["wilson", "exact"])
def test_the_interval_of_grouped_rows_holds_the_truth_as_often_as_it_says(method):
    """Groups of four with a rate of their own around 0.3: rows counted one by one would hold it far too seldom."""
    random = np.random.default_rng(2)
    grouped, alone = [], []
    for _ in range(600):
        own = random.beta(3, 7, size=100)
        flags = (random.random((100, 4)) < own[:, None]).ravel()
        told, plain = rate_of(flags, np.repeat(np.arange(100), 4), method), rate_of(flags, None, method)
        grouped.append(told.low <= 0.3 <= told.high)
        alone.append(plain.low <= 0.3 <= plain.high)
    assert WITHIN[0] <= np.mean(grouped) <= WITHIN[1] + 0.01
    assert np.mean(alone) < np.mean(grouped)


def test_the_bootstrap_holds_the_truth_as_often_as_it_says():
    random = np.random.default_rng(3)
    held = []
    for _ in range(400):
        values = random.normal(5.0, 2.0, size=120)
        low, high = bootstrap(
            lambda times, values=values: {"mean": float((values * times).sum() / times.sum())},
            np.arange(120),
            draws=200,
        )["mean"]
        held.append(low <= 5.0 <= high)
    assert WITHIN[0] - 0.01 <= np.mean(held) <= WITHIN[1]


def test_the_bootstrap_resamples_whole_groups_and_is_the_same_each_time():
    groups = np.repeat(np.arange(50), 3)
    seen = []

    def figures(times):
        seen.append(times)
        return {"n": float(times.sum())}

    first = bootstrap(figures, groups, draws=20)
    assert all((times.reshape(50, 3) == times.reshape(50, 3)[:, :1]).all() for times in seen)
    assert bootstrap(figures, groups, draws=20) == first


def test_a_figure_that_most_resamples_cannot_give_has_no_interval():
    turns = iter(range(100))
    told = bootstrap(lambda times: {"rare": np.nan if next(turns) % 3 else 1.0, "all": 1.0}, np.arange(9), draws=30)
    assert set(told) == {"all"}


def test_adjusted_p_values_are_those_of_the_textbooks():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    # R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "BH")
    assert benjamini_hochberg([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.02, 0.04, 0.04, 0.02])
    assert (holm([]), benjamini_hochberg([])) == ([], [])


def test_holm_keeps_false_findings_rare_where_nothing_differs():
    p = np.random.default_rng(4).random((1000, 20))
    any_found = np.mean([min(holm(row.tolist())) < 0.05 for row in p])
    assert stats.binomtest(round(any_found * 1000), 1000, 0.05).pvalue > 0.001


def test_a_library_that_is_missing_is_named_with_what_to_install():
    with pytest.raises(ConfigError, match=r"no_such_library: pip install 'image-guardrail\[eval\]'"):
        library("no_such_library.stats")


def test_nothing_heavy_is_imported_before_it_is_used():
    code = (
        "import sys, guardrail.cli.eval_report, guardrail.cli.policy, guardrail.evaluate.evidence\n"
        "print(sorted({'scipy', 'sklearn', 'ray', 'pyarrow'} & {name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
