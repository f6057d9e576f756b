"""Answers of fal: results whose pictures are judged, and addresses that lead back to the guard."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from guardrail.errors import UpstreamError
from guardrail.types import Decision, Stage
from guardrail.upstream.answers import CHANGED, LENGTH, error_of, parse, strictest
from guardrail.upstream.dialect import Answer, Call, Fetch, Headers, OneBad, Reply
from guardrail.upstream.fal import refuse, routes
from guardrail.upstream.fal.routes import QUEUE, Route
from guardrail.upstream.fal.state import State
from guardrail.upstream.headers import end_to_end
from guardrail.upstream.jobs.found import Found, failed
from guardrail.upstream.jobs.known import Job
from guardrail.upstream.jobs.state import HOOKS, PUBLIC, ROUTE
from guardrail.upstream.spans import Json, Node, text_of

_FOUND, _FLAGS = "found", "flags"
_ADDRESSES = {"response_url": "GET", "status_url": "GET", "cancel_url": "PUT"}
QUIET = frozenset({"content_type", "file_name", "request_id", "gateway_request_id", "seed", "timings", "logs"})
"""Names of what shows nothing."""
_SHOWING = frozenset({Route.RUN, Route.RESULT, Route.NEWS, Route.STREAM})


async def read_answer(state: State, call: Call, status: int, headers: Headers, body: bytes, fetch: Fetch) -> Answer:
    """Find every picture of an answer, and remember what it tells. Raises UpstreamError for what is no answer."""
    error = error_of(status, headers, body, state.limits, failed)
    if error is not None:
        return error
    kept = end_to_end(headers, LENGTH)
    route: Route = call.state[ROUTE]
    root = parse(body, state.limits)
    found = Found(body, state.limits, call.request.inputs)
    if route not in _SHOWING:
        for key, member in root.members.items():
            found.quiet(member, (key,), links=key not in QUIET)
        if route is Route.SUBMIT:
            _submitted(state, call, found, root)
        if route is not Route.UPLOAD:
            _addresses(found, root, str(call.state[PUBLIC]))
        return Answer(status, end_to_end(kept, CHANGED) if found.edits else kept, found.leaves, (), ())
    made = root.get("payload") if route is Route.NEWS else root
    if route is Route.NEWS and text_of(root, "status", body) != "OK":
        found.quiet(root)  # an error, which echoes what was asked
    else:
        look(found, root)
    if route is Route.RUN and not root.members:
        raise UpstreamError("it is an answer that says nothing")
    await found.settle(fetch, state.shelf, str(call.state[PUBLIC]))
    told = {_FOUND: found, _FLAGS: made.get("has_nsfw_concepts") if made is not None else None}
    leaving = end_to_end(kept, CHANGED) if found.edits else kept
    shown = found.shown
    return Answer(status, leaving, found.leaves, tuple(shown.images), tuple(shown.entries), shown.texts, told)


def look(found: Found, root: Node) -> None:
    """A result: whatever is a picture in it, under any name. Raises UpstreamError."""
    if root.kind is Json.OBJECT:
        for key, member in root.members.items():
            if key in QUIET:
                found.quiet(member, (key,), links=False)
            else:
                found.look(member, (key,), skip=QUIET)
    else:
        found.look(root, ("result",), skip=QUIET)


def without(answer: Answer, refused: Mapping[int, Decision], one_bad: OneBad) -> Reply:
    """The answer without refused pictures, each marked in `has_nsfw_concepts`; 422 where nothing is left of it."""
    if not refused:
        return Reply(answer.status, answer.headers, answer.body)
    found: Found = answer.state[_FOUND]
    left = found.without(refused, one_bad, answer.state[_FLAGS])
    if left is None:
        return refuse.refuse(strictest(refused.values()), Stage.OUTPUT)
    return Reply(answer.status, end_to_end(answer.headers, CHANGED), left)


def _submitted(state: State, call: Call, found: Found, root: Node) -> None:
    job_id = text_of(root, "request_id", found.body)
    if not job_id or routes.queue("GET", f"/a/b/requests/{job_id}") is None:
        raise UpstreamError("it has no request_id")
    state.jobs.put(job_id, Job(call.request, hooks=call.state.get(HOOKS, frozenset())))


def _addresses(found: Found, root: Node, public: str) -> None:
    """Addresses of the request itself, at the guard."""
    for key, method in _ADDRESSES.items():
        node = root.get(key)
        if node is None:
            continue
        path = urlsplit(node.text(found.body)).path if node.kind is Json.STRING else ""
        if routes.queue(method, path) is None:
            raise UpstreamError(f"its {key} is none of a request in the queue")
        found.becomes(node, public + QUEUE + path)
