"""Which routes are open, and that an open one carries no pictures."""

from __future__ import annotations

import gzip
import http.client

import pytest

from guardrail.server import ServerSettings
from tests.server import upstream as script

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 40


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/chat/completions"),
        ("GET", "/v1/images/generations"),
        ("GET", "/"),
        ("OPTIONS", "/v1/images/generations"),
        ("DELETE", "/v1/files/x"),
        ("POST", "/v1/images/generations/"),
        ("POST", "//v1/images/generations"),
        ("POST", "/v1/./images/generations"),
        ("POST", "/v1/images%2fgenerations"),
        ("POST", "/healthz/../v1/images/generations"),
    ],
)
def test_a_route_that_nobody_judges_is_closed(running, upstream, method, path):
    got = running.call(method, path, b"{}" if method == "POST" else None)
    assert got.status == 404
    assert got.json["error"]["code"] == "route_not_guarded"
    assert upstream.calls == []


def test_a_passed_route_comes_back_byte_for_byte_and_says_that_nobody_looked(running, upstream):
    body = b'{"data":[{"id":"m"}],\n"object":"list"}'
    upstream.script = lambda heard: script.whole(body)
    got = running.call("GET", "/v1/models?limit=2", headers={"authorization": "Bearer k", "accept-encoding": "gzip"})
    assert got.body == body
    assert got.headers["x-guardrail-decision"] == "unjudged"
    assert "x-guardrail-receipt" not in got.headers
    heard = upstream.calls[0]
    assert heard.target == "/v1/models?limit=2"
    assert heard.headers["authorization"] == "Bearer k"
    assert heard.headers["accept-encoding"] == "identity"
    assert running.guard.records == []


@pytest.mark.parametrize(
    "answer",
    [
        script.whole(PNG, kind="image/png"),
        script.whole(PNG, kind="application/json"),
        script.whole(PNG, kind="application/octet-stream"),
        script.whole(b'{"x":"data:image/png;base64,AAAA"}'),
        script.whole(b'{"b64_json": "AAAA"}'),
        script.whole(b'{"x": "/9j/4AAQSkZJRg"}'),
        script.whole(b'{"x": "iVBORw0KGgoAAAANSUhEUg"}'),
        script.whole(b'{"x": "\\/9j\\/4AAQSkZJRg"}'),
        script.whole(b'{"x": "UklGRiQAAABXRUJQ"}'),
        script.whole(b'{"x": "AAAAHGZ0eXBhdmlmAAAA"}'),
        script.whole(b"<svg/>", kind="text/html"),
        script.whole(b"\0\0\0\x1cftypavif", kind="text/plain"),
        script.whole(gzip.compress(PNG), "200 OK", "application/json", "content-encoding: gzip"),
        script.whole(PNG, "404 Not Found", "image/png"),
    ],
)
def test_a_picture_on_a_passed_route_does_not_leave(running, upstream, answer):
    upstream.script = lambda heard: answer
    got = running.call("GET", "/v1/models")
    assert got.status == 502
    assert running.counted("guardrail_upstream_errors_total", kind="pictures") == 1


def test_a_picture_in_the_middle_of_a_passed_answer_cuts_it(running, upstream):
    upstream.script = lambda heard: script.events([b'{"a": 1,', 0.2, b' "b": "data:im', 0.2, b'age/png;base64,AA"}'])
    upstream.script = lambda heard: script.Script(
        [
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 45\r\n\r\n",
            b'{"a": 1, "b": "data:im',
            0.3,
            b'age/png;base64,AAAA"}  ',
        ]
    )
    with pytest.raises(http.client.IncompleteRead):
        running.call("GET", "/v1/models")


@pytest.mark.parametrize(
    ("method", "body", "kind", "status"),
    [
        ("GET", b"x", "application/json", 415),
        ("POST", PNG, "image/png", 415),
        ("POST", PNG, "application/json", 415),
        ("POST", b"--x", "multipart/form-data; boundary=x", 415),
        ("POST", b'{"u": "data:image/png;base64,AA"}', "application/json", 415),
        ("POST", b'{"word": "hello"}', "application/json", 200),
        ("POST", None, "application/json", 200),
    ],
)
def test_a_caller_sends_no_pictures_on_a_passed_route(running, upstream, method, body, kind, status):
    upstream.script = lambda heard: script.whole(b"{}")
    got = running.call(method, "/v1/say", body, {"content-type": kind})
    assert got.status == status
    assert len(upstream.calls) == (status == 200)


def test_an_endless_passed_answer_is_cut(start, upstream):
    running = start(ServerSettings(max_passed_bytes=1000))
    upstream.script = lambda heard: script.whole(b" " * 1000)
    assert running.call("GET", "/v1/models").status == 200
    upstream.script = lambda heard: script.whole(b" " * 1001)
    assert running.call("GET", "/v1/models").status == 502
