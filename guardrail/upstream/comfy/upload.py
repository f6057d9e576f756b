"""Uploads: one picture, and the name it is to have. A name is written once: what was judged under it stays."""

from __future__ import annotations

from dataclasses import dataclass, field

from guardrail.errors import BadRequest
from guardrail.upstream.bodies import form_parts
from guardrail.upstream.comfy.files import Name, of_parts
from guardrail.upstream.dialect import FetchFile, Headers
from guardrail.upstream.gather import Gathered, Place
from guardrail.upstream.headers import content_type
from guardrail.upstream.limits import Limits
from guardrail.upstream.multipart import Part
from guardrail.upstream.spans import Json, JsonFault, scan

FIELDS = frozenset({"subfolder", "type", "overwrite", "original_ref"})
_NO = frozenset({"", "false", "0"})


@dataclass
class Uploaded:
    """An upload that was read; `original` is the picture that a mask belongs to."""

    got: Gathered
    original: Name | None = None
    fields: dict[str, str] = field(default_factory=dict)


def gather(headers: Headers, body: bytes, limits: Limits, *, mask: bool) -> Uploaded:
    """Read an upload. Raises BadRequest for what is no strict form, or has other fields than an upload."""
    kind, parameters = content_type(headers)
    if kind != "multipart/form-data":
        raise BadRequest("an upload takes multipart/form-data", status=415, code="unsupported_media_type")
    found = form_parts(body, parameters, limits)
    read = Uploaded(Gathered(limits))
    for part in found:
        if part.is_file and part.name == "image":
            of_parts(part.filename or "", "", "input", "image")
            read.got.picture("image", body[part.start : part.end], "image")
        elif not part.is_file and part.name in FIELDS:
            read.fields[part.name] = _text(part, body)
        else:
            raise BadRequest("an upload has a field that is not known", param="image", code="unknown_field")
        if part.name == "overwrite" and read.fields["overwrite"].lower() not in _NO:
            read.got.clamp("overwrite", Place(part.start, part.end, quoted=False), b"false")
    if not read.got.inputs:
        raise BadRequest("image is missing", param="image", code="missing_required_parameter")
    of_parts("x", read.fields.get("subfolder", "").strip("/"), read.fields.get("type") or "input", "subfolder")
    if mask:
        read.original = _original(read.fields.get("original_ref"), limits)
    return read


async def resolve(read: Uploaded, fetch_file: FetchFile) -> None:
    """The server lays the mask over the picture that it names: that is judged as well."""
    if read.original is None:
        return
    read.got.picture("original", (await fetch_file(read.original.query)).data, "original_ref")


def _text(part: Part, body: bytes) -> str:
    try:
        return body[part.start : part.end].decode("ascii" if part.name == "type" else "utf-8")
    except UnicodeDecodeError:
        raise BadRequest(f"{part.name} is not UTF-8", param=part.name, code="invalid_type") from None


def _original(text: str | None, limits: Limits) -> Name:
    raw = (text or "").encode()
    try:
        root = scan(raw, limits.json)
    except JsonFault:
        root = None
    named: dict[str, str] = {}
    for key in ("filename", "subfolder", "type") if root is not None else ():
        node = root.get(key) if root is not None else None
        if node is not None and node.kind is Json.STRING:
            named[key] = node.text(raw)
    if root is None or root.kind is not Json.OBJECT or "filename" not in named:
        raise BadRequest("original_ref must name a picture", param="original_ref", code="invalid_value")
    return of_parts(named["filename"], named.get("subfolder", ""), named.get("type", "output"), "original_ref")
