"""The OpenAI Images API, and the many servers that copy it: generations, edits, variations, whole and streamed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from guardrail.errors import ConfigError, GuardrailError
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
    OneBad,
    Reply,
    Setup,
    Statuses,
    StreamReader,
)
from guardrail.upstream.headers import check_query, content_type
from guardrail.upstream.limits import Limits
from guardrail.upstream.moderation.moderations import moderate
from guardrail.upstream.openai import answer as answers
from guardrail.upstream.openai import forms, routes, stream
from guardrail.upstream.openai.body_form import gather_form
from guardrail.upstream.openai.body_json import gather_json
from guardrail.upstream.openai.forms import Form
from guardrail.upstream.openai.slots import KNOWN

__all__ = ["Form", "Limits", "OpenAIImages"]


class OpenAIImages:
    """Fulfils `Dialect` for the OpenAI Images API. Holds its limits and nothing of any request."""

    name = "openai"
    # 200 where some pictures of several are refused, or a stream that has begun; "answered" are moderations.
    foreseen: ClassVar = {
        **{route.value: Statuses(refused=(400, 200)) for route in routes.Route},
        "answered": Statuses(refused=(200,)),
    }

    def __init__(self, *, limits: Limits | None = None, errors: Form = Form.OPENAI) -> None:
        self.limits = limits or Limits()
        self._form = errors

    @classmethod
    def open(cls, setup: Setup) -> OpenAIImages:
        """The option `errors` says in whose form refusals and errors come: openai (default) or xai.

        Raises ConfigError for another option or value.
        """
        setup.only_options(cls.name, frozenset({"errors"}))
        said = setup.options.get("errors", Form.OPENAI.value)
        if said not in (Form.OPENAI.value, Form.XAI.value):
            raise ConfigError("server.upstreams: option errors of dialect openai is openai or xai")
        return cls(limits=setup.limits, errors=Form(said))

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
        route = routes.judged(method, path)
        if route is None:
            raise no_such_route()
        check_size(body, self.limits)
        check_query(query, KNOWN)
        kind, parameters = content_type(headers)
        if kind.startswith("multipart/"):
            got = gather_form(body, parameters, route, self.limits)
        else:
            got = gather_json(body, route, self.limits)
        await got.resolve(fetch, fetch_file)
        return Call(got.request(), onward(method, path, query, headers, body, got.edits), route.value)

    async def answer(
        self, method: str, path: str, query: str, headers: Headers, body: bytes, judge: Judge, fetch: Fetch
    ) -> Reply:
        """Moderations are the guard's own to answer. Raises BadRequest."""
        return await moderate(headers, body, judge, fetch, self.limits)

    def refuse(self, decision: Decision, stage: Stage, call: Call | None = None) -> Reply:
        """The refusal of a whole request: 400, with rule ids and receipt id, in the form of the route."""
        return forms.refuse(decision, stage, self._form_of(call))

    def fault(self, error: GuardrailError) -> Reply:
        """The answer to an error, in the envelope of this API."""
        return forms.fault(error, self._form)

    async def read_answer(self, call: Call, status: int, headers: Headers, body: bytes, fetch: Fetch) -> Answer:
        """Find every picture of a whole answer. Raises UpstreamError for what is no answer."""
        return await answers.read_answer(status, headers, body, fetch, self.limits, self._form_of(call))

    def without(self, answer: Answer, refused: Mapping[int, Decision], one_bad: OneBad) -> Reply:
        """The answer with refused entries replaced or dropped, every other byte as it came."""
        return answers.without(answer, refused, one_bad)

    def read_stream(self, call: Call) -> StreamReader:
        """A reader for one streamed answer."""
        return stream.EventReader(self.limits)

    def _form_of(self, call: Call | None) -> Form:
        return Form.AZURE if call is not None and routes.deployed(call.forward.path.partition("?")[0]) else self._form
