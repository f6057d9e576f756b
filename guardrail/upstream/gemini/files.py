"""Files of the Gemini API: a picture goes up through the guard, is judged, and is known by its address from then on.

An upload is announced, and the answer names the address that the bytes are to be sent to: that address is the guard's
here, or the picture would go past it. Files stay with the vendor for 48 hours; here they are known for a day.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

from guardrail.errors import BadRequest, UpstreamError
from guardrail.upstream import pictures
from guardrail.upstream.answers import LENGTH, check_encoding, check_error, holds_picture, parse
from guardrail.upstream.bodies import check_size, json_object, onward
from guardrail.upstream.dialect import Answer, Call, Headers
from guardrail.upstream.gather import Gathered
from guardrail.upstream.gemini.names import PICTURE_KIND, plain
from guardrail.upstream.gemini.routes import FORM
from guardrail.upstream.headers import content_type, end_to_end
from guardrail.upstream.limits import Limits
from guardrail.upstream.memory import Memory
from guardrail.upstream.spans import Json, strings, text_of

START, SEND = "files.start", "files.upload"
UPLOAD = "upload"
"""The form of a refusal of a file: an error, since there is no answer with candidates to refuse in."""
PUBLIC = "public"
_COMMAND, _OFFSET, _URL = "x-goog-upload-command", "x-goog-upload-offset", "x-goog-upload-url"
_KIND = "x-goog-upload-header-content-type"
_TOLD = frozenset({"mimetype", "displayname", "name", "sizebytes"})
_WORD = re.compile(r"[A-Za-z0-9_./+:-]{0,128}")
_START_QUERY = frozenset({"key"})
_SEND_QUERY = frozenset({"key", "upload_id", "upload_protocol", "uploadtype"})
_QUERY = re.compile(r"[A-Za-z0-9_.~%&=-]{1,2048}")

Files = Memory[bytes]
"""Pictures that were judged, by the address that the vendor gave their file."""


def memory() -> Files:
    """A day of files, bounded by number and size."""
    return Memory(entries=4096, size=256_000_000, age_s=86_400.0)


def read(path: str, query: str, headers: Headers, body: bytes, limits: Limits, public: str) -> Call:
    """An upload that is announced, or the bytes of one. Raises BadRequest for what is neither, or is no picture."""
    check_size(body, limits)
    content_type(headers)
    named = {name.lower(): value.strip().lower() for name, value in headers}
    commands = {word.strip() for word in named.get(_COMMAND, "").split(",")}
    asked = {name for name, _ in parse_qsl(query, keep_blank_values=True)}
    got = Gathered(limits)
    if commands == {"start"} and asked <= _START_QUERY:
        _announced(body, got)
        for name, value in headers:
            if name.lower() == _KIND:
                _check_kind(value.strip())
        route = START
    elif commands == {"upload", "finalize"} and named.get(_OFFSET, "0") == "0" and "upload_id" in asked <= _SEND_QUERY:
        if pictures.sniff(body, sure=True) is None:
            raise BadRequest(
                "the file is no picture, and nothing else can be judged", status=415, code="unjudged_media"
            )
        got.picture("file", body, "file")
        route = SEND
    else:
        raise BadRequest(
            "a file is announced (X-Goog-Upload-Command: start) and then sent in one piece (upload, finalize); "
            "send a larger picture as inlineData",
            status=413 if commands == {"upload"} else 400,
            code="unjudged_media",
        )
    forward = onward("POST", path, query, headers, body)
    return Call(got.request(), forward, route, {FORM: UPLOAD, PUBLIC: public})


def _announced(body: bytes, got: Gathered) -> None:
    root = json_object(body, got.limits) if body.strip() else None
    file = root.get("file") if root is not None else None
    if root is not None and (root.members.keys() - {"file"} or (file is not None and file.kind is not Json.OBJECT)):
        raise BadRequest("the announcement of a file holds what is not known", param="file", code="unknown_field")
    for key, member in file.members.items() if file is not None else ():
        if plain(key) not in _TOLD or member.kind not in (Json.STRING, Json.NUMBER):
            raise BadRequest(f"file.{key[:40]} is not known here", param="file", code="unknown_field")
        text = member.text(body) if member.kind is Json.STRING else ""
        if plain(key) == "mimetype":
            _check_kind(text)
        if not _WORD.fullmatch(text):
            got.looked_at(text)
            got.text("file.displayName", text, "file")


def _check_kind(kind: str) -> None:
    """Raises BadRequest for a file that is not called a picture: the vendor goes by that, and not by the bytes."""
    if not PICTURE_KIND.fullmatch(kind):
        raise BadRequest(
            "the file is not called a picture, and nothing else can be judged", status=415, code="unjudged_media"
        )


def read_answer(call: Call, status: int, headers: Headers, body: bytes, limits: Limits, files: Files) -> Answer:
    """The answer to either: the address of the guard in place of the vendor's, or a file that is known from now on.

    Raises UpstreamError for what is no such answer.
    """
    check_encoding(headers)
    # Whatever else names an address, such as that of the upload's control, leads past the guard.
    kept = [(name, value) for name, value in end_to_end(headers, LENGTH) if "://" not in value]
    if status >= 400:
        check_error(headers, body, limits)
        return Answer(status, kept, body, (), ())
    if status != 200:
        raise UpstreamError(f"it answered with status {status}")
    root = parse(body, limits) if body.strip() else None
    if root is not None and any(holds_picture(node, body) for _, node in strings(root)):
        raise UpstreamError("it carries a picture where none is expected")
    if call.route == START:
        told = next((value for name, value in headers if name.lower() == _URL), "")
        query = urlsplit(told).query
        if not _QUERY.fullmatch(query):
            raise UpstreamError("it names no address to send the file to")
        path = call.forward.path.partition("?")[0]
        return Answer(status, [*kept, (_URL, f"{call.state[PUBLIC]}{path}?{query}")], body, (), ())
    file = root.get("file") if root is not None else None
    uri = text_of(file, "uri", body) if file is not None else ""
    if not uri:
        raise UpstreamError("it names no file")
    data = call.request.inputs[0].data or b""
    files.put(uri, data, len(data))
    return Answer(status, kept, body, (), ())
