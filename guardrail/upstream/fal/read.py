"""Reading calls of fal: apps that are run or queued, and what is asked of a request in the queue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, urlencode, urlsplit

from guardrail.errors import BadRequest
from guardrail.types import Request
from guardrail.upstream.bodies import check_json, no_such_route, onward
from guardrail.upstream.dialect import Call, Fetch, Forward, Headers
from guardrail.upstream.fal import routes as paths
from guardrail.upstream.fal.routes import PROXY, QUEUE, Route
from guardrail.upstream.fal.state import State
from guardrail.upstream.headers import check_query
from guardrail.upstream.jobs import hooks
from guardrail.upstream.jobs.inputs import Reading, no_file
from guardrail.upstream.jobs.state import HOOKS, JOB_ID, PUBLIC, ROUTE
from guardrail.upstream.spans import Edit, Json, JsonFault, scan

TARGET = "x-fal-target-url"
_RUN_HOST, _QUEUE_HOST, _REST_HOST = "fal.run", "queue.fal.run", "rest.fal.ai"
_UPLOADS = frozenset({"/storage/upload/initiate", "/storage/upload/initiate-multipart"})
# The first says where a call goes, which is settled by then; the second lets an app switch its filter off.
_NOT_SENT = frozenset({TARGET, "x-app-fal-can-disable-filter"})
_FIELDS = frozenset({"prompt", "negative_prompt", "image_url", "image_urls", "mask_url", "enable_safety_checker"})
_LONGEST_NAME = 256


@dataclass(frozen=True, repr=False)
class Asked:
    """What a call asks for, wherever it came in: the route, the app or the request it names, and where it goes on."""

    route: Route
    named: str
    path: str
    query: str
    origin: str = ""


def asked(state: State, method: str, path: str, query: str, headers: Headers) -> Asked:
    """What a call asks for. Raises BadRequest (404) for a route that is closed."""
    if path == PROXY:
        return _proxied(state, method, query, headers)
    if path.startswith(QUEUE + "/"):
        below = path.removeprefix(QUEUE)
        found = paths.queue(method, below)
        if found is not None:
            return Asked(*found, below, query, state.queue)
    found = paths.run(method, path)
    if found is None:
        raise no_such_route()
    return Asked(*found, path, query)


def _proxied(state: State, method: str, query: str, headers: Headers) -> Asked:
    """A call of the client that names fal's own address in a header: the hosts of fal, and no other."""
    named = [value for name, value in headers if name.lower() == TARGET]
    if len(named) != 1 or query or not named[0].isascii() or not named[0].isprintable() or "\\" in named[0]:
        raise BadRequest(f"this route takes one address of fal in {TARGET}", code="invalid_header")
    parts = urlsplit(named[0])
    if parts.scheme != "https" or parts.fragment:
        raise no_such_route()
    if parts.netloc == _RUN_HOST:
        found = paths.run(method, parts.path)
        origin = ""
    elif parts.netloc == _QUEUE_HOST:
        found = paths.queue(method, parts.path)
        origin = state.queue
    elif parts.netloc == _REST_HOST and parts.path in _UPLOADS and method == "POST":
        found = Route.UPLOAD, ""
        origin = f"https://{_REST_HOST}"
    else:
        found = None
    if found is None:
        raise no_such_route()
    return Asked(*found, parts.path, parts.query, origin)


async def begin(state: State, one: Asked, headers: Headers, body: bytes, fetch: Fetch, public: str) -> Call:
    """An app that is run, streamed or queued. Raises BadRequest."""
    check_json(headers, body, state.limits)
    state.rules.check(one.named)
    reading, root = Reading.of(
        body, state.limits, state.rules, lambda url, data: state.shelf.spelled(public, url, data)
    )
    reading.read(root)
    reading.settle()
    query, hooked = _query(state, one, reading.got.clamped)
    await reading.got.resolve(state.shelf.asking(public, fetch), no_file)
    request = replace(reading.got.request(), stream=one.route is Route.STREAM)
    return Call(
        request,
        _forward("POST", one, query, headers, body, reading.got.edits),
        one.route.value,
        {PUBLIC: public, ROUTE: one.route, HOOKS: hooked},
    )


def _query(state: State, one: Asked, clamped: list[str]) -> tuple[str, frozenset[str]]:
    """The query with the guard's own address in place of a webhook, and the word of that. Raises BadRequest."""
    try:
        pairs = parse_qsl(one.query, keep_blank_values=True, max_num_fields=32, errors="strict")
    except ValueError:
        raise BadRequest("the query cannot be read", code="invalid_query") from None
    hooked = [value for name, value in pairs if name.casefold() == "fal_webhook"]
    if not hooked:
        check_query(one.query, _FIELDS)
        return one.query, frozenset()
    rest = [(name, value) for name, value in pairs if name.casefold() != "fal_webhook"]
    check_query(urlencode(rest), _FIELDS)
    if len(hooked) > 1 or one.route is not Route.SUBMIT:
        raise BadRequest("one fal_webhook is taken, for a request in the queue", code="invalid_query")
    if not hooked[0]:
        return urlencode(rest), frozenset()
    hooks.check(hooked[0], state.hooks, "fal_webhook")
    clamped.append("fal_webhook")
    address, word = hooks.address(state.seal, state.hooks, hooked[0])
    return urlencode([*rest, ("fal_webhook", address)]), frozenset({word})


def ask(state: State, method: str, one: Asked, headers: Headers, body: bytes, public: str) -> Call:
    """What is asked of a request in the queue, whose result is judged beside what was asked for.

    Raises BadRequest (404) where that is not known; a request can be cancelled all the same.
    """
    if body.strip() not in (b"", b"{}"):
        raise BadRequest("this route takes no body", code="unjudged_field")
    check_query(one.query, _FIELDS)
    job = state.jobs.get(one.named)
    if job is None and one.route is not Route.CANCEL and not state.judge_unknown:
        raise BadRequest(
            "this request is not known here, so its result cannot be judged beside what was asked for; ask the guard "
            "that it was submitted through",
            status=404,
            code="unknown_job",
        )
    request = job.request if job is not None else Request((), ())
    told = {PUBLIC: public, JOB_ID: one.named, ROUTE: one.route}
    return Call(request, _forward(method, one, one.query, headers, body), one.route.value, told, poll=True)


def upload(one: Asked, headers: Headers, body: bytes, state: State) -> Call:
    """An upload that is announced: no picture is in it, and where the file is put is judged once it is used."""
    try:
        root = scan(body, state.limits.json)
    except JsonFault:
        root = None
    plain = root is not None and root.kind is Json.OBJECT and root.members.keys() <= {"content_type", "file_name"}
    if (
        root is None
        or not plain
        or any(node.kind is not Json.STRING or node.size > _LONGEST_NAME for node in root.members.values())
    ):
        raise BadRequest("an upload takes content_type and file_name", status=422, code="unknown_field")
    check_query(one.query, _FIELDS)
    forward = _forward("POST", one, one.query, headers, body)
    return Call(Request((), ()), forward, one.route.value, {ROUTE: one.route}, poll=True)


def _forward(method: str, one: Asked, query: str, headers: Headers, body: bytes, edits: Sequence[Edit] = ()) -> Forward:
    kept = [(name, value) for name, value in headers if name.lower() not in _NOT_SENT]
    return replace(onward(method, one.path, query, kept, body, edits), origin=one.origin)
