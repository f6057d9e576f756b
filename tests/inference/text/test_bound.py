"""What `models/prompt-safety/bound.py` counts, and that it says how far one text is from what the core can do."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from guardrail.inference.build.use import ORDERS
from tests.checks.people import real_models

RECIPE = Path(__file__).parents[3] / "models" / "prompt-safety"


@pytest.mark.weights
def test_it_counts_the_multiplications_of_each_token_and_says_what_they_take(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(RECIPE))
    bound, models = import_module("bound"), real_models("use-multilingual")
    graph = models.path("use-multilingual")
    # Of each token: one product into the branches, and two convolutions in each, of so many neighbours.
    each = 512 * 256 * len(ORDERS) + 2 * 256 * 256 * sum(order for order, _ in ORDERS)
    assert bound.multiplications(graph, 48) - bound.multiplications(graph, 16) == 32 * each
    monkeypatch.setattr("sys.argv", ["bound.py", "--weights", str(graph.parents[1]), "--rounds", "10"])
    bound.main()
    said = capsys.readouterr().out
    assert f"{bound.multiplications(graph, 32) / 1e6:.1f} million multiplications" in said
    assert "if nothing but the multiplications took time" in said
