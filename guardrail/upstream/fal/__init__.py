"""fal: apps of any kind, run at once, streamed or queued, polled or told by webhook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import urlsplit

from guardrail.errors import ConfigError, GuardrailError
from guardrail.types import Decision, Stage
from guardrail.upstream.bodies import check_size
from guardrail.upstream.dialect import (
    Answer,
    Call,
    Door,
    Fetch,
    FetchFile,
    Headers,
    News,
    OneBad,
    Reply,
    Setup,
    Statuses,
    StreamReader,
)
from guardrail.upstream.fal import answer as answers
from guardrail.upstream.fal import hooks, read, refuse, routes
from guardrail.upstream.fal.routes import Route
from guardrail.upstream.fal.state import State
from guardrail.upstream.fal.stream import EventReader
from guardrail.upstream.jobs import hooks as addresses
from guardrail.upstream.jobs import shelf
from guardrail.upstream.jobs.state import PUBLIC

__all__ = ["Fal"]

OPTIONS = frozenset({"models", "weights", "queue_url", "jwks_url", "unknown_jobs"})
QUEUE_URL = "https://queue.fal.run"
JWKS_URL = "https://rest.fal.ai/.well-known/jwks.json"
_BEGINNING = frozenset({Route.RUN, Route.STREAM, Route.SUBMIT})


class Fal:
    """Fulfils `Dialect` and `Hooks` for fal. Remembers requests in the queue and pictures, within bounds."""

    name = "fal"
    foreseen: ClassVar = {
        **{route.value: Statuses(refused=(422, 200)) for route in Route},
        Route.NEWS.value: Statuses(refused=(200,)),
    }

    def __init__(self, setup: Setup) -> None:
        options = setup.options
        unknown = options.get("unknown_jobs", "refuse")
        if unknown not in ("refuse", "judge"):
            raise ConfigError('server.upstreams: fal: unknown_jobs must be "refuse" or "judge"')
        self._state = State(
            setup,
            self.name,
            _origin(options, "queue_url", QUEUE_URL),
            str(options.get("jwks_url", JWKS_URL)),
            judge_unknown=unknown == "judge",
        )

    @classmethod
    def open(cls, setup: Setup) -> Fal:
        """Options: `models` and `weights` (lists of texts), `queue_url`, `jwks_url`, `unknown_jobs` ("refuse" or
        "judge"). Raises ConfigError."""
        setup.only_options(cls.name, OPTIONS)
        return cls(setup)

    def door(self, method: str, path: str) -> Door:
        """What to do with a route: `path` as the client sent it, without the query."""
        if addresses.given(self._state.seal, method, path):
            return Door.HOOK
        return routes.door(method, path)

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
        check_size(body, state.limits)
        one = read.asked(state, method, path, query, headers)
        public = state.public(headers)
        if one.route in _BEGINNING:
            return await read.begin(state, one, headers, body, fetch, public)
        if one.route is Route.UPLOAD:
            return read.upload(one, headers, body, state)
        return read.ask(state, method, one, headers, body, public)

    def refuse(self, decision: Decision, stage: Stage, call: Call | None = None) -> Reply:
        """The refusal of a request, or of what it made: 422 `content_policy_violation`."""
        return refuse.refuse(decision, stage)

    def fault(self, error: GuardrailError) -> Reply:
        """The answer to an error, in the form of this API."""
        return refuse.fault(error)

    async def read_answer(self, call: Call, status: int, headers: Headers, body: bytes, fetch: Fetch) -> Answer:
        """Find every picture of a whole answer. Raises UpstreamError for what is no answer."""
        return await answers.read_answer(self._state, call, status, headers, body, fetch)

    def without(self, answer: Answer, refused: Mapping[int, Decision], one_bad: OneBad) -> Reply:
        """The answer without refused pictures; 422 where nothing is left of it."""
        return answers.without(answer, refused, one_bad)

    def read_stream(self, call: Call) -> StreamReader:
        """A reader for one streamed answer."""
        return EventReader(self._state.limits, self._state.shelf, str(call.state[PUBLIC]))

    async def called(
        self, method: str, path: str, query: str, headers: Headers, body: bytes, fetch: Fetch
    ) -> News | Reply:
        """News of a request, the key that the guard signs with, or a judged picture by its address. Raises BadRequest,
        Overloaded."""
        if path == routes.JWKS:
            return hooks.jwks(self._state)
        if method == "GET":
            return await self._state.shelf.hand_out(path[len(shelf.PATH) :], fetch)
        return await hooks.called(self._state, path, headers, body, fetch)

    def handed_on(self, news: News, reply: Reply) -> tuple[Headers, bytes]:
        """What a client's webhook is told, signed."""
        return hooks.handed_on(self._state, news, reply)


def _origin(options: Mapping[str, Any], key: str, default: str) -> str:
    found = options.get(key, default)
    parts = urlsplit(found) if isinstance(found, str) else None
    if parts is None or parts.scheme not in ("https", "http") or not parts.hostname or parts.path.strip("/"):
        raise ConfigError(f"server.upstreams: fal: {key} must be an address without a path, such as {default}")
    return f"{parts.scheme}://{parts.netloc}"
