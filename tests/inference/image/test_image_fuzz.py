"""Thousands of damaged files: each is decoded or refused, within a gigabyte of memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SECONDS = 20


@pytest.mark.slow
def test_damaged_files_of_every_kind_need_no_more_than_a_gigabyte_and_crash_nothing():
    ran = subprocess.run(
        [sys.executable, "-m", "tests.inference.image.fuzz", str(SECONDS), "7"],
        check=False,
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    decoded, refused = (int(part.split()[0]) for part in ran.stdout.split(", ")[:2])
    assert decoded > 10
    assert refused > 100
