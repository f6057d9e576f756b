"""Drives an unmodified openai client through every scenario and prints, as JSON, what it saw.

Runs in an environment that has openai and nothing of this repository: images_client.py PORT FOLDER. The model's name
tells the scripted generator which scenario this is.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai

BASE, FOLDER = f"http://127.0.0.1:{sys.argv[1]}/v1", Path(sys.argv[2])
GOOD, OTHER, BAD, MASK = (FOLDER / name for name in ("good.png", "other.png", "bad.png", "mask.png"))
client = openai.OpenAI(base_url=BASE, api_key="sk-test")
once = client.with_options(max_retries=0)


FORBIDDEN = "something forbidden"


def digest(picture: str | None) -> str | None:
    return None if picture is None else hashlib.sha256(base64.b64decode(picture)).hexdigest()


def whole(answer: Any) -> dict[str, Any]:
    entries = []
    for entry in answer.data:
        error = (entry.model_extra or {}).get("error")
        entries.append({"sha256": digest(entry.b64_json), "error": error})
    return {"entries": entries}


def streamed(events: Any) -> dict[str, Any]:
    seen: list[dict[str, Any]] = []
    try:
        seen.extend({"type": event.type, "sha256": digest(event.b64_json)} for event in events)
    except openai.APIError as error:
        return {"events": seen, "error": failed(error)}
    return {"events": seen}


def failed(error: openai.APIError) -> dict[str, Any]:
    return {
        "class": type(error).__name__,
        "status": getattr(error, "status_code", None),
        "code": error.code,
        "request_id": getattr(error, "request_id", None),
        "message": error.message,
        "body": error.body,
    }


def generate(name: str, prompt: str = "a red bicycle", using: Any = client, **more: Any) -> dict[str, Any]:
    return whole(using.images.generate(model=name, prompt=prompt, **more))


def edit(name: str, images: Any, prompt: str = "make it autumn", **more: Any) -> dict[str, Any]:
    opened = [path.open("rb") for path in images]
    return whole(client.images.edit(model=name, prompt=prompt, image=opened if len(opened) > 1 else opened[0], **more))


def stream(name: str, prompt: str = "a red bicycle") -> dict[str, Any]:
    return streamed(client.images.generate(model=name, prompt=prompt, stream=True, partial_images=2))


def headers(name: str) -> dict[str, Any]:
    raw = client.images.with_raw_response.generate(model=name, prompt="a red bicycle")
    return {"headers": {key: value for key, value in raw.headers.items() if key.startswith("x-guardrail-")}}


def models(name: str) -> dict[str, Any]:
    return {"models": [model.id for model in client.models.list().data]}


def chat(name: str) -> dict[str, Any]:
    client.chat.completions.create(model=name, messages=[{"role": "user", "content": "draw"}])
    return {}


async def _async(name: str) -> dict[str, Any]:
    async with openai.AsyncOpenAI(base_url=BASE, api_key="sk-test") as using:
        return whole(await using.images.generate(model=name, prompt="a red bicycle", n=2))


def edit_stream(name: str, prompt: str = "autumn", picture: Path = GOOD) -> dict[str, Any]:
    with picture.open("rb") as image:
        return streamed(client.images.edit(model=name, prompt=prompt, image=image, stream=True, partial_images=1))


def data_url(picture: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode()


def json_edit(name: str, **fields: Any) -> dict[str, Any]:
    """The client's own edit sends a form; the API takes JSON as well, which `post` sends as it is."""
    asked = {"model": name, "prompt": "make it winter", "images": [{"image_url": data_url(GOOD)}], **fields}
    return whole(client.post("/images/edits", cast_to=openai.types.ImagesResponse, body=asked))


SCENARIOS: dict[str, Callable[[str], dict[str, Any]]] = {
    "generate": lambda name: generate(name, n=2),
    "generate-async": lambda name: asyncio.run(_async(name)),
    "generate-headers": headers,
    "edit-one": lambda name: edit(name, [GOOD]),
    "edit-several": lambda name: edit(name, [GOOD, OTHER]),
    "edit-mask": lambda name: edit(name, [GOOD], mask=MASK.open("rb")),
    "variation": lambda name: whole(client.images.create_variation(model=name, image=GOOD.open("rb"), n=1)),
    "stream": stream,
    "edit-stream": edit_stream,
    "models": models,
    "json-edit": json_edit,
    "switches": lambda name: generate(name, moderation="low", extra_body={"disable_safety_checker": True}),
    "slot-prompt": lambda name: generate(name, FORBIDDEN),
    "slot-stream": lambda name: stream(name, FORBIDDEN),
    "slot-edit": lambda name: edit(name, [GOOD], FORBIDDEN),
    "slot-edit-stream": lambda name: edit_stream(name, FORBIDDEN),
    "slot-json-edit": lambda name: json_edit(name, prompt=FORBIDDEN),
    "slot-negative": lambda name: generate(name, extra_body={"negative_prompt": FORBIDDEN}),
    "slot-unknown": lambda name: generate(name, extra_body={"style": "forbidden"}),
    "slot-unknown-of-form": lambda name: edit(name, [GOOD], extra_body={"style": "forbidden"}),
    "slot-deep": lambda name: generate(name, extra_body={"provider": {"options": [{"suffix_prompt": FORBIDDEN}]}}),
    "input-edit": lambda name: edit(name, [BAD]),
    "input-second": lambda name: edit(name, [GOOD, BAD]),
    "input-mask": lambda name: edit(name, [GOOD], mask=BAD.open("rb")),
    "input-variation": lambda name: whole(client.images.create_variation(model=name, image=BAD.open("rb"), n=1)),
    "input-edit-stream": lambda name: edit_stream(name, picture=BAD),
    "input-json-edit": lambda name: json_edit(name, images=[{"image_url": data_url(BAD)}]),
    "input-json-mask": lambda name: json_edit(name, mask={"image_url": data_url(BAD)}),
    "input-file": lambda name: json_edit(name, images=[{"file_id": "file-abc123bad"}]),
    "input-markup": lambda name: json_edit(name, markup=[{"image_url": data_url(BAD)}]),
    "input-unknown": lambda name: generate(name, extra_body={"reference": data_url(BAD)}),
    "output-refused": generate,
    "output-edit": lambda name: edit(name, [GOOD]),
    "output-variation": lambda name: whole(client.images.create_variation(model=name, image=GOOD.open("rb"), n=1)),
    "output-data-url": generate,
    "output-unknown-field": generate,
    "output-one-of-two": lambda name: generate(name, n=2),
    "output-stream-partial": stream,
    "output-stream-last": stream,
    "output-edit-stream": edit_stream,
    "stream-cut": stream,
    "busy": lambda name: generate(name, using=once),
    "html": lambda name: generate(name, using=once),
    "closed": chat,
}

results = {}
for scenario, play in SCENARIOS.items():
    try:
        results[scenario] = play(scenario)
    except openai.APIError as error:
        results[scenario] = {"error": failed(error)}
print(json.dumps({"version": openai.__version__, "results": results}))
