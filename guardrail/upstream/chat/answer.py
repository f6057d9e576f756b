"""Whole answers of chat completions: every picture of every choice."""

from __future__ import annotations

import json
from collections.abc import Mapping

from guardrail.errors import UpstreamError
from guardrail.types import Decision
from guardrail.upstream import envelope
from guardrail.upstream.answers import CHANGED, LENGTH, WHOLE, error_of, parse, strictest
from guardrail.upstream.chat.found import SOURCES, Finder, number
from guardrail.upstream.dialect import Answer, Fetch, Headers, OneBad, Reply
from guardrail.upstream.headers import end_to_end
from guardrail.upstream.limits import Limits
from guardrail.upstream.shown import Shown
from guardrail.upstream.slots import name_of
from guardrail.upstream.spans import Edit, Json, splice

_SPANS, _MODEL = "spans", "model"


async def read_answer(status: int, headers: Headers, body: bytes, fetch: Fetch, limits: Limits) -> Answer:
    """Find every picture of an answer; an answer in words has none. Raises UpstreamError for what is no answer."""
    error = error_of(status, headers, body, limits)
    if error is not None:
        return error
    kept = end_to_end(headers, LENGTH)
    root = parse(body, limits)
    choices = root.get("choices")
    if root.get("error") is None and (choices is None or choices.kind is not Json.ARRAY or not choices.items):
        raise UpstreamError("it has no choices")
    shown = Shown(limits)
    finder = Finder(body, shown, lambda entry, path, text: shown.text(entry, name_of(path), text))
    spans: dict[int, tuple[int, int]] = {}
    for at, choice in enumerate(choices.items if choices is not None else []):
        entry = number(choice, body, at)
        if choice.kind is not Json.OBJECT or entry in spans:
            raise UpstreamError(f"choice {at} is not an object with an index of its own")
        spans[entry] = (choice.start, choice.end)
        finder.said(entry, choice, ("choices", entry))
    for key, member in root.members.items():
        if key != "choices":
            finder.rest(WHOLE, member, (key,), links=key in SOURCES)
    await shown.fetch(fetch)
    model = root.get("model")
    state = {_SPANS: spans, _MODEL: model.text(body) if model is not None and model.kind is Json.STRING else ""}
    return Answer(status, kept, body, tuple(shown.images), tuple(shown.entries), shown.texts, state)


def without(answer: Answer, refused: Mapping[int, Decision], one_bad: OneBad) -> Reply:
    """The answer with refused choices replaced, every other byte as it came.

    A choice always stays a choice, since its index names it: `drop` is read as `replace`.
    """
    if not refused:
        return Reply(answer.status, answer.headers, answer.body)
    spans: Mapping[int, tuple[int, int]] = answer.state.get(_SPANS, {})
    kept = (set(spans) - set(refused)) & set(answer.entries)
    if one_bad == "refuse-all" or not set(refused) <= set(spans) or not kept:
        return refuse(strictest(refused.values()), str(answer.state.get(_MODEL, "")))
    edits: list[Edit] = [(*spans[index], json.dumps(choice(one, index)).encode()) for index, one in refused.items()]
    return Reply(answer.status, end_to_end(answer.headers, CHANGED), splice(answer.body, edits))


def refuse(decision: Decision, model: str = "") -> Reply:
    """An answer whose pictures are all refused: a message that refuses, as this API's own filter gives it."""
    headers = [("content-type", "application/json"), ("x-should-retry", "false")]
    said = {
        "id": f"chatcmpl-{decision.receipt.id if decision.receipt is not None else 'refused'}",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [choice(decision, 0)],
    }
    if decision.receipt is not None:
        headers.append(("x-request-id", decision.receipt.id))
    return Reply(200, headers, json.dumps(said).encode())


def choice(decision: Decision, index: int) -> dict[str, object]:
    """What stands in the place of a choice that was refused."""
    message = {"role": "assistant", "content": None, "refusal": envelope.message(decision)}
    return {"index": index, "message": message, "logprobs": None, "finish_reason": "content_filter"}
