"""The Gemini API, of Google AI and of Vertex AI: generateContent, whole and streamed, and files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from guardrail.errors import GuardrailError
from guardrail.types import Decision, Stage
from guardrail.upstream.bodies import check_json, no_such_route, onward
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
from guardrail.upstream.gemini import answer as answers
from guardrail.upstream.gemini import files, refuse, routes, stream
from guardrail.upstream.gemini.body import gather
from guardrail.upstream.limits import Limits

__all__ = ["Gemini"]


class Gemini:
    """Fulfils `Dialect` for generateContent. Remembers pictures that were uploaded, within bounds."""

    name = "gemini"
    foreseen: ClassVar = {
        **{route: Statuses(refused=(200,)) for route in ("generateContent", "streamGenerateContent")},
        **{route: Statuses() for route in (files.START, files.SEND)},
    }

    def __init__(self, *, limits: Limits | None = None, setup: Setup | None = None) -> None:
        self.limits = talking(limits or Limits())
        self._setup = setup or Setup()
        self._files = files.memory()

    @classmethod
    def open(cls, setup: Setup) -> Gemini:
        """Raises ConfigError for any option: this dialect has none."""
        setup.no_options(cls.name)
        return cls(limits=setup.limits, setup=setup)

    def door(self, method: str, path: str) -> Door:
        """What to do with a route: `path` as the client sent it, without the query, with or without a version."""
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
        if method == "POST" and routes.uploads(path):
            return files.read(path, query, headers, body, self.limits, self._setup.public(headers))
        streams = routes.streams(path) if method == "POST" else None
        if streams is None:
            raise no_such_route()
        form = routes.form_of(query, streamed=streams)
        check_json(headers, body, self.limits)
        got = gather(body, self.limits, self._files.get)
        await got.resolve(fetch, fetch_file)
        got.stream = streams and form == "event"
        route = "streamGenerateContent" if streams else "generateContent"
        forward = onward(method, path, query, headers, body, got.edits)
        return Call(got.request(), forward, route, {routes.FORM: form})

    def refuse(self, decision: Decision, stage: Stage, call: Call | None = None) -> Reply:
        """The refusal of a whole request: status 200, with `promptFeedback` or a candidate without content."""
        return refuse.refuse(decision, stage, call)

    def fault(self, error: GuardrailError) -> Reply:
        """The answer to an error, in the envelope of Google's APIs."""
        return refuse.fault(error)

    async def read_answer(self, call: Call, status: int, headers: Headers, body: bytes, fetch: Fetch) -> Answer:
        """Find every picture of a whole answer. Raises UpstreamError for what is no answer."""
        if call.state.get(routes.FORM) == files.UPLOAD:
            return files.read_answer(call, status, headers, body, self.limits, self._files)
        return await answers.read_answer(call, status, headers, body, fetch, self.limits)

    def without(self, answer: Answer, refused: Mapping[int, Decision], one_bad: OneBad) -> Reply:
        """The answer with refused candidates replaced, every other byte as it came."""
        return answers.without(answer, refused, one_bad)

    def read_stream(self, call: Call) -> StreamReader:
        """A reader for one streamed answer."""
        return stream.EventReader(self.limits)
