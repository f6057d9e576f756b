"""The wheel: the one package, all the data that a running guard needs, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(out), str(ROOT)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    [wheel] = out.glob("image_guardrail-*.whl")
    return set(zipfile.ZipFile(wheel).namelist())


@pytest.mark.slow
def test_the_wheel_holds_one_package_and_its_metadata(names):
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"guardrail"}


@pytest.mark.slow
def test_every_file_of_the_package_is_in_the_wheel(names):
    tracked = subprocess.run(
        ["git", "ls-files", "guardrail"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\n")
    assert {name for name in tracked if name} <= names
    for needed in ("inference/manifest.toml", "policy/default.yaml", "inference/heads/prompt_safety.npz", "py.typed"):
        assert f"guardrail/{needed}" in names


@pytest.mark.slow
def test_licence_and_notice_travel_with_it(names):
    assert {name.rsplit("/", 1)[-1] for name in names if "/licenses/" in name} == {"LICENSE", "NOTICE"}
