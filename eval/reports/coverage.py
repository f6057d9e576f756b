"""How often 95 % intervals hold the truth: simulated, for the table in docs/reference/evaluation.md.

    python eval/reports/coverage.py

Scores are the logistic of two normal distributions, two standard deviations apart; the truth is that of 800,000 rows.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from guardrail.evaluate.delong import area
from guardrail.evaluate.intervals import bootstrap, rate_of
from guardrail.evaluate.ranked import Ranked

SAMPLES = 300
DRAWS = 200
FPRS = (0.01, 0.05)


def main() -> None:
    """Print a line for each size of sample."""
    random = np.random.default_rng(11)

    def drawn(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.repeat([1, 0], count)
        return labels, 1 / (1 + np.exp(-(random.normal(size=2 * count) + 2 * (labels - 0.5))))

    truth = Ranked(*drawn(400_000)).figures(fprs=FPRS, at=(0.5,))
    for count in (60, 300):
        held: dict[str, list[bool]] = {}
        for _ in range(SAMPLES):
            labels, scores = drawn(count)
            ranked = Ranked(labels, scores)
            ends = bootstrap(
                lambda times, one=ranked: one.figures(times, fprs=FPRS, at=(0.5,)), np.arange(2 * count), draws=DRAWS
            )
            auc, recall = area(labels, scores), rate_of(scores[labels == 1] >= 0.5)
            ends["AUC"] = (auc.low or 0.0, auc.high or 1.0)
            ends["recall at a threshold"] = (recall.low, recall.high)
            for fpr in FPRS:  # as a report has it: the wider of both
                fitting = ranked.fitting(fpr)
                fixed = rate_of(scores[labels == 1] >= (fitting[0] if fitting else 2.0))
                low, high = ends[f"recall@{fpr:g}"]
                ends[f"recall@{fpr:g}"] = (min(low, fixed.low), max(high, fixed.high))
            known = {**truth, "AUC": truth["roc_auc"], "recall at a threshold": float(norm.cdf(1.0))}
            for name, (low, high) in ends.items():
                held.setdefault(name, []).append(low <= known[name] <= high)
        print(count, {name: f"{100 * np.mean(told):.0f} %" for name, told in sorted(held.items())})


if __name__ == "__main__":
    main()
