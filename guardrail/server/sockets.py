"""Websockets: accepted, counted and bounded here; what is relayed, and judged first, is the dialect's to say."""

from __future__ import annotations

import asyncio
import contextlib

import aiohttp
from yarl import URL

from guardrail.errors import BadRequest, GuardrailError, UpstreamError
from guardrail.server.client import Client, fault_of, headers_of
from guardrail.server.exchange import Exchange
from guardrail.server.gate import Passage, UpstreamFault
from guardrail.server.judging import Judging
from guardrail.server.settings import ServerSettings, Upstream
from guardrail.server.wire import Receive, Send, not_ours, text_headers
from guardrail.upstream.dialect import Headers, Socket, Sockets

POLICY = 1008
TOO_BIG = 1009
FAULT = 1011
HEARTBEAT_S = 30.0
# Said anew for the connection to the generator; extensions would compress, and compressed frames cannot be judged.
HANDSHAKE = "sec-websocket-"


class CallerSocket:
    """The caller's end. Fulfils `Socket`."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._open = True

    async def accept(self) -> None:
        await self._receive()
        await self._send({"type": "websocket.accept"})

    async def receive(self) -> str | bytes | None:
        if not self._open:
            return None
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            self._open = False
            return None
        text: str | None = message.get("text")
        data: bytes = message.get("bytes") or b""
        return text if text is not None else data

    async def send(self, message: str | bytes) -> None:
        if not self._open:
            raise ConnectionError("the caller has closed the socket")
        try:
            if isinstance(message, str):
                await self._send({"type": "websocket.send", "text": message})
            else:
                await self._send({"type": "websocket.send", "bytes": message})
        except (OSError, RuntimeError):
            # uvicorn's ways of saying that the caller left meanwhile.
            self._open = False
            raise ConnectionError("the caller has closed the socket") from None

    async def close(self, code: int = 1000) -> None:
        if self._open:
            self._open = False
            with contextlib.suppress(OSError, RuntimeError):
                await self._send({"type": "websocket.close", "code": code})


class GeneratorSocket:
    """The generator's end. Fulfils `Socket`."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, passage: Passage) -> None:
        self._socket = socket
        self._passage: Passage | None = passage

    async def receive(self) -> str | bytes | None:
        message = await self._socket.receive()
        if message.type is aiohttp.WSMsgType.TEXT:
            return str(message.data)
        if message.type is aiohttp.WSMsgType.BINARY:
            return bytes(message.data)
        if message.type is aiohttp.WSMsgType.ERROR or self._socket.close_code == TOO_BIG:
            raise UpstreamFault("bad_answer", "the generator sent a message over the limit, or one that is none")
        return None

    async def send(self, message: str | bytes) -> None:
        try:
            if isinstance(message, str):
                await self._socket.send_str(message)
            else:
                await self._socket.send_bytes(message)
        except (aiohttp.ClientError, OSError) as error:
            raise ConnectionError("the generator has closed the socket") from error

    async def close(self, code: int = 1000) -> None:
        if self._passage is not None:
            self._passage.close()
            self._passage = None
            await self._socket.close(code=code)


class Dialling:
    """Fulfils `Dial`, and closes whatever was opened."""

    def __init__(self, client: Client, upstream: Upstream, settings: ServerSettings) -> None:
        self._client = client
        self._upstream = upstream
        self._max_bytes = settings.max_message_bytes
        self._connect_s = settings.connect_timeout_s
        self._opened: list[GeneratorSocket] = []

    async def __call__(self, path: str, headers: Headers) -> Socket:
        gate = self._client.gate(self._upstream)
        passage = gate.enter()
        sent = headers_of([pair for pair in headers if not pair[0].lower().startswith(HANDSHAKE)])
        try:
            async with asyncio.timeout(self._upstream.connect_timeout_s or self._connect_s):
                socket = await self._client.session.ws_connect(
                    URL(self._upstream.url(path), encoded=True),
                    headers=sent,
                    max_msg_size=self._max_bytes,
                    heartbeat=HEARTBEAT_S,
                    compress=0,
                )
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            passage.close()
            if isinstance(error, aiohttp.WSServerHandshakeError):
                gate.came()
                raise UpstreamFault("bad_answer", "the generator did not open a websocket") from None
            fault = fault_of(error)
            gate.failure(fault.kind)
            raise fault from None
        except BaseException:
            passage.close()
            raise
        gate.came()
        opened = GeneratorSocket(socket, passage)
        self._opened.append(opened)
        return opened

    async def close(self) -> None:
        for socket in self._opened:
            with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                await socket.close()


async def relay(exchange: Exchange, path: str, receive: Receive, send: Send) -> None:
    """Serve one websocket to its end. Nothing is raised: how it ended is in the exchange."""
    shared, upstream = exchange.shared, exchange.upstream
    caller = CallerSocket(receive, send)
    exchange.route, exchange.outcome, exchange.status = "socket", "failed", 101
    dial = Dialling(shared.client, upstream, shared.settings)
    judge = Judging(shared, exchange.tenant)
    code = FAULT
    try:
        dialect = upstream.dialect
        if not isinstance(dialect, Sockets):
            raise GuardrailError("the dialect has no websocket")
        headers = not_ours(text_headers(exchange.scope["headers"]))
        query = exchange.scope["query_string"].decode("latin-1")
        await caller.accept()
        await dialect.socket(path, query, headers, caller, dial, judge)
        exchange.outcome, code = "relayed", 1000
    except BadRequest as error:
        exchange.outcome = "refused_unread"
        code = TOO_BIG if error.status == 413 else POLICY
    except UpstreamError as error:
        kind = error.kind if isinstance(error, UpstreamFault) else "bad_answer"
        shared.metrics.upstream_error(kind)
        exchange.outcome = f"upstream_{kind}"
    except ConnectionError:
        exchange.outcome = "client_gone"
    except asyncio.CancelledError:
        exchange.outcome = "shutdown"
        raise
    except Exception as error:
        exchange.complain("a websocket failed inside the guard", error)
    finally:
        exchange.decision, exchange.case_id = judge.last, judge.id
        await dial.close()
        await caller.close(code)
