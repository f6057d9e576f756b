"""The real openai package calls an application that serves pictures itself, behind the middleware."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from guardrail.integrations.starlette import GuardrailMiddleware
from guardrail.server import Metrics
from tests.conformance.cases import DOORS, case
from tests.conformance.guarded import (
    GOOD,
    OTHER,
    Saw,
    Serving,
    Tap,
    judging,
    played,
    program_of,
    put_pictures,
    saw,
    sha,
)
from tests.conformance.test_openai import INPUTS, OUTPUTS, WORDS, play, scenario_of
from tests.server import upstream as script
from tests.server.upstream import Heard

DOOR = "starlette"
pytestmark = [pytest.mark.clients, pytest.mark.timeout(180)]


class Painter:
    """An application that answers as the scripted generator does, and remembers what it was asked."""

    def __init__(self) -> None:
        self.calls: list[Heard] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        heard = Heard(scope["method"], scope["path"], headers, body)
        self.calls.append(heard)
        answer = play(heard)
        head, _, _ = b"".join(step for step in answer.steps if isinstance(step, bytes)).partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        named = [
            (name.lower().encode(), value.strip().encode()) for name, _, value in (x.partition(":") for x in lines)
        ]
        sent = [(name, value) for name, value in named if name not in (b"transfer-encoding", b"content-length")]
        await send({"type": "http.response.start", "status": int(status.split()[1]), "headers": sent})
        body = script.body_of(answer)
        for at in range(0, len(body), 1000):
            await send({"type": "http.response.body", "body": body[at : at + 1000], "more_body": True})
            await asyncio.sleep(0)
        if answer.close:
            raise RuntimeError("the application fails in the middle of its answer")
        await send({"type": "http.response.body", "body": b"", "more_body": False})


@contextmanager
def behind_the_middleware(painter: Painter, folder: Path) -> Iterator[Serving]:
    metrics = Metrics()
    guard, audit = judging(folder, metrics)
    app = Tap(GuardrailMiddleware(painter, guard, metrics=metrics), [])
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield Serving(app, server.servers[0].sockets[0].getsockname()[1], metrics, audit)
    finally:
        server.should_exit = True
        thread.join(20)
        asyncio.run(guard.close())


@pytest.fixture(scope="module", params=DOORS[DOOR])
def run(request, tmp_path_factory) -> Saw:
    folder, painter = tmp_path_factory.mktemp("starlette"), Painter()
    put_pictures(folder)
    with behind_the_middleware(painter, folder) as guard:
        said = played(program_of(request.param), "images_client.py", guard.port, folder)
    return saw(said, guard, painter.calls, scenario_of)


@case("clean")
@pytest.mark.parametrize(
    ("scenario", "pictures"),
    [
        ("generate", [GOOD, OTHER]),
        ("generate-async", [GOOD, OTHER]),
        ("edit-several", [GOOD]),
        ("edit-mask", [GOOD]),
        ("json-edit", [GOOD]),
        ("variation", [GOOD]),
    ],
)
def test_a_clean_answer_is_the_applications_byte_for_byte_with_one_call(run, scenario, pictures):
    assert [entry["sha256"] for entry in run.results[scenario]["entries"]] == [sha(one) for one in pictures]
    (asked,), (heard,) = run.tries(scenario), run.sent(scenario)
    assert asked.answer == script.body_of(script.images(*pictures))
    assert heard.body == asked.body


@case("clean", "caller")
def test_other_routes_are_the_applications_own(run):
    assert run.results["models"]["models"] == ["m-1"]
    assert "error" not in run.results["closed"]  # a chat: this dialect judges pictures alone


@case("stream")
@pytest.mark.parametrize("scenario", ["stream", "edit-stream"])
def test_a_stream_brings_previews_and_the_picture(run, scenario):
    assert [event["sha256"] for event in run.results[scenario]["events"]] == [sha(OTHER), sha(GOOD)]
    (asked,), (heard,) = run.tries(scenario), run.sent(scenario)
    assert asked.answer == script.body_of(play(heard))


@pytest.mark.parametrize(
    ("scenario", "rule", "calls"),
    [pytest.param(f"slot-{one}", "bad-words", 0, marks=case("words", "refusal", "uncalled")) for one in WORDS]
    + [pytest.param(f"input-{one}", "bad-input", 0, marks=case("input", "refusal", "uncalled")) for one in INPUTS]
    + [pytest.param(f"output-{one}", "bad-output", 1, marks=case("output", "refusal")) for one in OUTPUTS],
)
def test_a_refusal_is_a_bad_request_that_is_not_tried_again(run, scenario, rule, calls):
    error = run.results[scenario]["error"]
    assert (error["class"], error["status"], error["code"]) == ("BadRequestError", 400, "moderation_blocked")
    assert error["body"]["moderation_details"]["categories"] == [rule]
    assert len(run.tries(scenario)) == 1
    assert run.calls[scenario] == calls


@case("output", "stream", "refusal")
@pytest.mark.parametrize("scenario", ["output-stream-partial", "output-stream-last", "output-edit-stream"])
def test_a_refusal_in_the_middle_of_a_stream_is_raised(run, scenario):
    result = run.results[scenario]
    assert [event["sha256"] for event in result["events"]] == [sha(OTHER)]
    assert (result["error"]["class"], result["error"]["code"]) == ("APIError", "moderation_blocked")
    assert run.calls[scenario] == len(run.tries(scenario)) == 1


@case("output")
def test_not_one_byte_of_a_bad_picture_leaves(run):
    assert run.leaked() == []


@case("caller")
def test_credentials_reach_the_application_and_switches_are_clamped(run):
    assert {heard.headers["authorization"] for heard in run.heard} == {"Bearer sk-test"}
    (heard,) = run.sent("switches")
    assert b'"moderation":"auto"' in heard.body.replace(b" ", b"")


@case("fault")
@pytest.mark.parametrize(("scenario", "name"), [("html", "InternalServerError"), ("busy", "RateLimitError")])
def test_faults_arrive_as_the_class_that_callers_handle(run, scenario, name):
    assert run.results[scenario]["error"]["class"] == name


@case("fault")
def test_a_stream_that_is_cut_is_raised(run):
    assert run.results["stream-cut"]["error"]["class"] == "APIError"


@case("record")
def test_the_record_of_it_all_holds_together(run):
    assert run.faults == []
