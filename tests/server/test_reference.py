"""The reference pages name what the server really says."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from guardrail.policy.unjudged import UNDECIDED, UNREADABLE
from guardrail.server import Metrics

ROOT = Path(__file__).parents[2]
HEADERS = (ROOT / "docs" / "reference" / "headers.md").read_text("utf-8")
METRICS = (ROOT / "docs" / "reference" / "metrics.md").read_text("utf-8")
SERVER = sorted((ROOT / "guardrail" / "server").glob("*.py"))


def words() -> set[str]:
    """Every text in the server's code."""
    return {
        node.value
        for file in SERVER
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def test_every_metric_is_documented_and_every_documented_metric_is_there():
    there = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in Metrics().registry.collect()
        if family.name.startswith("guardrail_")
    }
    assert set(re.findall(r"^\| `(guardrail_\w+)`", METRICS, re.M)) == there


def test_every_kind_of_upstream_error_is_documented():
    source = "\n".join(file.read_text("utf-8") for file in SERVER)
    kinds = set(re.findall(r'UpstreamFault\(\s*"(\w+)"', source))
    assert len(kinds) >= 8
    for kind in kinds:
        assert f"`{kind}`" in METRICS
        if kind != "pictures":
            assert f"`upstream_{kind}`" in HEADERS


def test_every_status_word_of_a_record_is_documented():
    for file in SERVER:
        for word in re.findall(r'(?:outcome = |seal\(\w+, |aftermath\(|fault_on_record\(.*)"(\w+)"', file.read_text()):
            assert f"`{word}`" in HEADERS, f"{file.name}: {word}"
    assert [word for word in (UNREADABLE, *UNDECIDED) if f"`{word}`" not in HEADERS] == []


def test_every_code_of_the_servers_own_errors_is_documented():
    codes = set(re.findall(r'code="(\w+)"', "\n".join(file.read_text("utf-8") for file in SERVER)))
    assert {code for code in codes if f"`{code}`" not in HEADERS} == set()


def test_every_header_of_ours_is_documented():
    ours = {word for word in words() if re.fullmatch(r"x-guardrail-[a-z]+", word)}
    assert ours
    assert all(f"`{name}`" in HEADERS for name in ours)
