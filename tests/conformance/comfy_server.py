"""A scripted ComfyUI on a loopback port: queues a graph, tells of it on the socket, keeps what it made by name.

The prefix of the file names of a graph says which scenario it is.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from aiohttp import WSMsgType, web

from guardrail.upstream.multipart import boundary_of, media_type, parts
from tests.server.upstream import Heard, OnAThread

SAVES, SENDS = "SaveImage", "SaveImageWebsocket"


def scenario_of(heard: Heard) -> str:
    """The scenario of a request: a graph names it as the prefix of its files, and a file has it in its name."""
    path, _, query = heard.target.partition("?")
    if path.endswith("/prompt") and heard.body:
        nodes = json.loads(heard.body)["prompt"].values()
        return next((name for node in nodes if (name := node["inputs"].get("filename_prefix"))), "unnamed")
    if path.endswith("/view"):
        return parse_qs(query)["filename"][0].partition("_0")[0]
    return path.rpartition("/")[2]


@dataclass
class Job:
    """A graph that is queued, and the picture that it makes."""

    id: str
    client: str
    graph: Mapping[str, Any]
    scenario: str

    @property
    def output(self) -> tuple[str, str]:
        return next(
            (name, node["class_type"]) for name, node in self.graph.items() if node["class_type"] in (SAVES, SENDS)
        )

    @property
    def images(self) -> list[dict[str, str]]:
        return [{"filename": f"{self.scenario}_00001_.png", "subfolder": "", "type": "output"}]


class ComfyServer(OnAThread):
    """Runs on a thread of its own. `pictures` by scenario, "" for any other; `preview` is what is in the making."""

    def __init__(self, pictures: Mapping[str, bytes], preview: bytes) -> None:
        super().__init__()
        self.pictures = pictures
        self.preview = preview
        self.uploads: dict[str, bytes] = {}
        self.calls: list[Heard] = []
        self.jobs: dict[str, Job] = {}
        self._queued = asyncio.Event()

    async def _open(self) -> int:
        app = web.Application(client_max_size=1 << 26)
        app.add_routes(
            [
                web.post("/prompt", self._prompt),
                web.post("/upload/image", self._upload),
                web.get("/history", self._all),
                web.get("/history/{id}", self._history),
                web.get("/view", self._view),
                web.get("/queue", self._list),
                web.get("/object_info", self._list),
                web.get("/ws", self._socket),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        port: int = self._runner.addresses[0][1]
        return port

    async def _close(self) -> None:
        await self._runner.cleanup()

    async def _heard(self, request: web.Request) -> Heard:
        headers = {name.lower(): value for name, value in request.headers.items()}
        heard = Heard(request.method, request.raw_path, headers, await request.read())
        self.calls.append(heard)
        return heard

    async def _prompt(self, request: web.Request) -> web.Response:
        heard = await self._heard(request)
        if scenario_of(heard).startswith("broken"):
            return web.Response(body=b"<html><body>It works</body></html>", content_type="text/html")
        asked = json.loads(heard.body)
        job = Job(str(uuid.uuid4()), asked.get("client_id", ""), asked["prompt"], scenario_of(heard))
        self.jobs[job.id] = job
        self._queued.set()
        self._queued = asyncio.Event()
        return web.json_response({"prompt_id": job.id, "number": len(self.jobs), "node_errors": {}})

    async def _upload(self, request: web.Request) -> web.Response:
        heard = await self._heard(request)
        _, parameters = media_type(heard.headers["content-type"])
        found = {part.name: part for part in parts(heard.body, boundary_of(parameters), 8)}
        form = {key: heard.body[part.start : part.end].decode("latin-1") for key, part in found.items()}
        image = found["image"]
        data, name = heard.body[image.start : image.end], image.filename or ""
        # Another picture of the same name gets a name of its own, unless it is to be written over.
        if form.get("overwrite") not in ("true", "1") and self.uploads.get(name, data) != data:
            name = name.replace(".", " (1).")
        self.uploads[name] = data
        return web.json_response({"name": name, "subfolder": form.get("subfolder", ""), "type": "input"})

    async def _history(self, request: web.Request) -> web.Response:
        await self._heard(request)
        job = self.jobs.get(request.match_info["id"])
        return web.json_response({} if job is None else {job.id: self._told(job)})

    async def _all(self, request: web.Request) -> web.Response:
        await self._heard(request)
        return web.json_response({job.id: self._told(job) for job in self.jobs.values()})

    def _told(self, job: Job) -> dict[str, Any]:
        node, kind = job.output
        outputs = {node: {"images": job.images}} if kind == SAVES else {}
        status = {"status_str": "success", "completed": True, "messages": []}
        return {"prompt": [1, job.id, job.graph, {}, [node]], "outputs": outputs, "status": status, "meta": {}}

    async def _view(self, request: web.Request) -> web.Response:
        await self._heard(request)
        name = request.query["filename"]
        data = self.uploads.get(name) if request.query.get("type") == "input" else self._made(name.partition("_0")[0])
        if data is None:
            return web.Response(status=404)
        headers = {"Content-Disposition": f'filename="{name}"'}
        return web.Response(body=data, content_type="image/png", headers=headers)

    def _made(self, scenario: str) -> bytes:
        return self.pictures.get(scenario, self.pictures[""])

    async def _list(self, request: web.Request) -> web.Response:
        await self._heard(request)
        return web.json_response({"queue_running": [], "queue_pending": []})

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        await self._heard(request)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        client = request.query.get("clientId", "")
        listening = asyncio.ensure_future(self._listen(socket))
        told: set[str] = set()
        await self._say(socket, "status", {"status": {"exec_info": {"queue_remaining": 1}}, "sid": client})
        while not listening.done():
            queued = self._queued
            for job in [one for one in self.jobs.values() if one.client == client and one.id not in told]:
                told.add(job.id)
                await self._play(socket, job)
            waiting = asyncio.ensure_future(queued.wait())
            await asyncio.wait({waiting, listening}, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
        return socket

    async def _listen(self, socket: web.WebSocketResponse) -> None:
        async for message in socket:
            if message.type is WSMsgType.ERROR:
                return

    async def _say(self, socket: web.WebSocketResponse, kind: str, data: Mapping[str, Any]) -> None:
        await socket.send_str(json.dumps({"type": kind, "data": data}))

    async def _play(self, socket: web.WebSocketResponse, job: Job) -> None:
        node, kind = job.output
        of = {"prompt_id": job.id}
        head = (1).to_bytes(4, "big") + (2).to_bytes(4, "big")
        try:
            await self._say(socket, "execution_start", of)
            # Another client's job, told to everyone.
            await self._say(socket, "executing", {"node": "3", "prompt_id": next(iter(self.jobs))})
            await self._say(socket, "executing", {"node": "3", **of})
            await self._say(socket, "progress", {"value": 1, "max": 2, "node": "3", **of})
            await socket.send_bytes(head + self.preview)
            await self._say(socket, "executing", {"node": node, **of})
            if kind == SENDS:
                await socket.send_bytes(head + self._made(job.scenario))
            else:
                await self._say(socket, "executed", {"node": node, "output": {"images": job.images}, **of})
            await self._say(socket, "execution_success", of)
            await self._say(socket, "executing", {"node": None, **of})
        except ConnectionError:
            return
