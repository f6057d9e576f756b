"""Graphs and answers of ComfyUI, as its clients and servers write them."""

from __future__ import annotations

import json
from typing import Any

from guardrail.upstream.comfy import Comfy
from tests.upstream.asking import Asking, inputs, texts

__all__ = ["SAMPLER", "asked", "history", "inputs", "nodes", "read", "texts", "view"]

SAMPLER = {"cfg": 8.0, "seed": 5, "sampler_name": "dpmpp_2m", "positive": ["6", 0], "negative": ["7", 0]}


def nodes(prompt: str = "a red bicycle", negative: str = "cars and vans", **more: Any) -> dict[str, Any]:
    """A graph that draws; `more` are further nodes, as (class, inputs)."""
    drawing = {
        "4": ("CheckpointLoaderSimple", {"ckpt_name": "sd_xl_base_1.0.safetensors"}),
        "6": ("CLIPTextEncode", {"text": prompt, "clip": ["4", 1]}),
        "7": ("CLIPTextEncode", {"text": negative, "clip": ["4", 1]}),
        "3": ("KSampler", SAMPLER),
        "9": ("SaveImage", {"filename_prefix": "ComfyUI", "images": ["3", 0]}),
        **more,
    }
    return {name: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in drawing.items()}


def asked(graph: dict[str, Any] | None = None, **more: Any) -> bytes:
    return json.dumps({"prompt": nodes() if graph is None else graph, "client_id": "me", **more}).encode()


def history(job_id: str, graph: dict[str, Any], *names: str, **outputs: Any) -> bytes:
    images = [{"filename": name, "subfolder": "", "type": "output"} for name in names]
    status = {"status_str": "success", "completed": True, "messages": []}
    told = {"prompt": [1, job_id, graph, {}, ["9"]], "outputs": {"9": {"images": images, **outputs}}, "status": status}
    return json.dumps({job_id: told}).encode()


def view(name: str, folder: str = "output") -> str:
    return f"filename={name}&subfolder=&type={folder}"


read = Asking(Comfy, "/prompt").read
