"""Drives an unmodified openai client through chats with pictures and prints, as JSON, what it saw.

Runs in an environment that has openai and nothing of this repository: chat_client.py PORT FOLDER. The model's name
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
GOOD, OTHER, BAD = ((FOLDER / name).read_bytes() for name in ("good.png", "other.png", "bad.png"))
client = openai.OpenAI(base_url=BASE, api_key="sk-test")
once = client.with_options(max_retries=0)
FORBIDDEN = "something forbidden"


def image(data: bytes) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": "data:image/png;base64," + base64.b64encode(data).decode()}}


def markdown(data: bytes) -> str:
    return f"![it](data:image/png;base64,{base64.b64encode(data).decode()})"


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def said(role: str, *parts: Any, **more: Any) -> dict[str, Any]:
    content = parts[0] if len(parts) == 1 and isinstance(parts[0], str) else list(parts)
    return {"role": role, "content": content, **more}


def digests(images: Any) -> list[str]:
    urls = [one["image_url"]["url"] for one in images or []]
    return [hashlib.sha256(base64.b64decode(url.partition(",")[2])).hexdigest() for url in urls]


def told(answer: Any) -> dict[str, Any]:
    return {
        "choices": [
            {
                "content": one.message.content,
                "refusal": one.message.refusal,
                "reason": one.finish_reason,
                "pictures": digests((one.message.model_extra or {}).get("images")),
            }
            for one in answer.choices
        ]
    }


def ask(name: str, *messages: Any, using: Any = client, **more: Any) -> dict[str, Any]:
    asked = messages or (said("user", "a red bicycle"),)
    return told(using.chat.completions.create(model=name, messages=list(asked), **more))


def stream(name: str, *messages: Any) -> dict[str, Any]:
    asked = messages or (said("user", "a red bicycle"),)
    content, pictures, reasons = "", [], []
    try:
        for chunk in client.chat.completions.create(model=name, messages=list(asked), stream=True):
            for one in chunk.choices:
                content += one.delta.content or ""
                pictures += digests((one.delta.model_extra or {}).get("images"))
                reasons += [one.finish_reason] if one.finish_reason else []
    except openai.APIError as error:
        return {"content": content, "pictures": pictures, "reasons": reasons, "error": failed(error)}
    return {"content": content, "pictures": pictures, "reasons": reasons}


async def _async(name: str) -> dict[str, Any]:
    async with openai.AsyncOpenAI(base_url=BASE, api_key="sk-test") as using:
        return told(
            await using.chat.completions.create(model=name, messages=[said("user", text("by night"), image(GOOD))])
        )


def failed(error: openai.APIError) -> dict[str, Any]:
    return {
        "class": type(error).__name__,
        "status": getattr(error, "status_code", None),
        "code": error.code,
        "request_id": getattr(error, "request_id", None),
        "message": error.message,
        "body": error.body,
    }


tool = {"type": "function", "function": {"name": "ask", "description": f"draws {FORBIDDEN} in oil", "parameters": {}}}
called = {"id": "c1", "type": "function", "function": {"name": "ask", "arguments": json.dumps({"a": FORBIDDEN})}}
user = said("user", "by night")
SCENARIOS: dict[str, Callable[[str], dict[str, Any]]] = {
    "generate": ask,
    "generate-async": lambda name: asyncio.run(_async(name)),
    "edit": lambda name: ask(name, said("user", text("by night"), image(GOOD), image(OTHER))),
    "two-choices": lambda name: ask(name, n=2),
    "markdown": ask,
    "words-only": ask,
    "switches": lambda name: ask(name, extra_body={"disable_safety_checker": True}),
    "stream": stream,
    "stream-markdown": stream,
    "slot-text": lambda name: ask(name, said("user", FORBIDDEN)),
    "slot-part": lambda name: ask(name, said("user", text("a red bicycle"), text(FORBIDDEN))),
    "slot-history": lambda name: ask(name, said("user", FORBIDDEN), said("assistant", "done"), user),
    "slot-assistant": lambda name: ask(name, said("assistant", FORBIDDEN), user),
    "slot-system": lambda name: ask(name, said("system", FORBIDDEN), user),
    "slot-developer": lambda name: ask(name, said("developer", FORBIDDEN), user),
    "slot-tool": lambda name: ask(name, user, tools=[tool]),
    "slot-tool-call": lambda name: ask(name, {"role": "assistant", "tool_calls": [called]}, user),
    "slot-tool-answer": lambda name: ask(name, said("tool", FORBIDDEN, tool_call_id="c1"), user),
    "slot-prediction": lambda name: ask(name, user, prediction={"type": "content", "content": FORBIDDEN}),
    "slot-unknown": lambda name: ask(name, user, extra_body={"style": "forbidden"}),
    "slot-name": lambda name: ask(name, {"role": "user", "content": "by night", "name": "forbidden thing"}),
    "slot-stream": lambda name: stream(name, said("user", FORBIDDEN)),
    "input-picture": lambda name: ask(name, said("user", text("by night"), image(BAD))),
    "input-second": lambda name: ask(name, said("user", text("by night"), image(GOOD), image(BAD))),
    "input-history": lambda name: ask(name, said("user", image(BAD)), said("assistant", "ok"), user),
    "input-assistant-images": lambda name: ask(name, said("assistant", "here", images=[image(BAD)]), user),
    "input-assistant-markdown": lambda name: ask(name, said("assistant", f"here {markdown(BAD)}"), user),
    "input-tool-answer": lambda name: ask(name, said("tool", image(BAD), tool_call_id="c1"), user),
    "input-stream": lambda name: stream(name, said("user", text("by night"), image(BAD))),
    "output-images": ask,
    "output-markdown": ask,
    "output-html": ask,
    "output-parts": ask,
    "output-unknown-field": ask,
    "output-one-of-two": lambda name: ask(name, n=2),
    "address-good": ask,
    "stream-address-good": stream,
    "output-address": ask,
    "output-link": ask,
    "output-stream-address": stream,
    "output-stream": stream,
    "output-stream-markdown": stream,
    "address": lambda name: ask(name, using=once),
    "stream-address": stream,
    "stream-cut": stream,
    "reference-file": lambda name: ask(name, said("user", {"type": "file", "file": {"file_id": "file-12345678"}})),
    "reference-sound": lambda name: ask(
        name, said("user", {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}})
    ),
    "busy": lambda name: ask(name, using=once),
    "html": lambda name: ask(name, using=once),
    "closed": lambda name: client.completions.create(model=name, prompt="draw"),
}

results = {}
for scenario, play in SCENARIOS.items():
    try:
        results[scenario] = play(scenario)
    except openai.APIError as error:
        results[scenario] = {"error": failed(error)}
print(json.dumps({"version": openai.__version__, "results": results}))
