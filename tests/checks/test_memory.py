"""What a process keeps in memory with every check that is on by default, after it has looked at pictures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from guardrail.home import Home
from guardrail.inference.weights import Models

MOST_MB = 450

LOOKS = """
import io, os, resource, sys
from pathlib import Path
from PIL import Image
from guardrail.checks import Tools, open_check
from guardrail.home import Home
from guardrail.inference.weights import Models
from guardrail.pipeline import DEFAULT_CHECKS
from guardrail.types import Artifact, Kind, Pair

home, pictures, scratch = Home.default(), Path(sys.argv[1]), Path(sys.argv[2])
tools = Tools(Models(home.path / "models"), scratch, lambda purpose: bytes(range(32)))
opened = [open_check(name, tools) for name in DEFAULT_CHECKS]

def shown(name, kind):
    body = io.BytesIO()
    Image.open(pictures / name).convert("RGB").resize((1024, 1024)).save(body, "JPEG")
    return Artifact(kind, "image[0]", data=body.getvalue())

for _ in range(3):
    given = shown("collins.jpg", Kind.INPUT), shown("hopper.jpg", Kind.OUTPUT)
    text = Artifact(Kind.PROMPT, "prompt", text="een boot op een meer bij avond")
    for check in opened:
        for artifact in (*given, text):
            if artifact.kind in check.kinds:
                check.score([artifact])
        if Kind.PAIR in check.kinds:
            assert check.score([Pair(*given)])
pages = int(Path("/proc/self/statm").read_text().split()[1])
print(pages * resource.getpagesize() / 1e6)
"""


@pytest.mark.weights
@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_all_default_checks_stay_within_what_the_card_says(tmp_path):
    models = Models(Home.default().path / "models")
    if missing := models.missing(models.names()):
        pytest.skip(f"weights {', '.join(missing)} are not there: run `guardrail models pull`")
    pictures = Path(__file__).parents[1] / "pictures"
    ran = subprocess.run(
        [sys.executable, "-c", LOOKS, str(pictures), str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert 100 < float(ran.stdout) <= MOST_MB
