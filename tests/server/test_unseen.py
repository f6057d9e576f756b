"""What nobody would have looked at: over the wire, before a real server, it never reaches the generator."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardrail.upstream.chat import Chat
from guardrail.upstream.comfy import Comfy
from guardrail.upstream.dialect import Dialect
from guardrail.upstream.gemini import Gemini
from guardrail.upstream.moderation import HOOK, Moderation
from tests.server import upstream as script
from tests.stand_ins import png
from tests.upstream.asking import b64

PICTURE, BAD = png("harmless"), png("BAD")
PDF = f"data:application/pdf;base64,{b64(PICTURE)}"
JSON = {"content-type": "application/json"}
DRAWN = {"9": {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}}}
MADE = {"class_type": "StringConcatenate", "inputs": {"string_a": "secr", "string_b": "et.png", "delimiter": ""}}


def part(**said: Any) -> dict[str, Any]:
    return {"contents": [{"parts": [{"text": "a fox"}, {"inlineData": {**said, "data": b64(PICTURE)}}]}]}


def message(**said: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": "a fox"}, said]}]}


def graph(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"prompt": {"1": {"class_type": kind, "inputs": inputs}, "2": MADE, **DRAWN}}


@pytest.mark.parametrize(
    ("dialect", "path", "body"),
    [
        (Gemini, "/v1beta/models/m:generateContent", part(mimeType="application/pdf")),
        (Gemini, "/v1beta/models/m:generateContent", part(mime_type="text/plain")),
        (Chat, "/v1/chat/completions", message(audio_url={"url": "https://a.example/said.wav"})),
        (Chat, "/v1/chat/completions", message(image_embeds="AAAA")),
        (Comfy, "/prompt", graph("LoadImage", image=["2", 0])),
        (Comfy, "/prompt", graph("LoadLatent", latent="latents/a_00001_.latent [output]")),
    ],
)
def test_it_is_refused_and_the_generator_is_not_asked(start, upstream, dialect, path, body):
    running = start(dialect=dialect())
    got = running.call("POST", path, json.dumps(body).encode(), JSON)
    assert 400 <= got.status < 500
    assert upstream.calls == []


def test_what_is_called_a_document_reaches_the_generator_as_the_picture_that_was_judged(start, upstream):
    upstream.script = lambda heard: script.whole(b'{"choices": [{"index": 0, "message": {"content": "a fox"}}]}')
    asked = message(type="image_url", image_url={"url": PDF})
    got = start(dialect=Chat()).call("POST", "/v1/chat/completions", json.dumps(asked).encode(), JSON)
    assert got.status == 200
    assert b"application/pdf" not in upstream.calls[0].body
    assert f"data:image/png;base64,{b64(PICTURE)}".encode() in upstream.calls[0].body


@pytest.mark.parametrize(("picture", "action"), [(PICTURE, "NONE"), (BAD, "BLOCKED")], ids=["harmless", "bad"])
def test_a_gateway_that_asks_hears_of_a_picture_inside_a_text(start, picture, action):
    dialect: Dialect = Moderation()
    told = {"input_type": "response", "texts": [f"so: ![it](data:image/png;base64,{b64(picture)})"], "images": None}
    got = start(dialect=dialect).call("POST", HOOK, json.dumps(told).encode(), JSON)
    assert (got.status, got.json["action"]) == (200, action)
