"""The socket: messages of the caller's own jobs go through, previews do not, finished pictures once they are judged."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Sequence
from urllib.parse import parse_qsl, urlencode

from guardrail.errors import BadRequest, GuardrailError, UpstreamError
from guardrail.types import Artifact, Kind
from guardrail.upstream import pictures
from guardrail.upstream.answers import check_keys, holds_picture
from guardrail.upstream.comfy import refuse
from guardrail.upstream.comfy.answer import made, shown
from guardrail.upstream.comfy.body import JSON
from guardrail.upstream.comfy.files import Job, Known
from guardrail.upstream.comfy.names import SOCKET_OUTPUTS
from guardrail.upstream.dialect import Dial, Headers, Judge, Socket
from guardrail.upstream.limits import Limits
from guardrail.upstream.slots import name_of, wordy
from guardrail.upstream.spans import Json, JsonFault, Node, scan, strings

_CLIENT = re.compile(r"[A-Za-z0-9_.:-]{1,100}")
_FROM_CALLER = 65_536  # characters of a message; clients say what they support and no more
_PREVIEW, _TEXT, _PREVIEW_WITH_DATA = 1, 3, 4
_HEAD = 8  # bytes before the picture of a plain frame
_PATIENCE_S = 1.0
_LOOK_S = 0.02
_MOST_DATA = 65_536  # bytes of what is said beside a picture


def client_of(query: str) -> str:
    """The id of the client, "" where the server is to make one up. Raises BadRequest for any other query."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=4, errors="strict") if query else []
    except ValueError:
        pairs = [("", "")]
    if [name for name, _ in pairs] not in ([], ["clientId"]) or any(v and not _CLIENT.fullmatch(v) for _, v in pairs):
        raise BadRequest("the query of a socket may hold a plain clientId", param="clientId", code="invalid_query")
    return pairs[0][1] if pairs else ""


async def relay(
    path: str,
    query: str,
    headers: Headers,
    caller: Socket,
    dial: Dial,
    judge: Judge,
    *,
    known: Known,
    limits: Limits,
    previews: bool,
) -> None:
    """Relay until either end closes. Raises what a socket raises."""
    client = client_of(query)
    known.claim(client, judge.tenant)
    server = await dial(f"{path}?{urlencode({'clientId': client})}" if client else path, headers)
    out = Outgoing(client, caller, judge, known, limits, previews=previews)
    ends = {asyncio.ensure_future(_listen(caller, server)), asyncio.ensure_future(_tell(server, out))}
    try:
        done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for one in done:
            one.result()
    finally:
        for one in ends:
            one.cancel()
        for one in ends:
            with contextlib.suppress(asyncio.CancelledError, GuardrailError, ConnectionError):
                await one


async def _listen(caller: Socket, server: Socket) -> None:
    """What the caller says: that it supports this and that. Nothing that could hold a picture or a prompt."""
    while (message := await caller.receive()) is not None:
        if isinstance(message, bytes) or len(message) > _FROM_CALLER:
            raise BadRequest("a client sends short texts on the socket, and nothing else", code="invalid_message")
        raw = message.encode("utf-8", "surrogatepass")
        try:
            root = scan(raw, JSON)
        except JsonFault as fault:
            raise BadRequest(f"a message is not the JSON expected: {fault}", code="invalid_message") from None
        kind = root.get("type") if root.kind is Json.OBJECT else None
        if kind is not None and kind.kind is Json.STRING and kind.text(raw) == "feature_flags":
            await server.send(message)


async def _tell(server: Socket, out: Outgoing) -> None:
    while (message := await server.receive()) is not None:
        await (out.text(message) if isinstance(message, str) else out.frame(message))


