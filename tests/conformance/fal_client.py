"""Drives an unmodified fal-client through every scenario and prints, as JSON, what it saw.

Runs in an environment that has fal-client and nothing of this repository: fal_client.py PORT FOLDER. It speaks TLS
only, so this ends it: the certificate and the port are in the folder. A header tells the scripted generator which
scenario this is.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import socket
import ssl
import sys
import threading
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

PORT, FOLDER = int(sys.argv[1]), Path(sys.argv[2])
TLS = int((FOLDER / "tls.txt").read_text())
os.environ["SSL_CERT_FILE"] = str(FOLDER / "site.pem")
os.environ["FAL_RUN_HOST"] = f"127.0.0.1:{TLS}"
os.environ["FAL_QUEUE_RUN_HOST"] = f"127.0.0.1:{TLS}/queue"
os.environ["FAL_KEY"] = "id:s3cret"
# This script has the name of the package.
sys.path.remove(str(Path(__file__).parent))

import fal_client  # noqa: E402 - it reads its hosts when it is imported
import httpx  # noqa: E402

GOOD, OTHER, BAD = (FOLDER / name for name in ("good.png", "other.png", "bad.png"))
APP = "fal-ai/flux/dev"
FORBIDDEN = "something forbidden"


def carry(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65_536):
            target.sendall(data)
    except OSError:
        pass
    finally:
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def end_tls(server: socket.socket) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(FOLDER / "site.pem")
    while True:
        caller, _ = server.accept()
        try:
            inside = context.wrap_socket(caller, server_side=True)
        except OSError:
            continue
        outside = socket.create_connection(("127.0.0.1", PORT))
        for pair in ((inside, outside), (outside, inside)):
            threading.Thread(target=carry, args=pair, daemon=True).start()


def inline(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def got(url: str) -> dict[str, str]:
    """What is behind an address of an answer, without any credential."""
    if url.startswith("data:"):
        return {"sha256": hashlib.sha256(base64.b64decode(url.partition(",")[2])).hexdigest(), "at": "data"}
    answer = httpx.get(url, verify=ssl.create_default_context(cafile=str(FOLDER / "site.pem")))
    answer.raise_for_status()
    return {"sha256": hashlib.sha256(answer.content).hexdigest(), "at": url.partition("//")[2].partition("/")[0]}


def told(result: dict[str, Any]) -> dict[str, Any]:
    images = result.get("images") or [one for one in (result.get("image"),) if one]
    return {"images": [got(one["url"]) for one in images], "nsfw": result.get("has_nsfw_concepts")}


def given(prompt: str = "a red bicycle", **more: Any) -> dict[str, Any]:
    return {"prompt": prompt, **more}


class Scenario:
    def __init__(self, name: str) -> None:
        self.headers = {"x-scenario": name}
        # The queue is asked for results without headers of the caller's, so these go with every call.
        self.client = fal_client.SyncClient()
        self.client._client.headers.update(self.headers)

    def run(self, *args: Any, **more: Any) -> Any:
        return told(self.client.run(APP, given(*args, **more)))

    def subscribe(self, *args: Any, **more: Any) -> Any:
        return told(self.client.subscribe(APP, given(*args, **more)))

    def stream(self, *args: Any, **more: Any) -> Any:
        seen = []
        for event in self.client.stream(APP, given(*args, **more)):
            images = event.get("images") or []
            seen.append({"images": [got(one["url"]) for one in images], "detail": event.get("detail")})
        return {"events": seen}

    def queued(self) -> Any:
        handle = self.client.submit(APP, given())
        hosts = {one.partition("//")[2].partition("/")[0] for one in (handle.response_url, handle.status_url)}
        seen = [type(one).__name__ for one in handle.iter_events(with_logs=True)]
        by_id = self.client.result(APP, handle.request_id)
        return {"seen": seen, "hosts": sorted(hosts), **told(handle.get()), "again": told(by_id)}

    def cancelled(self) -> Any:
        handle = self.client.submit(APP, given())
        handle.cancel()
        return {"id": handle.request_id}

    def hooked(self) -> Any:
        return {"id": self.client.submit(APP, given(), webhook_url="https://client.example/hook?x=1").request_id}

    def made(self) -> str:
        """The address that the guard gives for what was made: it goes in again."""
        return str(self.client.run(APP, given())["images"][0]["url"])

    def unknown(self) -> Any:
        return told(self.client.result(APP, "00000000-0000-4000-8000-000000000000"))


SCENARIOS: dict[str, Callable[[Scenario], Any]] = {
    "run": lambda one: one.run(),
    "run-two": lambda one: one.run(num_images=2),
    "run-data-url": lambda one: one.run(sync_mode=True),
    "run-one": lambda one: one.run(),
    "run-edit": lambda one: one.run(image_url=inline(GOOD), mask_url=inline(OTHER)),
    "run-address": lambda one: one.run(image_urls=["https://v3.fal.media/files/good.png"]),
    "run-again": lambda one: told(one.client.run(APP, given(image_url=one.made()))),
    "subscribe": lambda one: one.subscribe(),
    "queued": lambda one: one.queued(),
    "cancelled": lambda one: one.cancelled(),
    "stream": lambda one: one.stream(),
    "stream-address": lambda one: one.stream(),
    "webhook": lambda one: one.hooked(),
    "switched-off": lambda one: one.run(enable_safety_checker=False, safety_tolerance="6"),
    "word-prompt": lambda one: one.run(FORBIDDEN),
    "word-negative": lambda one: one.run(negative_prompt=FORBIDDEN),
    "word-unknown": lambda one: one.run(style="forbidden"),
    "word-nested": lambda one: one.run(shots=[{"text": FORBIDDEN}]),
    "word-queue": lambda one: one.subscribe(FORBIDDEN),
    "picture-image": lambda one: one.run(image_url=inline(BAD)),
    "picture-second": lambda one: one.run(image_urls=[inline(GOOD), inline(BAD)]),
    "picture-mask": lambda one: one.run(image_url=inline(GOOD), mask_url=inline(BAD)),
    "picture-nested": lambda one: one.run(controlnets=[{"control": inline(BAD)}]),
    "picture-address": lambda one: one.run(image_url="https://v3.fal.media/files/bad.png"),
    "picture-queue": lambda one: one.subscribe(image_url=inline(BAD)),
    "output": lambda one: one.run(),
    "output-data-url": lambda one: one.run(sync_mode=True),
    "output-one": lambda one: one.run(),
    "output-elsewhere": lambda one: one.run(),
    "output-queue": lambda one: one.subscribe(),
    "output-one-of-two": lambda one: one.run(num_images=2),
    "output-stream": lambda one: one.stream(),
    "output-stream-address": lambda one: one.stream(),
    "lora": lambda one: one.run(loras=[{"path": "https://weights.example/somebody.safetensors", "scale": 1}]),
    "lora-name": lambda one: one.run(loras=[{"path": "somebody/lora"}]),
    "no-picture": lambda one: one.run(image_url="https://v3.fal.media/files/page"),
    "unknown": lambda one: one.unknown(),
    "invalid": lambda one: one.run(),
}


server = socket.create_server(("127.0.0.1", TLS))
threading.Thread(target=end_tls, args=(server,), daemon=True).start()
results: dict[str, Any] = {}
for name, play in SCENARIOS.items():
    try:
        results[name] = play(Scenario(name))
    except fal_client.FalClientHTTPError as error:
        kept = {key: value for key, value in error.response_headers.items() if key.startswith("x-fal-")}
        results[name] = {
            "class": type(error).__name__,
            "status": error.status_code,
            "type": error.error_type,
            "detail": error.message,
            "headers": kept,
        }
print(json.dumps({"version": version("fal-client"), "results": results}))
