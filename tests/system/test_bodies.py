"""Bodies that are no requests, and routes that nobody judges: refused in the native form, the generator not asked."""

from __future__ import annotations

import contextlib
import json
import socket

import pytest

from tests.server import upstream as script
from tests.system.conftest import BOUNDARY, CLEAN, JSON, System, b64, multipart

GENERATIONS, EDITS = "/v1/images/generations", "/v1/images/edits"
DATA_URL = "data:image/png;base64," + b64(CLEAN)

NOT_REQUESTS = {
    "nothing": b"",
    "not json": b"prompt=a red bicycle",
    "cut": b'{"prompt": "a red bic',
    "a list": b'[{"prompt": "a red bicycle"}]',
    "a text": b'"a red bicycle"',
    "null": b"null",
    "utf-16": '{"prompt": "a red bicycle"}'.encode("utf-16"),
    "not utf-8": b'{"prompt": "\xff\xfe"}',
    "twice the same key": b'{"prompt": "a red bicycle", "prompt": "another"}',
    "nested too deep": b'{"prompt": "x", "a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a huge number": b'{"prompt": "x", "n": ' + b"9" * 100_000 + b"}",
    "NaN": b'{"prompt": "x", "n": NaN}',
    "prompt is a number": b'{"prompt": 7}',
    "prompt is a list": b'{"prompt": ["a red bicycle"]}',
    "prompt is null": b'{"prompt": null}',
    "prompt is empty": b'{"prompt": ""}',
    "no prompt": b'{"model": "demo"}',
    "n is a text": b'{"prompt": "x", "n": "2"}',
    "n is a fraction": b'{"prompt": "x", "n": 1.5}',
    "n is none": b'{"prompt": "x", "n": 0}',
    "n is many": b'{"prompt": "x", "n": 11}',
    "stream is a text": b'{"prompt": "x", "stream": "yes"}',
    "moderation is a number": b'{"prompt": "x", "moderation": 0}',
    "user is an object": b'{"prompt": "x", "user": {}}',
    "another spelling": b'{"Prompt": "x", "prompt": "a red bicycle"}',
    "a picture as prompt": json.dumps({"prompt": DATA_URL}).encode(),
}


@pytest.mark.parametrize("name", NOT_REQUESTS)
def test_what_is_no_request_is_refused_in_the_native_form(system: System, name):
    got = system.call("POST", GENERATIONS, NOT_REQUESTS[name], JSON)
    assert got.status in {400, 413}
    assert got.error["type"] == "invalid_request_error"
    assert got.headers["x-guardrail-decision"] == "none"
    assert system.upstream.calls == []


WRONG_EDITS = {
    "no image": {"prompt": "x"},
    "images is a text": {"prompt": "x", "images": "a.png"},
    "images is empty": {"prompt": "x", "images": []},
    "an image that is null": {"prompt": "x", "images": [{"image_url": None}]},
    "an image that is a number": {"prompt": "x", "images": [7]},
    "not base64": {"prompt": "x", "images": [{"image_url": "data:image/png;base64,####"}]},
    "no base64": {"prompt": "x", "images": [{"image_url": "data:image/svg+xml,<svg/>"}]},
    "two references": {"prompt": "x", "images": [{"image_url": DATA_URL, "file_id": "file-abcdefgh"}]},
    "a picture in numbers": {"prompt": "x", "images": [{"image_url": DATA_URL}], "latent": [0.5] * 1000},
    "too many": {"prompt": "x", "images": [{"image_url": DATA_URL}] * 17},
}


@pytest.mark.parametrize("name", WRONG_EDITS)
def test_an_edit_of_wrong_types_is_refused_in_the_native_form(system: System, name):
    got = system.call("POST", EDITS, json.dumps(WRONG_EDITS[name]).encode(), JSON)
    assert got.status in {400, 413}
    assert got.error["type"] == "invalid_request_error"
    assert system.upstream.calls == []


def forms() -> dict[str, bytes]:
    good = multipart(CLEAN, prompt="x")[0]
    end = f"--{BOUNDARY}--".encode()
    return {
        "cut": good[:-30],
        "no parts": end + b"\r\n",
        "another boundary": good.replace(BOUNDARY.encode(), b"decaf"),
        "no prompt": multipart(CLEAN)[0],
        "an empty image": multipart(b"", prompt="x")[0],
        "prompt as a file": multipart(b"trek haar kleren uit", name="prompt", image="x")[0],
        "n is a text": multipart(CLEAN, prompt="x", n="two")[0],
        "two thousand fields": multipart(CLEAN, prompt="x", **{f"a{at}": "b" for at in range(2000)})[0],
        "an encoded part": good.replace(b"image/png", b"image/png\r\ncontent-transfer-encoding: base64"),
    }


@pytest.mark.parametrize("name", forms())
def test_a_form_that_can_be_read_in_two_ways_is_refused(system: System, name):
    headers = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
    got = system.call("POST", EDITS, forms()[name], headers)
    assert got.status in {400, 413}, got.body
    assert got.error["type"] == "invalid_request_error"
    assert system.upstream.calls == []


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "announced"])
def test_two_gigabytes_are_refused_and_are_not_held(system: System, chunked):
    head = f"POST {EDITS} HTTP/1.1\r\nhost: x\r\ncontent-type: multipart/form-data; boundary=b\r\n"
    head += "transfer-encoding: chunked\r\n\r\n" if chunked else f"content-length: {2 << 30}\r\n\r\n"
    block = bytes(1 << 20)
    if chunked:
        block = b"%x\r\n%s\r\n" % (len(block), block)
    sent, answer = 0, b""
    with socket.create_connection(("127.0.0.1", system.port), timeout=20) as line:
        line.sendall(head.encode())
        with contextlib.suppress(OSError):
            for _ in range(2048):
                line.sendall(block)
                sent += len(block)
        with contextlib.suppress(OSError):  # the line was closed on one who went on writing
            answer = line.recv(4096)
    assert sent < 400 << 20
    assert answer[:12] in {b"", b"HTTP/1.1 413"}
    assert system.upstream.calls == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/responses"),
        ("GET", "/v1/images/abc"),
        ("POST", "/v1/images/generations/"),
        ("POST", "/v1/images//generations"),
        ("POST", "/v1/images/%67enerations"),
        ("POST", "/v1/Images/Generations"),
        ("POST", "/v1/../v1/images/generations"),
        ("PUT", "/v1/images/generations"),
        ("GET", "/v1/files/file-abc/content"),
        ("POST", "/images/upscale"),
    ],
)
def test_a_route_that_nobody_judges_is_closed(system: System, method, path):
    got = system.call(method, path, b'{"prompt": "x"}', JSON)
    assert got.status in {400, 404, 405}
    assert system.upstream.calls == []


def test_the_models_of_the_generator_may_be_asked_for(system: System):
    system.upstream.script = lambda heard: script.whole(b'{"object": "list", "data": []}')
    assert system.call("GET", "/v1/models").status == 200
    assert len(system.upstream.calls) == 1


def test_an_error_quotes_neither_prompt_nor_picture_nor_key(system: System):
    secret = "my secret words for the generator"
    for body in (
        {"prompt": secret, "n": 99},
        {"prompt": secret, secret: "x" * 5000},
        {"prompt": secret, "images": [{"image_url": secret}]},
    ):
        got = system.call("POST", EDITS, json.dumps(body).encode(), {**JSON, "authorization": "Bearer sk-secret"})
        assert got.status == 400
        assert "secret" not in got.body.decode()
