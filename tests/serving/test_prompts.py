"""The cost of prompts: each alone, the least of its rounds, and how often the second encoder was asked."""

from __future__ import annotations

import importlib.util
import itertools
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from guardrail.types import Kind
from tests.stand_ins import Asks

LOAD = Path(__file__).parents[2] / "serving" / "load"


@pytest.fixture(scope="module")
def prompts():
    spec = importlib.util.spec_from_file_location("cost_of_prompts", LOAD / "prompts.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


def test_captions_are_the_same_every_time_and_in_several_languages(prompts):
    first, again = (list(itertools.islice(prompts.captions(7), 40)) for _ in range(2))
    assert first == again
    assert any("een " in text for text in first)
    assert any("ein " in text for text in first)


def test_both_probe_files_are_read_and_told_apart(prompts):
    found = prompts.probes()
    assert all(len(texts) > 100 for texts in found.values())
    assert not set(found["probe, harmless"]) & set(found["probe, harmful"])


def test_each_prompt_is_judged_by_itself_and_the_askings_are_counted(prompts):
    second = SimpleNamespace(asked=0)
    seen = []

    def hears(subject):
        seen.append(subject.text)
        second.asked += "hard" in subject.text
        return {"sexual": 0.0}

    check = Asks(hears, ["sexual"], [Kind.PROMPT], "texts")
    cost = prompts.measure(check, second, "mine", ["one word", "hard one here", "a b c"], rounds=2)
    assert (len(cost.cpu_ms), cost.asked, cost.words) == (3, 1, 3)
    assert seen == [
        "one word",
        "hard one here",
        "a b c",
        *[text for text in ("one word", "hard one here", "a b c") for _ in (0, 1)],
    ]
    assert prompts.line(cost).startswith("| mine | 3 | 3 | ")
    assert prompts.line(cost).endswith("| 33 % |")


def test_a_file_of_ones_own_is_a_prompt_a_line_or_json(prompts, tmp_path):
    (tmp_path / "a.txt").write_text("one\n\ntwo\n", "utf-8")
    (tmp_path / "a.jsonl").write_text('{"text": "één"}\n', "utf-8")
    assert prompts.texts_of(tmp_path / "a.txt") == ["one", "two"]
    assert prompts.texts_of(tmp_path / "a.jsonl") == ["één"]


def test_the_contents_of_long_prompts_are_the_same_every_time_and_as_long_as_asked():
    spec = importlib.util.spec_from_file_location("cost_of_long_prompts", LOAD / "long_prompts.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    for name in module.CONTENTS:
        text = module.content(name, 3_000)
        assert text == module.content(name, 3_000)
        assert 1_000 < len(text) <= 3_000
    assert len({module.content(name, 3_000) for name in module.CONTENTS}) == len(module.CONTENTS)
    json.loads(module.content("JSON", 3_000))
