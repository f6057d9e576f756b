"""Bodies of fal, as its clients and its servers write them."""

from __future__ import annotations

import json
from typing import Any

from guardrail.upstream.dialect import Setup
from guardrail.upstream.fal import Fal
from tests.upstream.asking import Asking, inputs, texts

__all__ = ["APP", "HTTPS", "JOB", "PUBLIC", "SETUP", "answered", "asked", "inputs", "queued", "read", "result", "texts"]

APP = "/fal-ai/flux/dev"
JOB = "8f5e2c1a-0b7d-4f0e-9a51-2f6f7c1d9e33"
PUBLIC = "http://guard.example/fal"
SETUP = Setup(mount="/fal", public_url=PUBLIC)
HTTPS = Setup(mount="/fal", public_url="https://guard.example/fal", key=lambda purpose: purpose.encode().ljust(32)[:32])


def asked(**fields: Any) -> bytes:
    """The input of an image app; odd spacing, so that a re-encoding would show."""
    return json.dumps({"prompt": "a red bicycle", "image_size": "square_hd", **fields}, indent=1).encode()


def result(*images: str, **more: Any) -> bytes:
    """What an app made, each picture by address or as data URL."""
    said = {
        "images": [{"url": one, "content_type": "image/png", "width": 4, "height": 4} for one in images],
        "seed": 7,
        "timings": {"inference": 0.5},
        "has_nsfw_concepts": [False] * len(images),
        "prompt": "a red bicycle",
        **more,
    }
    return json.dumps(said).encode()


def queued(base: str = "https://queue.fal.run/fal-ai/flux", **more: Any) -> bytes:
    """What the queue says of a request."""
    at = f"{base}/requests/{JOB}"
    addresses = {"response_url": at, "status_url": f"{at}/status", "cancel_url": f"{at}/cancel"}
    return json.dumps({"status": "IN_QUEUE", "request_id": JOB, **addresses, "queue_position": 0, **more}).encode()


_ASKING = Asking(lambda: Fal.open(SETUP), APP)
read, answered = _ASKING.read, _ASKING.answered
