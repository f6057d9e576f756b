"""The Responses API with its image tool: all turns are judged, and previews, pictures and jobs that are fetched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from guardrail.errors import GuardrailError
from guardrail.types import Decision, Stage
from guardrail.upstream import envelope
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
from guardrail.upstream.limits import Limits
from guardrail.upstream.responses import answer as answers
from guardrail.upstream.responses import read, refuse, routes, stream
from guardrail.upstream.responses.past import Remembered

__all__ = ["Responses"]


class Responses:
    """Fulfils `Dialect` for the Responses API. Remembers responses for an hour, bounded by number and size."""

    name = "responses"
    foreseen: ClassVar = {route.value: Statuses(refused=(400, 200)) for route in routes.Route}

    def __init__(self, *, limits: Limits | None = None, known: Remembered | None = None) -> None:
        self.limits = talking(limits or Limits())
        self._known = known or Remembered()

    @classmethod
    def open(cls, setup: Setup) -> Responses:
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
        return await read.read(method, path, query, headers, body, fetch, fetch_file, self.limits, self._known)

    def refuse(self, decision: Decision, stage: Stage, call: Call | None = None) -> Reply:
        """The refusal of a whole request: 400 `moderation_blocked`; of an answer, a response that refuses."""
        streams = call is not None and call.request.stream  # whoever reads events would take a response for nothing
        if stage is Stage.OUTPUT and not streams:
            return refuse.refuse(decision)
        return envelope.refuse(decision, stage)

    def fault(self, error: GuardrailError) -> Reply:
        """The answer to an error, in the envelope of this API."""
        return envelope.fault(error)

    async def read_answer(self, call: Call, status: int, headers: Headers, body: bytes, fetch: Fetch) -> Answer:
        """Find every picture of a whole answer. Raises UpstreamError for what is no answer."""
        asked = read.asked_in(call)
        return await answers.read_answer(status, headers, body, fetch, self.limits, asked, self._known)

    def without(self, answer: Answer, refused: Mapping[int, Decision], one_bad: OneBad) -> Reply:
        """The answer with refused items replaced, every other byte as it came."""
        return answers.without(answer, refused, one_bad)

    def read_stream(self, call: Call) -> StreamReader:
        """A reader for one streamed answer."""
        return stream.EventReader(self.limits, read.asked_in(call), self._known)
