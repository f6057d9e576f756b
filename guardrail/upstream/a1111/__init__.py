"""The AUTOMATIC1111 API (`/sdapi/v1`), which Forge, reForge and SD.Next speak too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from guardrail.errors import ConfigError, GuardrailError, UpstreamError
from guardrail.types import Decision, Request, Stage
from guardrail.upstream.a1111 import answer as answers
from guardrail.upstream.a1111 import refuse, routes
from guardrail.upstream.a1111.body import gather
from guardrail.upstream.a1111.routes import POLLS, Route
from guardrail.upstream.a1111.slots import KNOWN, Rules
from guardrail.upstream.bodies import check_json, no_such_route, onward
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

__all__ = ["A1111", "Rules"]

OPTIONS = frozenset({"styles", "settings", "scripts", "controls"})
TEXTS = 64  # extensions take dozens of texts where other APIs take one prompt


class A1111:
    """Fulfils `Dialect` for the AUTOMATIC1111 API. Holds its limits and rules and nothing of any request.

    `controls` are the routes of `routes.CONTROLS` that are open: they reach the jobs of every caller.
    """

    name = "a1111"
    foreseen: ClassVar = {route.value: Statuses(refused=(400, 200)) for route in Route if route not in POLLS}

    def __init__(
        self, *, limits: Limits | None = None, rules: Rules | None = None, controls: frozenset[str] = frozenset()
    ) -> None:
        given = limits or Limits()
        self.limits = replace(given, texts=max(given.texts, TEXTS))
        self.rules = rules or Rules()
        self.controls = controls

    @classmethod
    def open(cls, setup: Setup) -> A1111:
        """Options: `styles` (name to text), `settings` and `scripts` (lists of names), `controls` (a list out of
        `routes.CONTROLS`). Raises ConfigError."""
        setup.only_options(cls.name, OPTIONS)
        styles = setup.options.get("styles", {})
        if not isinstance(styles, Mapping) or not all(isinstance(s, str) for pair in styles.items() for s in pair):
            raise ConfigError("server.upstreams: a1111: styles must map the name of each style to its text")
        scripts = _names(setup.options, "scripts")
        rules = Rules(
            {name.strip(): text for name, text in styles.items()},
            frozenset(_names(setup.options, "settings") or ()),
            None if scripts is None else frozenset(name.casefold().strip() for name in scripts),
        )
        controls = setup.some_of(cls.name, "controls", routes.CONTROLS)
        return cls(limits=setup.limits, rules=rules, controls=controls)

    def door(self, method: str, path: str) -> Door:
        """What to do with a route: `path` as the client sent it, without the query."""
        return routes.door(method, path, self.controls)

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
        if route is Route.PROGRESS:
            # The picture in the making is asked for with a query; without it the server draws none.
            forward = onward(method, path, "skip_current_image=true", headers, b"")
            return Call(Request((), ()), forward, route.value, poll=True)
        check_query(query, KNOWN)
        check_json(headers, body, self.limits)
        got = gather(body, route, self.limits, self.rules)
        await got.resolve(fetch, fetch_file)
        forward = onward(method, path, query, headers, body, got.edits)
        return Call(got.request(), forward, route.value, poll=route in POLLS)

    def refuse(self, decision: Decision, stage: Stage, call: Call | None = None) -> Reply:
        """The refusal of a whole request: 400 `ContentPolicyViolation`, with rule ids and receipt id."""
        return refuse.refuse(decision)

    def fault(self, error: GuardrailError) -> Reply:
        """The answer to an error, in the form of this API."""
        return refuse.fault(error)

    async def read_answer(self, call: Call, status: int, headers: Headers, body: bytes, fetch: Fetch) -> Answer:
        """Find every picture of a whole answer. Raises UpstreamError for what is no answer."""
        return answers.read_answer(call, status, headers, body, self.limits)

    def without(self, answer: Answer, refused: Mapping[int, Decision], one_bad: OneBad) -> Reply:
        """The answer with refused pictures replaced or dropped, every other byte as it came."""
        return answers.without(answer, refused, one_bad)

    def read_stream(self, call: Call) -> StreamReader:
        """This API streams nothing. Raises UpstreamError."""
        raise UpstreamError("it is a stream, which this API does not have")


def _names(options: Mapping[str, Any], key: str) -> list[str] | None:
    found = options.get(key)
    if found is None:
        return None
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise ConfigError(f"server.upstreams: a1111: {key} must be a list of names")
    return found
