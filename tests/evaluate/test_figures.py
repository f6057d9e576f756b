"""Figures: equal to scikit-learn's, known where they can be known, and nothing dropped in silence."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from sklearn import metrics
from sklearn.calibration import calibration_curve

from guardrail.errors import ConfigError
from guardrail.evaluate import runs
from guardrail.evaluate.figures import _slices, decisions, of_factor
from guardrail.evaluate.intervals import bootstrap
from guardrail.evaluate.ranked import Ranked
from guardrail.evaluate.sheet import Column, Sheet, Slice, read
from tests.evaluate import made


@pytest.fixture
def figures(tmp_path):
    def figures(rows, **more):
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        return of_factor(read(made.run(tmp_path / "run", rows, **more)), "undress")

    return figures


def test_areas_and_rates_are_those_of_an_independent_computation(figures):
    rows = made.normal(300, 1.5)
    told = figures(rows, thresholds={"prompt.undress": [0.3, 0.5]})
    truth = np.array([row["labels"]["undress"] for row in rows])
    scores = np.array([row["scores"]["prompt.undress"] for row in rows])
    assert told.roc_auc.value == pytest.approx(metrics.roc_auc_score(truth, scores))
    assert told.average_precision.value == pytest.approx(metrics.average_precision_score(truth, scores))
    assert told.brier.value == pytest.approx(metrics.brier_score_loss(truth, scores))
    assert [at.threshold for at in told.at_thresholds] == [0.3, 0.5]
    for at in told.at_thresholds:
        said = scores >= at.threshold
        tn, fp, fn, tp = metrics.confusion_matrix(truth, said).ravel()
        assert (at.recall.hits, at.recall.n, at.fpr.hits, at.fpr.n) == (tp, tp + fn, fp, fp + tn)
        assert (at.fnr.hits, at.precision.n) == (fn, tp + fp)
        assert at.f1.value == pytest.approx(metrics.f1_score(truth, said))
    fpr, tpr, _ = metrics.roc_curve(truth, scores, drop_intermediate=False)
    for at in told.at_rates:
        assert at.recall.value == pytest.approx(tpr[fpr <= at.fpr].max())
        assert at.recall.low < at.recall.value < at.recall.high


def test_weighted_figures_are_scikit_learns_too():
    random = np.random.default_rng(1)
    labels = random.integers(0, 2, 200)
    scores = np.round(random.random(200), 1)  # many ties
    times = random.integers(0, 4, 200).astype(float)
    told = Ranked(labels, scores).figures(times, at=(0.5,))
    assert told["roc_auc"] == pytest.approx(metrics.roc_auc_score(labels, scores, sample_weight=times))
    assert told["average_precision"] == pytest.approx(
        metrics.average_precision_score(labels, scores, sample_weight=times)
    )
    assert told["brier"] == pytest.approx(metrics.brier_score_loss(labels, scores, sample_weight=times))
    assert told["f1@0.5"] == pytest.approx(metrics.f1_score(labels, scores >= 0.5, sample_weight=times))


def test_scores_that_are_probabilities_have_no_calibration_error_and_others_have_theirs():
    random = np.random.default_rng(2)
    scores = random.random(200_000)
    honest = Ranked((random.random(200_000) < scores).astype(int), scores)
    assert honest.figures()["ece"] < 0.01
    # Always 0.9 where half is so.
    assert Ranked(np.tile([0, 1], 50), np.full(100, 0.9)).figures()["ece"] == pytest.approx(0.4)


@pytest.mark.parametrize("rows", [1, 7, 400])
def test_the_calibration_error_is_that_of_an_independent_computation(rows):
    """From scikit-learn's curve of calibration over ten bins of equal width, each weighed by its rows."""
    random = np.random.default_rng(rows)
    scores = random.random(rows) ** 2
    labels = (random.random(rows) < 0.3).astype(int)
    share, mean = calibration_curve(labels, scores, n_bins=10)
    counts = np.histogram(scores, bins=10, range=(0, 1))[0]
    expected = np.sum(counts[counts > 0] / rows * np.abs(share - mean))
    assert Ranked(labels, scores).figures()["ece"] == pytest.approx(expected)


