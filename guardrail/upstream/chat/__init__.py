"""Chat completions with pictures, and OpenRouter's images: the conversation is judged, not only its last line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from guardrail.errors import GuardrailError
from guardrail.types import Decision, Stage
from guardrail.upstream import envelope
from guardrail.upstream.bodies import check_json, no_such_route, onward
from guardrail.upstream.chat import answer as answers
from guardrail.upstream.chat import routes, stream
from guardrail.upstream.chat.body import KNOWN, gather
from guardrail.upstream.chat.routes import Route
from guardrail.upstream.conversation import talking
from guardrail.upstream.dialect import (
    Answer,
    Call,
    Door,
    Fetch,
    FetchFile,
    Headers,
    OneBad,
    Reply,
    Setup,
    Statuses,
    StreamReader,
)
from guardrail.upstream.headers import check_query
from guardrail.upstream.limits import Limits
from guardrail.upstream.openai import answer as images

__all__ = ["Chat"]

_CHOICES, _ROUTE = "spans", "route"


class Chat:
    """Fulfils `Dialect` for chat completions. Holds its limits and nothing of any request."""

    name = "chat"
    foreseen: ClassVar = {route.value: Statuses(refused=(400, 200)) for route in Route}

    def __init__(self, *, limits: Limits | None = None) -> None:
        self.limits = talking(limits or Limits())

    @classmethod
    def open(cls, setup: Setup) -> Chat:
        """Raises ConfigError for any option: this dialect has none."""
        setup.no_options(cls.name)
        return cls(limits=setup.limits)

    def door(self, method: str, path: str) -> Door:
        """What to do with a route: `path` as the client sent it, without the query."""
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
        route = routes.judged(method, path)
        if route is None:
            raise no_such_route()
        check_query(query, KNOWN)
        check_json(headers, body, self.limits)
        got = gather(body, route, self.limits)
        await got.resolve(fetch, fetch_file)
        forward = onward(method, path, query, headers, body, got.edits)
        return Call(got.request(), forward, route.value, {_ROUTE: route})

    def refuse(self, decision: Decision, stage: Stage, call: Call | None = None) -> Reply:
        """The refusal of a whole request: 400 `moderation_blocked`; of an answer, a message that refuses."""
        streams = call is not None and call.request.stream  # whoever reads events would take a message for nothing
        if stage is Stage.OUTPUT and _route_of(call) is Route.CHAT and not streams:
            return answers.refuse(decision)
        return envelope.refuse(decision, stage)

    def fault(self, error: GuardrailError) -> Reply:
        """The answer to an error, in the envelope of this API."""
        return envelope.fault(error)

    async def read_answer(self, call: Call, status: int, headers: Headers, body: bytes, fetch: Fetch) -> Answer:
        """Find every picture of a whole answer. Raises UpstreamError for what is no answer."""
        reader = images.read_answer if _route_of(call) is Route.IMAGES else answers.read_answer
        return await reader(status, headers, body, fetch, self.limits)

    def without(self, answer: Answer, refused: Mapping[int, Decision], one_bad: OneBad) -> Reply:
        """The answer with refused choices or pictures replaced, every other byte as it came."""
        if isinstance(answer.state.get(_CHOICES), Mapping):
            return answers.without(answer, refused, one_bad)
        return images.without(answer, refused, one_bad)

    def read_stream(self, call: Call) -> StreamReader:
        """A reader for one streamed answer."""
        if _route_of(call) is Route.IMAGES:
            return stream.ImagesReader(self.limits)
        return stream.ChunkReader(self.limits, call.request.count)


def _route_of(call: Call | None) -> Route:
    """The route of a call; chat where there is none."""
    found = call.state.get(_ROUTE) if call is not None else None
    return found if isinstance(found, Route) else Route.CHAT
