"""Sessions: what opens a model calls nobody."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def _left_by(code: str, home: Path) -> list[str]:
    """What a program leaves under a new home; telemetry keeps what it has still to send in a file there."""
    home.mkdir()
    subprocess.run([sys.executable, "-c", code], check=True, env={"HOME": str(home), "PATH": "/usr/bin:/bin"})
    return sorted(str(path.relative_to(home)) for path in home.rglob("*"))


def test_the_telemetry_of_onnxruntime_is_off_before_it_is_loaded(tmp_path: Path) -> None:
    assert _left_by("import guardrail.inference.session, time; time.sleep(0.2)", tmp_path / "home") == []
