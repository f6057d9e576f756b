"""The demo generator: speaks the OpenAI Images API and paints with arithmetic, so that a demo needs no model.

It paints a landscape from the words of a prompt, and answers an edit with the picture it got, in another tint.
It is a stand-in for a generator, never for a check.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import threading
from typing import Any

import numpy as np
from aiohttp import web
from PIL import Image, ImageFilter

SIDE = 512
MAX_BODY = 64 << 20


def paint(prompt: str) -> bytes:
    """A JPEG of hills under a sky; the same words give the same hills."""
    seed = np.frombuffer(hashlib.sha256(prompt.encode()).digest(), dtype=np.uint32)
    chance = np.random.default_rng(seed)
    rows = np.linspace(0.0, 1.0, SIDE)[:, None]
    top, bottom = chance.uniform(90, 255, 3), chance.uniform(120, 255, 3)
    sky = np.repeat(((1 - rows) * top + rows * bottom)[:, None, :], SIDE, axis=1)
    columns = np.linspace(0.0, 2 * np.pi, SIDE)
    for layer in range(4):
        ridge = np.full(SIDE, 0.42 + 0.13 * layer)
        for wave in (1, 2, 5, 9):
            ridge += chance.uniform(0.01, 0.05) * np.sin(columns * wave + chance.uniform(0, 6))
        colour = np.array([60, 110, 70]) * (1.1 - 0.2 * layer) + chance.uniform(-25, 25, 3)
        sky[rows > ridge[None, :]] = colour
    grain = chance.normal(0, 4, sky.shape)
    return _jpeg(Image.fromarray(np.clip(sky + grain, 0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.7)))


def retouch(picture: bytes) -> bytes:
    """The picture in a warmer tint: an edit that changes nothing that matters."""
    with Image.open(io.BytesIO(picture)) as opened:
        image = opened.convert("RGB")
    return _jpeg(
        Image.merge(
            "RGB",
            [
                band.point(lambda v, f=f: min(255, int(v * f)))
                for band, f in zip(image.split(), (1.08, 1.0, 0.9), strict=True)
            ],
        )
    )


def _jpeg(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=88)
    return out.getvalue()


class DemoGenerator:
    """Serves on a free loopback port in a thread of its own. `calls` counts the pictures it was asked for."""

    def __init__(self) -> None:
        self.calls = 0
        self.base_url = ""
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="demo-generator", daemon=True)

    def start(self) -> DemoGenerator:
        self._thread.start()
        self._started.wait()
        return self

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5.0)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_post("/v1/images/generations", self._generate)
        app.router.add_post("/v1/images/edits", self._edit)
        app.router.add_post("/v1/images/variations", self._edit)
        app.router.add_get("/v1/models", self._models)
        runner = web.AppRunner(app, access_log=None)
        self._loop.run_until_complete(runner.setup())
        site = web.TCPSite(runner, "127.0.0.1", 0)
        self._loop.run_until_complete(site.start())
        self.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        self._started.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())

    async def _generate(self, request: web.Request) -> web.Response:
        asked: dict[str, Any] = await request.json()
        return self._answer([paint(f"{asked.get('prompt')}#{at}") for at in range(int(asked.get("n") or 1))])

    async def _edit(self, request: web.Request) -> web.Response:
        if request.content_type == "application/json":
            images = (await request.json()).get("images") or [{}]
            picture = base64.b64decode(str(images[0].get("image_url", "")).partition(",")[2])
        else:
            parts = await request.post()
            found = next((part for name, part in parts.items() if name.startswith("image")), None)
            picture = found.file.read() if isinstance(found, web.FileField) else b""
        return self._answer([retouch(picture)])

    async def _models(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "demo", "object": "model"}]})

    def _answer(self, pictures: list[bytes]) -> web.Response:
        self.calls += 1
        data = [{"b64_json": base64.b64encode(picture).decode()} for picture in pictures]
        return web.json_response({"created": 1, "data": data})
