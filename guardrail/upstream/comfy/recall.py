"""Recalling: which job made a picture, and what was asked for in it, out of the history that the server keeps.

Needed where a picture is asked for by name alone: by a client that never asked what its job made, after a restart, or
in another process of the guard than the one that read the prompt.
"""

from __future__ import annotations

from guardrail.errors import BadRequest
from guardrail.types import Request
from guardrail.upstream.comfy import body as bodies
from guardrail.upstream.comfy.answer import made, parse
from guardrail.upstream.comfy.files import Job, Known, Name
from guardrail.upstream.dialect import FetchFile
from guardrail.upstream.limits import Limits
from guardrail.upstream.spans import Json, Node

HISTORY_ID = "history"
HISTORY = "/history?max_items=200"


async def job_of(name: Name, known: Known, limits: Limits, fetch_file: FetchFile) -> str:
    """The id of the job that made this file, remembered from here on. Raises BadRequest (404) where none is known."""
    job_id = known.made.get(name)
    if job_id is not None and known.jobs.get(job_id) is not None:
        return job_id
    data = (await fetch_file(HISTORY_ID)).data
    root = parse(data)
    for job_id, entry in reversed(root.members.items()):  # the newest file of that name is the one that is there
        outputs = entry.get("outputs") if entry.kind is Json.OBJECT else None
        if outputs is None or name not in made(outputs, data):
            continue
        known.made.put(name, job_id)
        if known.jobs.get(job_id) is None:
            job = await _job(entry, data, known, limits, fetch_file)
            known.jobs.put(job_id, job, job.size)
        return job_id
    raise BadRequest(
        "no finished job is known that made this file; ask once its job is done", status=404, code="unknown_file"
    )


async def _job(entry: Node, data: bytes, known: Known, limits: Limits, fetch_file: FetchFile) -> Job:
    """What was asked for: the third entry of `prompt` is the graph."""
    prompt = entry.get("prompt")
    if prompt is None or len(prompt.items) < 3:
        raise BadRequest("the job that made this file cannot be read", status=404, code="unknown_file")
    graph = prompt.items[2]
    body = b'{"prompt":' + data[graph.start : graph.end] + b"}"
    asked = bodies.gather(body, limits, known, None)
    await bodies.resolve(asked, fetch_file)
    inputs = tuple(found for found in asked.got.inputs if found is not None)
    classes = {name: step.kind for name, step in asked.graph.steps.items()}
    return Job(Request(tuple(asked.got.texts), inputs), "", classes)
