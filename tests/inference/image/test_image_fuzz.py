"""Thousands of damaged files: each is decoded or refused, within a gigabyte of memory."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

SECONDS = 20


def searched(module: str, *more: str) -> subprocess.CompletedProcess[str]:
    """A program beside this file that tries damaged files for SECONDS, in a process of its own."""
    ran = subprocess.run(
        [sys.executable, "-m", f"tests.inference.image.{module}", str(SECONDS), "7", *more],
        check=False,
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    return ran


@pytest.mark.slow
def test_damaged_files_of_every_kind_need_no_more_than_a_gigabyte_and_crash_nothing():
    ran = searched("fuzz")
    decoded, refused = (int(part.split()[0]) for part in ran.stdout.split(", ")[:2])
    assert decoded > 10
    assert refused > 100


@pytest.mark.slow
def test_what_coverage_leads_to_crashes_nothing_either(tmp_path):
    if not importlib.util.find_spec("atheris"):
        pytest.skip("needs atheris: pip install atheris")
    ran = searched("explore", str(tmp_path))
    assert list(tmp_path.iterdir()) == []
    runs, features = re.search(r"Done (\d+) runs", ran.stderr), re.findall(r"cov: (\d+)", ran.stderr)
    assert runs
    assert int(runs[1]) > 100
    assert int(features[-1]) > int(features[0])  # it is steered by coverage, and got somewhere
