"""The wheel: the one package, all the data that a running guard needs, and nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from guardrail.inference.manifest import packaged

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


def test_the_index_is_told_what_the_project_says():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    told = project["classifiers"]
    assert told == sorted(set(told))
    versions = [one.rpartition(".")[2] for one in told if one.startswith("Programming Language :: Python :: 3.")]
    assert versions[0] == project["requires-python"].removeprefix(">=3.")
    assert [int(one) for one in versions] == list(range(int(versions[0]), int(versions[0]) + len(versions)))
    assert "Typing :: Typed" in told
    assert (ROOT / "guardrail/py.typed").is_file()
    # The licence is an SPDX expression; the index refuses a classifier beside one.
    assert project["license"] == "Apache-2.0"
    assert not any(one.startswith("License ::") for one in told)


@pytest.mark.slow
def test_licence_and_notice_travel_with_it(names):
    assert {name.rsplit("/", 1)[-1] for name in names if "/licenses/" in name} == {"LICENSE", "NOTICE"}


HEAVY = {"torch", "torchvision", "opencv-python", "opencv-python-headless", "scikit-learn", "scipy", "transformers"}
HEAVY |= {"open_clip_torch", "onnxscript", "ray", "pandas", "pyarrow", "diffusers", "tensorflow", "httpx"}


def test_the_base_install_needs_none_of_the_heavy_packages():
    """It is to stay under 400 MB on disk; PyTorch alone is more. The extras may have them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    base = {re.split(r"[^\w-]", one, maxsplit=1)[0] for one in project["dependencies"]}
    assert len(base) > 20
    assert base & HEAVY == set()
    assert "torch" in {re.split(r"[^\w-]", one, maxsplit=1)[0] for one in project["optional-dependencies"]["export"]}


STARTS = """
import sys
import guardrail.cli.build, guardrail.cli.check, guardrail.cli.serve, guardrail.server
from guardrail.checks import installed
for opener in installed().values():
    opener()
print(sorted(sys.modules.keys() & set(sys.argv[1:])))
"""


def test_what_a_guard_starts_with_imports_none_of_the_heavy_packages():
    heavy = [*HEAVY, "cv2", "sklearn", "open_clip"]
    done = subprocess.run(
        [sys.executable, "-c", STARTS, *heavy], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_the_notice_names_every_package_that_weights_are_taken_from():
    notice = (ROOT / "NOTICE").read_text("utf-8")
    taken = {
        f"{package.package} {package.version}"
        for weight in packaged().weights.values()
        for source in weight.sources
        for package in source.packages
    }
    assert len(taken) > 5
    words = " ".join(notice.split())
    assert [one for one in sorted(taken) if one not in words] == []
