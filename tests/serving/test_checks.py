"""The cost of checks is measured on subjects that nobody has looked at, and told for each check that looks."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from guardrail.types import Kind
from tests.stand_ins import Asks, png

SCRIPT = Path(__file__).parents[2] / "serving" / "load" / "checks.py"


@pytest.fixture(scope="module")
def costs():
    spec = importlib.util.spec_from_file_location("cost_of_checks", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


def test_each_check_is_measured_on_what_it_looks_at_and_never_on_the_same_subject_twice(costs):
    seen = []

    def remembers(subject):
        seen.append(subject)
        return {"a": 0.0}

    texts = Asks(remembers, ["a"], [Kind.PROMPT], "texts")
    pictures = Asks(remembers, ["a"], [Kind.OUTPUT], "pictures")
    pairs = Asks(remembers, ["a"], [Kind.PAIR], "pairs")
    rows = costs.measure([texts, pictures, pairs], costs.samples([("grey", png("x"))]), rounds=2)
    assert [(row.sample, row.check) for row in rows] == [
        ("prompt of 10 words", "texts"),
        ("prompt of 10 words", costs.ALL),
        ("prompt of 60 words", "texts"),
        ("prompt of 60 words", costs.ALL),
        ("grey", costs.DECODE),
        ("grey", "pictures"),
        ("grey", costs.ALL),
        ("pair of grey", costs.DECODE),
        ("pair of grey", "pairs"),
        ("pair of grey", costs.ALL),
    ]
    assert all(len(row.in_turn) == 2 for row in rows)
    assert len(set(map(id, seen))) == len(seen)
    last = next(one for one in seen if one.kind is Kind.PAIR)
    assert seen[seen.index(last) - 1] is last.output, "its pictures are looked at before"
    assert [len(one.text.split()) for one in seen if one.kind is Kind.PROMPT] == [10] * 5 + [60] * 5


def test_the_table_gives_the_median_and_the_spread(costs):
    lines = costs.table([costs.Row("grey", "face", [3.0, 1.0, 2.0], [1.0, 1.0, 4.0])])
    assert lines[-1] == "| grey | face | 2.00 (1.00-3.00) | 1.00 (1.00-4.00) |"


@pytest.mark.weights
def test_every_default_check_is_in_the_table(costs, tmp_path):
    from guardrail.home import Home
    from guardrail.inference.manifest import packaged
    from guardrail.pipeline import DEFAULT_CHECKS
    from tests.checks.people import real_models

    models = real_models(*packaged().required_by(DEFAULT_CHECKS))
    picture = (costs.PICTURES / "hopper.jpg").read_bytes()
    checks = costs.default_checks(Home(tmp_path), models)
    text = "\n".join(costs.table(costs.measure(checks, costs.samples([("hopper", picture)]), rounds=1)))
    assert all(f"| {name} |" in text for name in DEFAULT_CHECKS)
