"""What a dialect can do beyond judging a call: answer by itself, be polled, answer with texts, relay a websocket."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import ClassVar

import aiohttp
import pytest

from guardrail.errors import BadRequest, UpstreamError
from guardrail.server import ServerSettings
from guardrail.types import Action, Artifact, Kind, Request
from guardrail.upstream.dialect import Answer, Call, Door, Event, Forward, Reply
from tests.server import upstream as script
from tests.server.conftest import Running, eventually
from tests.server.stand_ins import JSON, PlainDialect, WordGuard


class Able(PlainDialect):
    """The plain dialect, with a route of its own, a poll, and a websocket."""

    name = "able"
    doors: ClassVar = {
        ("POST", "/ask"): Door.ANSWERED,
        ("GET", "/job"): Door.JUDGED,
        ("GET", "/ws"): Door.SOCKET,
    }

    def door(self, method, path):
        return self.doors.get((method, path)) or super().door(method, path)

    async def answer(self, method, path, query, headers, body, judge, fetch):
        if body == b"nothing":
            raise BadRequest("nothing to judge")
        sent = (Artifact(Kind.INPUT, "image[0]", data=body),) if body in (b"UNREADABLE", b"BUG") else ()
        request = Request((Artifact(Kind.PROMPT, "prompt", text=body.decode()),), sent)
        shown = [Artifact(Kind.OUTPUT, "picture", data=b"BAD")] if b"picture" in body else []
        judged = await judge(request, shown, route="ask")
        said = {"action": judged.decision.action.word, "receipt": judged.decision.receipt.id, "each": len(judged.each)}
        return Reply(200, [*JSON, *judged.headers], json.dumps(said).encode())

    async def read(self, method, path, query, headers, body, fetch, fetch_file):
        if path == "/job":
            return Call(Request((), ()), Forward("GET", path, headers, b""), "job", poll=True)
        return await super().read(method, path, query, headers, body, fetch, fetch_file)

    async def read_answer(self, call, status, headers, body, fetch):
        if call.route != "job":
            return await super().read_answer(call, status, headers, body, fetch)
        said = json.loads(body)
        texts = (Artifact(Kind.PROMPT, "caption", text=said["caption"]),) if "caption" in said else ()
        images = (Artifact(Kind.OUTPUT, "done", data=said["done"].encode()),) if "done" in said else ()
        return Answer(status, headers, body, images, tuple(range(len(images))), texts)

    async def socket(self, path, query, headers, caller, dial, judge):
        far = await dial(path, headers)
        while (asked := await caller.receive()) is not None:
            await far.send(asked)
            said = await far.receive()
            if said is None:
                raise UpstreamError("it closed the socket")
            data = said if isinstance(said, bytes) else said.encode()
            judged = await judge(Request((), ()), [Artifact(Kind.OUTPUT, "frame", data=data)], route="frame")
            await caller.send("refused" if judged.decision.action.refuses else said)


@pytest.fixture
def able(start):
    return start(dialect=Able())


def test_the_guard_answers_by_itself_and_what_it_says_is_on_record(able, upstream):
    got = able.call("POST", "/ask", b"something forbidden")
    assert (got.status, got.json["action"]) == (200, "block")
    assert got.headers["x-guardrail-receipt"] == got.json["receipt"]
    assert able.guard.statuses == ["judged"]
    assert upstream.calls == []
    assert able.logged(outcome="judged", id=got.json["receipt"], decision="block")


def test_pictures_are_not_looked_at_once_the_texts_are_refused(able):
    assert able.call("POST", "/ask", b"a picture").json == {
        "action": "block",
        "receipt": able.guard.records[0].id,
        "each": 1,
    }
    assert able.call("POST", "/ask", b"a forbidden picture").json["each"] == 0
    assert able.guard.judged == [b"BAD"]


def test_an_answer_of_the_guards_own_whose_record_fails_is_withheld(able):
    able.guard.fail_records = {"judged"}
    got = able.call("POST", "/ask", b"a bicycle")
    assert (got.status, got.headers["x-guardrail-decision"]) == (503, "none")
    assert able.logged(outcome="record_failed", decision="none")


def test_what_the_guard_cannot_read_is_a_bad_request(able):
    got = able.call("POST", "/ask", b"nothing")
    assert (got.status, got.headers["x-guardrail-decision"]) == (400, "none")
    assert able.logged(outcome="refused_unread", decision="none", route="answered")


@pytest.mark.parametrize(
    ("sent", "status", "outcome", "decided"),
    [(b"UNREADABLE", 400, "unreadable_input", "block"), (b"BUG", 500, "failed", "none")],
)
def test_a_question_that_cannot_be_judged_to_its_end_is_no_pass(able, sent, status, outcome, decided):
    got = able.call("POST", "/ask", sent)
    [record] = able.guard.records
    assert (got.status, got.headers["x-guardrail-decision"]) == (status, decided)
    assert got.headers["x-guardrail-receipt"] == record.id
    assert (record.status, record.said) == (outcome, decided)
    assert able.logged(outcome=outcome, decision=decided, id=record.id, status=status)


def test_a_poll_that_brings_nothing_leaves_without_a_record(able, upstream):
    upstream.script = lambda heard: script.whole(b'{"progress": 0.5}')
    got = able.call("GET", "/job")
    assert (got.body, got.headers["x-guardrail-decision"]) == (b'{"progress": 0.5}', "unjudged")
    assert able.guard.records == []
    assert able.logged(outcome="polled", decision="none")
    assert able.counted("guardrail_requests_total", route="job", decision="none", status="200") == 1


def test_a_poll_that_brings_a_picture_is_judged_and_recorded(able, upstream):
    upstream.script = lambda heard: script.whole(b'{"done": "clean"}')
    assert able.call("GET", "/job").headers["x-guardrail-decision"] == "allow"
    upstream.script = lambda heard: script.whole(b'{"done": "BAD"}')
    got = able.call("GET", "/job")
    assert (got.status, b"BAD" in got.body) == (400, False)
    assert able.guard.statuses == ["answered", "refused"]


def test_an_answer_of_texts_alone_gets_one_decision(able, upstream):
    upstream.script = lambda heard: script.whole(b'{"caption": "a bicycle"}')
    assert able.call("GET", "/job").status == 200
    upstream.script = lambda heard: script.whole(b'{"caption": "something forbidden"}')
    got = able.call("GET", "/job")
    assert (got.status, got.json["error"]["code"]) == (400, "refused")
    assert [record.action for record in able.guard.records] == [Action.ALLOW, Action.BLOCK]


class Shelf(PlainDialect):
    """A generator that keeps its files under a path of its own."""

    def file_path(self, file_id):
        if "/" in file_id:
            raise BadRequest("that is no name of a file", param="file")
        return f"/view?filename={file_id}"


def test_a_dialect_may_say_where_its_generator_keeps_a_file(start, upstream):
    running = start(dialect=Shelf())
    upstream.script = lambda heard: script.whole(b"a BAD file") if heard.method == "GET" else script.images(b"clean")
    got = running.ask(file="a.png", headers={"authorization": "Bearer own"})
    assert got.status == 400
    (heard,) = upstream.calls
    assert (heard.target, heard.headers["authorization"]) == ("/view?filename=a.png", "Bearer own")
    assert running.ask(file="../a").json["error"]["message"] == "that is no name of a file"


class Lines(PlainDialect):
    """Streams as lines of JSON, and with texts in its events."""

    async def read(self, method, path, query, headers, body, fetch, fetch_file):
        call = await super().read(method, path, query, headers, body, fetch, fetch_file)
        return replace(call, stream_types=frozenset({"application/x-ndjson"}))

    def read_stream(self, call):
        return LineReader()


class LineReader:
    def __init__(self):
        self.held = b""

    def feed(self, chunk):
        *ready, self.held = (self.held + chunk).split(b"\n")
        return [self._event(line) for line in ready if line]

    def _event(self, line):
        said = json.loads(line)
        texts = (Artifact(Kind.PROMPT, "text", text=said["text"]),) if "text" in said else ()
        return Event(line + b"\n", texts=texts, final="done" in said)

    def close(self):
        return []

    def refuse(self, decision):
        return b'{"refused": true}\n'

    def fault(self, error):
        return b'{"fault": true}\n'


@pytest.mark.parametrize(
    ("second", "left"),
    [
        ("and a tree", b'{"text":"a bicycle"}\n{"text":"and a tree"}\n{"done":1}\n'),
        ("something forbidden", b'{"text":"a bicycle"}\n{"refused": true}\n'),
    ],
)
def test_a_stream_of_another_type_is_judged_event_by_event_texts_too(start, upstream, second, left):
    running = start(dialect=Lines())
    lines = [b'{"text":"a bicycle"}\n', f'{{"text":"{second}"}}\n'.encode(), b'{"done":1}\n']
    streamed = script.events(lines)
    streamed.steps[0] = streamed.steps[0].replace(b"text/event-stream", b"application/x-ndjson")
    upstream.script = lambda heard: streamed
    assert running.ask(stream=True).body == left


def test_a_websocket_route_over_plain_http_says_what_it_is(able):
    assert able.call("GET", "/ws").status == 426


# ---------------------------------------------------------------------------------------------------------- websockets


async def speak(port: int, path: str, *said: str | bytes, headers: dict[str, str] | None = None):
    """What comes back for each message, and the code that the socket is closed with."""
    heard = []
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"ws://127.0.0.1:{port}{path}", headers=headers or {}) as socket,
    ):
        for message in said:
            if isinstance(message, str):
                await socket.send_str(message)
            else:
                try:
                    await socket.send_bytes(message)
                except ConnectionError:
                    break
            got = await socket.receive(timeout=10)
            if got.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING):
                break
            heard.append(got.data)
        await socket.close()
    return heard, socket.close_code


class Echo:
    """A generator that says back what it hears, until it is told to stop."""

    def __init__(self) -> None:
        self.headers: list[dict[str, str]] = []

    async def __aenter__(self):
        from aiohttp import web

        async def handle(request):
            self.headers.append({name.lower(): value for name, value in request.headers.items()})
            socket = web.WebSocketResponse(max_msg_size=0)
            await socket.prepare(request)
            async for message in socket:
                if message.data == "stop":
                    break
                if message.data == "huge":
                    await socket.send_bytes(bytes(2_000_000))
                elif message.type is aiohttp.WSMsgType.TEXT:
                    await socket.send_str(message.data)
                else:
                    await socket.send_bytes(message.data)
            return socket

        app = web.Application()
        app.router.add_get("/ws", handle)
        self.runner = web.AppRunner(app)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_):
        await self.runner.cleanup()


async def relayed(upstream, *said, settings=None, headers=None, path="/ws"):
    """Speak through a guard to an echo; what came back, the closing code, the guard and the echo."""
    async with Echo() as echo:
        running = Running(WordGuard(), upstream, settings or ServerSettings(), dialect=Able(), base_url=echo.url)
        await asyncio.to_thread(running.__enter__)
        try:
            heard, code = await speak(running.port, path, *said, headers=headers)
        finally:
            await asyncio.to_thread(running.stop)
    return heard, code, running, echo


@pytest.fixture
def websockets():
    pytest.importorskip("websockets", reason="the websockets package is what serves them")


async def test_messages_pass_both_ways_and_each_frame_is_judged_before_it_leaves(upstream, websockets):
    heard, code, running, echo = await relayed(
        upstream, "hello", b"\x00\x01clean", b"BAD", headers={"authorization": "Bearer own", "x-guardrail-key": "k"}
    )
    assert heard == ["hello", b"\x00\x01clean", "refused"]
    assert code == 1000
    assert running.guard.statuses == ["judged"] * 3
    assert echo.headers[0]["authorization"] == "Bearer own"
    assert "x-guardrail-key" not in echo.headers[0]
    assert "sec-websocket-extensions" not in echo.headers[0]
    assert running.logged(route="socket", outcome="relayed", status=101)
    assert running.app.sockets.requests == 0
    assert running.counted("guardrail_upstream_in_flight", upstream="able") == 0


async def test_a_generator_that_hangs_up_ends_the_callers_socket(upstream, websockets):
    heard, code, running, _ = await relayed(upstream, "stop")
    assert (heard, code) == ([], 1011)
    assert running.logged(route="socket", outcome="upstream_bad_answer")


async def test_a_message_over_the_limit_does_not_pass(upstream, websockets):
    heard, code, _, _ = await relayed(upstream, "huge", settings=ServerSettings(max_message_bytes=1_000_000))
    assert (heard, code) == ([], 1011)


async def test_a_callers_message_of_200_mb_is_not_taken(upstream, websockets):
    heard, _, running, _ = await relayed(upstream, bytes(200_000_000))
    assert heard == []
    assert running.logged(route="socket", outcome="relayed")  # it ended in order
    assert running.guard.records == []


async def test_a_socket_that_nobody_relays_is_not_opened(upstream, websockets):
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await relayed(upstream, "hello", path="/other")
    assert caught.value.status == 403


async def test_a_socket_needs_the_guards_own_key_where_one_is_asked_for(upstream, websockets):
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await relayed(upstream, "hello", settings=ServerSettings(access_keys=frozenset({"0" * 64})))


async def test_a_frame_whose_record_fails_does_not_leave(upstream, websockets):
    async with Echo() as echo:
        guard = WordGuard()
        guard.fail_records = {"*"}
        running = Running(guard, upstream, ServerSettings(), dialect=Able(), base_url=echo.url)
        await asyncio.to_thread(running.__enter__)
        try:
            assert await speak(running.port, "/ws", "hello") == ([], 1011)
        finally:
            await asyncio.to_thread(running.stop)


async def test_a_socket_keeps_the_place_of_its_connection_and_gives_it_back(upstream, websockets):
    async with Echo() as echo:
        settings = ServerSettings(max_connections=1)
        running = Running(WordGuard(), upstream, settings, dialect=Able(), base_url=echo.url)
        await asyncio.to_thread(running.__enter__)
        address = f"ws://127.0.0.1:{running.port}/ws"
        try:
            async with aiohttp.ClientSession() as session:
                for _ in range(2):
                    async with session.ws_connect(address) as socket:
                        await socket.send_str("hello")
                        assert (await socket.receive(timeout=10)).data == "hello"
                        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                            await session.ws_connect(address)
                        assert caught.value.status == 503
                    assert await asyncio.to_thread(eventually, lambda: len(running.app.connections) == 0)
        finally:
            await asyncio.to_thread(running.stop)
