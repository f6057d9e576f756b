"""Reading calls of Replicate: predictions that are asked for, polled, listed and streamed, and files."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from urllib.parse import urlsplit

from guardrail.errors import BadRequest
from guardrail.types import Request
from guardrail.upstream import pictures
from guardrail.upstream.bodies import check_json, form_parts, onward
from guardrail.upstream.dialect import Call, Fetch, FetchFile, Headers
from guardrail.upstream.gather import Gathered
from guardrail.upstream.headers import check_query, content_type
from guardrail.upstream.jobs.inputs import Reading, no_file
from guardrail.upstream.jobs.known import Job
from guardrail.upstream.jobs.state import HOOKS, JOB_ID, PUBLIC, ROUTE
from guardrail.upstream.limits import Limits
from guardrail.upstream.replicate import hooks
from guardrail.upstream.replicate.routes import Route
from guardrail.upstream.replicate.state import NAMED, State
from guardrail.upstream.slots import name_of
from guardrail.upstream.spans import Json, JsonFault, Node, scan, text_of

KNOWN = frozenset(
    {"input", "version", "model", "deployment", "webhook", "webhook_completed", "webhook_events_filter", "stream"}
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,255}")
_NAMES = frozenset({"version", "model", "deployment"})
_WAIT = re.compile(r"wait(?:\s*=\s*([0-9]{1,3}))?")
_LONGEST_WAIT_S = 60
_MARGIN_S = 5
"""Seconds left of what a client waits for: judging takes some, and its patience ends half a second after that."""


async def create(
    state: State,
    named: str,
    path: str,
    query: str,
    headers: Headers,
    body: bytes,
    fetch: Fetch,
    fetch_file: FetchFile,
    public: str,
) -> Call:
    """A prediction that is asked for. `named` is the model or deployment of the path. Raises BadRequest."""
    check_query(query, KNOWN)
    check_json(headers, body, state.limits)
    reading, root = Reading.of(
        body, state.limits, state.rules, lambda url, data: state.shelf.spelled(public, url, data)
    )
    reading.own = state.files.get
    for key in root.members:
        if key.casefold() in KNOWN and key not in KNOWN:
            raise BadRequest(f"{name_of((key,))} is spelled in another way than this API's", code="unknown_field")
    asked = root.get("input")
    if asked is not None and asked.kind is not Json.OBJECT:
        raise BadRequest("input must be an object", status=422, param="input", code="invalid_type")
    words = {key: _word(root, key, body) for key in _NAMES}
    models = {one for one in (named, *words.values()) if one} or {""}
    for model in sorted(models):
        state.rules.check(model)
    if asked is not None:
        reading.read(asked)
    for key, node in root.members.items():
        if key not in KNOWN:
            reading.named(key)
            reading.read(node, (key,))
    reading.settle()
    hooked = await hooks.register(state, root, body, reading.got, headers, fetch_file)
    await reading.got.resolve(state.shelf.asking(public, fetch), fetch_file)
    forward = onward("POST", path, query, _sooner(headers), body, reading.got.edits)
    said = {"model": words["model"] or named, "version": words["version"], "deployment": words["deployment"]}
    told = {PUBLIC: public, NAMED: said, ROUTE: Route.CREATE, HOOKS: hooked}
    return Call(reading.got.request(), forward, Route.CREATE.value, told)


def _word(root: Node, key: str, body: bytes) -> str:
    node = root.get(key)
    if node is None:
        return ""
    text = node.text(body) if node.kind is Json.STRING else ""
    if not _NAME.fullmatch(text):
        raise BadRequest(f"{key} must be a name", status=422, param=key, code="invalid_type")
    return text


def _sooner(headers: Headers) -> Headers:
    """`Prefer: wait` with some seconds less, so that the judged answer is there while the client still waits."""
    out = []
    for name, value in headers:
        found = _WAIT.fullmatch(value.strip()) if name.lower() == "prefer" else None
        if found is None:
            out.append((name, value))
            continue
        waits = min(int(found.group(1) or _LONGEST_WAIT_S), _LONGEST_WAIT_S)
        out.append((name, f"wait={max(1, waits - _MARGIN_S if waits > 2 * _MARGIN_S else waits // 2)}"))
    return out


async def poll(
    state: State,
    route: Route,
    method: str,
    path: str,
    query: str,
    headers: Headers,
    body: bytes,
    job_id: str,
    fetch: Fetch,
    fetch_file: FetchFile,
    public: str,
) -> Call:
    """A prediction that is fetched or cancelled, judged beside what was asked for. Raises BadRequest where that is not
    known, and cannot be read back either."""
    nothing(body, query)
    job = state.jobs.get(job_id)
    if job is None:
        job = await recall(state, job_id, fetch, fetch_file, public)
        state.jobs.put(job_id, job)
    forward = onward(method, path, "", headers, body)
    told = {PUBLIC: public, JOB_ID: job_id, NAMED: job.named, ROUTE: route}
    return Call(job.request, forward, route.value, told, poll=True)


def stream(state: State, sealed: str, query: str, headers: Headers, body: bytes, public: str) -> Call:
    """The stream of a prediction, under the address that its answer gave. Raises BadRequest."""
    nothing(body, query)
    said = state.seal.open("stream", sealed)
    job = None if said is None else state.jobs.get(said["job"])
    if said is None or job is None:
        raise BadRequest("this stream is not known here, or no longer", status=404, code="unknown_job")
    parts = urlsplit(said["url"])
    origin, path = f"{parts.scheme}://{parts.netloc}", parts.path or "/"
    forward = replace(onward("GET", path, parts.query, headers, b""), origin=origin)
    told = {PUBLIC: public, JOB_ID: said["job"], NAMED: job.named, ROUTE: Route.STREAM}
    return Call(replace(job.request, stream=True), forward, Route.STREAM.value, told)


def listing(path: str, query: str, headers: Headers, body: bytes, public: str) -> Call:
    """The list of predictions: which there are, and not what they made. Raises BadRequest."""
    nothing(body, "")
    check_query(query, KNOWN)
    forward = onward("GET", path, query, headers, b"")
    return Call(Request((), ()), forward, Route.LIST.value, {PUBLIC: public, ROUTE: Route.LIST}, poll=True)


def secret(path: str, query: str, headers: Headers, body: bytes) -> Call:
    """The secret that webhooks are signed with. Raises BadRequest."""
    nothing(body, query)
    forward = onward("GET", path, "", headers, b"")
    return Call(Request((), ()), forward, Route.SIGNING.value, {ROUTE: Route.SIGNING}, poll=True)


def nothing(body: bytes, query: str) -> None:
    """Raises BadRequest for a body or a query where none is taken."""
    if body.strip() not in (b"", b"{}") or query:
        raise BadRequest("this route takes no body and no query", code="unjudged_field")


async def recall(state: State, job_id: str, fetch: Fetch, fetch_file: FetchFile, public: str) -> Job:
    """A job that is not known here, read back from the generator with the caller's own credentials.

    Raises BadRequest (404) where what it was asked for is no longer there, or cannot be read.
    """
    unknown = BadRequest(
        "this prediction is not known here, and what it was asked for can no longer be read",
        status=404,
        code="unknown_job",
    )
    try:
        data = (await fetch_file(f"predictions/{job_id}")).data
        root = scan(data, state.limits.json)
        asked = root.get("input")
        if asked is None or asked.kind is not Json.OBJECT or not asked.members:
            raise unknown
        return await asked_for(state, data, asked, {key: text_of(root, key, data) for key in _NAMES}, fetch, public)
    except (BadRequest, JsonFault):
        raise unknown from None


async def asked_for(state: State, data: bytes, asked: Node, named: dict[str, str], fetch: Fetch, public: str) -> Job:
    """The job that an `input` of the generator's own answer describes. Raises BadRequest."""
    reading = Reading(data, Gathered(state.limits), state.rules, state.files.get)
    reading.read(asked)
    reading.settle()
    await reading.got.resolve(state.shelf.asking(public, fetch), no_file)
    return Job(replace(reading.got.request(), clamped=()), named, begun=False)


