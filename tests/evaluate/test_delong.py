"""Areas and their variance: against all pairs counted one by one, and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from guardrail.evaluate.delong import area, areas


def slow(labels, scores):
    """DeLong's estimate written out as in the paper, over all pairs."""
    psi = []
    for row in scores:
        one, other = row[labels == 1][:, None], row[labels == 0][None, :]
        psi.append((one > other) + 0.5 * (one == other))
    values = np.array([each.mean() for each in psi])
    up, down = np.stack([each.mean(axis=1) for each in psi]), np.stack([each.mean(axis=0) for each in psi])
    return values, np.cov(up) / up.shape[1] + np.cov(down) / down.shape[1]


@pytest.fixture
def sample():
    random = np.random.default_rng(5)
    labels = (random.random(300) < 0.4).astype(np.int64)
    first = np.round(random.normal(size=300) + labels, 1)  # rounded: there are ties
    return labels, np.stack([first, np.round(first + random.normal(size=300), 1)])


def test_areas_and_covariance_are_those_of_all_pairs_ties_counting_half(sample):
    labels, scores = sample
    told = areas(labels, scores)
    values, covariance = slow(labels, scores)
    assert told.values == pytest.approx(values)
    assert told.values == pytest.approx([roc_auc_score(labels, row) for row in scores])
    assert told.covariance == pytest.approx(covariance)


def test_the_variance_of_groups_is_that_of_the_paper():
    """Obuchowski 1997, written out row by row; groups of many sizes, some with rows of one label only."""
    random = np.random.default_rng(11)
    labels = np.array([1, 1, 0, 1, 0, 0, 1, 0, 1, 1, 0, 0, 0, 1])
    groups = np.array([0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 6])
    scores = np.round(random.normal(size=14) + labels, 1)
    up, down = scores[labels == 1], scores[labels == 0]

    def right(one, other):
        return float(one > other) + 0.5 * (one == other)

    value = np.mean([[right(one, other) for other in down] for one in up])
    sums = []
    for group in range(7):
        mine = [(score, label) for score, label, own in zip(scores, labels, groups, strict=True) if own == group]
        above = [np.mean([right(score, other) for other in down]) - value for score, label in mine if label]
        below = [np.mean([right(other, score) for other in up]) - value for score, label in mine if not label]
        sums.append((len(above), sum(above), len(below), sum(below)))
    m, n = len(up), len(down)
    ups, downs = (sum(one[at] > 0 for one in sums) for at in (0, 2))
    s10 = ups / ((ups - 1) * m) * sum(one[1] ** 2 for one in sums)
    s01 = downs / ((downs - 1) * n) * sum(one[3] ** 2 for one in sums)
    s11 = 7 / 6 * sum(one[1] * one[3] for one in sums)
    told = areas(labels, scores[None, :], groups)
    assert told.values[0] == pytest.approx(value)
    assert told.covariance[0, 0] == pytest.approx(s10 / m + s01 / n + 2 * s11 / (m * n))


def test_groups_of_one_row_change_nothing_and_copies_add_nothing(sample):
    labels, scores = sample
    plain = areas(labels, scores)
    twice = areas(np.tile(labels, 2), np.tile(scores, 2), np.tile(np.arange(300), 2))
    assert twice.values == pytest.approx(plain.values)
    assert twice.covariance == pytest.approx(plain.covariance)
    assert areas(np.tile(labels, 2), np.tile(scores, 2)).covariance[0, 0] < 0.6 * plain.covariance[0, 0]


def test_the_interval_holds_the_truth_as_often_as_it_says():
    random = np.random.default_rng(6)
    truth = 0.9213503964748575  # two normal distributions 2 standard deviations apart: Phi(2 / sqrt 2)
    labels = np.repeat([1, 0], 80)
    held = []
    for _ in range(800):
        told = area(labels, random.normal(size=160) + 2 * labels)
        held.append(told.low <= truth <= told.high)
    assert 0.93 <= np.mean(held) <= 0.97


def test_the_interval_of_twins_holds_the_truth_too():
    """Twins whose scores go together: the area varies less than that of strangers."""
    random = np.random.default_rng(7)
    labels, groups = np.repeat([1, 0], 100), np.tile(np.arange(100), 2)
    truth = 0.9213503964748575
    held, widths = [], []
    for _ in range(800):
        shared = random.normal(size=100) * 0.5**0.5
        own = random.normal(size=200) * 0.5**0.5
        scores = np.tile(shared, 2) + own + 2 * labels
        told = area(labels, scores, groups)
        held.append(told.low <= truth <= told.high)
        alone = area(labels, scores)
        widths.append((told.high - told.low) / (alone.high - alone.low))
    assert 0.93 <= np.mean(held) <= 0.975
    assert np.mean(widths) < 0.95


def test_where_nothing_differs_the_test_says_so_as_often_as_it_should():
    random = np.random.default_rng(8)
    labels = np.repeat([1, 0], 60)
    found = []
    for _ in range(600):
        shared = random.normal(size=120) + labels
        scores = np.stack([shared + random.normal(size=120), shared + random.normal(size=120)])
        found.append(areas(labels, scores).difference()[3] < 0.05)
    assert 0.03 <= np.mean(found) <= 0.07


def test_an_area_without_an_error_still_has_a_lower_end():
    labels = np.repeat([1, 0], 30)
    told = area(labels, labels.astype(float))
    assert (told.value, told.high) == (1.0, 1.0)
    assert told.low == pytest.approx(0.025 ** (1 / 30))
    twins = area(labels, labels.astype(float), np.tile(np.arange(30), 2))
    assert twins.low == pytest.approx(0.025 ** (1 / 15))  # each pair needs rows of two twins
    assert area(labels, 1.0 - labels).high == pytest.approx(1 - 0.025 ** (1 / 30))


def test_one_class_has_no_area():
    assert area(np.ones(5, np.int64), np.arange(5.0)).value is None


def test_scores_that_are_all_the_same_have_an_area_and_no_interval():
    told = area(np.repeat([1, 0], 20), np.full(40, 0.3))
    assert (told.value, told.low, told.high) == (0.5, None, None)


def test_the_same_scores_do_not_differ(sample):
    labels, scores = sample
    assert areas(labels, np.stack([scores[0], scores[0]])).difference() == (0.0, 0.0, 0.0, 1.0)
