"""The upstream client: the caller's call, sent on as it is, and what comes back, untouched.

One aiohttp session with keep-alive serves every upstream: no cookies, no redirects, no decoding, no headers of its
own. httpx would cost a factor of 18 in requests per second under concurrency.
"""

from __future__ import annotations

import re
from types import TracebackType

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from guardrail.errors import BadRequest, UpstreamError
from guardrail.server.admission import Ticket
from guardrail.server.settings import ServerSettings, Upstream
from guardrail.server.wire import end_to_end
from guardrail.upstream.dialect import Fetched, Forward, Headers

READ_BYTES = 1 << 18
FILE_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
# What says who the caller is, and nothing else, goes along when a file of the generator's own store is fetched.
CREDENTIALS = frozenset({"authorization", "api-key", "x-api-key", "openai-organization", "openai-project"})
# A server that heeds one of these does something else than the route that was judged.
REROUTES = frozenset(
    {"x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url"}
)
# Of an answer: what leads a caller on to a picture that nobody looked at.
LEADS_ON = frozenset({"location", "content-location", "refresh", "link"})
LONGEST_HEADER = 4096  # bytes; a longer one may be a picture


class UpstreamFault(UpstreamError):
    """An answer that did not come; `kind` is the word for metrics and records."""

    def __init__(self, kind: str, message: str, *, status: int = 502) -> None:
        super().__init__(message, status=status)
        self.kind = kind


def _fault(error: BaseException) -> UpstreamFault:
    """Says in our words what aiohttp ran into. Its own words may quote addresses and bodies, and are left out."""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return UpstreamFault("timeout", "the generator did not accept a connection in time", status=504)
    if isinstance(error, TimeoutError):
        return UpstreamFault("timeout", "the generator did not answer in time", status=504)
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return UpstreamFault("tls", "the generator's TLS certificate or handshake was not accepted")
    if isinstance(error, aiohttp.ClientConnectorError):
        return UpstreamFault("unreachable", "the generator cannot be reached")
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientPayloadError | aiohttp.ClientOSError):
        return UpstreamFault("cut", "the generator closed the connection before its answer was whole")
    return UpstreamFault("bad_answer", "the generator's answer is not HTTP that can be read")


class Answering:
    """One upstream call and its answer; leaves nothing open behind it, whatever happens inside."""

    def __init__(self, client: Client, upstream: Upstream, forward: Forward) -> None:
        self._client = client
        self._upstream = upstream
        self._forward = forward
        self._whole = False
        self._answer: aiohttp.ClientResponse

    async def __aenter__(self) -> Answering:
        self._answer = await self._client.send(self._upstream, self._forward)
        self.status = self._answer.status
        # Latin-1 both ways: the bytes of a header come out as they went in.
        self.headers: Headers = end_to_end(
            (low, value.decode("latin-1"))
            for name, value in self._answer.raw_headers
            if (low := name.decode("latin-1").lower()) not in LEADS_ON and len(value) <= LONGEST_HEADER
        )
        if 300 <= self.status < 400 and self.status != 304:
            self._answer.close()
            raise UpstreamFault(
                "redirect", "the generator answered with a redirect, which would lead callers past the guard"
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Closing tells the generator to stop; a connection whose answer was read whole is kept for the next call.
        if self._whole:
            self._answer.release()
        else:
            self._answer.close()

    @property
    def content_type(self) -> str:
        """Media type in lower case, without parameters; empty when there is none."""
        value = next((value for name, value in self.headers if name == "content-type"), "")
        return value.partition(";")[0].strip().lower()

    async def chunk(self) -> bytes:
        """The next piece of the body as it comes, empty at its end. Raises UpstreamFault when it is cut or late."""
        try:
            # Piece by piece: readany would copy all that waits once more.
            piece, ends = await self._answer.content.readchunk()
            while ends and not piece:
                piece, ends = await self._answer.content.readchunk()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _fault(error) from None
        self._whole = not piece
        return piece

    async def read(self, limit: int, ticket: Ticket) -> bytes:
        """The whole body. Raises UpstreamFault when it is cut, late or over `limit`, Overloaded when it has no room."""
        announced = self._answer.content_length
        if announced is not None and announced > limit:
            raise UpstreamFault("too_large", f"the generator's answer is larger than {limit} bytes, the limit here")
        if announced is not None:
            ticket.hold(announced)
        parts: list[bytes] = []
        size = 0
        while chunk := await self.chunk():
            size += len(chunk)
            if size > limit:
                raise UpstreamFault("too_large", f"the generator's answer is larger than {limit} bytes, the limit here")
            if announced is None:
                ticket.hold(len(chunk))
            parts.append(chunk)
        return parts[0] if len(parts) == 1 else b"".join(parts)


class Client:
    """The shared session. `open` on the server's event loop before the first call, `close` after the last."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        settings = self._settings
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30, ttl_dns_cache=60),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            trust_env=False,
            read_bufsize=READ_BYTES,
            max_field_size=32 * 1024,
            timeout=aiohttp.ClientTimeout(
                total=settings.upstream_timeout_s,
                sock_connect=settings.connect_timeout_s,
                sock_read=settings.idle_timeout_s,
            ),
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def call(self, upstream: Upstream, forward: Forward) -> Answering:
        """The call, made on entering: `async with client.call(...) as answering`."""
        return Answering(self, upstream, forward)

    async def send(self, upstream: Upstream, forward: Forward) -> aiohttp.ClientResponse:
        """Make the call once; it is never tried again. Raises UpstreamFault."""
        if self._session is None:
            raise RuntimeError("the client is not open")
        headers = CIMultiDict(
            (name, value)
            for name, value in end_to_end(forward.headers)
            if (low := name.lower()) not in {"host", "content-length"} and low not in REROUTES
        )
        if "accept-encoding" not in headers:
            # What is compressed cannot be judged; aiohttp's own list must not be offered either.
            headers["accept-encoding"] = "identity"
        try:
            return await self._session.request(
                forward.method,
                URL(upstream.url(forward.path), encoded=True),
                headers=headers,
                data=forward.body or None,
                allow_redirects=False,
            )
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise _fault(error) from None

    async def file(self, upstream: Upstream, file_id: str, headers: Headers, ticket: Ticket) -> Fetched:
        """A file of the generator's own store, with the caller's credentials.

        Raises BadRequest when there is none of that id, UpstreamFault when the generator does not answer.
        """
        if upstream.file_path is None or not FILE_ID.fullmatch(file_id):
            raise BadRequest("a file id is not one that can be looked up", param="file_id", code="invalid_file_id")
        own = [(name, value) for name, value in headers if name.lower() in CREDENTIALS]
        forward = Forward("GET", upstream.file_path.format(id=file_id), own, b"")
        async with self.call(upstream, forward) as answering:
            if answering.status in {400, 401, 403, 404}:
                raise BadRequest("no such file for these credentials", param="file_id", code="file_not_found")
            if answering.status != 200:
                raise UpstreamFault("bad_answer", "the generator did not hand out a file by its id")
            data = await answering.read(self._settings.max_body_bytes, ticket)
            return Fetched(data, answering.content_type)
