"""Answers of Replicate: predictions, whose pictures are judged and whose addresses lead back to the guard."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from guardrail.errors import UpstreamError
from guardrail.types import Decision
from guardrail.upstream import pictures
from guardrail.upstream.answers import CHANGED, LENGTH, error_of, parse, strictest
from guardrail.upstream.dialect import Answer, Call, Fetch, Headers, OneBad, Reply
from guardrail.upstream.headers import end_to_end
from guardrail.upstream.jobs.found import Found, failed
from guardrail.upstream.jobs.known import Job
from guardrail.upstream.jobs.state import HOOKS, JOB_ID, PUBLIC, ROUTE
from guardrail.upstream.replicate import hooks, refuse
from guardrail.upstream.replicate.routes import STREAMS, Route
from guardrail.upstream.replicate.state import NAMED, State
from guardrail.upstream.spans import Json, Node, splice, text_of

_FOUND = "found"
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_STREAMS_OF_REPLICATE = re.compile(r"https://stream[a-z0-9.-]{0,80}\.replicate\.(?:com|net)")
_KNOWN_PART = ("model", "version", "source", "created_at", "started_at", "completed_at", "deployment")


async def read_answer(state: State, call: Call, status: int, headers: Headers, body: bytes, fetch: Fetch) -> Answer:
    """Find every picture of an answer, and remember what it tells. Raises UpstreamError for what is no answer."""
    error = error_of(status, headers, body, state.limits, failed)
    if error is not None:
        return error
    kept = end_to_end(headers, LENGTH)
    route: Route = call.state[ROUTE]
    root = parse(body, state.limits)
    if route is Route.LIST:
        leaves = _listed(root, body, call.state[PUBLIC])
    elif route is Route.SIGNING:
        leaves = _secret(state, root, body)
    elif route is Route.FILE:
        leaves = _file(state, call, root, body)
    else:
        return await _prediction(state, call, Answer(status, kept, body, (), ()), root, fetch)
    return Answer(status, kept if leaves is body else end_to_end(kept, CHANGED), leaves, (), ())


def without(answer: Answer, refused: Mapping[int, Decision], one_bad: OneBad) -> Reply:
    """The answer without refused pictures; a prediction that failed where nothing is left of it."""
    if not refused:
        return Reply(answer.status, answer.headers, answer.body)
    found: Found = answer.state[_FOUND]
    left = found.without(refused, one_bad)
    if left is None:
        worst = strictest(refused.values())
        said, job_id = answer.state["said"], str(answer.state[JOB_ID])
        return refuse.failed(answer.state[PUBLIC], job_id, refuse.message(worst), said, status=answer.status)
    return Reply(answer.status, end_to_end(answer.headers, CHANGED), left)


async def _prediction(state: State, call: Call, answer: Answer, root: Node, fetch: Fetch) -> Answer:
    body, public = answer.body, str(call.state[PUBLIC])
    job_id = text_of(root, "id", body)
    if not _ID.fullmatch(job_id) or not text_of(root, "status", body):
        raise UpstreamError("it is no prediction with an id and a status")
    asked_for = call.state.get(JOB_ID)
    if asked_for is not None and asked_for != job_id:
        raise UpstreamError("it tells of another prediction than was asked for")
    if asked_for is None:
        state.jobs.put(job_id, Job(call.request, call.state.get(NAMED, {}), hooks=call.state.get(HOOKS, frozenset())))
    found = Found(body, state.limits, call.request.inputs)
    for key, node in root.members.items():
        if key == "output":
            found.look(node, (key,))
        elif key == "urls":
            _urls(state, found, node, job_id, public)
        elif key in hooks.FIELDS:
            if node.kind is Json.STRING:
                found.becomes(node, "")  # it holds what only the guard and the generator are to know
        else:
            found.quiet(node, (key,), links=key == "input")
    await found.settle(fetch, state.shelf, public)
    told = {_FOUND: found, PUBLIC: public, JOB_ID: job_id, "said": _said(root, body)}
    headers = end_to_end(answer.headers, CHANGED) if found.edits else answer.headers
    shown = found.shown
    return Answer(answer.status, headers, found.leaves, tuple(shown.images), tuple(shown.entries), shown.texts, told)


def _said(root: Node, body: bytes) -> dict[str, Any]:
    return {key: text for key in _KNOWN_PART if (text := text_of(root, key, body))}


def _urls(state: State, found: Found, node: Node, job_id: str, public: str) -> None:
    """Addresses of the prediction itself, at the guard. Any that is not known leads to the prediction."""
    if node.kind is not Json.OBJECT:
        found.quiet(node, ("urls",), links=False)
    for key, member in node.members.items():
        if member.kind is not Json.STRING:
            found.quiet(member, ("urls", key), links=False)
            continue
        address = f"{public}/v1/predictions/{job_id}"
        if key == "cancel":
            address += "/cancel"
        elif key == "stream":
            url = member.text(found.body)
            if streamable(state, url):
                address = public + STREAMS + state.seal.close("stream", {"job": job_id, "url": url})
        found.becomes(member, address)


def streamable(state: State, url: str) -> bool:
    """True for the address of a stream that callers' credentials may be sent to."""
    if pictures.url_scheme(url) is None or len(url) > 4096 or not url.isascii() or not url.isprintable():
        return False
    parts = urlsplit(url)
    origin = f"{parts.scheme}://{parts.netloc}"
    return _STREAMS_OF_REPLICATE.fullmatch(origin) is not None or origin in state.streams


def _listed(root: Node, body: bytes, public: str) -> bytes:
    """Which predictions there are: what they made and were asked for is left out, each is fetched by itself."""
    results = root.get("results")
    if results is None or results.kind is not Json.ARRAY:
        raise UpstreamError("it is no list of predictions")
    told: list[dict[str, Any]] = []
    for item in results.items:
        job_id = text_of(item, "id", body)
        if not _ID.fullmatch(job_id):
            raise UpstreamError("it lists what is no prediction")
        address = f"{public}/v1/predictions/{job_id}"
        told.append(
            {
                "id": job_id,
                "model": "",
                "version": "",
                **_said(item, body),
                "status": text_of(item, "status", body),
                "input": {},
                "output": None,
                "error": None,
                "logs": "",
                "urls": {"get": address, "cancel": f"{address}/cancel"},
            }
        )
    pages = {key: _page(text_of(root, key, body), public) for key in ("previous", "next")}
    return json.dumps({**pages, "results": told}).encode()


def _page(url: str, public: str) -> str | None:
    query = urlsplit(url).query if url else ""
    return f"{public}/v1/predictions?{query}" if query else None


def _secret(state: State, root: Node, body: bytes) -> bytes:
    """The secret that the guard signs with in place of the generator's own."""
    node = root.get("key")
    if node is None or node.kind is not Json.STRING or hooks.decoded(node.text(body)) is None:
        raise UpstreamError("it is no signing secret")
    return splice(body, [(node.start, node.end, json.dumps(hooks.derived(state, node.text(body))).encode())])


def _file(state: State, call: Call, root: Node, body: bytes) -> bytes:
    """Remember a file under the address that inputs name it by."""
    found = Found(body, state.limits)
    found.quiet(root)
    urls = root.get("urls")
    address = text_of(urls, "get", body) if urls is not None else ""
    if not address:
        raise UpstreamError("it is no file with an address")
    data = call.request.inputs[0].data or b""
    state.files.put(address, data, len(data))
    return found.leaves
