"""Answers of ComfyUI: ids of jobs, names of uploads, pictures, and what a job made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from guardrail.errors import BadRequest, UpstreamError
from guardrail.types import Artifact, Decision, Kind
from guardrail.upstream import pictures
from guardrail.upstream.answers import (
    CHANGED,
    LENGTH,
    WHOLE,
    check_keys,
    decode,
    error_of,
    holds_picture,
    strictest,
)
from guardrail.upstream.comfy import refuse
from guardrail.upstream.comfy.body import JOB, JSON
from guardrail.upstream.comfy.files import Job, Known, Name, of_parts
from guardrail.upstream.comfy.routes import Route
from guardrail.upstream.dialect import Answer, Call, Headers, Reply
from guardrail.upstream.headers import end_to_end
from guardrail.upstream.limits import Limits
from guardrail.upstream.memory import afresh
from guardrail.upstream.slots import name_of, wordy
from guardrail.upstream.spans import Edit, Json, JsonFault, Node, scan, splice, strings

NAMING = frozenset({"filename", "subfolder", "type", "format", "fullpath", "workflow"})
"""Fields of what a job made that name files."""
JOB_ID, JOB_STATE, ROUTE = "job_id", "job", "route"
_MOST_TEXTS = 64


def read_answer(call: Call, status: int, headers: Headers, body: bytes, limits: Limits, known: Known) -> Answer:
    """Find every picture of an answer, and remember what it tells. Raises UpstreamError for what is no answer."""
    error = error_of(status, headers, body, limits)
    if error is not None:
        return error
    kept = end_to_end(headers, LENGTH)
    if status != 200:
        raise UpstreamError(f"it answered with status {status}")
    route = Route(call.route)
    if route is Route.VIEW:
        if pictures.sniff(body) is None:
            raise UpstreamError("it is no picture that can be judged")
        state = {ROUTE: route, JOB_ID: call.state.get(JOB_ID)}
        return Answer(status, kept, body, (Artifact(Kind.OUTPUT, "view", data=body),), (0,), state=state)
    root = parse(body)
    if route is Route.QUEUE:
        leaves = _queue(root, body, call.request.tenant, known)
        return Answer(status, kept if leaves is body else end_to_end(kept, CHANGED), leaves, (), ())
    if route is Route.HISTORY:
        return _history(call, Answer(status, kept, body, (), ()), root, limits, known)
    if any(holds_picture(node, body) for _, node in strings(root)):
        raise UpstreamError("it carries a picture where none is expected")
    if route is Route.PROMPT:
        _prompt(call, root, body, known)
    else:
        _upload(root, body)
    return Answer(status, kept, body, (), ())


def without(answer: Answer, refused: Mapping[int, Decision], known: Known) -> Reply:
    """A refused picture is not handed out; a job that made one has failed."""
    if not refused:
        return Reply(answer.status, answer.headers, answer.body)
    decision = strictest(refused.values())
    job_id = answer.state.get(JOB_ID)
    if job_id is not None:
        known.refused.put(job_id, refuse.message(decision))
    if answer.state.get(ROUTE) is Route.HISTORY and job_id is not None:
        return Reply(200, [("content-type", "application/json")], refuse.history(job_id, refuse.message(decision)))
    return refuse.refuse(decision, status=403)


def parse(body: bytes) -> Node:
    """The JSON object that an answer is. Raises UpstreamError for anything else."""
    try:
        root = scan(body, JSON)
    except JsonFault as fault:
        raise UpstreamError(f"it is not the JSON expected: {fault}") from None
    if root.kind is not Json.OBJECT:
        raise UpstreamError("it is not a JSON object")
    check_keys(root)
    return root


def _prompt(call: Call, root: Node, body: bytes, known: Known) -> None:
    node = root.get("prompt_id")
    job_id = node.text(body) if node is not None and node.kind is Json.STRING else ""
    if not JOB.fullmatch(job_id):
        raise UpstreamError("it has no prompt_id")
    job: Job = replace(call.state[JOB_STATE], request=afresh(call.request), tenant=call.request.tenant)
    known.jobs.put(job_id, job, job.size)


def _queue(root: Node, body: bytes, tenant: str, known: Known) -> bytes:
    """The queue without the jobs of other tenants: it tells what was asked for in each."""
    if any(holds_picture(node, body) for _, node in strings(root)):
        raise UpstreamError("it carries a picture where none is expected")
    edits: list[Edit] = []
    for name, listed in root.members.items():
        if name not in ("queue_running", "queue_pending") or listed.kind is not Json.ARRAY:
            raise UpstreamError("it tells more than what is queued")
        mine = [one for one in listed.items if _shows(one, body, tenant, known)]
        if len(mine) < len(listed.items):
            left = b", ".join(body[one.start : one.end] for one in mine)
            edits.append((listed.start, listed.end, b"[" + left + b"]"))
    return splice(body, edits)


def _shows(entry: Node, body: bytes, tenant: str, known: Known) -> bool:
    """Whether an entry of the queue is for this tenant's eyes: number, id of the job, what was asked, and more."""
    named = entry.items[1] if len(entry.items) > 1 else None
    job_id = named.text(body) if named is not None and named.kind is Json.STRING else ""
    job = known.jobs.get(job_id)
    if job is None or job.tenant is None:
        return not known.several
    return job.tenant == tenant


