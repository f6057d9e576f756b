"""A short soak of a real guard finds nothing wrong, and the soak says so when something is."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SOAK = Path(__file__).parents[2] / "serving" / "load" / "soak.py"


@pytest.fixture(scope="module")
def soak() -> ModuleType:
    sys.path.insert(0, str(SOAK.parent))
    try:
        found = importlib.util.spec_from_file_location("soak", SOAK)
        assert found is not None
        assert found.loader is not None
        module = importlib.util.module_from_spec(found)
        sys.modules["soak"] = module
        found.loader.exec_module(module)
    finally:
        sys.path.remove(str(SOAK.parent))
    return module


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_guard_under_everything_at_once_loses_no_record_and_no_socket():
    short = ["--minutes", "0.3", "--every", "2", "--callers", "4", "--most-mb", "80", "--assert"]
    done = subprocess.run([sys.executable, SOAK, *short], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert "nothing was wrong" in done.stdout
    for kind in ("refused prompt: 400", "generator fails: 502", "edit, form: 200", "stream: 200", "hangs up: 0"):
        assert kind in done.stdout


def test_memory_that_grows_and_files_that_stay_are_wrong(soak, capsys):
    steady = [soak.Sample(n, 100 * n, 450.0, 20, 11) for n in range(20)]
    assert soak.held_on(steady, 30) == []
    growing = [soak.Sample(n, 100 * n, 450.0 + 9 * n, 20, 11) for n in range(20)]
    assert "memory grew by" in soak.held_on(growing, 30)[0]
    left = [*steady[:-1], soak.Sample(19, 1900, 450.0, 100, 11)]
    assert soak.held_on(left, 30) == ["100 open files after all callers left, 20 before they came"]


def test_a_receipt_that_is_not_on_record_is_wrong(soak, capsys):
    class Kept(soak.Guard):
        def audit(self, what: str) -> subprocess.CompletedProcess[str]:
            found = json.dumps({"body": {"receipt": {"id": "aa"}}}) if what == "export" else "whole"
            return subprocess.CompletedProcess(what, 0, found, "")

    guard = Kept(Path(), {})
    assert soak.on_record(guard, soak.Heard(receipts={"aa"})) == []
    assert soak.on_record(guard, soak.Heard(receipts={"aa", "bb"})) == ["1 receipts are not on record"]
