"""Drives an unmodified litellm that asks Gemini through the guard: image calls, edits, chats and streams.

Runs in an environment that has litellm and nothing of this repository: litellm_gemini_client.py PORT FOLDER. The end of
the model's name tells the scripted generator which scenario this is.
"""

from __future__ import annotations

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

BASE, FOLDER = f"http://127.0.0.1:{sys.argv[1]}/v1beta", Path(sys.argv[2])
GOOD, BAD = (base64.b64encode((FOLDER / name).read_bytes()).decode() for name in ("good.png", "bad.png"))
litellm.suppress_debug_info = True
FORBIDDEN = "something forbidden"


def using(name: str) -> dict[str, Any]:
    return {"model": f"gemini/gemini-2.5-flash-image-{name}", "api_base": BASE, "api_key": "key-test"}


def generate(name: str, prompt: str = "a red bicycle") -> dict[str, Any]:
    answer = litellm.image_generation(prompt=prompt, **using(name))
    return {"pictures": [entry.b64_json for entry in answer.data]}


def edit(name: str, prompt: str = "make it autumn", picture: str = "good") -> dict[str, Any]:
    with (FOLDER / f"{picture}.png").open("rb") as image:
        answer = litellm.image_edit(image=image, prompt=prompt, **using(name))
    return {"pictures": [entry.b64_json for entry in answer.data]}


def user(text: str, picture: str = "") -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"type": "text", "text": text}]
    if picture:
        parts.append({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}})
    return {"role": "user", "content": parts}


def talk(name: str, *messages: dict[str, Any]) -> dict[str, Any]:
    (choice,) = litellm.completion(messages=list(messages), modalities=["image", "text"], **using(name)).choices
    images = [one["image_url"]["url"].partition(",")[2] for one in getattr(choice.message, "images", None) or []]
    return {"content": choice.message.content, "reason": choice.finish_reason, "pictures": images}


def stream(name: str, *messages: dict[str, Any]) -> dict[str, Any]:
    content, pictures, reason = "", [], None
    try:
        for chunk in litellm.completion(messages=list(messages), stream=True, **using(name)):
            (choice,) = chunk.choices
            content += choice.delta.content or ""
            pictures += [
                one["image_url"]["url"].partition(",")[2] for one in getattr(choice.delta, "images", None) or []
            ]
            reason = choice.finish_reason or reason
    except Exception as error:
        return {"content": content, "pictures": pictures, "error": failed(error)}
    return {"content": content, "pictures": pictures, "reason": reason}


def failed(error: Exception) -> dict[str, Any]:
    return {"class": type(error).__name__, "message": str(error), "status": getattr(error, "status_code", None)}


ASKS = user("a red bicycle")
HISTORY = (user(FORBIDDEN), {"role": "assistant", "content": "ok"}, user("again"))
SCENARIOS: dict[str, Callable[[str], dict[str, Any]]] = {
    "generate": generate,
    "edit": edit,
    "chat": lambda name: talk(name, ASKS),
    "chat-edit": lambda name: talk(name, user("by night", GOOD)),
    "stream": lambda name: stream(name, ASKS),
    "slot-prompt": lambda name: generate(name, FORBIDDEN),
    "slot-edit": lambda name: edit(name, FORBIDDEN),
    "slot-chat": lambda name: talk(name, user(FORBIDDEN)),
    "slot-history": lambda name: talk(name, *HISTORY),
    "slot-system": lambda name: talk(name, {"role": "system", "content": FORBIDDEN}, ASKS),
    "slot-stream": lambda name: stream(name, user(FORBIDDEN)),
    "input-edit": lambda name: edit(name, picture="bad"),
    "input-chat": lambda name: talk(name, user("by night", BAD)),
    "input-stream": lambda name: stream(name, user("by night", BAD)),
    "output-generate": generate,
    "output-edit": edit,
    "output-chat": lambda name: talk(name, ASKS),
    "output-stream": lambda name: stream(name, ASKS),
    "html": lambda name: talk(name, ASKS),
    "imagen": lambda name: litellm.image_generation(
        prompt="a bicycle", model="gemini/imagen-4.0-generate-001", api_base=BASE, api_key="key-test", max_retries=0
    ),
}

results: dict[str, Any] = {}
for scenario, play in SCENARIOS.items():
    try:
        results[scenario] = play(scenario)
    except Exception as error:  # what litellm raises differs from place to place: its class is what is asked about
        results[scenario] = {"error": failed(error)}
print(json.dumps({"version": version("litellm"), "results": results}))