class Outgoing:
    """What the server says to one client. `previews`: judge pictures in the making and let them through."""

    def __init__(
        self, client: str, caller: Socket, judge: Judge, known: Known, limits: Limits, *, previews: bool
    ) -> None:
        self._clients = {client}
        self._caller = caller
        self._judge = judge
        self._known = known
        self._limits = limits
        self._previews = previews
        self._job: str | None = None
        self._node = ""
        self._frames = 0
        self._strange: str | None = None

    async def text(self, message: str) -> None:
        """Pass on a text message, unless it is of another client's job or of one that was refused."""
        raw = message.encode("utf-8", "surrogatepass")
        try:
            root = scan(raw, JSON)
            check_keys(root)
        except JsonFault as fault:
            raise UpstreamError(f"a message of its socket is not the JSON expected: {fault}") from None
        kind, data = _said(root, "type", raw), root.get("data")
        job_id = _said(data, "prompt_id", raw) if data is not None else ""
        if kind == "logs" or (job_id and not self._mine(job_id)):
            return
        if any(holds_picture(node, raw) for _, node in strings(root)):
            # Nothing that ComfyUI itself says holds one; a node of someone's does.
            await self._end(job_id or self._job, "a message carried a picture, which is not passed on")
            return
        if kind == "status" and data is not None:
            self._named(_said(data, "sid", raw))
        if kind in ("executing", "execution_start", "progress") and job_id:
            self._job = job_id
            self._node = _said(data, "node", raw) if data is not None else ""
        if kind == "executed" and data is not None and not await self._executed(data, raw, job_id):
            return
        await self._caller.send(message)

    def _named(self, client: str) -> None:
        """The server tells a client that has not named itself what it is called; prompts come under that name."""
        if self._clients == {""} and _CLIENT.fullmatch(client):
            self._known.claim(client, self._judge.tenant)
            self._clients.add(client)

    def _mine(self, job_id: str) -> bool:
        """False for a job of another client, and for one that was refused: what it says ended with the refusal."""
        job = self._known.jobs.get(job_id)
        if job is not None and (job.client not in self._clients or self._known.hidden(job_id, self._judge.tenant)):
            return False
        return self._known.refused.get(job_id) is None

    async def _executed(self, data: Node, raw: bytes, job_id: str) -> bool:
        output = data.get("output")
        if output is None:
            return True
        for name in made(output, raw):
            self._known.made.put(name, job_id)
        texts = [
            Artifact(Kind.PROMPT, f"output.{name_of(path)}", text=node.text(raw))
            for path, node in strings(output)
            if path and shown(path[-1]) and wordy(node.text(raw))
        ]
        return not texts or await self._passes(job_id, (), texts)

    async def frame(self, message: bytes) -> None:
        """Pass on a picture once it is judged; drop a preview, and what is no picture or text."""
        kind = int.from_bytes(message[:4], "big")
        if kind == _TEXT:
            await self._text_frame(message)
        elif kind in (_PREVIEW, _PREVIEW_WITH_DATA):
            await self._picture(message, kind)

    async def _text_frame(self, message: bytes) -> None:
        size = int.from_bytes(message[4:8], "big")
        try:
            text = message[8 + size :].decode() if size <= 1000 else None
        except UnicodeDecodeError:
            text = None
        opaque = text is None or pictures.is_data_url(text) or pictures.looks_like_base64_picture(text)
        if opaque or text is None or len(text) > self._limits.prompt_chars:
            raise UpstreamError("a text on its socket cannot be read")
        if not wordy(text) or await self._passes(self._job, (), [Artifact(Kind.PROMPT, "socket.text", text=text)]):
            await self._caller.send(message)

    async def _picture(self, message: bytes, kind: int) -> None:
        job_id, node, at = self._job, self._node, _HEAD
        if kind == _PREVIEW_WITH_DATA:
            size = int.from_bytes(message[4:8], "big")
            at = 8 + size
            told = _data(message[8:at]) if size <= _MOST_DATA else None
            if told is None:
                raise UpstreamError("a picture on its socket cannot be read")
            job_id, node = told
        if job_id is not None and not self._mine(job_id):
            return
        job = await self._settled(job_id)
        finished = job is None or job.classes.get(node, "") in SOCKET_OUTPUTS
        if not finished and not self._previews:
            return
        data = message[at:]
        if pictures.sniff(data) is None:
            raise UpstreamError("a frame of its socket is no picture")
        slot = f"{'frame' if finished else 'preview'}[{self._frames}]"
        self._frames += 1
        if await self._passes(job_id, [Artifact(Kind.OUTPUT, slot, data=data)], ()):
            await self._caller.send(message)

    async def _settled(self, job_id: str | None) -> Job | None:
        """The job, once the answer to its prompt has come back: the socket may be faster."""
        until = asyncio.get_running_loop().time() + _PATIENCE_S
        while job_id is not None and job_id != self._strange:
            job = self._known.jobs.get(job_id)
            if job is not None:
                return job
            if asyncio.get_running_loop().time() > until:
                self._strange = job_id
            await asyncio.sleep(_LOOK_S)
        return None

    async def _passes(self, job_id: str | None, outputs: Sequence[Artifact], texts: Sequence[Artifact]) -> bool:
        judged = await self._judge(self._known.request_of(job_id), outputs, texts, route="socket")
        if not judged.decision.action.refuses:
            return True
        await self._end(job_id, refuse.message(judged.decision))
        return False

    async def _end(self, job_id: str | None, told: str) -> None:
        """Say that the job has failed, in both ways that clients wait for, and nothing of it afterwards."""
        if not job_id:
            raise UpstreamError("a message of its socket was refused, and it belongs to no job")
        self._known.refused.put(job_id, told)
        job = self._known.jobs.get(job_id)
        for message in refuse.ended(job_id, self._node, job.classes.get(self._node, "") if job else "", told):
            await self._caller.send(message)


def _said(node: Node | None, key: str, raw: bytes) -> str:
    found = node.members.get(key) if node is not None else None
    return found.text(raw) if found is not None and found.kind is Json.STRING else ""


def _data(raw: bytes) -> tuple[str | None, str] | None:
    """Job and node of a picture with data; None for what cannot be read."""
    try:
        root = scan(raw, JSON)
    except JsonFault:
        return None
    if any(holds_picture(node, raw) for _, node in strings(root)):
        return None
    return _said(root, "prompt_id", raw) or None, _said(root, "node_id", raw) or _said(root, "display_node_id", raw)
