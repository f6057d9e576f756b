"""Webhooks of jobs: the generator is given an address of the guard, sealed, in place of a client's."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Mapping
from typing import Any

from guardrail.errors import BadRequest, Overloaded
from guardrail.upstream import pictures
from guardrail.upstream.dialect import Call, Forward, News
from guardrail.upstream.jobs.known import Job, Jobs
from guardrail.upstream.jobs.seal import Seal
from guardrail.upstream.jobs.shelf import FILE
from guardrail.upstream.jobs.shelf import PATH as FILES
from guardrail.upstream.limits import Limits
from guardrail.upstream.spans import JsonFault, scan, text_of

PATH = "/guardrail/hooks/"
_PURPOSE = "hook"
_WORD = "word"
_TOLERANCE_S = 300  # how old a call may be; what Replicate and fal say in their documentation
_LONGEST = 2048  # characters of an address


def check(url: str, base: str, param: str) -> None:
    """Raises BadRequest where a client's webhook cannot be taken: `base` is where the generator reaches the guard."""
    if not base:
        raise BadRequest(
            f"{param}: webhooks are not offered here, because the operator has not said under which https address this "
            "guard is reached (public_url); poll instead",
            status=422,
            param=param,
            code="webhook_not_offered",
        )
    if pictures.url_scheme(url) != "https" or len(url) > _LONGEST:
        raise BadRequest(f"{param} must be an https address", status=422, param=param, code="url_not_allowed")


def address(seal: Seal, base: str, url: str, **said: str) -> tuple[str, str]:
    """The address that the generator is given for a client's `url`, with what else it says when it is called; and the
    word by which the job that it was given for knows it."""
    word = secrets.token_hex(8)
    return base + PATH + seal.close(_PURPOSE, {"url": url, _WORD: word, **said}), word


def check_job(said: Mapping[str, str], job: Job) -> None:
    """Raises BadRequest where the address was given for another job: who may sign for one account could else have
    something of his own judged, and put on record, as somebody else's."""
    if said.get(_WORD) not in job.hooks:
        raise unsigned("it is of a job that was begun without this address")


async def job_of(
    body: bytes, key: str, said: Mapping[str, str], jobs: Jobs, limits: Limits, wait_s: float
) -> tuple[str, Job]:
    """The job that signed news is of, and its id, which stands under `key`; `said` is what the news' address says.

    Raises BadRequest for what is no news of a job that this address was given for, Overloaded where the generator
    should call again: this process does not know the job.
    """
    try:
        root = scan(body, limits.json)
    except JsonFault as fault:
        raise BadRequest(f"the news is not the JSON expected: {fault}", code="invalid_json") from None
    job_id = text_of(root, key, body)
    job = await jobs.wait(job_id, wait_s)
    if job is None:
        # Whose job it is, and so by which policy it is judged, is known to the process alone that began it.
        raise Overloaded("the job is not known to this process", retry_after_s=10.0)
    check_job(said, job)
    return job_id, job


def news(job: Job, path: str, event_id: str, body: bytes, target: str, told: Mapping[str, Any], *, route: str) -> News:
    """What the generator told of a job, to be handed on to `target`; `told` is the state that it is read by."""
    call = Call(job.request, Forward(method="POST", path="", headers=(), body=b""), route, told, poll=True)
    return News(call, [("content-type", "application/json")], body, target, mark(path, event_id, body))


def mark(path: str, event_id: str, body: bytes) -> str:
    """What the same news told again has in common, and no other news."""
    return hashlib.sha256("\n".join((path, event_id, "")).encode("utf-8", "replace") + body).hexdigest()


def opened(seal: Seal, path: str) -> dict[str, str] | None:
    """What the address of a hook says; None for one that this guard has not given."""
    return seal.open(_PURPOSE, path.removeprefix(PATH)) if path.startswith(PATH) else None


def given(seal: Seal, method: str, path: str) -> bool:
    """True for an address that this guard gave to somebody without its key: a hook, or a picture that was judged."""
    if method == "GET" and path.startswith(FILES):
        return seal.open(FILE, path.removeprefix(FILES)) is not None
    return method == "POST" and opened(seal, path) is not None


def check_time(timestamp: str, now: float | None = None) -> None:
    """Raises BadRequest for a call whose time is none, or is not about now."""
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 13):
        raise unsigned("it has no time")
    if abs((time.time() if now is None else now) - int(timestamp)) > _TOLERANCE_S:
        raise unsigned("it is too old")


def unsigned(why: str) -> BadRequest:
    """A call that the generator has not signed."""
    return BadRequest(f"this call is not the generator's: {why}", status=401, code="invalid_signature")
