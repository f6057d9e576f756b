"""The OpenAI Images API, and the many servers that copy it: generations, edits, variations, whole and streamed."""

from __future__ import annotations

from collections.abc import Mapping

from guardrail.errors import GuardrailError
from guardrail.types import Decision, Stage
from guardrail.upstream.dialect import (
    Answer,
    Call,
    Door,
    Fetch,
    FetchFile,
    Headers,
    OneBad,
    Reply,
    StreamReader,
)
from guardrail.upstream.openai import answer as answers
from guardrail.upstream.openai import read, refuse, routes, stream
from guardrail.upstream.openai.limits import Limits

__all__ = ["Limits", "OpenAIImages"]


class OpenAIImages:
    """Fulfils `Dialect` for the OpenAI Images API. Holds its limits and nothing of any request."""

    name = "openai"

    def __init__(self, *, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()

    def door(self, method: str, path: str) -> Door:
        """What to do with a route: `path` as the client sent it, without the query, with or without `/v1`."""
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
        return await read.read(method, path, query, headers, body, fetch, fetch_file, self.limits)

    def refuse(self, decision: Decision, stage: Stage) -> Reply:
        """The refusal of a whole request: 400 `moderation_blocked`, with rule ids and receipt id."""
        return refuse.refuse(decision, stage)

    def fault(self, error: GuardrailError) -> Reply:
        """The answer to an error, in the envelope of this API."""
        return refuse.fault(error)

    async def read_answer(self, call: Call, status: int, headers: Headers, body: bytes, fetch: Fetch) -> Answer:
        """Find every picture of a whole answer. Raises UpstreamError for what is no answer."""
        return await answers.read_answer(status, headers, body, fetch, self.limits)

    def without(self, answer: Answer, refused: Mapping[int, Decision], one_bad: OneBad) -> Reply:
        """The answer with refused entries replaced or dropped, every other byte as it came."""
        return answers.without(answer, refused, one_bad)

    def read_stream(self, call: Call) -> StreamReader:
        """A reader for one streamed answer."""
        return stream.EventReader(self.limits)

    def refuse_event(self, decision: Decision) -> bytes:
        """The refusal as the last event of a stream that has begun."""
        return refuse.refuse_event(decision)

    def fault_event(self, error: GuardrailError) -> bytes:
        """The error as the last event of a stream that has begun."""
        return refuse.fault_event(error)
