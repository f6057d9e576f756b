"""Replicate: predictions of any model, polled, streamed, waited for or told by webhook, and files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import urlsplit

from guardrail.errors import BadRequest, ConfigError, GuardrailError
from guardrail.types import Decision, Stage
from guardrail.upstream.bodies import check_size, no_such_route, onward
from guardrail.upstream.dialect import (
    Answer,
    Call,
    Door,
    Fetch,
    FetchFile,
    Headers,
    Judge,
    News,
    OneBad,
    Reply,
    Setup,
    Statuses,
    StreamReader,
)
from guardrail.upstream.jobs import hooks as addresses
from guardrail.upstream.jobs import shelf
from guardrail.upstream.jobs.state import JOB_ID, PUBLIC, ROUTE
from guardrail.upstream.replicate import answer as answers
from guardrail.upstream.replicate import hooks, read, refuse, routes
from guardrail.upstream.replicate.routes import Route
from guardrail.upstream.replicate.state import NAMED, State
from guardrail.upstream.replicate.stream import EventReader

__all__ = ["Replicate"]

OPTIONS = frozenset({"models", "weights", "streams"})


class Replicate:
    """Fulfils `Dialect`, `Answers`, `Hooks` and `Files` for Replicate. Remembers jobs, files and pictures, within
    bounds."""

    name = "replicate"
    foreseen: ClassVar = {
        Route.CREATE.value: Statuses(201, (201, 200)),
        Route.FILE.value: Statuses(201, (422,)),
        **{route.value: Statuses(refused=(200,)) for route in (Route.POLL, Route.CANCEL, Route.STREAM, Route.NEWS)},
    }

    def __init__(self, setup: Setup) -> None:
        self._state = State(setup, self.name, streams=_origins(setup.options))

    @classmethod
    def open(cls, setup: Setup) -> Replicate:
        """Options: `models`, `weights` and `streams` (lists of texts). Raises ConfigError."""
        setup.only_options(cls.name, OPTIONS)
        return cls(setup)

    def door(self, method: str, path: str) -> Door:
        """What to do with a route: `path` as the client sent it, without the query."""
        if addresses.given(self._state.seal, method, path):
            return Door.HOOK
        return routes.door(method, path)

    def file_path(self, file_id: str) -> str:
        """Where the generator tells of a prediction, or of the account's signing secret. Raises BadRequest."""
        path = f"/v1/{file_id}"
        found = routes.judged("GET", path)
        if found is None or found[0] not in (Route.POLL, Route.SIGNING):
            raise BadRequest("a file id is not one that can be looked up", param="file_id", code="invalid_file_id")
        return path

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
        state = self._state
        judged = routes.judged(method, path)
        if judged is None:
            raise no_such_route()
        check_size(body, state.limits)
        route, named = judged
        public = state.public(headers)
        if route is Route.CREATE:
            return await read.create(state, named, path, query, headers, body, fetch, fetch_file, public)
        if route in (Route.POLL, Route.CANCEL):
            return await read.poll(state, route, method, path, query, headers, body, named, fetch, fetch_file, public)
        if route is Route.STREAM:
            return read.stream(state, named, query, headers, body, public)
        if route is Route.LIST:
            return read.listing(path, query, headers, body, public)
        if route is Route.SIGNING:
            return read.secret(path, query, headers, body)
        got = read.upload(headers, body, query, state.limits)
        told = {PUBLIC: public, ROUTE: route}
        return Call(got.request(), onward(method, path, "", headers, body), route.value, told)

    def refuse(self, decision: Decision, stage: Stage, call: Call | None = None) -> Reply:
        """A prediction that failed; an event where a stream was asked for; 422 for a file."""
        told: Mapping[str, Any] = call.state if call is not None else {}
        route, text = told.get(ROUTE, Route.CREATE), refuse.message(decision)
        if route is Route.STREAM:
            return Reply(200, [("content-type", "text/event-stream")], refuse.event("error", text))
        if route in (Route.FILE, Route.SIGNING, Route.LIST):
            return refuse.problem(422, text)
        job_id = told.get(JOB_ID)
        if job_id is None:
            job_id = refuse.refused_id(decision)
            self._state.refused.put(job_id, text, len(text))
        status = 201 if route is Route.CREATE else 200
        return refuse.failed(told.get(PUBLIC, ""), job_id, text, told.get(NAMED), status=status)

    def fault(self, error: GuardrailError) -> Reply:
        """The answer to an error, as problem details."""
        return refuse.fault(error)

    async def read_answer(self, call: Call, status: int, headers: Headers, body: bytes, fetch: Fetch) -> Answer:
        """Find every picture of a whole answer. Raises UpstreamError for what is no answer."""
        return await answers.read_answer(self._state, call, status, headers, body, fetch)

    def without(self, answer: Answer, refused: Mapping[int, Decision], one_bad: OneBad) -> Reply:
        """The answer without refused pictures; a prediction that failed where nothing is left of it."""
        return answers.without(answer, refused, one_bad)

    def read_stream(self, call: Call) -> StreamReader:
        """A reader for the stream of one prediction."""
        return EventReader(self._state.limits, self._state.shelf, str(call.state[PUBLIC]))

    async def answer(
        self, method: str, path: str, query: str, headers: Headers, body: bytes, judge: Judge, fetch: Fetch
    ) -> Reply:
        """A prediction that was refused, as it was told when it was. Raises BadRequest for one that is forgotten."""
        job_id = routes.refused(method, path)
        text = self._state.refused.get(job_id) if job_id is not None else None
        if job_id is None or text is None:
            raise BadRequest("this prediction is not known here, or no longer", status=404, code="unknown_job")
        return refuse.failed(self._state.public(headers), job_id, text)

    async def called(
        self, method: str, path: str, query: str, headers: Headers, body: bytes, fetch: Fetch
    ) -> News | Reply:
        """News of a prediction, or a judged picture by its address. Raises BadRequest, Overloaded."""
        if method == "GET":
            return await self._state.shelf.hand_out(path[len(shelf.PATH) :], fetch)
        return await hooks.called(self._state, path, headers, body)

    def handed_on(self, news: News, reply: Reply) -> tuple[Headers, bytes]:
        """What a client's webhook is told, signed."""
        return hooks.handed_on(self._state, news, reply)


def _origins(options: Mapping[str, Any]) -> frozenset[str]:
    found = options.get("streams", [])
    if not isinstance(found, list) or not all(
        isinstance(one, str) and urlsplit(one).scheme in ("https", "http") and not urlsplit(one).path.strip("/")
        for one in found
    ):
        raise ConfigError("server.upstreams: replicate: streams must be a list of origins such as https://host")
    return frozenset(one.rstrip("/") for one in found)
