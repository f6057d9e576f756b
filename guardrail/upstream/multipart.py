"""multipart/form-data, read so strictly that no other parser can see something else in it.

Parsers differ about bare line feeds, folded headers, escaped quotes, parts that are both file and field, encodings of
a part, text before the first boundary. Clients of image generators use none of these, so each is refused instead of
guessed. Parts are spans: nothing is copied but the small headers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,70}"
_PARAM = re.compile(rf'\s*;\s*({_WORD})\s*=\s*(?:"([^"\r\n\x00]*)"|({_WORD}))')
_MEDIA_TYPE = re.compile(rf"\s*({_WORD}/{_WORD})")
_NAME = re.compile(r"[A-Za-z0-9_.:\[\]-]{1,100}")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,70}):[ \t]*([^\r\n\x00]*)")
_HEADER_BYTES = 8192
_PLAIN = frozenset({"7bit", "8bit", "binary"})


class MultipartFault(ValueError):
    """The body is not the strict multipart/form-data that is expected. The message never quotes it."""


class TooManyParts(MultipartFault):
    """More parts than the limit; reading stopped there."""


@dataclass(frozen=True)
class Part:
    """One part: the span `body[start:end]` of its content; `filename` is None for a plain field."""

    name: str
    filename: str | None = field(repr=False)
    start: int
    end: int

    @property
    def is_file(self) -> bool:
        return self.filename is not None


def media_type(header: str) -> tuple[str, dict[str, str]]:
    """A Content-Type header as its type in lower case and its parameters.

    Raises MultipartFault when it is malformed, names a parameter twice, or names one in a way that some readers decode
    and others do not: `charset*=utf-8''utf-7`, or a character set inside the value of another parameter.
    """
    found = _MEDIA_TYPE.match(header)
    if found is None:
        raise MultipartFault("the content type cannot be read")
    parameters = _parameters(header, found.end())
    if header.lower().count("charset") > ("charset" in parameters) or any("*" in name for name in parameters):
        raise MultipartFault("the content type has a parameter that parsers read differently")
    return found.group(1).lower(), parameters


def _parameters(header: str, at: int) -> dict[str, str]:
    parameters: dict[str, str] = {}
    while at < len(header):
        if not header[at:].strip(" \t;"):
            break
        found = _PARAM.match(header, at)
        if found is None or len(parameters) > 8:
            raise MultipartFault("a header parameter cannot be read")
        name = found.group(1).lower()
        value = found.group(2) if found.group(2) is not None else found.group(3)
        if name in parameters:
            raise MultipartFault("a header parameter occurs twice")
        if value.endswith("\\"):
            # `filename="a\"; name="x"`: some parsers end the value at this quote, some do not.
            raise MultipartFault("a header parameter has an escaped quote")
        parameters[name] = value
        at = found.end()
    return parameters


def boundary_of(parameters: Mapping[str, str]) -> bytes:
    """The boundary that a multipart content type names. Raises MultipartFault when it is missing or malformed."""
    boundary = parameters.get("boundary")
    if boundary is None:
        raise MultipartFault("the content type names no boundary")
    if not _BOUNDARY.fullmatch(boundary):
        raise MultipartFault("the boundary is malformed")
    return boundary.encode("ascii")


def parts(body: bytes, boundary: bytes, most: int) -> Sequence[Part]:
    """Cut `body` into at most `most` parts. Linear in the size of the body.

    Raises TooManyParts, and MultipartFault for whatever two parsers could read differently.
    """
    mark = b"--" + boundary
    if not body.startswith(mark + b"\r\n"):
        raise MultipartFault("the body does not start with its boundary")
    found: list[Part] = []
    at = len(mark) + 2
    while True:
        if len(found) >= most:
            raise TooManyParts(f"more than {most} parts")
        end = body.find(mark, at) - 2
        if end < 0:
            raise MultipartFault("the last part is never closed")
        if body[end : end + 2] != b"\r\n":
            # Not at the start of a line by our reading, but perhaps by one that takes bare line feeds.
            raise MultipartFault("the boundary occurs inside a part")
        found.append(_part(body, at, end))
        at = end + 2 + len(mark)
        after = body[at : at + 2]
        if after == b"--":
            break
        if after != b"\r\n":
            raise MultipartFault("a boundary is followed by something else")
        at += 2
    if body[at + 2 :] not in (b"", b"\r\n"):
        raise MultipartFault("something follows the last part")
    _agree(found)
    return found


def _part(body: bytes, start: int, end: int) -> Part:
    if body.startswith(b"\r\n", start):
        raise MultipartFault("a part has no headers")
    head_end = body.find(b"\r\n\r\n", start, min(end, start + _HEADER_BYTES) + 2)
    if head_end < 0 or head_end + 4 > end:
        # A part may be empty: then its content ends where the blank line does.
        raise MultipartFault("the headers of a part never end, or are too long")
    headers: dict[str, str] = {}
    for line in body[start:head_end].split(b"\r\n"):
        match = _HEADER.fullmatch(line)
        if match is None:
            raise MultipartFault("a header of a part cannot be read")
        name = match.group(1).decode("ascii").lower()
        if name in headers:
            raise MultipartFault("a header of a part occurs twice")
        headers[name] = match.group(2).decode("utf-8", "replace")
    return _named(headers, head_end + 4, end)


def _named(headers: dict[str, str], start: int, end: int) -> Part:
    disposition = headers.get("content-disposition", "")
    if disposition.split(";", 1)[0].strip().lower() != "form-data":
        raise MultipartFault("a part is not form-data")
    if headers.get("content-transfer-encoding", "binary").strip().lower() not in _PLAIN:
        raise MultipartFault("a part has a transfer encoding; send it as it is")
    if "content-encoding" in headers:
        raise MultipartFault("a part has a content encoding; send it as it is")
    kind, kind_parameters = media_type(headers["content-type"]) if "content-type" in headers else ("", {})
    if kind_parameters.get("charset", "utf-8").lower() not in ("utf-8", "utf8", "us-ascii"):
        raise MultipartFault("a part is not in UTF-8")
    if kind.startswith("multipart/"):
        raise MultipartFault("a part is itself multipart")
    parameters = _parameters(disposition, disposition.find(";") if ";" in disposition else len(disposition))
    if parameters.keys() - {"name", "filename", "filename*"} or ("filename*" in parameters) > (
        "filename" in parameters
    ):
        raise MultipartFault("a part has a parameter that parsers read differently")
    name = parameters.get("name", "")
    if not _NAME.fullmatch(name):
        raise MultipartFault("a part has no usable name")
    if name.lower() == "_charset_":
        raise MultipartFault("a part changes the character set")
    return Part(name, parameters.get("filename"), start, end)


def _agree(found: Sequence[Part]) -> None:
    """One name is either files or one field, and is spelled one way."""
    seen: dict[str, Part] = {}
    for part in found:
        folded = part.name.lower()
        before = seen.setdefault(folded, part)
        if before is part:
            continue
        if before.name != part.name:
            raise MultipartFault("two parts have names that differ only by case")
        if before.is_file != part.is_file:
            raise MultipartFault("a part is both file and field")
        if not part.is_file and not part.name.endswith("[]"):
            raise MultipartFault("a field occurs twice")
