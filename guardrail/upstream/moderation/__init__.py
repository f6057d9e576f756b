"""Moderation: routes that the guard answers by itself, for gateways and programs that ask before they act.

`POST /v1/moderations` in OpenAI's format, and LiteLLM's generic guardrail hook. No generator stands behind it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from guardrail.errors import BadRequest, ConfigError, GuardrailError, UpstreamError
from guardrail.types import Decision, Kind, Stage
from guardrail.upstream import envelope
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
from guardrail.upstream.limits import Limits
from guardrail.upstream.moderation.hook import answer_hook
from guardrail.upstream.moderation.moderations import moderate

MODERATIONS = frozenset({"/moderations", "/v1/moderations"})
HOOK = "/beta/litellm_basic_guardrail_api"


class Moderation:
    """Fulfils `Dialect` and `Answers`. Nothing is ever sent on."""

    name = "moderation"
    foreseen: ClassVar = {"answered": Statuses(refused=(200,))}

    def __init__(self, *, limits: Limits | None = None, pictures: Kind = Kind.INPUT) -> None:
        self.limits = limits or Limits()
        self.pictures = pictures

    @classmethod
    def open(cls, setup: Setup) -> Moderation:
        """The option `pictures` says what pictures of `/v1/moderations` are judged as: input (default) or output.

        Raises ConfigError for another option or value.
        """
        setup.only_options(cls.name, frozenset({"pictures"}))
        said = setup.options.get("pictures", "input")
        if said not in ("input", "output"):
            raise ConfigError("server.upstreams: option pictures of dialect moderation is input or output")
        return cls(limits=setup.limits, pictures=Kind(said))

    def door(self, method: str, path: str) -> Door:
        """Two routes are answered, all else is closed."""
        return Door.ANSWERED if method == "POST" and (path in MODERATIONS or path == HOOK) else Door.CLOSED

    async def answer(
        self, method: str, path: str, query: str, headers: Headers, body: bytes, judge: Judge, fetch: Fetch
    ) -> Reply:
        """Judge what is asked about. Raises BadRequest."""
        if path == HOOK:
            return await answer_hook(headers, body, judge, fetch, self.limits)
        return await moderate(headers, body, judge, fetch, self.limits, self.pictures)

    def refuse(self, decision: Decision, stage: Stage, call: Call | None = None) -> Reply:
        """The refusal in OpenAI's envelope; what this dialect answers is a verdict, never a refusal."""
        return envelope.refuse(decision, stage)

    def fault(self, error: GuardrailError) -> Reply:
        """The error in OpenAI's envelope, which the gateway takes for a refusal."""
        return envelope.fault(error)

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
        """No route of this dialect is sent on. Raises BadRequest."""
        raise BadRequest("no such route", status=404, code="unknown_url")

    async def read_answer(self, call: Call, status: int, headers: Headers, body: bytes, fetch: Fetch) -> Answer:
        """No generator answers here. Raises UpstreamError."""
        raise UpstreamError("no generator stands behind this dialect")

    def without(self, answer: Answer, refused: Mapping[int, Decision], one_bad: OneBad) -> Reply:
        """No generator answers here. Raises UpstreamError."""
        raise UpstreamError("no generator stands behind this dialect")

    def read_stream(self, call: Call) -> StreamReader:
        """No generator answers here. Raises UpstreamError."""
        raise UpstreamError("no generator stands behind this dialect")