def test_scores_on_the_edges_of_bins_belong_to_one_bin_each():
    scores = np.array([0.0, 0.1, 0.5, 0.9, 1.0])
    assert Ranked(np.array([0, 0, 1, 1, 1]), scores).bins() == [
        (1, 0.0, 0.0), (1, 0.1, 0.0), (1, 0.5, 1.0), (2, 0.95, 1.0)]  # fmt: skip


def test_a_sample_whose_figure_never_moves_has_no_interval_of_it(figures):
    """Average precision without an error is 1 in every resample, give or take the last digit of a sum."""
    told = figures([made.row(f"r{n}", n % 3 == 0, 0.6 + n / 1000 if n % 3 == 0 else n / 1000) for n in range(240)])
    assert told.average_precision.value == pytest.approx(1.0)
    assert (told.average_precision.low, told.average_precision.high) == (None, None)
    assert told.brier.low < told.brier.value < told.brier.high


def test_a_calibration_error_is_told_beside_what_chance_alone_would_give():
    random = np.random.default_rng(5)
    above = []
    for seed in range(200):
        scores = random.random(150)
        ranked = Ranked((random.random(150) < scores).astype(int), scores)
        above.append(ranked.figures()["ece"] > ranked.ece_by_chance(0.95, seed=seed))
    assert 0.01 <= np.mean(above) <= 0.09
    overconfident = Ranked(random.integers(0, 2, 150), np.full(150, 0.9))
    assert overconfident.figures()["ece"] > overconfident.ece_by_chance(0.95)


def test_the_intervals_of_resamples_hold_the_truth_about_as_often_as_they_say():
    random = np.random.default_rng(6)

    def drawn(count):
        labels = np.repeat([1, 0], count)
        return Ranked(labels, 1 / (1 + np.exp(-(random.normal(size=2 * count) + 2 * (labels - 0.5)))))

    names = ("average_precision", "recall@0.05", "f1@0.5", "brier")
    truth = drawn(200_000).figures(fprs=(0.05,), at=(0.5,))
    held = {name: [] for name in names}
    for _ in range(250):
        ranked = drawn(200)
        ends = bootstrap(
            lambda times, one=ranked: one.figures(times, fprs=(0.05,), at=(0.5,)), np.arange(400), draws=200
        )
        for name in names:
            held[name].append(ends[name][0] <= truth[name] <= ends[name][1])
    assert all(0.91 <= np.mean(one) <= 0.98 for one in held.values()), {name: np.mean(held[name]) for name in names}


def test_the_area_of_two_normal_distributions_is_found(figures):
    told = figures(made.normal(3000, 2.0))
    assert told.roc_auc.low < 0.9213503964748575 < told.roc_auc.high
    assert told.roc_auc.high - told.roc_auc.low < 0.02


def test_what_could_not_be_told_is_counted_apart_and_bounds_both_rates(figures):
    rows = [made.row(f"p{n}", 1, 0.9 if n < 60 else None) for n in range(80)]
    rows += [made.row(f"n{n}", 0, 0.1 if n < 70 else None) for n in range(80)]
    told = figures(rows)
    assert (told.unscored_positives, told.unscored_negatives) == (20, 10)
    (at,) = told.at_thresholds
    assert (at.recall.hits, at.recall.n) == (60, 60)
    assert at.recall_bounds == (0.75, 1.0)
    assert at.fpr_bounds == (0.0, 0.125)
    assert any("30 rows (18.8 %) could not be told" in words for words in told.warnings)


