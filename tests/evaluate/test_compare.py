"""Two runs side by side: the tests are the textbooks', and rows are matched by their ids."""

from __future__ import annotations

from itertools import product
from math import comb

import numpy as np
import pytest
from scipy import stats

from guardrail.errors import ConfigError
from guardrail.evaluate.compare import compare, flips, mcnemar
from guardrail.evaluate.sheet import read
from tests.evaluate import made


@pytest.fixture
def runs(tmp_path):
    def runs(first, second, **more):
        return read(made.run(tmp_path / "first", first)), read(made.run(tmp_path / "second", second, **more))

    return runs


def of(told, what):
    return next(one for one in told.differences if one.what.startswith(what))


def test_mcnemars_exact_test_is_that_of_the_binomial_distribution():
    # 6 against 16 discordant pairs: two tails of Binomial(22, 1/2) up to 6.
    assert mcnemar(6, 16) == pytest.approx(2 * stats.binom.cdf(6, 22, 0.5))
    assert mcnemar(0, 0) == 1.0


@pytest.mark.parametrize(("one", "other"), [(9, 2), (2, 9), (0, 5), (4, 4), (1, 0)])
def test_mcnemars_exact_test_is_that_of_counting_all_ways(one, other):
    """Two against nine is 134 of 2048 ways: the example of R's exact2x2."""
    ways = [comb(one + other, k) for k in range(one + other + 1)]
    as_far = sum(n for k, n in enumerate(ways) if n <= ways[one])
    assert mcnemar(one, other) == pytest.approx(as_far / 2 ** (one + other))
    if {one, other} == {2, 9}:
        assert as_far == 134


def test_flips_of_groups_are_near_the_share_of_all_ways():
    """Seven groups with sums of their own: all 128 ways to give them signs, counted."""
    sums = np.array([3, 2, 2, 1, -1, 4, 1])
    gap = np.concatenate([np.full(abs(one), np.sign(one)) for one in sums]).astype(float)
    groups = np.repeat(np.arange(7), np.abs(sums))
    ways = np.array(list(product((-1, 1), repeat=7))) @ np.abs(sums)
    assert flips(gap, groups) == pytest.approx(np.mean(np.abs(ways) >= sums.sum()), abs=0.01)


def test_flips_of_single_rows_agree_with_mcnemar():
    gap = np.r_[np.ones(16), -np.ones(6), np.zeros(40)]
    assert flips(gap, np.arange(62)) == pytest.approx(mcnemar(6, 16), abs=0.01)


def test_flips_know_that_rows_of_a_group_go_together():
    gap = np.ones(12)
    assert flips(gap, np.arange(12)) < 0.001
    assert flips(gap, np.repeat([0, 1, 2], 4)) == pytest.approx(0.25, abs=0.02)  # three groups: 2 of 8 ways
    assert flips(np.zeros(4), np.arange(4)) == 1.0


def test_discordant_rows_are_counted_each_way(runs):
    one = [made.row(f"p{n}", 1, 0.9 if n < 50 else 0.1) for n in range(80)] + [made.row("n", 0, 0.1)]
    other = [made.row(f"p{n}", 1, 0.9 if n >= 10 else 0.1) for n in range(80)] + [made.row("n", 0, 0.1)]
    told = of(compare(*runs(one, other)), "recall")
    assert (told.only_first, told.only_second) == (10, 30)
    assert (told.first.hits, told.second.hits) == (50, 70)
    assert told.p == pytest.approx(mcnemar(10, 30))
    assert told.change.value == pytest.approx(0.25)
    assert told.change.low < 0.25 < told.change.high
    assert told.held >= told.p


def test_rows_of_a_group_are_not_tested_as_if_they_were_strangers(runs):
    """Three persons of forty, ten pictures each, whom one run alone finds: three coins, not thirty."""

    def rows(found):
        score = {True: 0.9, False: 0.1}
        return [
            made.row(f"p{n}-{copy}", 1, score[n >= 3 or found], group=f"p{n}") for n in range(40) for copy in range(10)
        ]

    told = of(compare(*runs(rows(False), rows(True))), "recall")
    assert (told.only_second, told.test) == (30, "flips")
    assert told.p == pytest.approx(0.25, abs=0.02)


def test_a_better_run_is_found_and_one_that_is_the_same_is_not(runs):
    rows = made.normal(400, 1.0)
    better = [{**row, "scores": {"prompt.undress": min(1.0, s + 0.3 * row["labels"]["undress"])}}
              for row in rows for s in row["scores"].values()]  # fmt: skip
    told = compare(*runs(rows, better))
    assert of(told, "ROC AUC").held < 0.001
    assert of(told, "ROC AUC").change.low > 0
    assert of(told, "false-positive rate").held == 1.0


def test_rows_are_matched_by_id_whatever_their_order_and_the_rest_is_counted(runs):
    rows = made.normal(40, 1.0)
    told = compare(*runs(rows, [*reversed(rows[2:]), made.row("new", 1, 0.5)]))
    assert (told.rows, told.left_out) == (78, 3)
    assert of(told, "ROC AUC").change.value == 0.0


def test_rows_that_one_of_the_two_could_not_tell_are_said_and_not_compared(runs):
    rows = made.normal(40, 1.0)
    told = compare(*runs(rows, [made.row("r0", 1, None), *rows[1:]]))
    assert of(told, "recall").first.n == 39
    assert any("1 rows that one of the two could not tell" in note for note in told.notes)


def test_other_rows_signals_and_given_scores_are_said(tmp_path):
    rows = made.normal(40, 2.0)
    one = read(made.run(tmp_path / "one", rows))
    other = read(
        made.run(
            tmp_path / "other",
            [{**row, "scores": {"output.undress": row["scores"]["prompt.undress"]}} for row in rows[:60]],
            part={"limit": 60},
            signals={"undress": "output.undress"},
            assume={"*": {"input.person": 1.0}},
        )
    )
    assert compare(one, other).notes == [
        "the part of the suite differs: all and the first 60 rows",
        "scores taken as given differ: none and input.person=1",
        "undress is scored by prompt.undress and by output.undress",
    ]


def test_what_differs_between_the_runs_is_said(runs):
    rows = made.normal(10, 1.0)
    told = compare(*runs(rows, rows, models=["says@2"], attack={"name": "leet", "seed": 0}))
    assert told.notes == ["models differs: says@1 and says@2", "attack differs: none and leet"]


def test_actions_that_moved_are_counted(runs):
    rows = made.normal(10, 1.0)
    told = compare(*runs([{**row, "action": "allow"} for row in rows], [{**row, "action": "hold"} for row in rows]))
    assert told.moved == {"allow": {"hold": 20}}


@pytest.mark.parametrize(
    ("second", "more", "said"),
    [
        ([made.row("other", 1, 0.5)], {}, "share no row"),
        ([{**row, "labels": {"undress": 1}} for row in made.normal(5, 1.0)], {}, "other labels on undress"),
        (made.normal(5, 1.0), {"suite": {"id": "else", "factors": ["undress"]}}, "two runs of one suite"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused(runs, second, more, said):
    with pytest.raises(ConfigError, match=said):
        compare(*runs(made.normal(5, 1.0), second, **more))
