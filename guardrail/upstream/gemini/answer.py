"""Whole answers of generateContent: one response, or the list of responses that a stream without events is."""

from __future__ import annotations

import json
from collections.abc import Mapping

from guardrail.errors import UpstreamError
from guardrail.types import Decision, Stage
from guardrail.upstream.answers import CHANGED, LENGTH, error_of, strictest
from guardrail.upstream.dialect import Answer, Call, Fetch, Headers, OneBad, Reply
from guardrail.upstream.gemini import found, refuse
from guardrail.upstream.gemini.names import plain
from guardrail.upstream.headers import end_to_end
from guardrail.upstream.limits import Limits
from guardrail.upstream.shown import Shown
from guardrail.upstream.spans import Edit, Json, JsonFault, Node, scan, splice

_CALL, _SPANS, _FORM = "call", "spans", "form"


async def read_answer(call: Call, status: int, headers: Headers, body: bytes, fetch: Fetch, limits: Limits) -> Answer:
    """Find every picture of an answer. One without any is an answer too: a refusal of the generator, or a text.

    Raises UpstreamError for what is no answer, or holds what cannot be judged.
    """
    error = error_of(status, headers, body, limits)
    if error is not None:
        return error
    kept = end_to_end(headers, LENGTH)
    try:
        root = scan(body, limits.json)
    except JsonFault as fault:
        raise UpstreamError(f"it is not the JSON expected: {fault}") from None
    shown = Shown(limits)
    spans: dict[int, list[tuple[int, int]]] = {}
    responses = root.items if root.kind is Json.ARRAY else [root]
    for at, response in enumerate(responses):
        found.look(response, body, shown, shown.text, limits, (at,) if root.kind is Json.ARRAY else ())
        for index, candidate in _candidates(response, body):
            spans.setdefault(index, []).append((candidate.start, candidate.end))
    if not spans and not any(map(found.refused, responses)):
        raise UpstreamError("it has no candidates and no reason why")
    await shown.fetch(fetch)
    state = {_CALL: call, _SPANS: spans}
    return Answer(status, kept, body, tuple(shown.images), tuple(shown.entries), shown.texts, state)


def _candidates(response: Node, body: bytes) -> list[tuple[int, Node]]:
    listed = next((member for key, member in response.members.items() if plain(key) == "candidates"), None)
    return [(found.number(one, body, at), one) for at, one in enumerate(listed.items if listed is not None else [])]


def without(answer: Answer, refused: Mapping[int, Decision], one_bad: OneBad) -> Reply:
    """The answer with refused candidates replaced, every other byte as it came.

    A candidate always stays a candidate, since its index names it: `drop` is read as `replace`.
    """
    if not refused:
        return Reply(answer.status, answer.headers, answer.body)
    spans: Mapping[int, list[tuple[int, int]]] = answer.state.get(_SPANS, {})
    kept = set(spans) - set(refused)
    if one_bad == "refuse-all" or not set(refused) <= set(spans) or not kept & set(answer.entries):
        return refuse.refuse(strictest(refused.values()), Stage.OUTPUT, answer.state.get(_CALL))
    edits: list[Edit] = [
        (start, end, json.dumps(refuse.candidate(decision, index)).encode())
        for index, decision in refused.items()
        for start, end in spans[index]
    ]
    return Reply(answer.status, end_to_end(answer.headers, CHANGED), splice(answer.body, edits))
