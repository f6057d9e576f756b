"""Bad input at every door: wrong types, bombs, smuggled requests, answers cut short. Nothing goes through unjudged."""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import socket
import time
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from guardrail.upstream.a1111 import A1111
from guardrail.upstream.chat import Chat
from guardrail.upstream.comfy import Comfy
from guardrail.upstream.dialect import Dialect, Setup
from guardrail.upstream.fal import Fal
from guardrail.upstream.gemini import Gemini
from guardrail.upstream.openai import OpenAIImages
from guardrail.upstream.replicate import Replicate
from guardrail.upstream.responses import Responses
from tests.conformance.guarded import BAD, GOOD, Serving, leaked, serving
from tests.server import upstream as script
from tests.server.upstream import Script, ScriptedUpstream

CLEAN, FORBIDDEN = "a red bicycle", "something forbidden"


def bomb() -> bytes:
    """Some megabytes of gzip that unfold to five gigabytes: whoever tries is not done in time."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    part = deflate.compress(bytes(10_000_000)) + deflate.flush(zlib.Z_FULL_FLUSH)
    return gzip.compress(b"")[:10] + part * 500 + b"\x03\x00" + bytes(8)


BOMB = bomb()
SOON_S = 5  # a request that hurts takes a fraction of a second


def comfy(text: str) -> dict[str, Any]:
    nodes = {"6": {"class_type": "CLIPTextEncode", "inputs": {"text": text}}}
    return {"prompt": {**nodes, "9": {"class_type": "SaveImage", "inputs": {"images": ["6", 0]}}}}


# A dialect, a route of it, and a body that asks for a picture of a text.
DOORS: dict[str, tuple[Dialect, str, Any]] = {
    "openai": (OpenAIImages(), "/v1/images/generations", lambda text: {"model": "m", "prompt": text}),
    "chat": (
        Chat(),
        "/v1/chat/completions",
        lambda text: {"model": "m", "messages": [{"role": "user", "content": text}]},
    ),
    "responses": (Responses(), "/v1/responses", lambda text: {"model": "m", "input": text}),
    "gemini": (Gemini(), "/v1beta/models/m:generateContent", lambda text: {"contents": [{"parts": [{"text": text}]}]}),
    "a1111": (A1111(), "/sdapi/v1/txt2img", lambda text: {"prompt": text}),
    "comfy": (Comfy(), "/prompt", comfy),
    "replicate": (
        Replicate.open(Setup()),
        "/v1/predictions",
        lambda text: {"version": "a1", "input": {"prompt": text}},
    ),
    "fal": (Fal.open(Setup()), "/fal-ai/flux/dev", lambda text: {"prompt": text}),
}


class Guarded:
    """A guard with one dialect that listens, in front of a scripted generator."""

    def __init__(self, guard: Serving, generator: ScriptedUpstream, route: str, asking: Any) -> None:
        self.guard = guard
        self.generator = generator
        self.route = route
        self.asking = asking

    def body(self, text: str = CLEAN, **more: Any) -> bytes:
        return json.dumps({**self.asking(text), **more}).encode()

    def ask(self, body: bytes, headers: dict[str, str] | None = None, route: str = "") -> tuple[int, bytes]:
        """The status and what could be read of the answer; status 0 where the line was cut before there was any."""
        connection = http.client.HTTPConnection("127.0.0.1", self.guard.port, timeout=20)
        try:
            given = {"content-type": "application/json"} if headers is None else headers
            connection.request("POST", route or self.route, body, given)
            answer = connection.getresponse()
            try:
                return answer.status, answer.read()
            except http.client.IncompleteRead as cut:
                return answer.status, cut.partial
        except (http.client.HTTPException, ConnectionError):
            return 0, b""
        finally:
            connection.close()

    def raw(self, data: bytes) -> bytes:
        """What comes back for these bytes until the guard closes the line, or says nothing for a while."""
        got = b""
        with socket.create_connection(("127.0.0.1", self.guard.port), timeout=0.4) as line:
            try:
                line.sendall(data)
                while part := line.recv(65536):
                    got += part
            except (TimeoutError, ConnectionError):
                pass
        return got

    @property
    def heard(self) -> list[bytes]:
        return [heard.body for heard in self.generator.calls]


@pytest.fixture(scope="module", params=list(DOORS))
def guarded(request, tmp_path_factory) -> Iterator[Guarded]:
    dialect, route, asking = DOORS[request.param]
    with ScriptedUpstream() as generator:
        generator.script = lambda heard: script.html()
        with serving(dialect, generator, tmp_path_factory.mktemp(request.param)) as guard:
            yield Guarded(guard, generator, route, asking)


@pytest.fixture(autouse=True)
def afresh(request) -> None:
    if "guarded" in request.fixturenames:
        guarded = request.getfixturevalue("guarded")
        guarded.generator.calls.clear()
        guarded.guard.app.asked.clear()


def refused(status: int, answer: bytes) -> bool:
    """A refusal as the protocols have it: a status of the caller's fault, Gemini's blocked prompt, Replicate's job that
    has failed."""
    said = {200: b"blockReason", 201: b"flagged as sensitive"}
    return 400 <= status < 500 or (status in said and said[status] in answer)


# ------------------------------------------------------------------------------------------------------------ requests


def test_the_word_is_refused_and_without_it_the_generator_is_asked(guarded):
    assert refused(*guarded.ask(guarded.body(FORBIDDEN)))
    assert guarded.heard == []
    assert guarded.ask(guarded.body())[0] == 502  # it answers with a web page
    assert guarded.heard == [guarded.body()]


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "text/html; charset=utf-8",
        "application/octet-stream",
        "application/x-www-form-urlencoded",
        "image/png",
        "multipart/form-data; boundary=x",
        "multipart/mixed",
        "application/json; charset=utf-16",
        "application/json, text/plain",
        "application/x-protobuf",
        "application/grpc-web+proto",
        "application/msgpack",
        "application/x-yaml",
        "nonsense",
        "",
    ],
)
def test_a_body_of_another_content_type_is_judged_all_the_same_or_refused(guarded, kind):
    status, answer = guarded.ask(guarded.body(FORBIDDEN), {"content-type": kind} if kind else {})
    assert refused(status, answer)
    assert guarded.heard == []


def test_two_content_types_are_one_too_many_or_judged(guarded):
    body = guarded.body(FORBIDDEN)
    head = f"POST {guarded.route} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {len(body)}\r\n"
    kinds = "content-type: application/json\r\ncontent-type: multipart/form-data; boundary=x\r\n\r\n"
    got = guarded.raw(head.encode() + kinds.encode() + body)
    assert got.startswith(b"HTTP/1.1 4") or b"blockReason" in got
    assert guarded.heard == []


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-8-sig"])
def test_a_body_in_another_encoding_is_refused(guarded, encoding):
    assert refused(*guarded.ask(guarded.body(FORBIDDEN).decode().encode(encoding)))
    assert guarded.heard == []


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, identity", "x-gzip", "GZIP"])
def test_a_compressed_body_is_refused_unread_bomb_or_not(guarded, encoding):
    began = time.process_time()
    for body in (BOMB, gzip.compress(guarded.body(FORBIDDEN))):
        status, answer = guarded.ask(body, {"content-type": "application/json", "content-encoding": encoding})
        assert 400 <= status < 500
        assert json.loads(answer)
    assert guarded.heard == []
    assert time.process_time() - began < SOON_S


def test_a_compressed_body_that_does_not_say_so_is_refused(guarded):
    assert refused(*guarded.ask(BOMB))
    assert guarded.heard == []


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"prompt":"x","prompt":"' + FORBIDDEN.encode() + b'"}',
        b'{"n":' + b"9" * 1_000_000 + b"}",
        b"\x00" * 1000,
        b'{"prompt":"\\ud800\\ud800"' + b" " * 100_000,
        b"{" + b'"k":1,' * 200_000 + b'"z":1}',
    ],
)
def test_json_made_to_hurt_is_refused_soon(guarded, body):
    began = time.process_time()
    assert refused(*guarded.ask(body))
    assert guarded.heard == []
    assert time.process_time() - began < SOON_S


# ----------------------------------------------------------------------------------------------------------- smuggling


def smuggled(route: str, inner: bytes, outer: bytes) -> dict[str, bytes]:
    """Requests whose end two readers see in different places, or whose headers they read differently."""
    hidden = (
        f"POST {route} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n".encode()
        + b"content-length: %d\r\n\r\n%s" % (len(inner), inner)
    )
    head = f"POST {route} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n".encode()
    length = b"content-length: %d\r\n" % len(outer)
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(outer), outer)
    te = b"transfer-encoding: chunked\r\n"
    plain = length + b"\r\n" + outer + hidden
    parts = length + b"\r\n" + chunked + hidden
    return {
        "length beside chunks": head + length + te + b"\r\n" + chunked + hidden,
        "chunks beside length": head + te + parts,
        "two lengths": head + length + b"content-length: 0\r\n\r\n" + outer + hidden,
        "two lengths in one": head + b"content-length: %d, 0\r\n\r\n" % len(outer) + outer + hidden,
        "a length with a sign": head + b"content-length: +%d\r\n\r\n" % len(outer) + outer + hidden,
        "a length in hexadecimal": head + b"content-length: 0x%x\r\n\r\n" % len(outer) + outer + hidden,
        "chunks that are none": head + b"transfer-encoding: xchunked\r\n" + plain,
        "chunks twice": head + te + te + b"\r\n" + chunked + hidden,
        "chunks behind identity": head + b"transfer-encoding: identity, chunked\r\n\r\n" + chunked + hidden,
        "chunks before identity": head
        + b"transfer-encoding: chunked, identity\r\n"
        + length
        + b"\r\n"
        + outer
        + hidden,
        "a space before the colon": head + b"transfer-encoding : chunked\r\n" + parts,
        "a tab before the value": head + b"transfer-encoding:\x0bchunked\r\n" + parts,
        "a folded header": head + b"x-a: b\r\n transfer-encoding: chunked\r\n" + parts,
        "a bare line feed": head + b"x-a: b\ntransfer-encoding: chunked\r\n" + parts,
        "a bare carriage return": head + b"x-a: b\rtransfer-encoding: chunked\r\n" + plain,
        "a zero byte": head + b"x-a: b\x00\r\n" + plain,
        "a chunk with an extension": head + te + b"\r\n%x;a=\n0\r\n%s\r\n0\r\n\r\n" % (len(outer), outer) + hidden,
        "a chunk too long to count": head + te + b"\r\n" + b"f" * 17 + b"\r\n" + outer + hidden,
        "a trailer": head + te + b"\r\n%x\r\n%s\r\n0\r\ncontent-length: 0\r\n\r\n" % (len(outer), outer) + hidden,
        "no length at all": head + b"\r\n" + outer + hidden,
        "HTTP/0.9": f"POST {route}\r\n\r\n".encode() + hidden,
        "HTTP/1.0 with chunks": head.replace(b"HTTP/1.1", b"HTTP/1.0") + te + b"\r\n" + chunked + hidden,
        "an address for a path": head.replace(b"POST /", b"POST http://elsewhere.test/")
        + length
        + b"\r\n"
        + outer
        + hidden,
        "two hosts": head + b"host: elsewhere.test\r\n" + plain,
    }


# What every reader ends at the same place: the request is judged, and the one behind it by itself.
PLAIN = {"chunks behind identity", "HTTP/1.0 with chunks", "an address for a path", "two hosts"}


@pytest.mark.parametrize("how", sorted(smuggled("/", b"", b"")))
def test_what_is_smuggled_behind_a_request_is_judged_or_never_read(guarded, how):
    sent = smuggled(guarded.route, guarded.body(FORBIDDEN), guarded.body())[how]
    got = guarded.raw(sent)
    # Of two hosts the guard says neither in an answer: where answers name addresses, such a request is refused.
    assert guarded.heard == ([guarded.body()] if how in PLAIN else []) or (how == "two hosts" and not guarded.heard)
    assert all(heard.target.endswith(guarded.route) for heard in guarded.generator.calls)
    assert all(heard.headers.get("host", "") != "elsewhere.test" for heard in guarded.generator.calls)
    assert got == b"" or got.startswith(b"HTTP/1.1 ")
    assert leaked(guarded.guard.app.asked) == []


def test_headers_of_one_connection_do_not_take_others_with_them(guarded):
    named = "connection: close, authorization, content-type\r\nauthorization: Bearer own\r\n"
    body = guarded.body()
    head = f"POST {guarded.route} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n{named}\r\n"
    guarded.raw(head.encode() + body)
    assert guarded.generator.calls
    for heard in guarded.generator.calls:
        assert "close" not in heard.headers.get("connection", "")
        assert heard.body == body


# ------------------------------------------------------------------------------------------------------------- answers


def wrong_answers() -> dict[str, Script]:
    picture = json.dumps({"data": [{"b64_json": base64.b64encode(BAD).decode()}], "images": []}).encode()
    mixed = b"--x\r\ncontent-type: image/png\r\n\r\n" + BAD + b"\r\n--x--\r\n"
    events = b"data: " + picture + b"\n\n"
    bomb = script.whole(BOMB, "200 OK", "application/json", "content-encoding: gzip")
    return {
        "a picture as it is": script.whole(BAD, kind="image/png"),
        "a picture that says it is JSON": script.whole(BAD),
        "a web page": script.html(),
        "a gzip bomb": bomb,
        "a gzip bomb that does not say so": script.whole(BOMB),
        "a gzip bomb that is said to be text": script.whole(BOMB, "200 OK", "text/plain"),
        "parts": script.whole(mixed, kind="multipart/mixed; boundary=x"),
        "events that nobody asked for": script.events([events]),
        "JSON cut short": script.cut(script.whole(picture), 150),
        "JSON in UTF-16": script.whole(picture.decode().encode("utf-16")),
        "two JSON values": script.whole(b"{}\n" + picture),
        "nothing": script.whole(b""),
        "a picture with no content": script.whole(BAD, "204 No Content"),
        "a picture in a redirect": script.whole(BAD, "302 Found", "image/png", "location: https://127.0.0.1:1/x"),
        "a picture in an error": script.whole(BAD, "500 Oops", "image/png"),
        "a picture in an error that is JSON": script.whole(picture, "429 Too Many Requests"),
        "a range": script.whole(BAD, "206 Partial Content", "image/png", "content-range: bytes 0-9/99"),
    }


@pytest.mark.parametrize("how", sorted(wrong_answers()))
def test_an_answer_of_the_wrong_kind_is_an_error_and_nothing_of_it_leaves(guarded, how):
    guarded.generator.script = lambda heard: wrong_answers()[how]
    began = time.process_time()
    status, _ = guarded.ask(guarded.body())
    assert status >= 400
    assert len(guarded.heard) == 1
    assert leaked(guarded.guard.app.asked) == []
    assert b"It works" not in b"".join(asked.answer for asked in guarded.guard.app.asked)
    assert time.process_time() - began < SOON_S


def test_an_answer_behind_an_answer_is_nobodys(guarded):
    """What a generator sends beyond the end of its answer does not become the answer of the next caller."""
    (said,) = script.whole(b'{"error": {"message": "mine"}}', "400 Bad Request").steps
    (other,) = script.whole(b'{"error": {"message": "another caller\'s"}}', "400 Bad Request").steps
    guarded.generator.script = lambda heard: Script([said + other])
    for _ in range(3):
        _, answer = guarded.ask(guarded.body())
        assert b"another" not in answer


# ------------------------------------------------------------------------------------------------------------- streams


def streams() -> dict[str, tuple[str, dict[str, Any], list[bytes]]]:
    """Of each dialect that streams: its route, what asks for a stream, and a stream with a picture that is clean and
    one that is not."""
    good, bad = (base64.b64encode(one).decode() for one in (GOOD, BAD))

    def lines(*events: dict[str, Any]) -> list[bytes]:
        return [
            (f"event: {one['type']}\n" if "type" in one else "").encode()
            + b"data: "
            + json.dumps(one).encode()
            + b"\n\n"
            for one in events
        ]

    def chunk(picture: str) -> dict[str, Any]:
        image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}}
        return {"choices": [{"index": 0, "delta": {"images": [image]}, "finish_reason": None}]}

    def part(picture: str) -> dict[str, Any]:
        inline = {"inlineData": {"mimeType": "image/png", "data": picture}}
        return {"candidates": [{"content": {"parts": [inline]}, "index": 0}]}

    def partial(picture: str) -> dict[str, Any]:
        return {"type": "image_generation.partial_image", "b64_json": picture, "partial_image_index": 0}

    def preview(picture: str) -> dict[str, Any]:
        kind = "response.image_generation_call.partial_image"
        return {"type": kind, "item_id": "ig_1", "output_index": 0, "partial_image_b64": picture}

    stream = {"stream": True}
    return {
        "openai": ("", stream, lines(partial(good), partial(bad))),
        "chat": ("", stream, lines(chunk(good), chunk(bad))),
        "responses": ("", stream, lines(preview(good), preview(bad))),
        "gemini": ("/v1beta/models/m:streamGenerateContent?alt=sse", {}, lines(part(good), part(bad))),
    }


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6, 0.9, 1.0])
@pytest.mark.parametrize("finish", [True, False])
@pytest.mark.parametrize("guarded", streams(), indirect=True)
def test_a_stream_that_is_cut_says_so_and_nothing_of_a_bad_picture_leaves(guarded, share, finish, request):
    route, more, events = streams()[request.node.callspec.params["guarded"]]
    whole = b"".join(events)
    guarded.generator.script = lambda heard: script.events([whole[: int(len(whole) * share)]], finish=finish)
    status, answer = guarded.ask(guarded.body(**more), route=route)
    assert status in (0, 200, 502)
    assert leaked(guarded.guard.app.asked) == []
    assert status != 200 or b"error" in answer or b"IMAGE_SAFETY" in answer or b"failed" in answer


# -------------------------------------------------------------------------------------------------------------- routes

METHODS = ("POST", "post", "PUT", "PATCH", "GET", "DELETE", "OPTIONS", "QUERY")
OVERRIDES = "x-http-method-override: POST\r\nx-original-url: /\r\nx-rewrite-url: /\r\n"


def spellings(route: str) -> set[str]:
    """The same route, as one server or another may read it."""
    first = route[1]
    return {
        route.upper(),
        route + "/",
        route + "//",
        "/" + route,
        route.replace("/", "//", 2),
        route + "/.",
        route + "/x/..",
        "/x/.." + route,
        "/." + route,
        f"/%{ord(first):02x}" + route[2:],
        route.replace("e", "%65"),
        route.replace("/", "%2f"),
        route.replace("/", "\\"),
        route.replace("e", "\u0435"),
        *(route + tail for tail in ("%00", ";a=b", "%20", "%0a", "%3f", "#x", ".json")),
    }


def test_no_other_spelling_of_a_route_and_no_other_method_leads_past_the_guard(guarded):
    body = guarded.body(FORBIDDEN)
    for method in METHODS:
        for route in {guarded.route, *(spellings(guarded.route) if method in ("POST", "GET") else ())}:
            head = f"{method} {route} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n"
            guarded.raw(f"{head}content-length: {len(body)}\r\n{OVERRIDES}\r\n".encode() + body)
            assert guarded.heard == [], f"{method} {route}"
