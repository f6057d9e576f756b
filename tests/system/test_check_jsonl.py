"""`guardrail check --jsonl` as others run it: a process with real weights that reads lines and writes lines."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from guardrail.inference.weights import Models
from tests.system import hostile
from tests.system.conftest import CLEAN, PICTURES

COMMAND = (sys.executable, "-c", "from guardrail.cli import main; main()", "check", "--jsonl")
ANSWER = {"id", "action", "stage", "signals", "errors", "reasons", "took_ms"}


@pytest.fixture
def environ(models: Models, tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "GUARDRAIL_HOME": str(tmp_path / "home"), "GUARDRAIL_MODELS_CACHE": str(models.cache)}


def check(environ: dict[str, str], lines: list[Any], *flags: str) -> tuple[int, list[dict[str, Any]], str]:
    raw = b"".join((one if isinstance(one, bytes) else json.dumps(one).encode()) + b"\n" for one in lines)
    done = subprocess.run([*COMMAND, *flags], input=raw, capture_output=True, env=environ, check=False, timeout=100)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr.decode()


def test_prompts_and_pictures_are_judged_by_the_contract(environ, tmp_path):
    for name, data in {"clean.jpg": CLEAN, "bad.jpg": hostile.broken()["truncated jpeg"]}.items():
        (tmp_path / name).write_bytes(data)
    portrait = str(PICTURES / "collins.jpg")
    clean, bad = str(tmp_path / "clean.jpg"), str(tmp_path / "bad.jpg")
    status, answers, said = check(
        environ,
        [
            {"id": "clean", "prompt": "een rode fiets"},
            {"id": 2, "prompt": "trek haar kleren uit"},
            {"id": "edit", "prompt": "verwijder de kleding", "inputs": [portrait], "mask": clean, "tenant": "default"},
            {"id": ["any", "id"], "outputs": [clean]},
            {"id": "same", "prompt": "make it autumn", "inputs": [portrait], "outputs": [portrait]},
            {"id": "unread", "prompt": "make it autumn", "inputs": [bad]},
            {"id": None, "prompt": ""},
        ],
    )
    assert (status, len(answers)) == (0, 7)
    assert all(set(answer) == ANSWER for answer in answers)
    assert [answer["id"] for answer in answers] == ["clean", 2, "edit", ["any", "id"], "same", "unread", None]
    assert [(answer["action"], answer["stage"]) for answer in answers] == [
        ("allow", "prompt"),
        ("block", "prompt"),
        ("block", "input"),
        ("allow", "output"),
        ("allow", "output"),
        ("hold", "input"),
        ("allow", "prompt"),
    ]
    assert {"undress-named"} <= {reason["rule"] for reason in answers[1]["reasons"]}
    assert answers[2]["reasons"][0]["saw"].keys() == {"prompt.undress", "input.person"}
    assert answers[4]["signals"]["pair.same_face"] > 0.9
    assert answers[5]["errors"]["input.exposure"]
    assert "guardrail check: 7 lines judged in all" in said


def test_the_operators_limits_of_pictures_hold(environ, tmp_path):
    grey = Image.new("RGB", (1001, 1000), (90, 90, 90))
    files = {
        "many pixels.png": hostile.encoded(grey, "PNG"),
        "many bytes.jpg": CLEAN + bytes(1_000_001 - len(CLEAN)),
        "within.png": hostile.encoded(grey.crop((0, 0, 1000, 1000)), "PNG"),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    limits = {"GUARDRAIL_LIMITS_MEGAPIXELS": "1", "GUARDRAIL_LIMITS_IMAGE_MB": "1"}
    lines = [{"id": name, "outputs": [str(tmp_path / name)]} for name in files]
    _, (pixels, size, within), _ = check({**environ, **limits}, lines)
    assert [answer["action"] for answer in (pixels, size, within)] == ["hold", "hold", "allow"]
    assert "the limit is 1000000 in all" in pixels["errors"]["output.exposure"]
    assert "1000000" in size["errors"]["output.exposure"]


def test_bad_lines_are_answered_in_their_place_and_the_rest_is_judged(environ):
    lines = [
        {"id": 1, "prompt": "a red bicycle"},
        b"{not json",
        b"\xff\xfe\x00",
        {"id": 4, "prompt": 7},
        {"id": 5, "inputs": ["/no/such/picture.png"]},
        {"id": 6, "inputs": ["/"]},
        {"prompt": "no id"},
        {"id": 8, "prompt": "a red bicycle"},
    ]
    status, answers, said = check(environ, lines)
    assert status == 1
    assert [answer["id"] for answer in answers] == [1, None, None, 4, 5, 6, None, 8]
    assert ["error" in answer for answer in answers] == [False, True, True, True, True, True, True, False]
    assert "could not be read: 6" in said
    assert "no id" not in said + str(answers)


def test_signals_only_skips_the_policy(environ):
    status, [answer], _ = check(environ, [{"id": 1, "prompt": "trek haar kleren uit"}], "--signals-only")
    assert (status, set(answer)) == (0, {"id", "signals", "errors", "took_ms"})
    assert answer["signals"]["prompt.undress"] >= 0.9


def test_two_thousand_prompts_take_seconds(environ):
    lines = [{"id": at, "prompt": f"a painting of {at} red bicycles on a bridge in the rain"} for at in range(2000)]
    began = time.monotonic()
    status, answers, _ = check(environ, lines)
    assert time.monotonic() - began < 30  # about 3 on two idle cores
    assert status == 0
    assert [answer["id"] for answer in answers] == list(range(2000))


def test_answers_come_while_the_input_is_still_open(environ):
    process = subprocess.Popen(
        COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environ
    )
    assert process.stdin is not None
    assert process.stdout is not None
    for at in range(3):
        process.stdin.write(json.dumps({"id": at, "prompt": "a red bicycle"}).encode() + b"\n")
        process.stdin.flush()
        assert select.select([process.stdout], [], [], 20)[0], "no answer while the input is open"
        assert json.loads(process.stdout.readline())["id"] == at
    process.stdin.close()
    assert process.wait(20) == 0
    process.stdout.close()


def test_it_ends_quietly_when_nobody_reads_its_answers(environ):
    """As in `guardrail check --jsonl | head -1`, while the input is still open."""
    process = subprocess.Popen(
        COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    line = b'{"id": 1, "prompt": "a red bicycle"}\n'
    process.stdin.write(line)
    process.stdin.flush()
    assert process.stdout.readline()
    process.stdout.close()
    process.stdin.write(line)
    process.stdin.flush()
    assert process.wait(20) == 1
    said = process.stderr.read().decode()
    assert "Fatal" not in said
    assert "Traceback" not in said
    process.stdin.close()
    process.stderr.close()


def test_a_busy_machine_does_not_turn_into_lines_that_nobody_looked_at(environ):
    hurried = {**environ, "GUARDRAIL_CHECKS_DEADLINE_S": "0.001"}
    _, answers, _ = check(hurried, [{"id": at, "prompt": f"a red bicycle, number {at}"} for at in range(300)])
    assert len(answers) == 300
    assert not any(answer["errors"] for answer in answers)
