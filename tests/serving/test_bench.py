"""The bench runs, and says when a target is missed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "serving" / "load" / "bench.py"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_short_bench_measures_the_guard_beside_the_bare_generator(tmp_path):
    short = ["--modes", "off", "--rounds", "1", "--seconds", "0.3", "--callers", "1", "--bodies", "tiny", "--no-nginx"]
    done = subprocess.run(
        [sys.executable, BENCH, *short, "--json", tmp_path / "out.json"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "| tiny | 1 | guard off |" in done.stdout
    cells = {cell["target"]: cell for cell in json.loads((tmp_path / "out.json").read_text())["cells"]}
    assert cells["guard off"]["errors"] == cells["direct"]["errors"] == 0
    assert cells["guard off"]["cpu_ms"][0] > 0
