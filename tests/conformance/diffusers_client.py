"""Drives guarded pipelines of an unmodified diffusers, with random weights, and prints, as JSON, what it saw.

Runs in an environment that has diffusers, PyTorch and Guardrail: diffusers_client.py FOLDER, with this
repository on the path. The guard is in the
program itself; its checks know one word, and take pictures for bad from a brightness on.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from guardrail.audit import AuditLog, verify
from guardrail.errors import BadRequest
from guardrail.integrations.diffusers import Refused, guard
from guardrail.pipeline import Guard
from guardrail.policy import PolicyBook
from guardrail.types import Kind
from tests.integrations import tiny
from tests.integrations.conftest import POLICY, Eye
from tests.stand_ins import Asks

QUICK = {"num_inference_steps": 2, "width": tiny.SIDE, "height": tiny.SIDE}
FOLDER = Path(sys.argv[1])
PIPES = {"sd": tiny.stable_diffusion, "sdxl": tiny.sdxl, "sd3": tiny.sd3, "flux": tiny.flux, "qwen": tiny.qwen}
PROMPTS = {
    "sd": ["prompt", "negative_prompt"],
    "sdxl": ["prompt", "prompt_2", "negative_prompt", "negative_prompt_2"],
    "sd3": [f"{name}{n}" for name in ("prompt", "negative_prompt") for n in ("", "_2", "_3")],
    "flux": ["prompt", "prompt_2", "negative_prompt", "negative_prompt_2"],
    "qwen": ["prompt", "negative_prompt"],
}
KEY, URL = b"k" * 32, f"sqlite:///{FOLDER / 'audit.db'}"
eye = Eye()
(FOLDER / "policy.yaml").write_text(POLICY)
audit = AuditLog.open(URL, KEY)
checks = [
    Asks(eye.read, ["sexual"], [Kind.PROMPT], "words"),
    Asks(eye.look, ["exposure"], [Kind.INPUT, Kind.OUTPUT], "eye"),
]
by = Guard(checks, PolicyBook(FOLDER / "policy.yaml"), digest_key=b"d" * 32, audit=audit, threads=1, cache=0)


class Counted:
    """A denoiser that says how often it was asked: what never runs is not asked at all."""

    def __init__(self, pipe: Any) -> None:
        self.steps = 0
        model = getattr(pipe, "unet", None) or pipe.transformer
        model.register_forward_pre_hook(self.count)

    def count(self, *_: Any) -> None:
        self.steps += 1


def sha(picture: Any) -> str:
    return hashlib.sha256(np.ascontiguousarray(picture).tobytes()).hexdigest()


def seeded() -> Any:
    return torch.Generator().manual_seed(3)


def clean(name: str) -> dict[str, Any]:
    pipe = PIPES[name]()
    bare = pipe("a red bicycle", generator=seeded(), **QUICK).images[0]
    output = guard(pipe, by)("a red bicycle", generator=seeded(), **QUICK)
    return {"same": sha(bare) == sha(output.images[0]), "flags": output.nsfw_content_detected}


def tried(pipe: Any, **asked: Any) -> dict[str, Any]:
    """What comes of a call that is refused: once raised and once in black, and how often the model was asked."""
    counted = Counted(pipe)
    before = len(audit.entries(limit=100))
    try:
        pipe(**asked)
    except Refused as error:
        failed = {"class": type(error).__name__, "rules": list(error.decision.rules)}
    else:
        failed = {"class": None, "rules": []}
    records = len(audit.entries(limit=100)) - before
    return {"error": failed, "steps": counted.steps, "records": records}


def word(name: str, field: str) -> dict[str, Any]:
    pipe = guard(PIPES[name](), by, on_refusal="raise")
    return tried(pipe, **{"prompt": "a bicycle", field: "forbidden"}, **QUICK)


def picture(form: str) -> dict[str, Any]:
    grey = Image.new("RGB", (tiny.SIDE, tiny.SIDE), (180, 180, 180))
    array = np.asarray(grey).astype(np.float32) / 255
    given = {"pil": grey, "np": array, "pt": torch.from_numpy(array).permute(2, 0, 1)[None], "list": [grey]}[form]
    eye.bright = 0.7
    try:
        pipe = guard(tiny.image_to_image(), by, on_refusal="raise")
        return tried(pipe, prompt="a bicycle", image=given, num_inference_steps=4)
    finally:
        eye.bright = 2.0


def output(name: str, form: str) -> dict[str, Any]:
    """A bad picture, in each form that a pipeline gives: raised, and black with a flag."""
    eye.bright = 0.0
    try:
        raised = tried(guard(PIPES[name](), by, on_refusal="raise"), prompt="a bicycle", output_type=form, **QUICK)
        said = guard(PIPES[name](), by)("a bicycle", output_type=form, **QUICK)
        return {**raised, "flags": said.nsfw_content_detected, "brightest": float(np.asarray(said.images[0]).max())}
    finally:
        eye.bright = 2.0


def steps(name: str) -> dict[str, Any]:
    """What a callback is given of each step, where a half-made picture could come out early."""
    heard: list[list[str]] = []

    def step(pipe: Any, at: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        heard.append(sorted(tensors))
        return {}

    guard(PIPES[name](), by)("a bicycle", callback_on_step_end=step, **QUICK)
    return {"heard": heard}


def unread(**asked: Any) -> dict[str, Any]:
    counted = Counted(pipe := guard(tiny.stable_diffusion(), by))
    try:
        pipe(**asked, **QUICK)
    except BadRequest as error:
        return {"error": type(error).__name__, "steps": counted.steps}
    return {"error": None, "steps": counted.steps}


def broken(name: str) -> dict[str, Any]:
    try:
        guard(PIPES[name](), by)("a bicycle", generator=[seeded(), seeded()], **QUICK)
    except ValueError:
        return {"error": "ValueError", "record": audit.entries(limit=1)[0].entry.body["status"]}
    return {"error": None}


SCENARIOS: dict[str, Callable[[], dict[str, Any]]] = {
    **{f"clean-{name}": lambda name=name: clean(name) for name in PIPES},  # type: ignore[misc]
    **{
        f"word-{name}-{field}": lambda name=name, field=field: word(name, field)  # type: ignore[misc]
        for name, fields in PROMPTS.items()
        for field in fields
    },
    **{f"picture-{form}": lambda form=form: picture(form) for form in ("pil", "np", "pt", "list")},  # type: ignore[misc]
    **{f"output-{name}": lambda name=name: output(name, "pil") for name in PIPES},  # type: ignore[misc]
    **{f"output-sdxl-{form}": lambda form=form: output("sdxl", form) for form in ("np", "pt")},  # type: ignore[misc]
    **{f"steps-{name}": lambda name=name: steps(name) for name in PIPES},  # type: ignore[misc]
    "latents-out": lambda: unread(prompt="a bicycle", output_type="latent"),
    "latents-in": lambda: unread(prompt="a bicycle", latents=torch.randn(1, 4, tiny.SIDE // 2, tiny.SIDE // 2)),
    "embeddings": lambda: unread(prompt_embeds=torch.randn(1, 77, 32), negative_prompt_embeds=torch.randn(1, 77, 32)),
    **{f"broken-{name}": lambda name=name: broken(name) for name in ("sdxl", "flux")},  # type: ignore[misc]
}

results = {scenario: play() for scenario, play in SCENARIOS.items()}
by.looker.close()
faults = [str(fault) for fault in verify(URL, KEY)]
print(json.dumps({"version": version("diffusers"), "results": results, "faults": faults}))