def upload(headers: Headers, body: bytes, query: str, limits: Limits) -> Gathered:
    """A file that is put into the generator's own store: a picture. Raises BadRequest."""
    if query:
        raise BadRequest("this route takes no query", code="invalid_query")
    kind, parameters = content_type(headers)
    if kind != "multipart/form-data":
        raise BadRequest("a file is sent as multipart/form-data", status=415, code="unsupported_media_type")
    found = form_parts(body, parameters, limits)
    got = Gathered(limits)
    for part in found:
        data = body[part.start : part.end]
        if part.name == "content" and not got.inputs:
            if pictures.sniff(data) is None:
                raise BadRequest(
                    "the file is no picture, and nothing else can be judged",
                    status=415,
                    param="content",
                    code="unjudged_file",
                )
            got.picture("content", data, "content")
        elif part.name == "content" or part.is_file or not _plain(part.name, data):
            raise BadRequest("an upload has a field that is not known", status=422, code="unknown_field")
    if not got.inputs:
        raise BadRequest("content is missing", status=422, param="content", code="missing_required_parameter")
    return got


def _plain(name: str, data: bytes) -> bool:
    """True for what is said of a file, and shows nothing."""
    if name not in ("metadata", "filename", "type", "content_type") or len(data) > 4096:
        return False
    try:
        text = data.decode()
        return name != "metadata" or isinstance(json.loads(text), dict)
    except ValueError:
        return False
