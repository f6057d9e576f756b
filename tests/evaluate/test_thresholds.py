"""Thresholds: chosen on one half, told by the other, and refused where there are too few rows."""

from __future__ import annotations

import numpy as np
import pytest

from guardrail.errors import ConfigError
from guardrail.evaluate.sheet import read
from guardrail.evaluate.thresholds import Goal, propose, tuning_half
from tests.evaluate import made


@pytest.fixture
def sheet(tmp_path):
    def sheet(rows, name="run", **more):
        return read(made.run(tmp_path / name, rows, **more))

    return sheet


def test_the_false_positive_rate_that_was_asked_for_is_kept_on_the_tuning_half(sheet):
    rows = made.normal(2000, 2.0)
    (told,) = propose([sheet(rows)], "undress", Goal(fpr=0.02), was=0.5)
    tuned = [row for row in rows if not row["labels"]["undress"] and tuning_half(f"made-up//{row['id']}", 0)]
    rate = np.mean([row["scores"]["prompt.undress"] >= told.threshold for row in tuned])
    lower = np.mean([row["scores"]["prompt.undress"] >= told.threshold - 0.001 for row in tuned])
    assert rate <= 0.02 < lower + 1 / len(tuned)
    assert told.interval[0] < told.threshold < told.interval[1]
    assert told.tuned_on[1] == len(tuned)
    assert told.held_out[1] == 2000 - len(tuned) == told.fpr.n
    assert told.fpr.low < 0.02 < told.fpr.high
    assert told.before[1].value > told.fpr.value


def test_the_interval_of_a_threshold_holds_the_true_one_as_often_as_it_says(sheet):
    """Scores are the logistic of a normal distribution: the threshold of 5 % is known."""
    truth = 1 / (1 + np.exp(-(1.6448536 - 1.0)))
    held = []
    for seed in range(60):
        (told,) = propose([sheet(made.normal(300, 2.0, seed), f"r{seed}")], "undress", Goal(fpr=0.05))
        held.append(told.interval[0] - 0.001 <= truth <= told.interval[1] + 0.001)
    assert np.mean(held) >= 0.85


def test_the_least_cost_is_found(sheet):
    """A miss ten times as dear as a false alarm, half of the rows harmful: where the density ratio is a tenth."""
    rows = made.normal(8000, 2.0)
    (told,) = propose([sheet(rows)], "undress", Goal(cost=(10, 1), prevalence=0.5))
    best = 1 / (1 + np.exp(np.log(10) / 2))
    assert told.threshold == pytest.approx(best, abs=0.05)
    (rare,) = propose([sheet(rows, "again")], "undress", Goal(cost=(10, 1), prevalence=0.01))
    assert rare.threshold > told.threshold


def test_a_group_goes_to_one_half_as_a_whole(sheet):
    rows = [
        made.row(f"{n}{label}", label, 0.8 if label else 0.2, group=f"twin{n}") for n in range(400) for label in (0, 1)
    ]
    (told,) = propose([sheet(rows)], "undress", Goal(fpr=0.05))
    assert told.tuned_on[0] == told.tuned_on[1]
    assert 150 < told.tuned_on[0] < 250


def test_an_attacked_copy_of_a_row_is_on_the_side_of_the_row(sheet):
    rows = made.normal(200, 2.0)
    (once,) = propose([sheet(rows)], "undress", Goal(fpr=0.05))
    leet = {"name": "leet", "seed": 0}
    (twice,) = propose([sheet(rows, "a"), sheet(rows, "b", attack=leet)], "undress", Goal(fpr=0.05))
    assert twice.tuned_on == (2 * once.tuned_on[0], 2 * once.tuned_on[1])
    assert twice.threshold == once.threshold
    assert "b: every row was attacked (leet)" in twice.notes
    assert not any("attacked" in note for note in once.notes)


def test_rows_do_not_become_more_by_being_named_twice(sheet):
    """Half as many as are needed, twice over, would pass for enough."""
    rows = made.normal(40, 2.0)
    for again in (rows, rows[:1]):
        with pytest.raises(ConfigError, match="are runs of the same rows, which would count twice"):
            propose([sheet(rows, f"a{len(again)}"), sheet(again, f"b{len(again)}")], "undress", Goal(fpr=0.05))


def test_too_few_rows_are_refused_with_what_would_be_needed(sheet):
    (told,) = propose([sheet(made.normal(200, 2.0))], "undress", Goal(fpr=0.01))
    assert told.threshold is None
    assert told.needs == (60, 600)
    assert "about 60 positives and 600 negatives are needed in all, there are 200 and 200" in told.refused


def test_a_language_is_told_where_it_has_enough_rows_and_refused_where_not(sheet):
    rows = made.normal(400, 2.0, slices={"lang": "nl"})
    rows += [{**row, "id": f"k{row['id']}"} for row in made.normal(20, 2.0, slices={"lang": "ko"})]
    told = {one.where: one for one in propose([sheet(rows)], "undress", Goal(fpr=0.05), by="lang")}
    assert set(told) == {"", "lang=nl", "lang=ko"}
    assert told["lang=nl"].threshold is not None
    assert told["lang=ko"].refused
    with pytest.raises(ConfigError, match="has that slice"):
        propose([sheet(rows, "again")], "undress", Goal(fpr=0.05), by="form")


def test_harmless_rows_that_all_score_the_highest_leave_no_threshold(sheet):
    rows = [made.row(f"r{n}", n % 2, 1.0) for n in range(400)]
    (told,) = propose([sheet(rows)], "undress", Goal(fpr=0.05))
    assert "no threshold up to 1" in told.refused


def test_a_threshold_is_never_zero(sheet):
    rows = [made.row(f"r{n}", n % 2, 0.9 * (n % 2)) for n in range(400)]
    (told,) = propose([sheet(rows)], "undress", Goal(fpr=0.5))
    assert 0 < told.threshold <= 0.9


def test_what_could_not_be_told_is_said(sheet):
    rows = [*made.normal(200, 2.0), made.row("blind", 1, None)]
    (told,) = propose([sheet(rows)], "undress", Goal(fpr=0.05))
    assert told.unscored == 1
    assert any("1 rows could not be told" in note for note in told.notes)


def test_a_threshold_is_that_of_one_model(sheet):
    rows = made.normal(5, 1.0)
    with pytest.raises(ConfigError, match="different models"):
        propose([sheet(rows, "a"), sheet(rows, "b", models=["says@2"])], "undress", Goal(fpr=0.05))
    with pytest.raises(ConfigError, match="no run scores the factor 'minor'"):
        propose([sheet(rows, "c")], "minor", Goal(fpr=0.05))


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"fpr": 0.1, "cost": (1, 1)},
        {"fpr": 0.0},
        {"fpr": 1.0},
        {"cost": (0, 1)},
        {"cost": (1, 1), "prevalence": 1.0},
    ],
)
def test_a_goal_that_is_none_is_refused(wrong):
    with pytest.raises(ConfigError):
        Goal(**wrong)
