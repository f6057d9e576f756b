"""Files: what goes up is judged, the address it goes to is the guard's, and it is judged again where it is used."""

import asyncio
import json
from typing import Any

import pytest

from guardrail.errors import BadRequest, UpstreamError
from guardrail.types import Stage
from guardrail.upstream.contract import refusal
from guardrail.upstream.dialect import Answer, Call, Door, Headers, Setup
from guardrail.upstream.gemini import Gemini
from tests.upstream.asking import Store, b64, png

PATH = "/upload/v1beta/files"
MODEL = "/v1beta/models/gemini-3:generateContent"
PUBLIC = "https://guard.example/gemini"
VENDOR = "https://generativelanguage.googleapis.com"
URI = f"{VENDOR}/v1beta/files/abc"
PICTURE = png(1)
TOLD = b'{"file": {"displayName": "b", "mimeType": "image/png", "sizeBytes": "67"}}'
START: Headers = [("X-Goog-Upload-Protocol", "resumable"), ("X-Goog-Upload-Command", "start")]
SEND: Headers = [("X-Goog-Upload-Command", "upload, finalize"), ("X-Goog-Upload-Offset", "0")]
ID = "upload_id=ABPtc&upload_protocol=resumable"


def gemini() -> Gemini:
    return Gemini.open(Setup(mount="/gemini", public_url=PUBLIC))


def read(
    dialect: Gemini, body: bytes, headers: Headers, *, path: str = PATH, query: str = "", store: Store | None = None
) -> Call:
    store = store or Store()
    return asyncio.run(dialect.read("POST", path, query, headers, body, store.fetch, store.fetch_file))


def answered(dialect: Gemini, call: Call, headers: Headers, body: bytes = b"{}", status: int = 200) -> Answer:
    return asyncio.run(dialect.read_answer(call, status, headers, body, Store().fetch))


def uploaded(dialect: Gemini) -> None:
    file = json.dumps({"file": {"name": "files/abc", "uri": URI, "state": "ACTIVE"}}).encode()
    call = read(dialect, PICTURE, SEND, query=ID)
    assert answered(dialect, call, [("X-Goog-Upload-Status", "final")], file).body == file


def edit(uri: str) -> bytes:
    parts: list[dict[str, Any]] = [{"text": "by night"}, {"fileData": {"fileUri": uri, "mimeType": "image/png"}}]
    return json.dumps({"contents": [{"parts": parts}]}).encode()


def test_the_address_that_a_file_is_sent_to_is_the_guards():
    dialect = gemini()
    assert dialect.door("POST", PATH) is Door.JUDGED
    call = read(dialect, TOLD, START, query="key=k")
    said = [
        ("X-Goog-Upload-URL", f"{VENDOR}{PATH}?{ID}"),
        ("X-Goog-Upload-Control-URL", f"{VENDOR}{PATH}?{ID}"),
        ("X-Goog-Upload-Status", "active"),
    ]
    answer = answered(dialect, call, said, b"")
    assert dict(answer.headers) == {"X-Goog-Upload-Status": "active", "x-goog-upload-url": f"{PUBLIC}{PATH}?{ID}"}
    assert call.forward.body == TOLD


@pytest.mark.parametrize("kind", ["application/pdf", "text/plain", "video/mp4"])
def test_what_is_announced_as_something_else_than_a_picture_does_not_go_up(kind):
    """A file may be a picture to the guard and a document to the vendor, who goes by what it is called."""
    dialect = gemini()
    named: Headers = [*START, ("X-Goog-Upload-Header-Content-Type", kind)]
    for body, headers in (
        (TOLD.replace(b"image/png", kind.encode()), START),
        (TOLD, named),
        (b"", named),
        (TOLD, [*START, ("X-Goog-Upload-Header-Content-Type", "image/png"), named[-1]]),
    ):
        with pytest.raises(BadRequest) as caught:
            read(dialect, body, headers)
        assert caught.value.code == "unjudged_media"
    uploaded(dialect)
    with pytest.raises(BadRequest):
        read(dialect, edit(URI).replace(b"image/png", kind.encode()), (), path=MODEL)


def test_what_is_sent_is_judged_and_goes_on_as_it_came():
    call = read(gemini(), PICTURE, SEND, query=ID)
    assert [one.data for one in call.request.inputs] == [PICTURE]
    assert (call.forward.path, call.forward.body) == (f"{PATH}?{ID}", PICTURE)


