"""An application with OpenAI-compatible routes behind the middleware, served by uvicorn on the loopback."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import threading
import time
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute

from guardrail.errors import ConfigError
from guardrail.integrations.pixels import encode
from guardrail.integrations.starlette import GuardrailMiddleware
from guardrail.server import ServerSettings
from tests.integrations.conftest import Eye

ROUTE = "/v1/images/generations"


def grey(level: int) -> str:
    import numpy as np

    return base64.b64encode(encode(np.full((16, 16, 3), level, np.uint8))).decode()


class Painter:
    """The application: answers with pictures as bright as it was told, and remembers what it was asked."""

    def __init__(self) -> None:
        self.levels = [10]
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.afterwards = threading.Event()
        self.app = Starlette(
            routes=[
                Route("/", self.home),
                Route("/v1/images/generations", self.paint, methods=["POST"]),
                Route("/v1/images/edits", self.moved, methods=["POST"]),
                Route("/v1/{rest:path}", self.whatever, methods=["GET", "POST", "PUT"]),
                WebSocketRoute("/ws", self.socket),
            ]
        )
        self.app.add_middleware(GZipMiddleware, minimum_size=10)

    async def home(self, request):
        return PlainTextResponse("forbidden words are no business of the guard here")

    async def whatever(self, request):
        self.asked.append({"rest": request.path_params["rest"]})
        return PlainTextResponse("somewhere else")

    async def paint(self, request):
        asked = await request.json()
        self.asked.append(asked)
        self.headers.append(dict(request.headers))
        if asked["prompt"] == "break":
            raise RuntimeError("a bug that quotes the prompt")
        if asked.get("stream"):
            return StreamingResponse(self.events(), media_type="text/event-stream")
        data = [{"b64_json": grey(level)} for level in self.levels]
        return JSONResponse({"created": 1, "data": data}, background=BackgroundTask(self.later))

    async def later(self):
        await asyncio.sleep(0.05)
        self.afterwards.set()

    async def events(self):
        for level in self.levels:
            said = {"type": "image_generation.completed", "b64_json": grey(level)}
            yield f"event: {said['type']}\ndata: {json.dumps(said)}\n\n"

    async def moved(self, request):
        return RedirectResponse("/elsewhere")

    async def socket(self, websocket):
        await websocket.accept()
        await websocket.close()


class Served:
    def __init__(self, app: Any) -> None:
        # Without its log settings, which would outlive this test.
        config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, lifespan="off")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        until = time.monotonic() + 10
        while not self.server.started and time.monotonic() < until:
            time.sleep(0.005)
        self.port = self.server.servers[0].sockets[0].getsockname()[1]

    def call(self, method: str, path: str, body: bytes | None = None, **headers: str):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request(method, path, body, {"content-type": "application/json", **headers})
        got = connection.getresponse()
        read = got.read()
        connection.close()
        return got.status, {name.lower(): value for name, value in got.getheaders()}, read

    def ask(self, prompt: str = "a red bicycle", path: str = ROUTE, **more: Any):
        return self.call("POST", path, json.dumps({"prompt": prompt, **more}).encode())

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(10)


@pytest.fixture
def painter():
    return Painter()


@pytest.fixture
def serve(painter, by):
    running = []

    def begin(**more: Any) -> Served:
        running.append(Served(GuardrailMiddleware(painter.app, by, **more)))
        return running[-1]

    yield begin
    for one in running:
        one.stop()


@pytest.fixture
def served(serve):
    return serve()


def newest(audit):
    return audit.entries(limit=1)[0].entry


def test_a_clean_answer_is_the_applications_own_with_a_receipt(served, painter, audit, eye: Eye):
    status, headers, body = served.call(
        "POST", ROUTE, b'{"prompt": "a red bicycle"}', authorization="Bearer mine", **{"accept-encoding": "gzip"}
    )
    assert status == 200
    assert json.loads(body) == {"created": 1, "data": [{"b64_json": grey(10)}]}
    assert headers["x-guardrail-decision"] == "allow"
    record = newest(audit)
    assert headers["x-guardrail-receipt"] == record.id
    assert record.body["status"] == "answered"
    assert len(eye.pictures["output"]) == 1
    assert painter.asked == [{"prompt": "a red bicycle"}]
    assert painter.headers[0]["authorization"] == "Bearer mine"
    assert painter.headers[0]["host"] == f"127.0.0.1:{served.port}"


def test_a_refused_prompt_never_reaches_the_application(served, painter, audit):
    status, headers, body = served.ask("forbidden")
    assert status == 400
    assert json.loads(body)["error"]["code"] == "moderation_blocked"
    assert headers["x-guardrail-decision"] == "block"
    assert painter.asked == []
    assert newest(audit).body["status"] == "refused"


def test_one_bad_picture_of_two_is_replaced(served, painter, eye, audit):
    painter.levels, eye.bright = [10, 200], 0.5
    status, _, body = served.ask(n=2)
    assert status == 200
    assert grey(200).encode() not in body
    assert json.loads(body)["data"][0] == {"b64_json": grey(10)}
    assert newest(audit).body["status"] == "partly_refused"


def test_a_stream_is_judged_event_by_event(served, painter, eye):
    painter.levels = [10, 20]
    status, headers, body = served.ask(stream=True, n=2)
    assert status == 200
    assert headers["x-guardrail-decision"] == "stream"
    assert grey(10).encode() in body
    assert grey(20).encode() in body
    painter.levels, eye.bright = [10, 200], 0.5
    _, _, body = served.ask(stream=True, n=2)
    assert grey(10).encode() in body
    assert grey(200).encode() not in body
    assert b"moderation_blocked" in body


def test_what_the_application_does_after_its_answer_is_done(served, painter):
    served.ask()
    assert painter.afterwards.wait(5)


def test_other_routes_are_the_applications_own(served, audit):
    assert served.call("GET", "/")[2] == b"forbidden words are no business of the guard here"
    assert served.call("GET", "/v1/models")[0] == 200
    assert audit.entries(limit=1) == []


@pytest.mark.parametrize(
    "path",
    [
        "/v1/images/generation%73",
        "/v1/images/%67enerations",
        "/v1/images/%2567enerations",
        "/v1/images/generations/",
        "/v1/Images/Generations",
        "/v1//images/generations",
        "/v1/x/../images/generations",
        "/v1/images/generations%2f",
        "/v1/images%5cgenerations",
    ],
)
def test_no_spelling_of_a_judged_route_goes_around(served, painter, path):
    status, headers, _ = served.ask("forbidden", path)
    assert status in {400, 404}
    assert headers["x-guardrail-decision"] in {"block", "none"}
    assert painter.asked == []


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_no_other_method_goes_around(served, painter, method):
    status, _, _ = served.call(method, ROUTE, b'{"prompt": "forbidden"}', **{"x-http-method-override": "POST"})
    assert status == 404
    assert painter.asked == []


def test_a_failure_of_the_application_is_a_502_without_its_words(painter, by, audit):
    painter.app.add_middleware(GuardrailMiddleware, guard=by)
    served = Served(painter.app)
    try:
        status, _, body = served.ask("break")
        assert status == 502
        assert b"quotes" not in body
        assert newest(audit).body["status"] == "upstream_cut"
        assert served.ask("a bicycle")[0] == 200
    finally:
        served.stop()


def test_a_redirect_does_not_lead_past_the_guard(served):
    status, headers, _ = served.ask(path="/v1/images/edits", image="data:image/png;base64," + grey(5))
    assert status == 502
    assert "location" not in headers


def test_limits_are_the_servers(serve, painter):
    served = serve(settings=ServerSettings(max_body_bytes=100))
    assert served.ask("x" * 200)[0] == 413
    assert served.ask("x")[0] == 200
    served = serve(settings=ServerSettings(max_answer_bytes=100))
    assert served.ask("x")[0] == 502


def test_the_application_says_who_asks(serve, audit):
    served = serve(tenant=lambda scope: dict(scope["headers"])[b"x-user"].decode())
    served.call("POST", ROUTE, b'{"prompt": "x"}', **{"x-user": "mina"})
    assert newest(audit).tenant == "mina"


def test_a_mount_is_guarded_and_nothing_beside_it(painter, by, audit):
    outer = Starlette()
    outer.mount("/paint", GuardrailMiddleware(painter.app, by))
    inner = Served(outer)
    below = Served(GuardrailMiddleware(outer, by, mount="/paint"))
    try:
        for one in (inner, below):
            assert one.ask("forbidden", f"/paint{ROUTE}")[0] == 400
        assert painter.asked == []
        assert inner.ask("a bicycle", f"/paint{ROUTE}")[0] == 200
        assert below.ask("a bicycle", f"/paint{ROUTE}")[0] == 200
        assert len(audit.entries(limit=9)) == 5  # the last call was judged twice
    finally:
        inner.stop()
        below.stop()


def test_what_is_configured_wrongly_is_said_at_once(painter, by):
    with pytest.raises(ConfigError, match="no dialect"):
        GuardrailMiddleware(painter.app, by, dialect="openal")
