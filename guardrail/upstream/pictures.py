"""Pictures in text: base64, data URLs, and what the first bytes say about a file.

A name or a declared type is a claim by a stranger; only the bytes are looked at. Nothing is decoded here, the checks
do that under their own limits.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import pybase64

Bytes = bytes | memoryview

_DATA_HEAD = re.compile(
    rb"data:[a-z0-9.+/-]{0,100}(?:;[a-z0-9_.-]{1,40}=[a-z0-9_.+-]{0,100}){0,4};base64,", re.IGNORECASE
)
# Called a picture, or nothing in particular, as every reader spells it: by any other name the bytes may be read as
# something else than the picture that they are here (a document, a text).
_PLAIN_HEAD = re.compile(rb"data:(?:image/[a-z0-9.+-]{1,100}|application/octet-stream);base64,")
_URL = re.compile(r"([a-z][a-z0-9+.-]{0,30}):[/\\]|(https?|ftp|file|gs|s3|blob|ipfs):[^ ]", re.IGNORECASE)
_EDGE = "".join(map(chr, range(0x21)))
_IGNORED_INSIDE = str.maketrans("", "", "\t\r\n")
_BASE64_START = re.compile(r"[A-Za-z0-9+/_-]{16,}")
_HEAD_CHARS = 96  # base64 characters that show the first 72 bytes of a file
_LEAST_FILE = 24  # base64 characters; no picture is shorter

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"II+\x00", "image/tiff"),
    (b"MM\x00+", "image/tiff"),
    (b"\x00\x00\x01\x00", "image/x-icon"),
    (b"\x00\x00\x02\x00", "image/x-icon"),
    (b"\xff\x0a", "image/jxl"),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "image/jxl"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "image/jp2"),
    (b"\xff\x4f\xff\x51", "image/jp2"),
    (b"qoif", "image/qoi"),
    (b"8BPS", "image/vnd.adobe.photoshop"),
    (b"\x76\x2f\x31\x01", "image/x-exr"),
    (b"%PDF-", "application/pdf"),
    (b"%!PS", "application/postscript"),
    (b"\x1a\x45\xdf\xa3", "video/webm"),
)
_ANY_MAGIC = tuple(magic for magic, _ in _MAGIC)
_SHORT_MAGIC = frozenset({b"BM", b"\xff\x0a", b"\x00\x00\x01\x00", b"\x00\x00\x02\x00"})


class PictureFault(ValueError):
    """Text that should hold a picture does not. The message never quotes it."""


class TooLarge(PictureFault):
    """The picture is over the limit; nothing was decoded."""


@dataclass(frozen=True)
class Decoded:
    """A picture taken out of text.

    `plain` is False where another reader could get other bytes out of the same text (URL-safe alphabet, missing
    padding, white space), or could take them for no picture: such text must be written anew before it is sent on.
    """

    data: bytes = field(repr=False)
    plain: bool


def sniff(data: Bytes, *, sure: bool = False) -> str | None:
    """The media type that the first bytes show, or None when they are no picture known here.

    With `sure`, signatures of two or four common bytes do not count: for bytes that nobody called a picture.
    """
    head = bytes(memoryview(data)[:512])
    if head.startswith(_ANY_MAGIC):
        for magic, media_type in _MAGIC:
            if head.startswith(magic) and not (sure and magic in _SHORT_MAGIC):
                return media_type
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        if brand in (b"avif", b"avis"):
            return "image/avif"
        return "image/heic" if brand in (b"heic", b"heix", b"mif1", b"msf1", b"hevc") else "video/mp4"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<svg", b"<?xml", b"<!doctype svg")) or b"<svg" in text:
        return "image/svg+xml"
    return None


def is_data_url(text: str) -> bool:
    """True for what claims to be a data URL, well formed or not."""
    start = text.lstrip(_EDGE)
    if not start.startswith(("d", "D")):
        return False  # nearly every text, and what follows takes ten times as long
    head = _bare(start[:200]).lower()
    if not head.startswith("data:"):
        return False
    return "image/" in head or "base64" in head or "," in head.split(" ", 1)[0]


def url_scheme(text: str) -> str | None:
    """The scheme, in lower case, of a text that as a whole is an address ("https://..."); None for any other text."""
    bare = _bare(text)
    found = _URL.match(bare)
    if found is None or " " in bare:
        return None
    return (found.group(1) or found.group(2)).lower()


def _bare(text: str) -> str:
    """Without what browsers and their kin leave out before they read an address."""
    return text.strip(_EDGE).translate(_IGNORED_INSIDE)


def looks_like_base64_picture(text: str) -> bool:
    """True when the text, white space left out, starts like a base64 file that is a picture."""
    if len(text) < _LEAST_FILE:
        return False
    head = "".join(text[: 4 * _HEAD_CHARS].split())[:_HEAD_CHARS]
    start = _BASE64_START.match(head)
    if start is None:
        return False
    clean = start.group().translate(_TO_STANDARD)
    return sniff(pybase64.b64decode(clean[: len(clean) // 4 * 4]), sure=True) is not None


_TO_STANDARD = str.maketrans("-_", "+/")
_FROM_URL_SAFE = bytes.maketrans(b"-_", b"+/")


def decode_base64(encoded: Bytes, limit: int) -> Decoded:
    """Decode base64, standard or URL-safe, padded or not. `limit` is the most bytes the result may have.

    Raises TooLarge before anything is decoded, PictureFault for what is not base64 or is empty.
    """
    view = memoryview(encoded)
    if len(view) // 4 * 3 > limit + 2:
        raise TooLarge(f"is over {limit} bytes")
    try:
        data = pybase64.b64decode(view, validate=True)
        plain = True
    except ValueError:
        data = _lenient(bytes(view))
        plain = False
    if not data:
        raise PictureFault("is empty")
    if len(data) > limit:
        raise TooLarge(f"is over {limit} bytes")
    return Decoded(data, plain)


def _lenient(encoded: bytes) -> bytes:
    """URL-safe alphabet, missing padding and white space are forgiven, nothing else; both alphabets mixed are not."""
    packed = b"".join(encoded.split()).rstrip(b"=")
    if (b"-" in packed or b"_" in packed) and (b"+" in packed or b"/" in packed):
        raise PictureFault("mixes two base64 alphabets")
    packed = packed.translate(_FROM_URL_SAFE)
    try:
        return pybase64.b64decode(packed + b"=" * (-len(packed) % 4), validate=True)
    except ValueError:
        raise PictureFault("is not base64") from None


def decode_data_url(url: Bytes, limit: int) -> Decoded:
    """Decode a data URL, which must be base64; `limit` as in `decode_base64`.

    Raises TooLarge or PictureFault. What the URL claims about its type is not trusted.
    """
    view = memoryview(url)
    head = _DATA_HEAD.match(bytes(view[:700]))
    if head is None:
        raise PictureFault("is not a base64 data URL")
    decoded = decode_base64(view[head.end() :], limit)
    return decoded if _PLAIN_HEAD.fullmatch(head.group()) else Decoded(decoded.data, False)


def data_url(data: bytes) -> bytes:
    """The canonical data URL of a picture, its media type taken from its first bytes."""
    media_type = (sniff(data) or "application/octet-stream").encode()
    return b"data:" + media_type + b";base64," + pybase64.b64encode(data)
