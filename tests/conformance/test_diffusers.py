"""Guarded pipelines of the real diffusers, in the program itself: with a hook for a safety checker, and without."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from tests.conformance.cases import DOORS, case
from tests.conformance.guarded import HERE, ROOT, program_of

DOOR = "diffusers"
# PyTorch takes longer to load than all other clients together.
pytestmark = [pytest.mark.clients, pytest.mark.slow, pytest.mark.timeout(600)]

PIPES = ["sd", "sdxl", "sd3", "flux", "qwen"]
PROMPTS = [
    *("sd-prompt", "sd-negative_prompt", "qwen-prompt", "qwen-negative_prompt"),
    *(f"{pipe}-{name}{n}" for pipe in ("sdxl", "flux") for name in ("prompt", "negative_prompt") for n in ("", "_2")),
    *(f"sd3-{name}{n}" for name in ("prompt", "negative_prompt") for n in ("", "_2", "_3")),
]


@pytest.fixture(scope="module", params=DOORS[DOOR])
def saw(request, tmp_path_factory):
    python = program_of(request.param)
    folder = tmp_path_factory.mktemp("diffusers")
    done = subprocess.run(
        [python, HERE / "diffusers_client.py", folder],
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
        # One thread: models of this size are done before several have found each other.
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_client_is_the_one_that_is_pinned(saw):
    assert saw["version"] == "0.42.1"


@case("clean")
@pytest.mark.parametrize("pipe", PIPES)
def test_a_clean_call_gives_the_pixels_of_an_unguarded_one(saw, pipe):
    assert saw["results"][f"clean-{pipe}"] == {"same": True, "flags": [False]}


@pytest.mark.parametrize(
    ("scenario", "rule"),
    [pytest.param(f"word-{one}", "no-word", marks=case("words", "refusal", "uncalled")) for one in PROMPTS]
    + [
        pytest.param(f"picture-{one}", "no-input", marks=case("input", "refusal", "uncalled"))
        for one in ("pil", "np", "pt", "list")
    ],
)
def test_a_refusal_is_raised_once_and_the_model_never_runs(saw, scenario, rule):
    assert saw["results"][scenario] == {"error": {"class": "Refused", "rules": [rule]}, "steps": 0, "records": 1}


@case("output", "refusal")
@pytest.mark.parametrize("scenario", [*PIPES, "sdxl-np", "sdxl-pt"])
def test_a_bad_picture_is_raised_or_black_in_every_form(saw, scenario):
    result = saw["results"][f"output-{scenario}"]
    assert result["error"] == {"class": "Refused", "rules": ["no-output"]}
    assert (result["flags"], result["brightest"]) == ([True], 0.0)


@case("stream", "output")
@pytest.mark.parametrize("pipe", PIPES)
def test_callbacks_get_no_half_made_picture(saw, pipe):
    assert saw["results"][f"steps-{pipe}"] == {"heard": [[], []]}


@case("fault", "uncalled")
@pytest.mark.parametrize("scenario", ["latents-out", "latents-in", "embeddings"])
def test_what_nobody_can_look_at_is_refused_before_anything_runs(saw, scenario):
    assert saw["results"][scenario] == {"error": "BadRequest", "steps": 0}


@case("fault", "record")
@pytest.mark.parametrize("pipe", ["sdxl", "flux"])
def test_an_error_of_the_pipeline_is_its_own_and_on_record(saw, pipe):
    assert saw["results"][f"broken-{pipe}"] == {"error": "ValueError", "record": "failed"}


@case("record")
def test_the_record_of_it_all_holds_together(saw):
    assert saw["faults"] == []
