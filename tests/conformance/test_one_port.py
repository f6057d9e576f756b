"""One port, many generators: each under a path of its own, in its own protocol, and none in the way of another."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from guardrail.server import Metrics, ServerSettings, Upstream
from guardrail.server.process import Server, listen
from guardrail.upstream.a1111 import A1111
from guardrail.upstream.comfy import Comfy
from guardrail.upstream.gemini import Gemini
from guardrail.upstream.openai import OpenAIImages
from tests.conformance.guarded import GOOD, Tapped, judging
from tests.conformance.test_bad_input import comfy
from tests.conformance.test_gemini import answer, candidate, inline
from tests.server import upstream as script
from tests.server.upstream import ScriptedUpstream

PROMPT_ID = b'{"prompt_id": "0b6a", "number": 3, "node_errors": {}}'
A1111_ANSWER = b'{"images": ["%s"], "parameters": {}, "info": ""}'
# Of each: its dialect, its mount, a route, what asks for a picture of a text, and what it answers.
DOORS: dict[str, tuple[Any, str, str, Any, Any]] = {
    "openai": (
        OpenAIImages(),
        "/openai",
        "/v1/images/generations",
        lambda text: {"model": "m", "prompt": text},
        script.images(GOOD),
    ),
    "gemini": (
        Gemini(),
        "/gemini",
        "/v1beta/models/m:generateContent",
        lambda text: {"contents": [{"parts": [{"text": text}]}]},
        script.whole(answer(candidate(inline(GOOD)))),
    ),
    "comfy": (Comfy(), "/comfy", "/prompt", comfy, script.whole(PROMPT_ID)),
    "studio": (
        A1111(),
        "/",
        "/sdapi/v1/txt2img",
        lambda text: {"prompt": text},
        script.whole(A1111_ANSWER % base64.b64encode(GOOD)),
    ),
}


class Port:
    """A guard in front of all of them, and each one's generator."""

    def __init__(self, port: int, generators: dict[str, ScriptedUpstream]) -> None:
        self.port = port
        self.generators = generators

    def call(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, {"content-type": "application/json"})
            got = connection.getresponse()
            return got.status, got.read()
        finally:
            connection.close()

    def ask(self, name: str, text: str = "a red bicycle") -> tuple[int, bytes]:
        _, mount, route, asking, _ = DOORS[name]
        return self.call("POST", mount.rstrip("/") + route, json.dumps(asking(text)).encode())

    def heard(self) -> dict[str, list[str]]:
        return {name: [one.target for one in generator.calls] for name, generator in self.generators.items()}

    def seen(self) -> dict[str, dict[str, Any]]:
        _, said = self.call("GET", "/upstreams")
        return {one["name"]: one for one in json.loads(said)["upstreams"]}


def nowhere() -> str:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def port(request, tmp_path) -> Iterator[Port]:
    """`request.param`, where it is given, has settings of single generators."""
    more: dict[str, dict[str, Any]] = getattr(request, "param", {})
    generators = {name: ScriptedUpstream() for name in DOORS}
    metrics = Metrics()
    guard, _ = judging(tmp_path, metrics)
    for name, generator in generators.items():
        generator.script = lambda heard, name=name: DOORS[name][4]
        generator.__enter__()
    upstreams = {}
    for name, (dialect, mount, *_) in DOORS.items():
        settings = {"base_url": generators[name].url, **more.get(name, {})}
        upstreams[name] = Upstream(dialect, mount=mount, name=name, **settings)
    server = Server(Tapped(guard, upstreams, ServerSettings(), metrics), listen("127.0.0.1", 0), drain_s=5)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield Port(server.address[1], generators)
    server.stop()
    thread.join(20)
    for generator in generators.values():
        generator.__exit__()


def test_each_generator_is_asked_under_its_own_path_and_no_other_hears_of_it(port):
    for name, (_, _, route, _, said) in DOORS.items():
        status, body = port.ask(name)
        assert (status, body) == (200, script.body_of(said))
        assert port.generators[name].calls[-1].target == route
    assert port.heard() == {name: [DOORS[name][2]] for name in DOORS}


def test_each_refuses_in_its_own_words(port):
    said = {name: port.ask(name, "something forbidden") for name in DOORS}
    assert json.loads(said["openai"][1])["error"]["code"] == "moderation_blocked"
    assert json.loads(said["gemini"][1])["promptFeedback"]["blockReason"] == "SAFETY"
    assert json.loads(said["comfy"][1])["error"]["type"] == "content_policy_violation"
    assert json.loads(said["studio"][1])["error"] == "ContentPolicyViolation"
    assert {name: status for name, (status, _) in said.items()} == {
        "openai": 400,
        "gemini": 200,
        "comfy": 400,
        "studio": 400,
    }
    assert not any(port.heard().values())


@pytest.mark.parametrize(
    "path",
    [
        "/gemini/v1/images/generations",
        "/openai/prompt",
        "/comfy/sdapi/v1/txt2img",
        "/prompt",
        "/openai/../comfy/prompt",
        "/openai/%2e%2e/comfy/prompt",
        "//comfy/prompt",
        "/OpenAI/v1/images/generations",
        "/openai//v1/images/generations",
        "/openai",
        "/comfy/comfy/prompt",
    ],
)
def test_no_path_leads_from_one_to_another(port, path):
    for name in DOORS:
        status, _ = port.call("POST", path, json.dumps(DOORS[name][3]("something forbidden")).encode())
        assert status == 404
    assert not any(port.heard().values())


@pytest.mark.parametrize(
    "port", [{"openai": {"base_url": nowhere(), "breaker_failures": 2, "breaker_s": 30.0}}], indirect=True
)
def test_one_that_is_down_is_closed_by_itself_and_the_view_says_which(port):
    assert [port.ask("openai")[0] for _ in range(3)] == [502, 502, 503]
    assert [port.ask(name)[0] for name in DOORS if name != "openai"] == [200, 200, 200]
    seen = port.seen()
    assert {name: one["state"] for name, one in seen.items()} == {
        "openai": "open",
        "gemini": "closed",
        "comfy": "closed",
        "studio": "closed",
    }
    assert (seen["openai"]["failed"], seen["openai"]["last_fault"]) == (2, "unreachable")
    assert (seen["gemini"]["dialect"], seen["gemini"]["mount"], seen["gemini"]["answered"]) == ("gemini", "/gemini", 1)


@pytest.mark.parametrize("port", [{"openai": {"concurrency": 1, "timeout_s": 2.0}}], indirect=True)
def test_one_that_is_slow_and_full_keeps_nobody_else_waiting(port):
    port.generators["openai"].script = lambda heard: script.late(script.images(GOOD), 30.0)
    waiting = threading.Thread(target=lambda: statuses.append(port.ask("openai")[0]))
    statuses: list[int] = []
    waiting.start()
    while not port.generators["openai"].calls:
        time.sleep(0.01)
    assert port.ask("openai")[0] == 503
    assert [port.ask(name)[0] for name in DOORS if name != "openai"] == [200, 200, 200]
    assert port.seen()["openai"]["in_flight"] == 1
    waiting.join(20)
    assert statuses == [504]
    assert port.seen()["openai"]["in_flight"] == 0
