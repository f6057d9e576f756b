"""Intervals: equal to an independent computation, and holding what they promise."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from guardrail.errors import ConfigError
from guardrail.evaluate.intervals import (
    Flags,
    _exact,
    _wilson,
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


def test_the_bootstrap_of_groups_holds_the_truth_as_often_as_it_says():
    """Sixty groups of five with a level of their own: rows drawn one by one would hold the mean far too seldom."""
    random = np.random.default_rng(8)
    groups = np.repeat(np.arange(60), 5)
    held, alone = [], []
    for _ in range(300):
        values = random.normal(5.0, 1.0, size=60)[groups] + random.normal(0.0, 1.0, size=300)

        def mean(times, values=values):
            return {"mean": float((values * times).sum() / times.sum())}

        for found, codes in ((held, groups), (alone, np.arange(300))):
            low, high = bootstrap(mean, codes, draws=200)["mean"]
            found.append(low <= 5.0 <= high)
    assert WITHIN[0] - 0.03 <= np.mean(held) <= WITHIN[1]
    assert np.mean(alone) < 0.8


def test_the_bootstrap_of_a_mean_of_groups_is_near_its_known_interval():
    """Groups of one size: their means are independent, and so many that the normal interval of those is known."""
    random = np.random.default_rng(9)
    groups = np.repeat(np.arange(400), 3)
    values = random.normal(size=400)[groups] + random.normal(size=1200)
    means = values.reshape(400, 3).mean(axis=1)
    half = stats.norm.ppf(0.975) * means.std(ddof=1) / 20
    ends = bootstrap(lambda times: {"mean": float((values * times).sum() / times.sum())}, groups, draws=2000)["mean"]
    assert ends == (
        pytest.approx(means.mean() - half, abs=0.12 * half),
        pytest.approx(means.mean() + half, abs=0.12 * half),
    )


@pytest.mark.parametrize(("hits", "n"), [(0, 20), (1, 20), (13, 20), (20, 20), (15, 148)])
def test_the_intervals_of_fractions_are_those_of_whole_counts_where_the_counts_are_whole(hits, n):
    for method, own in (("wilson", _wilson), ("exact", _exact)):
        told = stats.binomtest(hits, n).proportion_ci(0.95, method=method)
        assert own(float(hits), float(n)) == (pytest.approx(told.low, abs=1e-9), pytest.approx(told.high, abs=1e-9))


def test_rows_of_a_log_are_gathered_with_their_groups():
    flags = Flags()
    for n in range(60):
        flags.add({"id": f"g{n}", "group": f"g{n // 3}" if n < 30 else None}, n // 3 % 2 > 0)
    told = np.arange(60) // 3 % 2 > 0
    assert flags.rate() == rate_of(told, np.r_[np.arange(30) // 3, np.arange(30, 60)])
    assert flags.rate() != rate_of(told, np.arange(60) // 3)


def test_the_effective_size_is_that_of_the_variance_between_groups():
    """By hand: three groups with 2 of 2, 0 of 2 and 1 of 2. The rate is 1/2, the residuals of groups are 1, -1 and 0;
    the variance between groups 3/2 * 2/36 = 1/12, that of six rows alone 1/24: each row is worth half."""
    assert effective_size(np.array([1, 1, 0, 0, 1, 0], bool), np.array([0, 0, 1, 1, 2, 2])) == pytest.approx(3.0)


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
    with pytest.raises(ConfigError, match=r"no_such_library: in a clone.*'\.\[eval\]'"):
        library("no_such_library.stats")


def test_nothing_heavy_is_imported_before_it_is_used():
    code = (
        "import sys, guardrail.cli.eval_report, guardrail.cli.policy, guardrail.evaluate.evidence\n"
        "print(sorted({'scipy', 'sklearn', 'ray', 'pyarrow'} & {name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