def test_a_file_that_came_up_here_is_judged_wherever_it_is_used_and_goes_on_by_its_address():
    dialect = gemini()
    uploaded(dialect)
    call = read(dialect, edit(URI), (), path=MODEL)
    assert [one.data for one in call.request.inputs] == [PICTURE]
    assert call.forward.body == edit(URI)


@pytest.mark.parametrize("uri", [URI, f"{URI}x", "gs://bucket/a.png", "files/abc"])
def test_a_file_that_did_not_come_up_here_is_refused(uri):
    with pytest.raises(BadRequest, match="did not come up through this guard"):
        read(gemini(), edit(uri), (), path=MODEL)


def test_the_name_of_a_file_is_judged_where_it_is_more_than_a_name():
    call = read(gemini(), b'{"file": {"display_name": "something forbidden"}}', START)
    assert [one.text for one in call.request.texts] == ["something forbidden"]
    assert read(gemini(), TOLD, START).request.texts == ()


@pytest.mark.parametrize(
    ("body", "headers", "query"),
    [
        (TOLD, [], ""),
        (TOLD, [("X-Goog-Upload-Protocol", "multipart")], "uploadType=multipart"),
        (TOLD, START, "uploadType=media"),
        (PICTURE, SEND, ""),
        (PICTURE, SEND, f"{ID}&alt=media"),
        (PICTURE, [("X-Goog-Upload-Command", "upload"), SEND[1]], ID),
        (PICTURE, [SEND[0], ("X-Goog-Upload-Offset", "7")], ID),
        (PICTURE, [*SEND, ("content-encoding", "gzip")], ID),
        (b"%!x not a picture", SEND, ID),
        (b"", SEND, ID),
        (b'{"file": {"uri": "https://a.example/x"}}', START, ""),
        (b'{"file": {"videoMetadata": {}}}', START, ""),
        (b'{"file": "x"}', START, ""),
        (b'{"files": {}}', START, ""),
        (b64(PICTURE).encode(), START, ""),
    ],
)
def test_what_could_not_be_judged_is_refused_and_clients_do_not_send_it_again(body, headers, query):
    dialect = gemini()
    with pytest.raises(BadRequest) as refused:
        read(dialect, body, headers, query=query)
    assert ("x-goog-upload-status", "final") in dialect.fault(refused.value).headers


def test_a_refused_file_is_an_error_that_clients_do_not_try_again():
    dialect = gemini()
    reply = dialect.refuse(refusal(Stage.INPUT), Stage.INPUT, read(dialect, PICTURE, SEND, query=ID))
    assert reply.status == 400
    assert ("x-goog-upload-status", "final") in reply.headers
    assert json.loads(reply.body)["error"]["details"][0]["reason"] == "IMAGE_SAFETY"


@pytest.mark.parametrize(
    ("headers", "body"),
    [([], b"{}"), ([("x-goog-upload-url", "nowhere")], b""), ([("x-goog-upload-url", "https://a/?x=<y>")], b"")],
)
def test_an_announcement_that_is_not_answered_with_an_address_is_the_generators_fault(headers, body):
    dialect = gemini()
    with pytest.raises(UpstreamError):
        answered(dialect, read(dialect, TOLD, START), headers, body)


@pytest.mark.parametrize("body", [b"", b"{}", b'{"file": {}}', b"[]", b'{"file": {"uri": 3}}'])
def test_an_upload_that_is_not_answered_with_a_file_is_the_generators_fault(body):
    dialect = gemini()
    with pytest.raises(UpstreamError):
        answered(dialect, read(dialect, PICTURE, SEND, query=ID), [], body)
    assert answered(dialect, read(dialect, PICTURE, SEND, query=ID), [], b'{"error": {"code": 403}}', 403).images == ()


def test_what_is_known_of_files_is_asked_for_and_no_file_is_handed_out():
    door = gemini().door
    assert door("GET", "/v1beta/files/abc") is door("DELETE", "/v1beta/files/abc") is Door.PASSED
    assert door("GET", "/v1beta/files") is Door.PASSED
    for path in ("/v1beta/files/abc:download", "/v1beta/files/..", "/v1beta/files/a/b", "/download/v1beta/files/abc"):
        assert door("GET", path) is Door.CLOSED
