"""`POST /v1/moderations` in OpenAI's format: texts and pictures in, scores of the guard's own factors out."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

from guardrail.errors import BadRequest
from guardrail.types import Artifact, Kind, Request
from guardrail.upstream import pictures
from guardrail.upstream.dialect import Fetch, Headers, Judge, Judged, Reply
from guardrail.upstream.gather import Gathered, Place
from guardrail.upstream.headers import content_type
from guardrail.upstream.limits import Limits
from guardrail.upstream.moderation.categories import result
from guardrail.upstream.slots import What
from guardrail.upstream.spans import Json, JsonFault, Node, scan

ROUTE = "moderations"
MODEL = "omni-moderation-latest"
MOST_INPUTS = 64
_LONGEST_MODEL = 100  # characters


async def moderate(
    headers: Headers, body: bytes, judge: Judge, fetch: Fetch, limits: Limits, kind: Kind = Kind.INPUT
) -> Reply:
    """Judge each input by itself; `kind` is what its pictures are judged as.

    Raises BadRequest for what is not this format, or is over a limit.
    """
    model, inputs = read(headers, body, limits)
    for one in inputs:
        await one.resolve(fetch, _no_file)
    # Side by side: texts go through the models in batches.
    said = await asyncio.gather(*(_judge(one, judge, kind) for one in inputs), return_exceptions=True)
    judged: list[Judged] = []
    for outcome in said:
        if isinstance(outcome, BaseException):
            raise outcome
        judged.append(outcome)
    strictest = max(judged, key=lambda one: one.decision.action)
    receipt = strictest.decision.receipt
    answer: dict[str, Any] = {
        "id": f"modr-{receipt.id if receipt is not None else 'unrecorded'}",
        "model": model,
        "results": [result(one) for one in judged],
    }
    return Reply(200, [("content-type", "application/json"), *strictest.headers], json.dumps(answer).encode())


async def _judge(one: Gathered, judge: Judge, kind: Kind) -> Judged:
    texts, found = tuple(one.texts), tuple(picture for picture in one.inputs if picture is not None)
    if kind is Kind.INPUT:
        return await judge(Request(texts, found), route=ROUTE)
    shown = tuple(Artifact(Kind.OUTPUT, picture.slot, data=picture.data) for picture in found)
    return await judge(Request(texts, ()), shown, route=ROUTE)


async def _no_file(file_id: str) -> Any:
    raise BadRequest("files of a generator cannot be moderated; send the picture", param="input", code="invalid_value")


def read(headers: Headers, body: bytes, limits: Limits) -> tuple[str, list[Gathered]]:
    """The model that was asked for, and what is to be judged: one `Gathered` per result."""
    kind, _ = content_type(headers)
    if kind.startswith("multipart/"):
        raise BadRequest("send JSON", status=415, code="unsupported_media_type")
    try:
        root = scan(body, limits.json)
    except JsonFault as fault:
        raise BadRequest(f"the body is not the JSON expected: {fault}", code="invalid_json") from None
    asked = root.get("input") if root.kind is Json.OBJECT else None
    if asked is None:
        raise BadRequest("input is missing", param="input", code="missing_required_parameter")
    model = root.get("model")
    if model is not None and (model.kind is not Json.STRING or len(model.text(body)) > _LONGEST_MODEL):
        raise BadRequest("model must be the name of a moderation model", param="model", code="invalid_type")
    return MODEL if model is None else model.text(body), _inputs(asked, body, limits)


def _inputs(asked: Node, body: bytes, limits: Limits) -> list[Gathered]:
    if asked.kind is Json.STRING:
        return [_text(asked, body, limits)]
    if asked.kind is not Json.ARRAY or not asked.items:
        raise _expected()
    if len(asked.items) > MOST_INPUTS:
        raise BadRequest(
            f"input has more than {MOST_INPUTS} entries", status=413, param="input", code="too_many_fields"
        )
    kinds = {item.kind for item in asked.items}
    if kinds == {Json.STRING}:
        counted = Gathered(limits)
        for item in asked.items:
            counted.looked_at(item.text(body))
        return [_text(item, body, limits) for item in asked.items]
    if kinds != {Json.OBJECT}:
        raise _expected()
    together = Gathered(replace(limits, texts=MOST_INPUTS))
    for number, item in enumerate(asked.items):
        _part(item, number, body, together)
    if not together.texts and not together.inputs:
        raise _expected()
    together.settle()
    return [together]


def _text(node: Node, body: bytes, limits: Limits) -> Gathered:
    got = Gathered(limits)
    got.text("input", node.text(body), "input")
    return got


def _part(item: Node, number: int, body: bytes, got: Gathered) -> None:
    param = f"input[{number}]"
    kind = item.get("type")
    said = kind.text(body) if kind is not None and kind.kind is Json.STRING else ""
    if said == "text":
        node = item.get("text")
        if node is None or node.kind is not Json.STRING:
            raise BadRequest(f"{param}.text must be a string", param=param, code="invalid_type")
        got.looked_at(node.text(body))
        got.text(param, node.text(body), param)
        return
    node = item.get("image_url")
    if said != "image_url" or node is None:
        raise BadRequest(f'{param}.type must be "text" or "image_url"', param=param, code="invalid_value")
    url = node.get("url") if node.kind is Json.OBJECT else node
    if url is None or url.kind is not Json.STRING:
        raise BadRequest(f"{param}.image_url.url must be a string", param=param, code="invalid_type")
    add_picture(got, url, body, got.image_slot(), param)


def add_picture(got: Gathered, node: Node, body: bytes, slot: str, param: str) -> None:
    """A picture given as a data URL, as base64 or by address. Raises BadRequest for anything else."""
    text = node.text(body)
    place = Place(node.start, node.end, quoted=True)
    scheme = pictures.url_scheme(text) if len(text) <= 10_000 else None
    if pictures.is_data_url(text):
        got.encoded(slot, What.DATA_URL, text.encode(), param, place)
    elif scheme in ("http", "https"):
        got.reference(slot, What.URL, text.strip(), param, place)
    elif scheme is not None:
        raise BadRequest(f"{param} holds an address that is not https", param=param, code="url_not_allowed")
    else:
        got.encoded(slot, What.BASE64, text.encode(), param, place)


def _expected() -> BadRequest:
    return BadRequest(
        "input must be a string, a list of strings, or a list of text and image_url parts",
        param="input",
        code="invalid_type",
    )
