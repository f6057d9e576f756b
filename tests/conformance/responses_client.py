"""Drives an unmodified openai client through the Responses API and prints, as JSON, what it saw.

Runs in an environment that has openai and nothing of this repository: responses_client.py PORT FOLDER. The model's
name tells the scripted generator which scenario this is.
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

BASE, FOLDER = f"http://127.0.0.1:{sys.argv[1]}/v1", Path(sys.argv[2])
GOOD, OTHER, BAD = ((FOLDER / name).read_bytes() for name in ("good.png", "other.png", "bad.png"))
client = openai.OpenAI(base_url=BASE, api_key="sk-test")
once = client.with_options(max_retries=0)
FORBIDDEN = "something forbidden"
TOOL = {"type": "image_generation", "partial_images": 1}


def url(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


def user(*parts: Any) -> dict[str, Any]:
    content = [{"type": "input_text", "text": part} if isinstance(part, str) else part for part in parts]
    return {"role": "user", "content": content}


def image(data: bytes) -> dict[str, Any]:
    return {"type": "input_image", "image_url": url(data), "detail": "auto"}


def drawn(data: bytes) -> dict[str, Any]:
    return {
        "type": "image_generation_call",
        "id": "ig_0",
        "status": "completed",
        "result": base64.b64encode(data).decode(),
    }


def digest(encoded: str | None) -> str | None:
    return hashlib.sha256(base64.b64decode(encoded)).hexdigest() if encoded else None


def told(answer: Any) -> dict[str, Any]:
    items = []
    for one in answer.output:
        plain = one.model_dump()
        error = plain.get("error")
        items.append(
            {
                "type": one.type,
                "status": plain.get("status"),
                "picture": digest(plain.get("result")),
                "error": error and error["code"],
                "parts": [part["type"] for part in plain.get("content") or []],
            }
        )
    return {"id": answer.id, "status": answer.status, "text": answer.output_text, "items": items}


def ask(name: str, asked: Any = "a red bicycle", using: Any = client, **more: Any) -> dict[str, Any]:
    return told(using.responses.create(model=name, input=asked, **{"tools": [TOOL], **more}))


def stream(name: str, asked: Any = "a red bicycle") -> dict[str, Any]:
    seen, final = [], None
    try:
        for event in client.responses.create(model=name, input=asked, tools=[TOOL], stream=True):
            plain = event.model_dump()
            encoded = plain.get("partial_image_b64") or (plain.get("item") or {}).get("result")
            seen.append({"type": event.type, "picture": digest(encoded), "delta": plain.get("delta")})
            final = told(event.response) if event.type == "response.completed" else final
    except openai.APIError as error:
        return {"events": seen, "final": final, "error": failed(error)}
    return {"events": seen, "final": final}


def helper(name: str) -> dict[str, Any]:
    with client.responses.stream(model=name, input="a red bicycle", tools=[TOOL]) as events:
        for _ in events:
            pass
        return told(events.get_final_response())


def job(name: str) -> dict[str, Any]:
    """A job that is begun, and fetched twice: it runs the first time and is done the second."""
    begun = client.responses.create(model=name, input=user_only(), tools=[TOOL], background=True)
    return {"answers": [told(begun), *(told(client.responses.retrieve(begun.id)) for _ in range(2))]}


def user_only() -> Any:
    return [user("by night", image(GOOD))]


def two_turns(name: str) -> dict[str, Any]:
    first = client.responses.create(model=name, input=[user("my aunt", image(GOOD))], tools=[TOOL])
    second = client.responses.create(model=name, input="by night", previous_response_id=first.id, tools=[TOOL])
    return {"answers": [told(first), told(second)]}


def failed(error: openai.APIError) -> dict[str, Any]:
    return {
        "class": type(error).__name__,
        "status": getattr(error, "status_code", None),
        "code": error.code,
        "request_id": getattr(error, "request_id", None),
        "message": error.message,
        "body": error.body,
    }


tool = {
    "type": "function",
    "name": "ask",
    "description": f"draws {FORBIDDEN} in oil",
    "parameters": {},
    "strict": False,
}
called = {"type": "function_call", "call_id": "c1", "name": "ask", "arguments": json.dumps({"a": FORBIDDEN})}
SCENARIOS: dict[str, Callable[[str], dict[str, Any]]] = {
    "generate": ask,
    "edit": lambda name: ask(name, [user("by night", image(GOOD))]),
    "words-only": ask,
    "switches": lambda name: ask(name, tools=[{**TOOL, "moderation": "low"}]),
    "two-turns": two_turns,
    "job": job,
    "stream": stream,
    "helper": helper,
    "slot-text": lambda name: ask(name, FORBIDDEN),
    "slot-part": lambda name: ask(name, [user("a red bicycle", FORBIDDEN)]),
    "slot-instructions": lambda name: ask(name, instructions=FORBIDDEN),
    "slot-history": lambda name: ask(name, [user(FORBIDDEN), {"role": "assistant", "content": "ok"}, user("again")]),
    "slot-assistant": lambda name: ask(name, [{"role": "assistant", "content": FORBIDDEN}, user("again")]),
    "slot-tool": lambda name: ask(name, tools=[tool]),
    "slot-tool-call": lambda name: ask(name, [called, user("again")]),
    "slot-tool-answer": lambda name: ask(
        name, [{"type": "function_call_output", "call_id": "c1", "output": FORBIDDEN}, user("again")]
    ),
    "slot-unknown": lambda name: ask(name, extra_body={"style": "forbidden"}),
    "slot-of-the-image-tool": lambda name: ask(name, tools=[{**TOOL, "negative_prompt": FORBIDDEN}]),
    "slot-stream": lambda name: stream(name, FORBIDDEN),
    "input-picture": lambda name: ask(name, [user("by night", image(BAD))]),
    "input-second": lambda name: ask(name, [user("by night", image(GOOD), image(BAD))]),
    "input-file": lambda name: ask(name, [user("by night", {"type": "input_image", "file_id": "file-abc123bad"})]),
    "input-file-of-mask": lambda name: ask(name, tools=[{**TOOL, "input_image_mask": {"file_id": "file-abc123bad"}}]),
    "input-words": lambda name: ask(name, [user(f"as in ![it]({url(BAD)})")]),
    "input-history": lambda name: ask(name, [user(image(BAD)), {"role": "assistant", "content": "ok"}, user("again")]),
    "input-drawn": lambda name: ask(name, [drawn(BAD), user("by night")]),
    "input-mask": lambda name: ask(name, tools=[{**TOOL, "input_image_mask": {"image_url": url(BAD)}}]),
    "input-tool-answer": lambda name: ask(
        name, [{"type": "function_call_output", "call_id": "c1", "output": [image(BAD)]}, user("again")]
    ),
    "input-stream": lambda name: stream(name, [user("by night", image(BAD))]),
    "output-refused": ask,
    "output-one-of-two": ask,
    "output-markdown": ask,
    "output-job": job,
    "output-stream-partial": stream,
    "output-stream-item": stream,
    "output-stream-markdown": stream,
    "output-stream-helper": helper,
    "stream-cut": stream,
    "reference-response": lambda name: ask(name, previous_response_id="resp_unknown"),
    "reference-item": lambda name: ask(name, [{"type": "item_reference", "id": "ig_unknown"}, user("by night")]),
    "reference-prompt": lambda name: ask(name, prompt={"id": "pmpt_1"}),
    "reference-conversation": lambda name: ask(name, conversation="conv_1"),
    "reference-job": lambda name: told(client.responses.retrieve("resp_reference-job")),
    "tool-mcp": lambda name: ask(
        name,
        tools=[{"type": "mcp", "server_label": "x", "server_url": "https://mcp.example/", "require_approval": "never"}],
    ),
    "busy": lambda name: ask(name, using=once),
    "html": lambda name: ask(name, using=once),
    "closed": lambda name: {"items": client.responses.input_items.list("resp_closed").data},
}

results = {}
for scenario, play in SCENARIOS.items():
    try:
        results[scenario] = play(scenario)
    except openai.APIError as error:
        results[scenario] = {"error": failed(error)}
print(json.dumps({"version": openai.__version__, "results": results}))
