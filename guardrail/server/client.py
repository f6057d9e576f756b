"""The upstream client: the caller's call, sent on as it is, and what comes back, untouched.

One aiohttp session with keep-alive serves every upstream: no cookies, no redirects, no decoding, no headers of its
own. httpx would cost a factor of 18 in requests per second under concurrency.
"""

from __future__ import annotations

import asyncio
import re
from types import TracebackType

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from guardrail.errors import BadRequest
from guardrail.server.admission import Ticket
from guardrail.server.gate import Gate, UpstreamFault
from guardrail.server.settings import ServerSettings, Upstream
from guardrail.server.wire import end_to_end
from guardrail.upstream.dialect import Fetched, Files, Forward, Headers

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
# A generator that is restarting, or whose gateway does not reach it, may do better the next time.
PASSING = frozenset({502, 503, 504})
RETRY_S = 0.2  # before the second try; twice as long before each further one


def fault_of(error: BaseException) -> UpstreamFault:
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


def headers_of(headers: Headers) -> CIMultiDict[str]:
    """The headers that go to a generator: of what the dialect forwards, all that concerns more than one hop."""
    # Many servers take "x_http_method_override" for the same name, so no header with an underscore goes on.
    sent = CIMultiDict(
        (name, value)
        for name, value in end_to_end(headers)
        if (low := name.lower()) not in {"host", "content-length"} and low not in REROUTES and "_" not in low
    )
    if "accept-encoding" not in sent:
        # What is compressed cannot be judged; aiohttp's own list must not be offered either.
        sent["accept-encoding"] = "identity"
    return sent


class Answering:
    """One upstream call and its answer; leaves nothing open behind it, whatever happens inside."""

    def __init__(self, client: Client, upstream: Upstream, forward: Forward) -> None:
        self._client = client
        self._upstream = upstream
        self._forward = forward
        self._whole = False
        self._answer: aiohttp.ClientResponse

    async def __aenter__(self) -> Answering:
        gate = self._client.gate(self._upstream)
        self._passage = gate.enter()
        try:
            self._answer = await self._client.send(self._upstream, self._forward, gate)
        except BaseException:
            self._passage.close()
            raise
        self.status = self._answer.status
        # Latin-1 both ways: the bytes of a header come out as they went in.
        self.headers: Headers = end_to_end(
            (low, value.decode("latin-1"))
            for name, value in self._answer.raw_headers
            if (low := name.decode("latin-1").lower()) not in LEADS_ON and len(value) <= LONGEST_HEADER
        )
        if 300 <= self.status < 400 and self.status != 304:
            self._answer.close()
            self._passage.close()
            raise UpstreamFault(
                "redirect", "the generator answered with a redirect, which would lead callers past the guard"
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._passage.close()
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
            raise fault_of(error) from None
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
        self._gates: dict[str, Gate] = {}
        self._timeouts: dict[str, aiohttp.ClientTimeout] = {}

    def gate(self, upstream: Upstream) -> Gate:
        """The gate before this generator."""
        found = self._gates.get(upstream.name)
        if found is None:
            found = self._gates[upstream.name] = Gate(
                upstream.name,
                concurrency=upstream.concurrency,
                failures=upstream.breaker_failures,
                pause_s=upstream.breaker_s,
                retry_after_s=self._settings.retry_after_s,
            )
        return found

    async def open(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30, ttl_dns_cache=60),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            trust_env=False,
            read_bufsize=READ_BYTES,
            max_field_size=32 * 1024,
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def call(self, upstream: Upstream, forward: Forward) -> Answering:
        """The call, made on entering: `async with client.call(...) as answering`."""
        return Answering(self, upstream, forward)

    async def send(self, upstream: Upstream, forward: Forward, gate: Gate) -> aiohttp.ClientResponse:
        """Make the call. Only a read may be tried again, within the budget of its gate; a call that makes pictures is
        made once. Raises UpstreamFault."""
        if forward.method not in {"GET", "HEAD"} or forward.body:
            return await self._once(upstream, forward, gate)
        gate.read()
        for attempt in range(upstream.retries + 1):
            last = attempt == upstream.retries
            try:
                answer = await self._once(upstream, forward, gate)
            except UpstreamFault as fault:
                if last or fault.kind not in {"unreachable", "cut"} or not gate.may_retry():
                    raise
            else:
                if last or answer.status not in PASSING or "retry-after" in answer.headers or not gate.may_retry():
                    return answer
                answer.close()
            await asyncio.sleep(RETRY_S * 2**attempt)
        raise AssertionError("the last try returns or raises")

    async def _once(self, upstream: Upstream, forward: Forward, gate: Gate) -> aiohttp.ClientResponse:
        try:
            answer = await self.session.request(
                forward.method,
                URL(forward.origin + forward.path if forward.origin else upstream.url(forward.path), encoded=True),
                headers=headers_of(forward.headers),
                data=forward.body or None,
                allow_redirects=False,
                timeout=self._timeout(upstream),
            )
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            fault = fault_of(error)
            gate.failure(fault.kind)
            raise fault from None
        gate.came()
        return answer

    @property
    def session(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("the client is not open")
        return self._session

    def _timeout(self, upstream: Upstream) -> aiohttp.ClientTimeout:
        found = self._timeouts.get(upstream.name)
        if found is None:
            settings = self._settings
            found = self._timeouts[upstream.name] = aiohttp.ClientTimeout(
                total=upstream.timeout_s or settings.upstream_timeout_s,
                sock_connect=upstream.connect_timeout_s or settings.connect_timeout_s,
                sock_read=upstream.idle_timeout_s or settings.idle_timeout_s,
            )
        return found

    async def file(self, upstream: Upstream, file_id: str, headers: Headers, ticket: Ticket) -> Fetched:
        """A file of the generator's own store, with the caller's credentials.

        Raises BadRequest when there is none of that id, UpstreamFault when the generator does not answer.
        """
        own = [(name, value) for name, value in headers if name.lower() in CREDENTIALS]
        forward = Forward("GET", self._file_path(upstream, file_id), own, b"")
        async with self.call(upstream, forward) as answering:
            if answering.status in {400, 401, 403, 404}:
                raise BadRequest("no such file for these credentials", param="file_id", code="file_not_found")
            if answering.status != 200:
                raise UpstreamFault("bad_answer", "the generator did not hand out a file by its id")
            data = await answering.read(self._settings.max_body_bytes, ticket)
            return Fetched(data, answering.content_type)

    @staticmethod
    def _file_path(upstream: Upstream, file_id: str) -> str:
        if isinstance(upstream.dialect, Files):
            return upstream.dialect.file_path(file_id)
        if upstream.file_path is None or not FILE_ID.fullmatch(file_id):
            raise BadRequest("a file id is not one that can be looked up", param="file_id", code="invalid_file_id")
        return upstream.file_path.format(id=file_id)
