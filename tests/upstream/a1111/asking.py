"""Bodies of the AUTOMATIC1111 API, as its clients and servers write them."""

from __future__ import annotations

import json
from typing import Any

from guardrail.upstream.a1111 import A1111
from guardrail.upstream.dialect import Call
from tests.upstream.asking import Asking, b64, inputs, texts

__all__ = ["IMG2IMG", "TXT2IMG", "answer", "answered", "asked", "inputs", "read", "texts"]

TXT2IMG = "/sdapi/v1/txt2img"
IMG2IMG = "/sdapi/v1/img2img"


def asked(**fields: Any) -> bytes:
    return json.dumps({"prompt": "a red bicycle", "sampler_name": "DPM++ 2M Karras", "steps": 20, **fields}).encode()


def answer(*pictures: bytes, prompt: str = "a red bicycle", **more: Any) -> bytes:
    """An answer with its info as JSON in a string; odd spacing, so that a re-encoding would show."""
    info = json.dumps({"prompt": prompt, "all_prompts": [prompt] * len(pictures), "seed": 7, "infotexts": [prompt]})
    entries = ",  ".join(f'"{b64(one)}"' for one in pictures)
    return f'{{"images":[{entries}] , "parameters": {json.dumps(more)},\n "info":{json.dumps(info)}}}'.encode()


_ASKING = Asking(A1111, TXT2IMG)
answered = _ASKING.answered


def read(path: str, body: bytes, **more: Any) -> Call:
    """Read a call as the server would."""
    return _ASKING.read(body, path, **more)
