"""Prompts as the sampler reads them."""

import pytest

from guardrail.upstream.a1111.prompts import readings, styles_in
from tests.timing import best_s


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("a red bicycle", ()),
        ("a <lora:bicycle:0.8> bicycle: red", ()),
        ("a (red:1.3) bicycle", ("a red bicycle",)),
        ("a ((red)) [bicycle]", ("a red bicycle",)),
        ("gre[xx:en:0] bicycle", ("grexx bicycle", "green bicycle")),
        ("a [red:blue:0.5] bicycle", ("a red bicycle", "a blue bicycle")),
        ("a [red:10] bicycle", ("a  bicycle", "a red bicycle")),
        ("a [red::10] bicycle", ("a red bicycle", "a  bicycle")),
        ("a [red|green|blue] bicycle", ("a red bicycle", "a blue bicycle")),
        ("a [(red:1.2):[blue|g(re)en]:4] bicycle", ("a red bicycle", "a green bicycle")),
        (r"a \(red\) bicycle", ("a (red) bicycle",)),
        ("an open [bracket", ("an open bracket",)),
        ("a ) too many", ()),
        ("(a, b)", ("a, b",)),
        ("time (10:30)", ("time 10",)),
    ],
)
def test_brackets_weights_and_schedules_are_resolved(prompt, said):
    assert readings(prompt) == said


@pytest.mark.parametrize("piece", ["[", "(", "[a:", "(a:1)", "[a|", "\\", "]:1)"])
def test_a_prompt_of_nothing_but_brackets_takes_no_time(piece):
    assert best_s(lambda: readings(piece * (32_000 // len(piece)))) < 1.0


def test_styles_in_a_prompt_are_found():
    assert styles_in("a cat <style:Oil Painting>, <Style:b> <lora:c:1>") == ["Oil Painting", "b"]
