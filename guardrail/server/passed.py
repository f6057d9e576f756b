"""Routes that carry no pictures: streamed through unlooked at, and closed as soon as a picture shows up."""

from __future__ import annotations

from guardrail.errors import BadRequest, UpstreamError
from guardrail.server.client import Answering
from guardrail.server.exchange import Broken, Exchange
from guardrail.server.gate import UpstreamFault
from guardrail.server.wire import Watch, not_ours, one_header, text_headers
from guardrail.upstream.dialect import Forward, Reply

UNJUDGED_TYPES = frozenset({"application/json", "text/plain"})
# PNG, JPEG, GIF, WebP, BMP, TIFF, SVG; an AVIF or HEIF file names itself after four bytes of length.
STARTS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"BM", b"II*\x00", b"MM\x00*", b"<svg", b"<?xml")
# Data URLs, the field that pictures come in, and how PNG, GIF, JPEG (also with escaped slashes), WebP, AVIF and HEIC
# begin in base64.
WITHIN = (
    b"data:image", b";base64,", b'"b64_json"', b"iVBORw0KGgo", b"R0lGODdh", b"R0lGODlh", b'"/9j/', b'"\\/9j\\/',
    b'"UklGR', b"Z0eXBhdmlm", b"Z0eXBhdmlz", b"Z0eXBoZWlj", b"Z0eXBtaWYx",
)  # fmt: skip
LONGEST = max(len(mark) for mark in WITHIN)


async def pass_call(exchange: Exchange, method: str, path: str) -> None:
    """Answer a call on a route that is passed on unjudged.

    Raises BadRequest when the caller sends what may be a picture, UpstreamError when the generator does; Broken when
    it does so in the middle of an answer.
    """
    exchange.route = "passed"
    headers = not_ours(text_headers(exchange.scope["headers"]))
    body = await exchange.body(headers)
    kind = (one_header(headers, "content-type") or "").partition(";")[0].strip().lower()
    if body and (method in {"GET", "HEAD", "DELETE"} or kind not in UNJUDGED_TYPES or _pictured(body, start=True)):
        raise BadRequest(
            "this route is passed on unjudged and so takes no pictures: send no body, or plain JSON",
            status=415,
            code="pictures_not_allowed",
        )
    exchange.outcome = "failed"
    query = exchange.scope["query_string"].decode("latin-1")
    # Compression would hide a picture.
    sent = [pair for pair in headers if pair[0] != "accept-encoding"]
    forward = Forward(method, f"{path}?{query}" if query else path, sent, body)
    try:
        async with (
            Watch(exchange.receive, exchange.caller) as watch,
            exchange.shared.client.call(exchange.upstream, forward) as answer,
        ):
            await _pass_on(exchange, answer, watch)
    except UpstreamError as error:
        kind = error.kind if isinstance(error, UpstreamFault) else "bad_answer"
        exchange.outcome = f"upstream_{kind}"
        exchange.shared.metrics.upstream_error(kind)
        if exchange.started:
            raise Broken from None
        raise


async def _pass_on(exchange: Exchange, answer: Answering, watch: Watch) -> None:
    limit = exchange.shared.settings.max_passed_bytes
    headers = [*answer.headers, ("x-guardrail-decision", "unjudged")]
    tail = b""
    passed = 0
    while chunk := await answer.chunk():
        passed += len(chunk)
        if passed > limit:
            raise UpstreamFault("too_large", f"an unjudged answer is larger than {limit} bytes, the limit here")
        encoding = one_header(answer.headers, "content-encoding") or "identity"
        hidden = encoding.lower() != "identity" or answer.content_type not in UNJUDGED_TYPES
        if hidden or _pictured(tail + chunk, start=not exchange.started):
            raise UpstreamFault(
                "pictures", "the generator sent what may be a picture on a route that is passed on unjudged"
            )
        tail = (tail + chunk)[-LONGEST:]
        if not exchange.started:
            await exchange.send_start(answer.status, headers)
        await exchange.send_part(chunk)
    watch.hold()
    if exchange.started:
        await exchange.send_part(b"", more=False)
    else:
        await exchange.reply(Reply(answer.status, headers, b""))
    exchange.outcome = "passed"


def _pictured(part: bytes, *, start: bool) -> bool:
    """True when bytes begin like a picture file, or hold one in text."""
    head = part[:64].lstrip()
    begins = start and (head.startswith(STARTS) or head[4:8] == b"ftyp")
    return begins or any(mark in part for mark in WITHIN)
