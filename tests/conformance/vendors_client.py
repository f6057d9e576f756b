"""Drives unmodified openai clients against moderations, Azure's paths and xAI's and Together's fields.

Runs in an environment that has openai and nothing of this repository: client_vendors.py PORT FOLDER. The model's name
tells the scripted generator which scenario this is.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai

PORT, FOLDER = sys.argv[1], Path(sys.argv[2])
GOOD, BAD = ((FOLDER / name).read_bytes() for name in ("good.png", "bad.png"))
client = openai.OpenAI(base_url=f"http://127.0.0.1:{PORT}/v1", api_key="sk-test")
azure = openai.AzureOpenAI(
    azure_endpoint=f"http://127.0.0.1:{PORT}", api_key="azure-own-key", api_version="2025-04-01-preview"
)


def data_url(picture: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(picture).decode()


def failed(error: openai.APIError) -> dict[str, Any]:
    return {
        "class": type(error).__name__,
        "status": getattr(error, "status_code", None),
        "code": error.code,
        "body": error.body,
    }


def pictures(answer: Any) -> dict[str, Any]:
    return {
        "sha256": [
            None if entry.b64_json is None else hashlib.sha256(base64.b64decode(entry.b64_json)).hexdigest()
            for entry in answer.data
        ],
        "extra": [entry.model_extra for entry in answer.data],
    }


def moderated(**asked: Any) -> dict[str, Any]:
    answer = client.moderations.create(**asked)
    return {
        "id": answer.id,
        "model": answer.model,
        "results": [
            {
                "flagged": one.flagged,
                "sexual": one.categories.sexual,
                "score": one.category_scores.sexual,
                "violence": one.categories.violence,
                "guardrail": (one.model_extra or {})["guardrail"],
            }
            for one in answer.results
        ],
    }


def image_part(picture: bytes) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": data_url(picture)}}


def xai_edit(name: str, prompt: str = "make it winter", picture: bytes = GOOD) -> dict[str, Any]:
    """The openai client's own edit sends a form; xAI takes JSON, which `post` sends as it is."""
    answer = client.post(
        "/images/edits",
        cast_to=openai.types.ImagesResponse,
        body={"model": name, "prompt": prompt, "image": {"url": data_url(picture), "type": "image_url"}},
    )
    return pictures(answer)


def together(name: str, **more: Any) -> dict[str, Any]:
    extra = {"steps": 4, "disable_safety_checker": True, **more}
    return pictures(client.images.generate(model=name, prompt="a red bicycle", extra_body=extra))


def azure_edit(name: str, prompt: str = "make it autumn", picture: bytes = GOOD) -> dict[str, Any]:
    return pictures(azure.images.edit(model=name, prompt=prompt, image=("a.png", picture, "image/png")))


def azure_stream(name: str) -> dict[str, Any]:
    seen = []
    try:
        for event in azure.images.generate(model=name, prompt="a red bicycle", stream=True, partial_images=1):
            seen.append(hashlib.sha256(base64.b64decode(event.b64_json)).hexdigest())
    except openai.APIError as error:
        return {"events": seen, "error": failed(error)}
    return {"events": seen}


SCENARIOS: dict[str, Callable[[str], dict[str, Any]]] = {
    "moderate": lambda name: moderated(input="a red bicycle"),
    "moderate-refused": lambda name: moderated(input="something forbidden", model="omni-moderation-2024-09-26"),
    "moderate-several": lambda name: moderated(input=["a bicycle", "something forbidden", "a tree"]),
    "moderate-picture": lambda name: moderated(input=[{"type": "text", "text": "a picture"}, image_part(BAD)]),
    "moderate-unread": lambda name: moderated(input=[{"type": "image_url", "image_url": {"url": "file:///x"}}]),
    "azure": lambda name: pictures(azure.images.generate(model=name, prompt="a red bicycle")),
    "azure-edit": azure_edit,
    "azure-stream": azure_stream,
    "azure-stream-output": azure_stream,
    "azure-prompt-refused": lambda name: pictures(azure.images.generate(model=name, prompt="something forbidden")),
    "azure-edit-refused": lambda name: azure_edit(name, picture=BAD),
    "azure-output-refused": lambda name: pictures(azure.images.generate(model=name, prompt="a red bicycle")),
    "azure-edit-prompt-refused": lambda name: azure_edit(name, "something forbidden"),
    "azure-output-edit-refused": azure_edit,
    "azure-busy": lambda name: pictures(
        azure.with_options(max_retries=0).images.generate(model=name, prompt="a red bicycle")
    ),
    "xai-edit": xai_edit,
    "xai-prompt-refused": lambda name: xai_edit(name, "something forbidden"),
    "xai-input-refused": lambda name: xai_edit(name, picture=BAD),
    "xai-output-refused": xai_edit,
    "xai-moderated": xai_edit,
    "together": together,
    "together-negative-refused": lambda name: together(name, negative_prompt="something forbidden"),
    "together-reference-refused": lambda name: together(name, reference_images=[data_url(BAD)]),
    "together-output-refused": together,
    "together-image-refused": lambda name: together(name, image_url=data_url(BAD)),
}

results: dict[str, Any] = {}
for scenario, play in SCENARIOS.items():
    try:
        results[scenario] = play(scenario)
    except openai.APIError as error:
        results[scenario] = {"error": failed(error)}
print(json.dumps({"version": openai.__version__, "results": results}))