def test_a_perfect_sample_is_not_told_without_doubt(figures):
    told = figures([made.row(f"r{n}", n % 2, float(n % 2)) for n in range(80)])
    assert told.roc_auc.value == 1.0
    assert told.roc_auc.low < 0.95
    assert told.average_precision.low is None
    assert all(at.recall.low < 0.95 for at in told.at_rates)
    assert [at.enough for at in told.at_rates] == [False, False, False]


def test_thresholds_include_what_scores_exactly_that(figures):
    told = figures([made.row(f"r{n}", 1, 0.5) for n in range(40)] + [made.row(f"s{n}", 0, 0.499) for n in range(40)])
    (at,) = told.at_thresholds
    assert (at.recall.hits, at.fpr.hits) == (40, 0)


def test_one_class_alone_is_told_with_what_is_missing(figures):
    told = figures([made.row(f"r{n}", 0, 0.1) for n in range(40)])
    assert told.roc_auc.value is None
    assert told.curves.roc == []
    assert any("no positive row" in words for words in told.warnings)


def sliced(found, value):
    return next(one for one in found.slices if one.value == value)


def test_a_slice_that_is_worse_is_found_and_a_small_one_is_not_judged(figures):
    rows = [
        made.row(f"{lang}{n}", 1, 0.9 if n >= misses else 0.1, slices={"lang": lang})
        for lang, count, misses in (("en", 200, 5), ("nl", 200, 5), ("ko", 200, 80), ("pl", 10, 9))
        for n in range(count)
    ]
    rows += [made.row(f"n{n}", 0, 0.1, slices={"lang": "en"}) for n in range(60)]
    told = figures(rows)
    assert sliced(told, "ko").says == "differs"
    assert sliced(told, "ko").held < 0.001
    assert sliced(told, "pl").says == "too few positives to say"
    assert sliced(told, "pl").recall_p is None
    assert (sliced(told, "ko").recall.hits, sliced(told, "ko").recall.n) == (120, 200)


def test_a_difference_on_one_side_is_said_where_the_other_has_too_few_rows(figures):
    rows = [made.row(f"{lang}{n}", 0, 0.9 if n < alarms else 0.1, slices={"lang": lang})
            for lang, alarms in (("en", 2), ("nl", 40)) for n in range(100)]  # fmt: skip
    rows += [made.row(f"p{n}", 1, 0.9, slices={"lang": "nl"}) for n in range(5)]
    assert sliced(figures(rows), "nl").says == "differs; too few positives to say"


def test_a_difference_on_one_side_is_said_where_the_other_has_none(figures):
    rows = [made.row(f"{lang}{n}", n % 2, 0.9 if n % 2 and n >= misses else 0.1, slices={"lang": lang})
            for lang, misses in (("en", 0), ("nl", 60)) for n in range(200)]  # fmt: skip
    told = sliced(figures(rows), "nl")
    assert (told.recall_p < 1e-6, told.fpr_p) == (True, 1.0)
    assert (told.held < 1e-6, told.shared < 1e-6, told.says) == (True, True, "differs")


def test_copies_of_a_row_prove_nothing(figures):
    """Four persons of ten that are missed, against none of ten: something. The same persons ten times over: no more."""
    rows = [
        made.row(f"{lang}{n}-{copy}", 1, 0.1 if n < misses else 0.9, group=f"{lang}{n}", slices={"lang": lang})
        for lang, misses in (("en", 0), ("nl", 4))
        for n in range(10)
        for copy in range(10)
    ]
    told = sliced(figures(rows), "nl")
    assert told.recall_p > 0.05
    assert told.says == ""
    strangers = [{**row, "group": None} for row in rows]
    assert sliced(figures(strangers), "nl").recall_p < 1e-9


