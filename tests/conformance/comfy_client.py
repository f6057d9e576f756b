"""Drives unmodified comfy-api-simplified and comfykit through every scenario and prints, as JSON, what they saw.

Runs in an environment that has both and nothing of this repository: comfy_client.py PORT FOLDER.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from comfy_api_simplified import ComfyApiWrapper, ComfyWorkflowWrapper
from comfykit.comfyui.http_executor import HttpExecutor
from comfykit.comfyui.websocket_executor import WebSocketExecutor

PORT, FOLDER = int(sys.argv[1]), Path(sys.argv[2])
URL = f"http://127.0.0.1:{PORT}"
api = ComfyApiWrapper(URL, user="anna", password="s3cret")


def graph(scenario: str, prompt: str = "a red bicycle", negative: str = "", **more: Any) -> dict[str, Any]:
    nodes = {
        "4": ("CheckpointLoaderSimple", {"ckpt_name": "sd_xl_base_1.0.safetensors"}),
        "5": ("EmptyLatentImage", {"width": 512, "height": 512, "batch_size": 1}),
        "6": ("CLIPTextEncode", {"text": prompt, "clip": ["4", 1]}),
        "7": ("CLIPTextEncode", {"text": negative, "clip": ["4", 1]}),
        "3": (
            "KSampler",
            {
                "seed": 5,
                "steps": 20,
                "cfg": 8.0,
                "sampler_name": "dpmpp_2m",
                "scheduler": "karras",
                "denoise": 1.0,
                "model": ["4", 0],
                "positive": ["6", 0],
                "negative": ["7", 0],
                "latent_image": ["5", 0],
            },
        ),
        "8": ("VAEDecode", {"samples": ["3", 0], "vae": ["4", 2]}),
        "9": ("SaveImage", {"filename_prefix": scenario, "images": ["8", 0]}),
        **more,
    }
    return {
        name: {"class_type": kind, "inputs": inputs, "_meta": {"title": "Save" if name == "9" else kind}}
        for name, (kind, inputs) in nodes.items()
    }


def sends(scenario: str) -> dict[str, Any]:
    return graph(scenario, **{"9": ("SaveImageWebsocket", {"images": ["8", 0], "filename_prefix": scenario})})


def simplified(workflow: dict[str, Any]) -> dict[str, Any]:
    pictures = api.queue_and_wait_images(ComfyWorkflowWrapper(workflow), "Save")
    return {"sha256": [hashlib.sha256(one).hexdigest() for one in pictures.values()]}


def kit(executor: Any, workflow: dict[str, Any], scenario: str, picture: str | None = None) -> dict[str, Any]:
    """Run a workflow; with `picture` it is uploaded first, for the node whose title asks for it."""
    path = FOLDER / f"{scenario}.json"
    path.write_text(json.dumps(workflow))
    given = {} if picture is None else {"image": str(FOLDER / picture)}
    result = asyncio.run(executor(URL).execute_workflow(str(path), given))
    images = [address.replace(URL, "") for address in result.images or []]
    return {"status": result.status, "msg": result.msg, "images": images}


def loaded(scenario: str, *names: str) -> dict[str, Any]:
    """A graph that edits pictures that were uploaded."""
    nodes = {f"2{at}": ("LoadImage", {"image": name}) for at, name in enumerate(names)}
    return graph(scenario, **nodes)


def titled(scenario: str) -> dict[str, Any]:
    """A graph whose node asks the kit for a picture."""
    asked = loaded(scenario, "example.png")
    asked["20"]["_meta"]["title"] = "Load Image, $~image!"
    return asked


def titled_with(scenario: str, title: str) -> dict[str, Any]:
    asked = graph(scenario)
    asked["6"]["_meta"]["title"] = title
    return asked


def upload(name: str) -> str:
    told = api.upload_image(FOLDER / name, subfolder="")
    return str(told["name"])


def edit(scenario: str, name: str) -> dict[str, Any]:
    return simplified(loaded(scenario, upload(name)))


def swapped(scenario: str) -> dict[str, Any]:
    """Another picture under a name that is there already: it gets a name of its own."""
    first = upload("good.png")
    (FOLDER / "again").mkdir(exist_ok=True)
    (FOLDER / "again" / "good.png").write_bytes((FOLDER / "other.png").read_bytes())
    second = str(api.upload_image(FOLDER / "again" / "good.png", subfolder="")["name"])
    return {"names": [first, second], **simplified(loaded(scenario, first, second))}


def guessed(scenario: str) -> dict[str, Any]:
    """A picture that is asked for by the name that it will have, without asking what the job made."""
    api.queue_prompt(graph(scenario))
    return {"sha256": [hashlib.sha256(api.get_image(f"{scenario}_00001_.png", "", "output")).hexdigest()]}


FORBIDDEN = "something forbidden"
JOINED = {
    "20": ("PrimitiveString", {"value": "for"}),
    "21": ("StringConcatenate", {"string_a": ["20", 0], "string_b": "bidden", "delimiter": ""}),
    "6": ("CLIPTextEncode", {"text": ["21", 0], "clip": ["4", 1]}),
}
SCENARIOS: dict[str, Callable[[str], Any]] = {
    "saved": lambda name: simplified(graph(name, negative="fog")),
    "sent": lambda name: simplified(sends(name)),
    "edited": lambda name: edit(name, "good.png"),
    "swapped": swapped,
    "of-the-server": lambda name: simplified(loaded(name, "there.png")),
    "guessed": guessed,
    "of-no-job": lambda name: {"bytes": len(api.get_image("nothing_00001_.png", "", "output"))},
    "kit-http": lambda name: kit(HttpExecutor, graph(name), name),
    "kit-socket": lambda name: kit(WebSocketExecutor, graph(name), name),
    "kit-upload": lambda name: kit(HttpExecutor, titled(name), name, "good.png"),
    "queue": lambda name: {"value": api.get_queue()},
    "word-text": lambda name: simplified(graph(name, FORBIDDEN)),
    "word-joined": lambda name: simplified(graph(name, **JOINED)),
    "word-sdxl": lambda name: simplified(
        graph(name, **{"6": ("CLIPTextEncodeSDXL", {"text_g": "a", "text_l": "forbidden", "clip": ["4", 1]})})
    ),
    "word-flux": lambda name: simplified(
        graph(name, **{"6": ("CLIPTextEncodeFlux", {"clip_l": "a", "t5xxl": "forbidden", "clip": ["4", 1]})})
    ),
    "word-qwen": lambda name: simplified(
        graph(name, **{"6": ("TextEncodeQwenImageEdit", {"prompt": "forbidden", "clip": ["4", 1]})})
    ),
    "word-negative": lambda name: simplified(graph(name, negative=FORBIDDEN)),
    "word-title": lambda name: simplified(titled_with(name, FORBIDDEN)),
    "word-file-name": lambda name: simplified(
        graph(name, **{"31": ("LoraLoader", {"lora_name": "something_forbidden.safetensors", "model": ["4", 0]})})
    ),
    "word-list": lambda name: simplified(graph(name, **{"30": ("SomebodysNode", {"styles": [{"deep": FORBIDDEN}]})})),
    "word-api-node": lambda name: simplified(graph(name, **{"30": ("FluxProNode", {"prompt": FORBIDDEN})})),
    "word-unknown": lambda name: simplified(graph(name, **{"30": ("SomebodysNode", {"style": "forbidden"})})),
    "word-kit-http": lambda name: kit(HttpExecutor, graph(name, FORBIDDEN), name),
    "word-kit-socket": lambda name: kit(WebSocketExecutor, graph(name, FORBIDDEN), name),
    "picture-upload": lambda name: edit(name, "bad.png"),
    "picture-of-the-server": lambda name: simplified(loaded(name, "planted.png [input]")),
    "picture-missing": lambda name: simplified(loaded(name, "nowhere.png")),
    "picture-kit-upload": lambda name: kit(HttpExecutor, titled(name), name, "bad.png"),
    "picture-kit-socket": lambda name: kit(WebSocketExecutor, titled(name), name, "bad.png"),
    "picture-kit-of-the-server": lambda name: kit(HttpExecutor, loaded(name, "planted.png"), name),
    "bad-kit-http": lambda name: kit(HttpExecutor, graph(name), name),
    "broken": lambda name: simplified(graph(name)),
    "broken-kit": lambda name: kit(HttpExecutor, graph(name), name),
    "closed": lambda name: {"value": api.get_embeddings()},
    "bad-saved": lambda name: simplified(graph(name)),
    "bad-sent": lambda name: simplified(sends(name)),
    "bad-kit-socket": lambda name: kit(WebSocketExecutor, graph(name), name),
}

results = {}
for scenario, play in SCENARIOS.items():
    try:
        results[scenario] = play(scenario)
    except Exception as error:
        results[scenario] = {"error": {"class": type(error).__name__, "text": str(error)}}
print(json.dumps({"version": version("comfy-api-simplified"), "results": results}))
