"""The measurement of an evaluation runs what a user runs, and tells what it took."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.checks.people import real_models

SCRIPT = Path(__file__).parents[2] / "serving" / "load" / "evaluation.py"


@pytest.mark.weights
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_short_run_and_its_report_are_measured(tmp_path):
    (tmp_path / "models").symlink_to(real_models("use-multilingual").cache.resolve())
    done = subprocess.run(
        [sys.executable, SCRIPT, "--rows", "60"],
        env={**os.environ, "GUARDRAIL_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ((_, *cells),) = [line.strip("|").split("|") for line in done.stdout.splitlines()[2:]]
    assert done.stdout.splitlines()[2].startswith("| 60 |")
    assert all(float(cell.removesuffix("s ")) > 0 for cell in cells)
    assert not list(tmp_path.glob("evaluate*")), "what is measured leaves nothing in the home of the weights"
