"""Bodies of Replicate, as its clients and its server write them."""

from __future__ import annotations

import json
from typing import Any

from guardrail.upstream.dialect import Setup
from guardrail.upstream.replicate import Replicate
from tests.upstream.asking import Asking, inputs, texts

__all__ = [
    "CREATE",
    "HTTPS",
    "MODEL",
    "PUBLIC",
    "SETUP",
    "VENDOR",
    "answered",
    "asked",
    "inputs",
    "prediction",
    "read",
    "texts",
    "told",
]

CREATE = "/v1/predictions"
MODEL = "/v1/models/black-forest-labs/flux-schnell/predictions"
PUBLIC = "http://guard.example/replicate"
VENDOR = "https://api.replicate.com/v1/predictions"
SETUP = Setup(mount="/replicate", public_url=PUBLIC)
HTTPS = Setup(
    mount="/replicate",
    public_url="https://guard.example/replicate",
    key=lambda purpose: purpose.encode().ljust(32)[:32],
)


def asked(**fields: Any) -> bytes:
    """A body with the input of an image model; odd spacing, so that a re-encoding would show."""
    top = {name: fields.pop(name) for name in ("webhook", "stream", "webhook_events_filter") if name in fields}
    said = {"version": "a1b2", "input": {"prompt": "a red bicycle", "num_outputs": 1, **fields}, **top}
    return json.dumps(said, indent=1).encode()


def prediction(
    output: Any = None,
    *,
    job_id: str = "p1",
    status: str = "succeeded",
    urls: str = VENDOR,
    stream: str = "",
    **more: Any,
) -> bytes:
    """A prediction as Replicate tells of it, or with `urls=PUBLIC + ...` as the guard does."""
    said: dict[str, Any] = {
        "id": job_id,
        "model": "black-forest-labs/flux-schnell",
        "version": "a1b2",
        "input": {"prompt": "a red bicycle"},
        "logs": "Using seed: 7",
        "output": output,
        "error": None,
        "status": status,
        "urls": {"get": f"{urls}/{job_id}", "cancel": f"{urls}/{job_id}/cancel"},
        "metrics": {"predict_time": 0.5},
        **more,
    }
    if stream:
        said["urls"] = {**said["urls"], "stream": stream}
    return json.dumps(said).encode()


def told(output: Any = None, **more: Any) -> bytes:
    """The same prediction as it leaves the guard."""
    return prediction(output, urls=f"{PUBLIC}/v1/predictions", **more)


_ASKING = Asking(lambda: Replicate.open(SETUP), CREATE)
read, answered = _ASKING.read, _ASKING.answered
