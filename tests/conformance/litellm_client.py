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
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import litellm
from litellm.proxy.guardrails.guardrail_hooks.generic_guardrail_api import GenericGuardrailAPI

PORT, FOLDER = sys.argv[1], Path(sys.argv[2])
BASE = f"http://127.0.0.1:{PORT}/v1"
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
    answer = litellm.image_generation(model=f"openai/{name}", prompt=prompt, api_base=BASE, api_key="sk-test")
    return {"pictures": [entry.b64_json for entry in answer.data]}


def edit(name: str, prompt: str = "make it autumn", picture: str = "good") -> dict[str, Any]:
    with (FOLDER / f"{picture}.png").open("rb") as image:
        answer = litellm.image_edit(
            model=f"openai/{name}", image=image, prompt=prompt, api_base=BASE, api_key="sk-test"
        )
    return {"pictures": [entry.b64_json for entry in answer.data]}


def chat(name: str, *messages: dict[str, Any], **more: Any) -> Any:
    asked = list(messages) or [{"role": "user", "content": "a red bicycle"}]
    return litellm.completion(model=f"openai/{name}", messages=asked, api_base=BASE, api_key="sk-test", **more)


def talk(name: str, *messages: dict[str, Any]) -> dict[str, Any]:
    (choice,) = chat(name, *messages).choices
    images = [one["image_url"]["url"].partition(",")[2] for one in getattr(choice.message, "images", None) or []]
    return {"content": choice.message.content, "reason": choice.finish_reason, "pictures": images}


def stream(name: str, *messages: dict[str, Any]) -> dict[str, Any]:
    content = ""
    try:
        for chunk in chat(name, *messages, stream=True):
            content += chunk.choices[0].delta.content or ""
    except Exception as error:
        return {"content": content, "error": {"class": type(error).__name__, "message": str(error)}}
    return {"content": content}


FORBIDDEN = "something forbidden"
HISTORY = [{"role": "user", "content": FORBIDDEN}, {"role": "assistant", "content": "ok"}]
AGAIN = {"role": "user", "content": "again"}
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
    "edit": edit,
    "chat": talk,
    "chat-edit": lambda name: talk(name, *message("by night", GOOD)),
    "chat-stream": stream,
    "slot-prompt": lambda name: generate(name, FORBIDDEN),
    "slot-edit": lambda name: edit(name, FORBIDDEN),
    "slot-chat": lambda name: talk(name, {"role": "user", "content": FORBIDDEN}),
    "slot-history": lambda name: talk(name, *HISTORY, AGAIN),
    "slot-system": lambda name: talk(name, {"role": "system", "content": FORBIDDEN}, AGAIN),
    "slot-stream": lambda name: stream(name, {"role": "user", "content": FORBIDDEN}),
    "input-edit": lambda name: edit(name, picture="bad"),
    "input-chat": lambda name: talk(name, *message("by night", BAD)),
    "input-history": lambda name: talk(name, *message("look", BAD), HISTORY[1], AGAIN),
    "input-stream": lambda name: stream(name, *message("by night", BAD)),
    "output-generate": generate,
    "output-edit": edit,
    "output-chat": talk,
    "output-stream": stream,
    "html": lambda name: litellm.image_generation(
        model=f"openai/{name}", prompt="a bicycle", api_base=BASE, api_key="sk-test", max_retries=0
    ),
}

results: dict[str, Any] = {}
for scenario, play in SCENARIOS.items():
    try:
        results[scenario] = play(scenario)
    except Exception as error:  # what litellm raises differs from place to place: its class is what is asked about
        results[scenario] = {"error": {"class": type(error).__name__, "message": str(error)}}
print(json.dumps({"version": version("litellm"), "results": results}))
