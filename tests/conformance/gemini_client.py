"""Drives an unmodified google-genai client through every scenario and prints, as JSON, what it saw.

Runs in an environment that has google-genai and nothing of this repository: gemini_client.py PORT FOLDER. The
model's name tells the scripted generator which scenario this is.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from google import genai
from google.genai import errors, types

BASE, FOLDER = f"http://127.0.0.1:{sys.argv[1]}", Path(sys.argv[2])
GOOD, OTHER, BAD = ((FOLDER / name).read_bytes() for name in ("good.png", "other.png", "bad.png"))
client = genai.Client(api_key="key-test", http_options=types.HttpOptions(base_url=BASE))
FORBIDDEN = "something forbidden"


def image(data: bytes) -> types.Part:
    return types.Part.from_bytes(data=data, mime_type="image/png")


def said(role: str, *parts: Any) -> types.Content:
    return types.Content(role=role, parts=[types.Part.from_text(text=p) if isinstance(p, str) else p for p in parts])


def told(answer: Any) -> dict[str, Any]:
    candidates = [
        {
            "reason": one.finish_reason and one.finish_reason.value,
            "texts": [part.text for part in (one.content.parts if one.content else None) or [] if part.text],
            "pictures": [
                hashlib.sha256(part.inline_data.data).hexdigest()
                for part in (one.content.parts if one.content else None) or []
                if part.inline_data
            ],
        }
        for one in answer.candidates or []
    ]
    feedback = answer.prompt_feedback
    return {
        "candidates": candidates,
        "blocked": feedback and feedback.block_reason and feedback.block_reason.value,
        "id": answer.response_id,
    }


def ask(name: str, contents: Any = "a red bicycle", **config: Any) -> dict[str, Any]:
    return told(client.models.generate_content(model=name, contents=contents, config=config or None))


def stream(name: str, contents: Any = "a red bicycle") -> dict[str, Any]:
    chunks: list[Any] = []
    try:
        chunks.extend(told(one) for one in client.models.generate_content_stream(model=name, contents=contents))
    except errors.APIError as error:
        return {"chunks": chunks, "error": failed(error)}
    return {"chunks": chunks}


def chat(name: str) -> dict[str, Any]:
    """A picture posted in one turn, an answer with a picture, and an edit asked for in the next."""
    talk = client.chats.create(model=name)
    return {"turns": [told(talk.send_message(["my aunt", image(GOOD)])), told(talk.send_message("now by night"))]}


async def _async(name: str) -> dict[str, Any]:
    return told(await client.aio.models.generate_content(model=name, contents=["a red bicycle", image(GOOD)]))


def upload(name: str, picture: str = "good") -> dict[str, Any]:
    """A picture that goes up by itself, and an edit of it by its address."""
    file = client.files.upload(file=FOLDER / f"{picture}.png")
    return ask(name, [types.Part.from_uri(file_uri=file.uri, mime_type="image/png"), "by night"])


def imagen(name: str) -> dict[str, Any]:
    """Imagen's own route. Newer clients know it on Vertex AI alone."""
    client._api_client.request("POST", f"models/{name}:predict", {"instances": [{"prompt": "a bicycle"}]})
    return {}


def interactions(name: str) -> dict[str, Any]:
    client._api_client.request("POST", "interactions", {"model": name, "input": "a bicycle"})
    return {}


def failed(error: errors.APIError) -> dict[str, Any]:
    return {"class": type(error).__name__, "code": error.code, "status": error.status, "message": error.message}


declared = types.Tool(
    function_declarations=[types.FunctionDeclaration(name="ask", description=f"draws {FORBIDDEN} in oil")]
)
answered = types.Part.from_function_response(name="ask", response={"said": {"deep": [FORBIDDEN]}})
called = types.Part.from_function_call(name="ask", args={"deep": [FORBIDDEN]})
SCENARIOS: dict[str, Callable[[str], dict[str, Any]]] = {
    "generate": ask,
    "generate-async": lambda name: asyncio.run(_async(name)),
    "edit": lambda name: ask(name, ["make it autumn", image(GOOD)]),
    "two-candidates": lambda name: ask(name, candidate_count=2),
    "switches": lambda name: ask(
        name, safety_settings=[{"category": "HARM_CATEGORY_SEXUALLY_EXPLICIT", "threshold": "BLOCK_NONE"}]
    ),
    "chat": chat,
    "stream": stream,
    "vendor-block": ask,
    "words-only": ask,
    "slot-text": lambda name: ask(name, FORBIDDEN),
    "slot-second-part": lambda name: ask(name, ["a red bicycle", FORBIDDEN]),
    "slot-history": lambda name: ask(name, [said("user", FORBIDDEN), said("model", "done"), said("user", "again")]),
    "slot-model-turn": lambda name: ask(name, [said("user", "hello"), said("model", FORBIDDEN), said("user", "yes")]),
    "slot-system": lambda name: ask(name, system_instruction=FORBIDDEN),
    "slot-tool": lambda name: ask(name, tools=[declared]),
    "slot-tool-answer": lambda name: ask(name, [said("user", "hello"), said("user", answered)]),
    "slot-across-turns": lambda name: ask(name, [said("user", "forbid"), said("model", "what?"), said("user", "den")]),
    "slot-call": lambda name: ask(name, [said("user", "hello"), said("model", called), said("user", "go on")]),
    "slot-schema": lambda name: ask(
        name, response_mime_type="application/json", response_schema={"type": "STRING", "description": FORBIDDEN}
    ),
    "slot-stop": lambda name: ask(name, stop_sequences=[FORBIDDEN]),
    "slot-stream": lambda name: stream(name, FORBIDDEN),
    "input-text-beside": lambda name: ask(name, ["make it autumn", image(BAD)]),
    "input-history": lambda name: ask(name, [said("user", image(BAD)), said("model", "ok"), said("user", "by night")]),
    "input-model-turn": lambda name: ask(
        name, [said("user", "hello"), said("model", image(BAD)), said("user", "by night")]
    ),
    "input-second": lambda name: ask(name, ["make it autumn", image(GOOD), image(BAD)]),
    "input-system": lambda name: ask(name, system_instruction=[types.Part.from_text(text="like this"), image(BAD)]),
    "input-words": lambda name: ask(name, f"like ![it](data:image/png;base64,{base64.b64encode(BAD).decode()}) please"),
    "input-stream": lambda name: stream(name, [image(BAD), "by night"]),
    "output-refused": ask,
    "output-thought": ask,
    "output-markdown": ask,
    "output-unknown-field": ask,
    "output-one-of-two": lambda name: ask(name, candidate_count=2),
    "output-stream": stream,
    "output-stream-markdown": stream,
    "stream-cut": stream,
    "reference-file": lambda name: ask(
        name, [types.Part.from_uri(file_uri="gs://bucket/a.png", mime_type="image/png"), "by night"]
    ),
    "reference-cache": lambda name: ask(name, cached_content="cachedContents/abc"),
    "busy": ask,
    "html": ask,
    "address": ask,
    "upload": upload,
    "input-upload": lambda name: upload(name, "bad"),
    "imagen": imagen,
    "interactions": interactions,
}

results = {}
for scenario, play in SCENARIOS.items():
    try:
        results[scenario] = play(scenario)
    except errors.APIError as error:
        results[scenario] = {"error": failed(error)}
print(json.dumps({"version": version("google-genai"), "results": results}))