def test_slices_that_do_not_differ_are_seldom_said_to():
    """Twenty values of no difference: a test each at 5 % finds one somewhere in two of three runs."""
    random = np.random.default_rng(3)
    found = plain = 0
    codes = np.repeat(np.arange(10), 80).astype(np.int64)
    labels = np.tile([0, 1], 400).astype(np.int64)
    values = tuple(f"v{n}" for n in range(10))
    for _ in range(60):
        rows = np.arange(800)
        column = Column("f", "s", labels, random.random(800), rows, rows)
        sheet = Sheet("r", {}, [], rows, [], {"f": labels}, {}, {"lang": Slice(codes, values)}, rows, {})
        told = _slices(sheet, column, 0.5)
        found += any(one.says == "differs" for one in told)
        plain += any(p is not None and p < 0.05 for one in told for p in (one.recall_p, one.fpr_p))
    assert found <= 9
    assert plain > 20


def test_decisions_tell_over_refusal_beside_recall(tmp_path):
    rows = [made.row(f"p{n}", 1, 0.9, action="block" if n < 30 else "flag") for n in range(40)]
    rows += [made.row(f"n{n}", 0, 0.1, action="hold" if n < 4 else "allow") for n in range(40)]
    rows += [made.row("gone", 1, None, action="unscored")]
    told = decisions(read(made.run(tmp_path / "run", rows)))
    assert (told.recall.hits, told.recall.n) == (30, 40)
    assert (told.over_refusal.hits, told.over_refusal.n) == (4, 40)
    assert told.unscored == 1
    assert told.harmful == {"allow": 0, "flag": 10, "hold": 0, "block": 30}


def test_a_row_with_another_harm_is_no_over_refusal(tmp_path):
    rows = made.normal(40, 4.0)
    rows += [{**made.row("other", 0, 0.9), "labels": {"undress": 0, "sexual": 1}}]
    sheet = read(made.run(tmp_path / "run", rows, signals={"undress": "prompt.undress"}))
    at = of_factor(sheet, "undress").at_thresholds[0]
    assert at.fpr.n == 41
    assert at.over_refusal.n == 40


def test_a_peer_without_a_policy_has_no_decisions(tmp_path):
    rows = [made.row(f"r{n}", n % 2, 0.5, action="", rules=[]) for n in range(4)]
    assert decisions(read(made.run(tmp_path / "run", rows, policy=None))) is None


def test_the_same_run_gives_the_same_figures(tmp_path):
    sheet = read(made.run(tmp_path / "run", made.normal(50, 1.0)))
    assert of_factor(sheet, "undress") == of_factor(sheet, "undress")


def test_a_factor_that_is_not_told_is_named(tmp_path):
    sheet = read(made.run(tmp_path / "run", made.normal(5, 1.0)))
    with pytest.raises(ConfigError, match="'minor' is not scored; it has undress"):
        of_factor(sheet, "minor")


@pytest.mark.parametrize(
    "row",
    [
        {"id": "x"},
        {**made.row("x", 1, 0.5), "labels": {"undress": 2}},
        {**made.row("x", 1, 0.5), "scores": {"prompt.undress": 1.5}},
        {**made.row("x", 1, 0.5), "scores": {"prompt.undress": "high"}},
        ["x"],
    ],
)
def test_a_row_that_is_none_is_named_by_its_line(tmp_path, row):
    folder = made.run(tmp_path / "run", made.normal(2, 1.0))
    with (folder / runs.ROWS).open("ab") as file:
        file.write(json.dumps(row).encode() + b"\n")
    with pytest.raises(ConfigError, match=r"rows\.jsonl:5: not a row"):
        read(folder)


def test_a_log_that_lost_rows_is_refused(tmp_path):
    folder = made.run(tmp_path / "run", made.normal(2, 1.0))
    (folder / runs.ROWS).write_bytes((folder / runs.ROWS).read_bytes().partition(b"\n")[2])
    with pytest.raises(ConfigError, match=r"3 rows, but run\.json says 4"):
        read(folder)


def test_a_run_that_did_not_end_is_refused(tmp_path):
    folder = made.run(tmp_path / "run", made.normal(2, 1.0))
    (folder / runs.RUN).unlink()
    with pytest.raises(ConfigError, match="did not come to its end"):
        read(folder)
