"""ComfyUI: graphs in, pictures by name or over a socket out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from guardrail.errors import BadRequest, ConfigError, GuardrailError, UpstreamError
from guardrail.types import Decision, Request, Stage
from guardrail.upstream.bodies import check_json, check_size, no_such_route
from guardrail.upstream.comfy import answer as answers
from guardrail.upstream.comfy import body as bodies
from guardrail.upstream.comfy import recall, refuse, routes, upload
from guardrail.upstream.comfy.files import Job, Known, of_query
from guardrail.upstream.comfy.relay import relay
from guardrail.upstream.comfy.routes import Route
from guardrail.upstream.dialect import (
    Answer,
    Call,
    Dial,
    Door,
    Fetch,
    FetchFile,
    Forward,
    Headers,
    Judge,
    OneBad,
    Reply,
    Setup,
    Socket,
    Statuses,
    StreamReader,
)
from guardrail.upstream.headers import forward_headers
from guardrail.upstream.limits import Limits
from guardrail.upstream.spans import splice

__all__ = ["Comfy"]

OPTIONS = frozenset({"classes", "controls", "previews"})
TEXTS = 256  # a graph has dozens of texts, each alone and joined
PICTURES = 64
_URLLIB = "application/x-www-form-urlencoded"
# The server compares Origin with Host, and answers with part of a picture, or none, to those who have one already.
_NOT_SENT = frozenset({"origin", "range", "if-range", "if-none-match", "if-modified-since"})


class Comfy:
    """Fulfils `Dialect`, `Sockets` and `Files` for ComfyUI. Remembers jobs, uploads and what was made, within bounds.

    `classes` are the node classes that graphs may have, None for any; `controls` are the routes of `routes.CONTROLS`
    that are open; `previews` says whether pictures in the making are judged and let through, or dropped.
    """

    name = "comfy"
    foreseen: ClassVar = {
        **{route.value: Statuses() for route in (Route.PROMPT, Route.UPLOAD, Route.UPLOAD_MASK)},
        Route.HISTORY.value: Statuses(refused=(403, 200)),
        Route.VIEW.value: Statuses(refused=(403,)),
    }

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        classes: frozenset[str] | None = None,
        controls: frozenset[str] = frozenset(),
        previews: bool = False,
    ) -> None:
        given = limits or Limits()
        self.limits = replace(given, texts=max(given.texts, TEXTS), pictures=max(given.pictures, PICTURES))
        self.classes = classes
        self.controls = controls
        self.previews = previews
        self.known = Known()

    @classmethod
    def open(cls, setup: Setup) -> Comfy:
        """Options: `classes` (a list of node classes), `controls` (a list out of `routes.CONTROLS`) and `previews`
        ("drop" or "judge"). Raises ConfigError."""
        setup.only_options(cls.name, OPTIONS)
        classes = setup.options.get("classes")
        if classes is not None and (
            not isinstance(classes, list) or not classes or not all(isinstance(one, str) for one in classes)
        ):
            raise ConfigError("server.upstreams: comfy: classes must be a list of node classes that is not empty")
        previews = setup.options.get("previews", "drop")
        if previews not in ("drop", "judge"):
            raise ConfigError('server.upstreams: comfy: previews must be "drop" or "judge"')
        return cls(
            limits=setup.limits,
            classes=None if classes is None else frozenset(classes),
            controls=setup.some_of(cls.name, "controls", routes.CONTROLS),
            previews=previews == "judge",
        )

    def door(self, method: str, path: str) -> Door:
        """What to do with a route: `path` as the client sent it, without the query."""
        return routes.door(method, path, self.controls)

    def file_path(self, file_id: str) -> str:
        """Where the server gives a file, or its history; a file's id is the query of `/view`. Raises BadRequest."""
        if file_id == recall.HISTORY_ID:
            return recall.HISTORY
        return f"/view?{of_query(file_id).query}"

    async def read(
        self,
        method: str,
        path: str,
        query: str,
        headers: Headers,
        body: bytes,
        fetch: Fetch,
        fetch_file: FetchFile,
    ) -> Call:
        """Read a call on a judged route. Raises BadRequest for what cannot be read or judged, or is over a limit."""
        route = routes.judged(method, path)
        if route is None:
            raise no_such_route()
        check_size(body, self.limits)
        sent = [(name, value) for name, value in forward_headers(headers) if name.lower() not in _NOT_SENT]
        if route in (Route.VIEW, Route.HISTORY):
            return await self._poll(route, method, path, query, sent, fetch_file)
        if query:
            raise BadRequest("this route takes no query", code="invalid_query")
        if route is Route.QUEUE:
            return Call(Request((), ()), Forward(method, path, sent, b""), route.value, poll=True)
        if route is Route.PROMPT:
            # The server decodes the body by the character set that the header names, and reads it as JSON whatever
            # its type is: ComfyUI's own examples say what urllib says by itself.
            told = [pair for pair in headers if pair[0].lower() != "content-type" or pair[1].strip().lower() != _URLLIB]
            check_json(told, body, self.limits)
            asked = bodies.gather(body, self.limits, self.known, self.classes)
            await bodies.resolve(asked, fetch_file)
            request = asked.got.request()
            classes = {name: step.kind for name, step in asked.graph.steps.items()}
            state = {answers.JOB_STATE: Job(request, asked.client, classes)}
            return Call(request, Forward(method, path, sent, splice(body, asked.got.edits)), route.value, state)
        read = upload.gather(headers, body, self.limits, mask=route is Route.UPLOAD_MASK)
        await upload.resolve(read, fetch_file)
        return Call(read.got.request(), Forward(method, path, sent, splice(body, read.got.edits)), route.value)

    def check_owner(self, call: Call) -> None:
        """The server knows no users: jobs and ids of clients are told apart by tenant here. Raises BadRequest."""
        tenant = call.request.tenant
        self.known.seen(tenant)
        job = call.state.get(answers.JOB_STATE)
        if isinstance(job, Job):
            self.known.claim(job.client, tenant)
        if self.known.hidden(call.state.get(answers.JOB_ID), tenant):
            raise BadRequest("no such job is known", status=404, code="unknown_file")

    async def _poll(
        self, route: Route, method: str, path: str, query: str, headers: Headers, fetch_file: FetchFile
    ) -> Call:
        job_id: str | None = None
        if route is Route.VIEW:
            name, target = of_query(query), f"{path}?{query}"
            if name.folder != "input":  # what was uploaded, no job has made
                job_id = await recall.job_of(name, self.known, self.limits, fetch_file)
        else:
            found = routes.HISTORY.fullmatch(routes.bare(path))
            job_id, target = found.group(1) if found is not None else None, path
        forward = Forward(method, target, headers, b"")
        return Call(self.known.request_of(job_id), forward, route.value, {answers.JOB_ID: job_id}, poll=True)

    def refuse(self, decision: Decision, stage: Stage, call: Call | None = None) -> Reply:
        """The refusal of a whole request: 400 `content_policy_violation`; 403 for a picture that is asked for."""
        return refuse.refuse(decision, status=403 if call is not None and call.poll else 400)

    def fault(self, error: GuardrailError) -> Reply:
        """The answer to an error, in the form of this API."""
        return refuse.fault(error)

    async def read_answer(self, call: Call, status: int, headers: Headers, body: bytes, fetch: Fetch) -> Answer:
        """Find every picture of a whole answer. Raises UpstreamError for what is no answer."""
        return answers.read_answer(call, status, headers, body, self.limits, self.known)

    def without(self, answer: Answer, refused: Mapping[int, Decision], one_bad: OneBad) -> Reply:
        """A refused picture is not handed out, 403; the history of a job that made one tells that it failed."""
        return answers.without(answer, refused, self.known)

    def read_stream(self, call: Call) -> StreamReader:
        """This API streams nothing over HTTP. Raises UpstreamError."""
        raise UpstreamError("it is a stream, which this API does not have")

    async def socket(self, path: str, query: str, headers: Headers, caller: Socket, dial: Dial, judge: Judge) -> None:
        """Relay the socket of one client."""
        sent = [(name, value) for name, value in headers if name.lower() not in _NOT_SENT]
        await relay(
            path,
            query,
            sent,
            caller,
            dial,
            judge,
            known=self.known,
            limits=self.limits,
            previews=self.previews,
        )
