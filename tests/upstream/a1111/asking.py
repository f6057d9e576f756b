"""Bodies of the AUTOMATIC1111 API, as its clients and servers write them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from guardrail.upstream.a1111 import A1111
from guardrail.upstream.dialect import Answer, Call, Headers
from tests.upstream.asking import JSON, Store, b64

TXT2IMG = "/sdapi/v1/txt2img"
IMG2IMG = "/sdapi/v1/img2img"


def asked(**fields: Any) -> bytes:
    return json.dumps({"prompt": "a red bicycle", "sampler_name": "DPM++ 2M Karras", "steps": 20, **fields}).encode()


def answer(*pictures: bytes, prompt: str = "a red bicycle", **more: Any) -> bytes:
    """An answer with its info as JSON in a string; odd spacing, so that a re-encoding would show."""
    info = json.dumps({"prompt": prompt, "all_prompts": [prompt] * len(pictures), "seed": 7, "infotexts": [prompt]})
    entries = ",  ".join(f'"{b64(one)}"' for one in pictures)
    return f'{{"images":[{entries}] , "parameters": {json.dumps(more)},\n "info":{json.dumps(info)}}}'.encode()


def read(
    path: str,
    body: bytes,
    *,
    dialect: A1111 | None = None,
    store: Store | None = None,
    method: str = "POST",
    headers: Headers = JSON,
    query: str = "",
) -> Call:
    """Read a call as the server would."""
    store = store or Store()
    reader = dialect or A1111()
    return asyncio.run(reader.read(method, path, query, headers, body, store.fetch, store.fetch_file))


def answered(call: Call, body: bytes, status: int = 200, headers: Headers = JSON) -> Answer:
    return asyncio.run(A1111().read_answer(call, status, headers, body, Store().fetch))


def texts(call: Call) -> dict[str, str]:
    return {one.slot: one.text or "" for one in call.request.texts}


def inputs(call: Call) -> dict[str, bytes]:
    return {one.slot: one.data or b"" for one in call.request.inputs}
