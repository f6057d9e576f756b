"""Webhooks of jobs: the generator is given an address of the guard, sealed, in place of a client's."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Mapping

from guardrail.errors import BadRequest
from guardrail.upstream import pictures
from guardrail.upstream.jobs.known import Job
from guardrail.upstream.jobs.seal import Seal
from guardrail.upstream.jobs.shelf import FILE
from guardrail.upstream.jobs.shelf import PATH as FILES

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
