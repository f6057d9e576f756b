"""Drives an unmodified litellm: its generic guardrail hook, and its image calls through the guard.

Runs in an environment that has litellm and nothing of this repository: client_litellm.py PORT FOLDER.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import litellm
from litellm.proxy.guardrails.guardrail_hooks.generic_guardrail_api import GenericGuardrailAPI

PORT, FOLDER = sys.argv[1], Path(sys.argv[2])
GOOD, BAD = (base64.b64encode((FOLDER / name).read_bytes()).decode() for name in ("good.png", "bad.png"))
litellm.suppress_debug_info = True
hook = GenericGuardrailAPI(api_base=f"http://127.0.0.1:{PORT}", guardrail_name="guardrail")


def asked(said: str = "request", **inputs: Any) -> dict[str, Any]:
    data = {"proxy_server_request": {"headers": {"authorization": "Bearer caller"}}}
    return dict(asyncio.run(hook.apply_guardrail(inputs, data, said)))


def message(text: str, picture: str) -> list[dict[str, Any]]:
    parts = [
        {"type": "text", "text": text},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}},
    ]
    return [{"role": "user", "content": parts}]


def generate(name: str, prompt: str = "a red bicycle") -> dict[str, Any]:
    answer = litellm.image_generation(
        model=f"openai/{name}", prompt=prompt, api_base=f"http://127.0.0.1:{PORT}/v1", api_key="sk-test"
    )
    return {"pictures": [entry.b64_json for entry in answer.data]}


SCENARIOS: dict[str, Callable[[str], dict[str, Any]]] = {
    "hook-text": lambda name: asked(texts=["a red bicycle"]),
    "hook-picture": lambda name: asked(texts=["look"], images=[GOOD], structured_messages=message("look", GOOD)),
    "hook-response": lambda name: asked("response", texts=["here it is"], images=[GOOD]),
    "hook-text-refused": lambda name: asked(texts=["a bicycle", "something forbidden"]),
    "hook-picture-refused": lambda name: asked(texts=["look"], images=[BAD]),
    "hook-message-refused": lambda name: asked(texts=["look"], structured_messages=message("look", BAD)),
    "hook-response-refused": lambda name: asked("response", texts=["something forbidden"]),
    "hook-response-picture-refused": lambda name: asked("response", texts=["here"], images=[BAD]),
    "hook-unreadable": lambda name: asked(texts=["look"], images=["file:///etc/passwd"]),
    "hook-empty": lambda name: asked(texts=[]),
    "generate": generate,
    "generate-refused": lambda name: generate(name, "something forbidden"),
}

results: dict[str, Any] = {}
for scenario, play in SCENARIOS.items():
    try:
        results[scenario] = play(scenario)
    except Exception as error:  # what litellm raises differs from place to place: its class is what is asked about
        results[scenario] = {"error": {"class": type(error).__name__, "message": str(error)}}
print(json.dumps(results))