def _upload(root: Node, body: bytes) -> None:
    told = {}
    for key in ("name", "subfolder", "type"):
        node = root.get(key)
        told[key] = node.text(body) if node is not None and node.kind is Json.STRING else ""
    if _name(told["name"], told["subfolder"], told["type"] or "input") is None:
        raise UpstreamError("it names no file that was uploaded")


def _name(name: str, subfolder: str, folder: str) -> Name | None:
    try:
        return of_parts(name, subfolder.strip("/"), folder, "name")
    except BadRequest:
        return None


def _history(call: Call, answer: Answer, root: Node, limits: Limits, known: Known) -> Answer:
    body, job_id = answer.body, str(call.state[JOB_ID])
    told = known.refused.get(job_id)
    if told is not None:
        kept = end_to_end(answer.headers, CHANGED)
        return Answer(200, kept, refuse.history(job_id, told), (), ())
    if root.members.keys() - {job_id}:
        raise UpstreamError("it tells of another job than was asked for")
    mine = {artifact.digest for artifact in call.request.inputs}
    images: list[Artifact] = []
    texts: list[Artifact] = []
    for path, node in strings(root):
        if holds_picture(node, body):
            picture = Artifact(Kind.OUTPUT, name_of(path), data=decode(node, body, limits, name_of(path)))
            if picture.digest not in mine:
                images.append(picture)
        elif len(path) > 3 and path[1] == "outputs" and shown(path[-1]) and wordy(node.text(body)):
            texts.append(Artifact(Kind.PROMPT, name_of(path[1:]), text=node.text(body)))
    if len(texts) > _MOST_TEXTS or any(len(one.text or "") > limits.prompt_chars for one in texts):
        raise UpstreamError("it has more or longer texts than are judged")
    entry = root.get(job_id)
    outputs = entry.get("outputs") if entry is not None else None
    for name in made(outputs, body) if outputs is not None else ():
        known.made.put(name, job_id)
    state = {ROUTE: Route.HISTORY, JOB_ID: job_id}
    return Answer(200, answer.headers, body, tuple(images), (WHOLE,) * len(images), tuple(texts), state)


def shown(key: str | int) -> bool:
    """True where a string of what a job made is something else than the name of a file."""
    return not isinstance(key, str) or key not in NAMING


def made(node: Node, body: bytes) -> list[Name]:
    """The files that are named anywhere under `node`."""
    found: list[Name] = []
    filename = node.members.get("filename")
    if filename is not None and filename.kind is Json.STRING:
        parts = {}
        for key in ("subfolder", "type"):
            value = node.members.get(key)
            parts[key] = value.text(body) if value is not None and value.kind is Json.STRING else ""
        name = _name(filename.text(body), parts["subfolder"], parts["type"] or "output")
        if name is not None:
            found.append(name)
    for member in (*node.members.values(), *node.items):
        found += made(member, body)
    return found
