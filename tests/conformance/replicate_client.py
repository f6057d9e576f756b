"""Drives an unmodified replicate client through every scenario and prints, as JSON, what it saw.

Runs in an environment that has replicate and nothing of this repository: replicate_client.py PORT FOLDER. A header
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

from replicate.__about__ import __version__
from replicate.client import Client
from replicate.exceptions import ModelError, ReplicateError
from replicate.helpers import FileOutput

BASE, FOLDER = f"http://127.0.0.1:{sys.argv[1]}", Path(sys.argv[2])
GOOD, OTHER, BAD = (FOLDER / name for name in ("good.png", "other.png", "bad.png"))
MODEL = "black-forest-labs/flux-schnell"
VERSION = f"{MODEL}:{'a1' * 32}"
FORBIDDEN = "something forbidden"


def client(scenario: str) -> Client:
    made = Client(api_token="r8_test", base_url=BASE, headers={"x-scenario": scenario})
    made.poll_interval = 0.01
    return made


def inline(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def plain(value: Any) -> Any:
    """An output as JSON: each file as what it is read as."""
    if isinstance(value, FileOutput):
        return {"sha256": hashlib.sha256(value.read()).hexdigest()}
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list) else value


def run(name: str, ref: str = MODEL, *, wait: Any = True, prompt: str = "a red bicycle", **given: Any) -> Any:
    return {"output": plain(client(name).run(ref, input={"prompt": prompt, **given}, wait=wait))}


async def _async(name: str) -> Any:
    return {"output": plain(await client(name).async_run(MODEL, input={"prompt": "a red bicycle"}))}


def uploaded(name: str, path: Path, **more: Any) -> Any:
    with path.open("rb") as file:
        return run(name, image=file, **more)


def encoded(name: str, path: Path) -> Any:
    with path.open("rb") as file:
        made = client(name)
        return {"output": plain(made.run(MODEL, input={"prompt": "x", "image": file}, file_encoding_strategy="base64"))}


def polled(name: str) -> Any:
    made = client(name)
    prediction = made.predictions.create(version="a1" * 32, input={"prompt": "a red bicycle"})
    seen = [prediction.status]
    while prediction.status not in ("succeeded", "failed", "canceled"):
        prediction.reload()
        seen.append(prediction.status)
    return {"seen": seen, "output": plain(prediction.output), "error": prediction.error, "urls": prediction.urls}


def cancelled(name: str) -> Any:
    made = client(name)
    prediction = made.predictions.create(version="a1" * 32, input={"prompt": "a red bicycle"})
    prediction.cancel()
    return {"status": prediction.status}


def streamed(name: str, prompt: str = "a red bicycle") -> Any:
    seen = []
    try:
        for event in client(name).stream(MODEL, input={"prompt": prompt}):
            read = isinstance(event.data, FileOutput)
            data = hashlib.sha256(event.data.read()).hexdigest() if read else event.data
            seen.append([event.event.value, data])
    except RuntimeError as error:
        return {"events": seen, "raised": str(error)}
    return {"events": seen}


def created(name: str, **more: Any) -> Any:
    made = client(name).predictions.create(version="a1" * 32, input={"prompt": "a red bicycle"}, **more)
    return {"status": made.status}


def listed(name: str) -> Any:
    page = client(name).predictions.list()
    return {"ids": [one.id for one in page.results], "outputs": [one.output for one in page.results], "next": page.next}


def refused_again(name: str) -> Any:
    """A prediction that was refused is asked for by its id."""
    made = client(name)
    prediction = made.predictions.create(version="a1" * 32, input={"prompt": FORBIDDEN})
    again = made.predictions.get(prediction.id)
    return {"same": prediction.error == again.error, "status": again.status}


def files(name: str) -> Any:
    made = client(name)
    with GOOD.open("rb") as file:
        kept = made.files.create(file)
    return {"id": kept.id, "again": made.files.get(kept.id).id, "deleted": made.files.delete(kept.id)}


def word(name: str) -> Any:
    prediction = client(name).predictions.create(version="a1" * 32, input={"prompt": FORBIDDEN})
    return {"status": prediction.status, "error": prediction.error}


SCENARIOS: dict[str, Callable[[str], Any]] = {
    "run": run,
    "run-version": lambda name: run(name, VERSION),
    "run-async": lambda name: asyncio.run(_async(name)),
    "run-wait": lambda name: run(name, wait=20),
    "run-poll": lambda name: run(name, wait=False),
    "run-two": run,
    "run-data-url": run,
    "run-object": run,
    "run-words": run,
    "run-edit": lambda name: run(name, image=inline(GOOD), mask=inline(OTHER)),
    "run-upload": lambda name: uploaded(name, GOOD),
    "run-encoded": lambda name: encoded(name, GOOD),
    "run-address": lambda name: run(name, image="https://a.example/good.png"),
    "create": created,
    "polled": polled,
    "cancelled": cancelled,
    "streamed": streamed,
    "streamed-address": streamed,
    "listed": listed,
    "files": files,
    "switched-off": lambda name: run(name, disable_safety_checker=True, safety_tolerance=6),
    "word-prompt": lambda name: run(name, prompt=FORBIDDEN),
    "word-negative": lambda name: run(name, negative_prompt=FORBIDDEN),
    "word-unknown": lambda name: run(name, style_hint="forbidden"),
    "word-nested": lambda name: run(name, shots=[{"text": FORBIDDEN}]),
    "word-create": word,
    "word-stream": lambda name: streamed(name, FORBIDDEN),
    "word-again": refused_again,
    "picture-image": lambda name: run(name, image=inline(BAD)),
    "picture-second": lambda name: run(name, images=[inline(GOOD), inline(BAD)]),
    "picture-mask": lambda name: run(name, image=inline(GOOD), mask=inline(BAD)),
    "picture-nested": lambda name: run(name, refs={"a": [{"b": inline(BAD)}]}),
    "picture-address": lambda name: run(name, image="https://a.example/bad.png"),
    "picture-upload": lambda name: uploaded(name, BAD),
    "picture-encoded": lambda name: encoded(name, BAD),
    "output": run,
    "output-data-url": run,
    "output-poll": lambda name: run(name, wait=False),
    "output-growing": polled,
    "output-one-of-two": run,
    "output-object": run,
    "output-stream": streamed,
    "output-stream-address": streamed,
    "webhook": lambda name: created(name, webhook="https://client.example/hook"),
    "weights": lambda name: run(name, lora_weights="https://weights.example/somebody.safetensors"),
    "no-picture": lambda name: run(name, image="https://a.example/page"),
    "private-address": lambda name: run(name, image="https://127.0.0.1/x.png"),
    "busy": created,
    "training": lambda name: client(name).trainings.create(
        destination="me/mine", version=VERSION, input={"input_images": "https://a.example/me.zip"}
    ),
}


results: dict[str, Any] = {}
for scenario, play in SCENARIOS.items():
    try:
        results[scenario] = play(scenario)
    except ModelError as error:
        results[scenario] = {"class": "ModelError", "error": error.prediction.error, "output": error.prediction.output}
    except ReplicateError as error:
        results[scenario] = {"class": "ReplicateError", "status": error.status, "detail": error.detail}
print(json.dumps({"version": __version__, "results": results}))
