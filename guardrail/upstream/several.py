"""Several protocols of one server, behind one address: whoever speaks a route reads it.

An OpenAI client has one base address for pictures, chats and responses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from guardrail.errors import BadRequest, GuardrailError
from guardrail.types import Decision, Stage
from guardrail.upstream.chat import Chat
from guardrail.upstream.dialect import (
    Answer,
    Answers,
    Call,
    Dialect,
    Door,
    Fetch,
    FetchFile,
    Foreseen,
    Headers,
    Judge,
    OneBad,
    Reply,
    Setup,
    Statuses,
    StreamReader,
)
from guardrail.upstream.openai import OpenAIImages
from guardrail.upstream.responses import Responses

_PART = "part"


class Several:
    """Fulfils `Dialect` and `Answers` with other dialects, asked in order; errors are in the first one's words."""

    def __init__(self, name: str, parts: Sequence[Dialect]) -> None:
        self.name = name
        self._parts = tuple(parts)
        self.foreseen: Mapping[str, Statuses] = {
            route: statuses for part in parts if isinstance(part, Foreseen) for route, statuses in part.foreseen.items()
        }

    def door(self, method: str, path: str) -> Door:
        """What the first part that knows the route does with it."""
        part = self._speaker(method, path)
        return Door.CLOSED if part is None else part.door(method, path)

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
        """Read a call as the part that knows the route does. Raises BadRequest."""
        part = self._speaker(method, path)
        if part is None:
            raise BadRequest("no such route", status=404, code="unknown_url")
        call = await part.read(method, path, query, headers, body, fetch, fetch_file)
        return replace(call, state={**call.state, _PART: part})

    async def answer(
        self, method: str, path: str, query: str, headers: Headers, body: bytes, judge: Judge, fetch: Fetch
    ) -> Reply:
        """Answer as the part that knows the route does. Raises BadRequest."""
        part = self._speaker(method, path)
        if not isinstance(part, Answers):
            raise BadRequest("no such route", status=404, code="unknown_url")
        return await part.answer(method, path, query, headers, body, judge, fetch)

    def refuse(self, decision: Decision, stage: Stage, call: Call | None = None) -> Reply:
        """The refusal in the words of the part that read the call."""
        return self._of(call.state if call is not None else {}).refuse(decision, stage, call)

    def fault(self, error: GuardrailError) -> Reply:
        """The error in the words of the first part."""
        return self._parts[0].fault(error)

    async def read_answer(self, call: Call, status: int, headers: Headers, body: bytes, fetch: Fetch) -> Answer:
        """Read an answer as the part that read the call does. Raises UpstreamError."""
        part = self._of(call.state)
        answer = await part.read_answer(call, status, headers, body, fetch)
        return replace(answer, state={**answer.state, _PART: part})

    def without(self, answer: Answer, refused: Mapping[int, Decision], one_bad: OneBad) -> Reply:
        """The answer as the part that read it leaves it."""
        return self._of(answer.state).without(answer, refused, one_bad)

    def read_stream(self, call: Call) -> StreamReader:
        """The reader of the part that read the call."""
        return self._of(call.state).read_stream(call)

    def _speaker(self, method: str, path: str) -> Dialect | None:
        return next((part for part in self._parts if part.door(method, path) is not Door.CLOSED), None)

    def _of(self, state: Mapping[str, object]) -> Dialect:
        found = state.get(_PART)
        return next((part for part in self._parts if part is found), self._parts[0])


class OpenAI:
    """The whole of the OpenAI API that is judged: Images and moderations, chat completions, Responses."""

    @classmethod
    def open(cls, setup: Setup) -> Several:
        """Options are those of the Images dialect. Raises ConfigError for others."""
        bare = replace(setup, options={})
        return Several("openai-all", (OpenAIImages.open(setup), Chat.open(bare), Responses.open(bare)))
